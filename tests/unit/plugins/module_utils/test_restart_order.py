from __future__ import annotations

import dataclasses
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.fakes.profiles import examples

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _policy_file
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._planner import Vm
from ansible_collections.openstack_ha.recovery.plugins.module_utils._restart_order import (
    NOTHING_SAID,
    Rank,
    arrange,
    read_ready,
    ready_text,
)

Json = t.Dict[str, t.Any]


def vm(name: str, group: str | None = None, *after: str, **more: t.Any) -> Vm:
    return Vm(
        **{"id": name, "name": name, "project": "p1", "host": "dead", "segment": "s", "group": group, **more},
        after=after,
    )


def ranks(*vms: Vm, **restart: t.Any) -> dict[str, Rank]:
    return arrange(vms, {**NOTHING_SAID, **restart})


def group(*after: str, **more: t.Any) -> Json:
    return {"after": list(after), "shared": False, **more}


# -- readiness --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("active", {"is": "active"}),
        (" landed ", {"is": "landed"}),
        ("guest_agent", {"is": "guest_agent"}),
        ("tcp:5432", {"is": "tcp", "port": 5432}),
        ("http:80", {"is": "http", "port": 80, "path": "/"}),
        ("https:8443/a?b=c", {"is": "https", "port": 8443, "path": "/a?b=c"}),
        ("task:smoke-1", {"is": "task", "name": "smoke-1"}),
    ],
)
def test_readiness_is_read_and_told_again(text: str, meaning: Json) -> None:
    assert read_ready(text) == meaning
    assert read_ready(ready_text(meaning)) == meaning


@pytest.mark.parametrize(
    "text",
    ["", "up", "tcp", "tcp:", "tcp:0", "tcp:65536", "tcp:22/x", "http:80/a b", "http:80/\r\nX: y", "task:"],
)
def test_what_is_no_readiness_is_nothing(text: str) -> None:
    assert read_ready(text) is None


# -- groups -----------------------------------------------------------------------------------------------------------


def test_vms_of_no_group_wait_for_nobody() -> None:
    assert ranks(vm("a"), vm("b", priority=900)) == {"a": Rank(500), "b": Rank(900)}


def test_a_group_waits_for_another_and_only_who_is_waited_for_must_be_ready() -> None:
    found = ranks(vm("db", "db"), vm("app", "app", "db"), vm("web", None, "app"))
    assert [found[name].depth for name in ("db", "app", "web")] == [0, 1, 2]
    assert found["app"].waits == found["db"].keys == ["group db of project p1"]
    assert [found[name].ready for name in ("db", "app", "web")] == [{"is": "active"}, {"is": "active"}, None]


def test_what_the_policy_says_of_a_group_holds_for_vms_that_say_nothing_themselves() -> None:
    groups = {"db": group(ready="tcp:5432"), "app": group("db"), "cache": group()}
    found = ranks(
        vm("db1", "db"),
        vm("db2", "db", ready={"is": "landed"}),
        vm("cache", "cache"),
        vm("app1", "app"),
        vm("app2", "app", "cache"),
        groups=groups,
        ready="guest_agent",
    )
    assert found["app1"].waits == ["group db of project p1"]
    assert found["app2"].waits == ["group cache of project p1"]
    readiness = [found[name].ready for name in ("db1", "db2", "cache")]
    assert readiness == [{"is": "tcp", "port": 5432}, {"is": "landed"}, {"is": "guest_agent"}]


def test_groups_of_two_projects_have_nothing_to_do_with_each_other() -> None:
    vms = vm("db", "db"), vm("other", "db", project="p2"), vm("app", "app", "db"), vm("lost", "app", "db", project="p3")
    found = ranks(*vms, groups={"db": group()})
    assert found["app"].waits == ["group db of project p1"]
    assert (found["other"].keys, found["lost"].waits) == ([], [])


