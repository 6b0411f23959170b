from __future__ import annotations

import typing as t

import pytest
from unit.fakes.gates import order, policy

from ansible_collections.openstack_ha.recovery.plugins.module_utils._budgets import Budgets, Tally, scopes, title

HOSTS: dict[str, dict[str, t.Any]] = {
    f"cmp{number:02d}": {"segment": f"rack{(number + 4) // 5}", "domain": "pdu-a"} for number in range(1, 11)
}


def budgets(
    busy: t.Iterable[str] = (),
    fences: t.Iterable[t.Any] = (),
    orders: t.Iterable[t.Any] = (),
    hosts: t.Any = None,
    **changes: t.Any,
) -> Budgets:
    return Budgets(hosts or HOSTS, policy(**changes)["budgets"], list(orders), busy, list(fences))


def fence(host: str, age: float | None = 60.0, **more: t.Any) -> dict[str, t.Any]:
    return {"host": host, "segment": None, "domain": None, "age": age, **more}


def counts(it: Budgets, host: str = "cmp03") -> dict[str, tuple[int, int, int, int]]:
    """By scope: at once and its cap, per hour and its cap."""
    return {
        where: (count["at_once"], count["at_once_cap"], count["per_hour"], count["per_hour_cap"])
        for where, count in it.counts(host, HOSTS[host]).items()
    }


def test_a_single_host_is_within_every_default_cap() -> None:
    everywhere = (1, 1, 1, 3)
    assert counts(budgets()) == {
        "the cloud": everywhere,
        "segment rack1": everywhere,
        "failure domain pdu-a": everywhere,
    }


def test_hosts_count_where_they_are() -> None:
    it = budgets(busy=["cmp04", "cmp07"])
    assert {where: count[0] for where, count in counts(it).items()} == {
        "the cloud": 3,
        "segment rack1": 2,
        "failure domain pdu-a": 3,
    }


def test_each_host_counts_once() -> None:
    it = budgets(busy=["cmp04", "cmp04", "cmp03"], fences=[fence("cmp04"), fence("cmp04"), fence("cmp03")])
    it.want(["cmp03", "cmp04"])
    assert counts(it)["the cloud"] == (2, 1, 2, 3)


def test_hosts_that_are_wanted_together_count_for_each_of_them() -> None:
    it = budgets()
    it.want(["cmp03", "cmp04", "cmp07"])
    assert counts(it)["segment rack1"][::2] == (2, 2)
    assert counts(it, "cmp07")["segment rack2"][::2] == (1, 1)
    assert counts(it, "cmp07")["the cloud"][::2] == (3, 3)


@pytest.mark.parametrize(("age", "counted"), [(0.0, True), (3599.9, True), (3600.0, False), (None, True)])
def test_a_power_off_counts_for_an_hour(age: float | None, counted: bool) -> None:
    assert counts(budgets(fences=[fence("cmp07", age)]))["the cloud"][2] == 1 + counted


def test_a_power_off_counts_where_its_certificate_says_when_the_host_is_gone() -> None:
    it = budgets(fences=[fence("gone", segment="rack1")])
    assert {where: count[2] for where, count in counts(it).items()} == {
        "the cloud": 2,
        "segment rack1": 2,
        "failure domain pdu-a": 1,
    }


def test_a_host_of_which_the_place_is_not_known_counts_everywhere() -> None:
    it = budgets(busy=["stranger"])
    assert {count[0] for count in counts(it).values()} == {2}
    half_known = {**HOSTS, "cmp09": {"segment": "rack2"}}
    assert {count[0] for count in counts(budgets(busy=["cmp09"], hosts=half_known)).values()} == {2}


def test_a_host_in_no_segment_counts_in_the_cloud_only() -> None:
    hosts = {**HOSTS, "cmp09": {"segment": None, "domain": None}}
    assert [count[0] for count in counts(budgets(busy=["cmp09"], hosts=hosts)).values()] == [2, 1, 1]


# -- caps --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "cap"),
    [
        ({"at_once": 5}, 5),
        ({"at_once": 5, "at_once_percent": 30}, 3),
        ({"at_once": 5, "at_once_percent": 39}, 3),
        ({"at_once": 2, "at_once_percent": 90}, 2),
        ({"at_once": 5, "at_once_percent": 1}, 1),
    ],
)
def test_both_the_number_and_the_share_hold_and_one_host_is_always_allowed(changes: t.Any, cap: int) -> None:
    wanted = {"at_once_percent": 100, "per_hour": 3, **changes}
    assert budgets(budgets__cloud=wanted).caps(("cloud", ""))["at_once_cap"] == cap


def test_a_share_is_one_of_the_hosts_of_its_scope() -> None:
    it = budgets(budgets__segment={"at_once": 9, "at_once_percent": 40, "per_hour": 3})
    assert it.caps(("segment", "rack1"))["at_once_cap"] == 2
    assert it.caps(("segment", "empty"))["at_once_cap"] == 1


def test_single_segments_and_failure_domains_may_have_caps_of_their_own() -> None:
    it = budgets(budgets__segments={"rack1": {"at_once": 2}}, budgets__failure_domains={"pdu-a": {"per_hour": 7}})
    assert it.caps(("segment", "rack1")) == {"at_once_cap": 2, "per_hour_cap": 3}
    assert it.caps(("segment", "rack2")) == {"at_once_cap": 1, "per_hour_cap": 3}
    assert it.caps(("failure_domain", "pdu-a")) == {"at_once_cap": 1, "per_hour_cap": 7}


def raising(scope: str = "cloud", name: str | None = None, **limits: int | None) -> dict[str, t.Any]:
    return order("budget", scope, name, limits=limits)


def test_an_order_for_the_cloud_raises_the_caps_of_all_its_parts() -> None:
    it = budgets(orders=[raising(at_once=2, per_hour=None)])
    assert [it.caps(scope)["at_once_cap"] for scope in scopes(HOSTS["cmp03"])] == [2, 2, 2]


def test_an_order_for_a_segment_raises_its_caps_only() -> None:
    it = budgets(orders=[raising("segment", "rack1", at_once=4, per_hour=8)])
    assert it.caps(("segment", "rack1")) == {"at_once_cap": 4, "per_hour_cap": 8}
    assert {it.caps(scope)["at_once_cap"] for scope in (("cloud", ""), ("segment", "rack2"))} == {1}


def test_who_allows_so_many_at_once_allows_them_within_the_hour() -> None:
    assert budgets(orders=[raising(at_once=9)]).caps(("cloud", "")) == {"at_once_cap": 9, "per_hour_cap": 9}


def test_an_order_never_lowers_a_cap() -> None:
    it = budgets(orders=[raising(at_once=1, per_hour=1), raising(at_once=None)], budgets__cloud__at_once=4)
    assert it.caps(("cloud", "")) == {"at_once_cap": 4, "per_hour_cap": 3}
    assert budgets(orders=[order("pause", limits={"at_once": 9})]).caps(("cloud", ""))["at_once_cap"] == 1


def test_scopes_have_names_for_people() -> None:
    assert [title(scope) for scope in scopes(HOSTS["cmp03"])] == ["the cloud", "segment rack1", "failure domain pdu-a"]


def test_a_tally_counts_those_that_come_later_too() -> None:
    it = Tally(HOSTS)
    it.add("cmp01")
    assert it.of(("segment", "rack1")) == {"cmp01"}
    it.add("cmp02")
    assert it.of(("segment", "rack1")) == {"cmp01", "cmp02"}