def test_groups_that_the_policy_shares_are_one() -> None:
    found = ranks(vm("db", "db"), vm("app", "app", "db", project="p2"), groups={"db": group(shared=True)})
    assert found["app"].waits == found["db"].keys == ["group db"]


@pytest.mark.parametrize("what", [{"step": "skip"}, {"former": "stopped"}])
def test_a_vm_that_will_not_run_is_not_waited_for_and_waits_for_nobody(what: Json) -> None:
    assert ranks(vm("db", "db", **what), vm("app", "app", "db"))["app"].waits == []
    assert ranks(vm("db", "db"), vm("app", "app", "db", **what))["app"].waits == []


def test_a_vm_that_has_no_place_is_waited_for_so_that_the_report_says_what_is_missing() -> None:
    assert ranks(vm("db", "db", step="pending"), vm("app", "app", "db"))["app"].waits


def test_a_group_that_nobody_knows_is_told_and_one_that_is_elsewhere_is_not() -> None:
    found = ranks(vm("app", "app", "db", "dbb"), groups={"db": group()})["app"]
    assert (found.waits, len(found.remarks)) == ([], 1)
    assert "dbb" in found.remarks[0]


# -- circles ----------------------------------------------------------------------------------------------------------


def test_a_circle_is_broken_and_told() -> None:
    found = ranks(vm("a", "a", "b"), vm("b", "b", "a"))
    assert (found["a"].waits, found["b"].waits) == (["group b of project p1"], [])
    assert found["b"].remarks == ["does not wait for the group a, which waits for b: a circle"]


def test_what_the_policy_says_wins_over_what_makes_it_a_circle() -> None:
    found = ranks(vm("a", "a", "b"), vm("b", "b"), groups={"b": group("a"), "a": group()})
    assert (found["a"].waits, found["b"].waits) == ([], ["group a of project p1"])
    assert "circle" in found["a"].remarks[0]


def test_a_group_does_not_wait_for_itself() -> None:
    found = ranks(vm("a", "a", "a"), vm("b", "a"))
    assert (found["a"].waits, found["b"].keys) == ([], [])


# -- priorities -------------------------------------------------------------------------------------------------------


def test_who_is_waited_for_is_as_important_as_who_waits_also_over_others() -> None:
    found = ranks(
        vm("db", "db", priority=10), vm("mid", "mid", "db", priority=20), vm("app", None, "mid", priority=900)
    )
    assert [found[name].priority for name in ("db", "mid", "app")] == [900, 900, 900]
    assert found["db"].remarks == ["goes with priority 900, because app waits for it"]


def test_tiers_wait_for_the_next_one_above_that_has_vms() -> None:
    vms = [vm("top", priority=950), vm("low", priority=400), vm("lower", priority=0), vm("lowest", priority=1)]
    found = ranks(*vms, tiers=[400, 900, 600])
    assert found["top"].waits == []
    assert found["low"].waits == found["top"].keys == ["priority 900 and higher"]
    assert found["lower"].waits == found["lowest"].waits == found["low"].keys == ["priority 400 and higher"]


def test_a_group_order_never_contradicts_the_tiers() -> None:
    found = ranks(vm("db", "db", priority=1), vm("app", None, "db", priority=950), vm("low"), tiers=[900])
    assert found["db"].waits == []
    assert found["app"].waits == ["group db of project p1"]
    assert found["low"].waits == ["priority 900 and higher"]


NAMES = st.sampled_from("abcde")
VMS = st.lists(
    st.builds(
        dict,
        group=st.none() | NAMES,
        after=st.lists(NAMES, max_size=3, unique=True).map(tuple),
        priority=st.integers(0, 10),
        project=st.sampled_from(["p1", "p2"]),
        former=st.sampled_from(["running", "running", "stopped"]),
        step=st.sampled_from(["evacuate", "evacuate", "follow", "pending", "skip"]),
    ),
    max_size=9,
)
RESTART = st.fixed_dictionaries(
    {
        "tiers": st.lists(st.integers(0, 10), max_size=3, unique=True),
        "ready": st.just("active"),
        "groups": st.dictionaries(
            NAMES, st.fixed_dictionaries({"after": st.lists(NAMES, max_size=2), "shared": st.booleans()}), max_size=3
        ),
    }
)


@examples(400)
@given(VMS, RESTART, st.randoms())
def test_nobody_waits_for_itself_over_however_many_others_and_the_order_is_always_the_same(
    given_vms: list[Json], restart: Json, shuffle: t.Any
) -> None:
    vms = [
        Vm(**{**it, "id": str(number), "name": str(number), "host": "dead", "segment": "s"})
        for number, it in enumerate(given_vms)
    ]
    found = arrange(vms, restart)
    members: dict[str, set[str]] = {}
    for name, rank in found.items():
        for key in rank.keys:
            members.setdefault(key, set()).add(name)
    waits = {name: {other for key in rank.waits for other in members[key]} for name, rank in found.items()}
    free: set[str] = set()
    while free < set(waits):
        more = {name for name in waits if waits[name] <= free}
        assert more > free, (free, waits)
        free = more
    for name, others in waits.items():
        assert all(found[other].priority >= found[name].priority for other in others)
        assert all(found[other].ready for other in others)
    again = list(vms)
    shuffle.shuffle(again)
    assert arrange(again, restart) == found


# -- at load ----------------------------------------------------------------------------------------------------------


def refused(policy: Json) -> str:
    with pytest.raises(ConfigError) as caught:
        _policy_file.parse(policy, ["rack1"], [])
    return caught.value.message


def test_a_circle_in_the_policy_is_refused() -> None:
    groups = {"a": {"after": ["b"]}, "b": {"after": ["c"]}, "c": {"after": ["a"]}}
    assert "restart.groups.c.after: c cannot wait for a, which waits for c: a circle." in refused(
        {"restart": {"groups": groups}}
    )
    assert "a circle" in refused({"restart": {"groups": {"a": {"after": ["a"]}}}})


def test_a_circle_between_rules_for_vms_and_groups_is_refused() -> None:
    rules = {"projects": {"p": {"group": "a", "after": ["b"]}}}
    policy = {"restart": {"groups": {"b": {"after": ["a"]}}}, "ha": rules}
    assert "ha.projects.p.after: a cannot wait for b" in refused(policy)


def test_groups_that_nobody_is_in_are_refused() -> None:
    assert "there is no group 'dbb'" in refused({"restart": {"groups": {"a": {"after": ["dbb"]}, "db": {}}}})
    assert "there is no group 'x'" in refused({"ha": {"zones": {"z": {"after": ["x"]}}}})
    known = {"ha": {"zones": {"z": {"group": "db"}}, "flavors": {"f": {"after": ["db"]}}}}
    assert _policy_file.parse(known, ["rack1"], []).warnings == []


@pytest.mark.parametrize("where", ["restart", "group", "rule"])
def test_readiness_is_checked_wherever_it_is_said(where: str) -> None:
    def policy(ready: str) -> Json:
        return {
            "restart": {"restart": {"ready": ready}},
            "group": {"restart": {"groups": {"a": {"ready": ready}}}},
            "rule": {"ha": {"zones": {"z": {"ready": ready}}}},
        }[where]

    assert "ready" in refused(policy("tcp:0"))
    assert "restart.tasks has no task 'smoke'" in refused(policy("task:smoke"))
    warned = _policy_file.parse(policy("tcp:22"), ["rack1"], []).warnings
    assert len(warned) == 1
    assert "restart.probe_networks" in warned[0]


def test_probe_networks_are_ranges() -> None:
    assert "restart.probe_networks[0]" in refused({"restart": {"probe_networks": ["192.0.2.1"]}})


def test_vm_says_what_is_asked_of_it() -> None:
    """The protocol of :mod:`_restart_order` is a part of the planner's VM."""
    assert {"group", "after", "ready", "priority", "former", "step"} <= {it.name for it in dataclasses.fields(Vm)}
