"""Gates about the cloud and about who looks at it: open, closed, and closed by missing facts."""

from __future__ import annotations

import typing as t

import pytest
from unit.fakes.gates import DEAD, cloud, order, policy, said, verdict

BY_HAND: dict[str, t.Any] = {"caller": "operator"}


def without(name: str, **more: t.Any) -> dict[str, t.Any]:
    it = cloud(**more)
    del it[name]
    return it


def seen(**changes: t.Any) -> dict[str, t.Any]:
    """The observer's view of itself."""
    it = {"name": "ctl1", "up_for": 3600.0, "api": True, "networks": {}, **changes}
    return {name: value for name, value in it.items() if value != "not given"}


@pytest.mark.parametrize(
    ("gate", "says", "snapshot"),
    [
        ("observer", "hold", cloud(observer=seen(api=False))),
        ("observer", "hold", cloud(observer=seen(api=None))),
        ("observer", "hold", cloud(observer=seen(api="not given"))),
        ("observer", "hold", without("observer")),
        ("control_plane", "hold", cloud(control={"nova-conductor": 0, "nova-scheduler": 1})),
        ("control_plane", "hold", cloud(control={"nova-conductor": 1, "nova-scheduler": 0})),
        ("control_plane", "hold", cloud(control={"nova-conductor": 1})),
        ("control_plane", "hold", without("control")),
        ("start_grace", "hold", cloud(observer=seen(up_for=59.0))),
        ("start_grace", "hold", cloud(observer=seen(up_for=None))),
        ("cool_down", "hold", cloud(storm={"silent_for": None, "ended_ago": 299.0})),
        ("cool_down", "hold", without("storm")),
        ("budget", "ask", cloud(in_flight=["cmp07"])),
        ("budget", "ask", cloud(in_flight=["cmp99"])),
        ("budget", "ask", cloud(in_flight=None)),
        ("budget", "ask", without("in_flight")),
        ("budget", "ask", without("fences")),
        ("budget", "ask", cloud(3, 4)),
    ],
)
def test_a_gate_closes(gate: str, says: str, snapshot: t.Any) -> None:
    it = verdict(snapshot)
    assert (it["verdict"], it["gate"]) == (says, gate)
    assert it["reason"]


@pytest.mark.parametrize(
    "snapshot",
    [
        cloud(observer=seen(networks={"storage": False})),
        cloud(observer=seen(up_for=60.0)),
        cloud(observer=seen(up_for=None), **BY_HAND),
        cloud(storm={"silent_for": None, "ended_ago": 300.0}),
        cloud(storm={}),
        cloud(in_flight=["cmp03"]),
        without("answers"),
    ],
)
def test_what_only_looks_like_an_objection_is_none(snapshot: t.Any) -> None:
    assert said(snapshot) == ("recover", None)


# -- observer ----------------------------------------------------------------------------------------------

WATCHED = policy(
    networks={"admin": {}, "storage": {"isolation_addresses": ["tcp://192.0.2.1:3260"]}},
    segments={"rack2": {"networks": ["admin"]}},
    reactions=[{"reaction": "recover", "lost": ["admin"]}],
)


@pytest.mark.parametrize("networks", [{"storage": False}, {"storage": None}, {}, {"admin": True}, None])
@pytest.mark.parametrize("caller", ["responder", "operator"])
def test_who_cannot_reach_a_network_that_it_should_reach_decides_nothing(networks: t.Any, caller: str) -> None:
    snapshot = cloud(observer=seen(networks=networks), caller=caller)
    assert said(snapshot, WATCHED) == ("hold", "observer")
    assert "storage" in verdict(snapshot, WATCHED)["reason"]


def test_only_networks_of_the_hosts_segment_matter() -> None:
    there = cloud(7, observer=seen(networks={"storage": False}))
    there["hosts"]["cmp07"]["networks"] = {"admin": {"state": "lost"}}
    assert said(there, WATCHED, "cmp07") == ("recover", None)
    here = cloud(observer=seen(networks={"storage": True}))
    here["hosts"][DEAD]["networks"] = {"admin": {"state": "lost"}}
    assert said(here, WATCHED) == ("recover", None)


# -- everything_stale --------------------------------------------------------------------------------------


def test_when_nobody_is_heard_the_source_is_broken() -> None:
    everybody = cloud(*range(1, 11))
    assert said(everybody) == ("hold", "everything_stale")
    assert said({**everybody, **BY_HAND}) == ("hold", "everything_stale")


@pytest.mark.parametrize("other", [{"silent": True}, {"silent": None}, {"forced_down": True}, {"forced_down": None}])
def test_a_host_of_which_nothing_good_is_known_is_not_heard(other: t.Any) -> None:
    pair = cloud()
    pair["hosts"] = {DEAD: pair["hosts"][DEAD], "cmp08": {**pair["hosts"]["cmp08"], **other}}
    assert said(pair) == ("hold", "everything_stale")


def test_a_cloud_of_one_host_cannot_tell() -> None:
    alone = cloud()
    alone["hosts"] = {DEAD: alone["hosts"][DEAD]}
    assert said(alone) == ("recover", None)


# -- start_grace, power_restored ---------------------------------------------------------------------------


def test_the_rest_of_the_grace_is_told() -> None:
    assert verdict(cloud(observer=seen(up_for=20.0)))["look_again"] == 40.0
    assert verdict(cloud(observer=seen(up_for=None)))["look_again"] is None


def returned(*ages: float | None) -> dict[str, t.Any]:
    it = cloud()
    for host, age in zip([host for host in it["hosts"] if host != DEAD], ages):
        it["hosts"][host]["up_for"] = age
    return it


def test_hosts_are_late_after_a_power_failure_of_the_site() -> None:
    it = verdict(returned(100.0, 200.0, 300.0, 400.0, 500.0))
    assert (it["verdict"], it["gate"]) == ("hold", "power_restored")
    assert it["look_again"] == 700.0, "then there are less than half that came back lately"
    assert verdict(returned(100.0, 200.0, 300.0, 400.0, 500.0, 600.0))["look_again"] == 700.0


@pytest.mark.parametrize(
    "ages", [(100.0, 200.0, 300.0, 400.0), (100.0, 200.0, 300.0, 400.0, 1200.0), (None,) * 9, (86400.0,) * 9]
)
def test_a_few_that_came_back_are_no_site(ages: t.Any) -> None:
    assert said(returned(*ages)) == ("recover", None)


def test_one_host_that_came_back_is_no_site_however_small_the_cloud() -> None:
    pair = cloud()
    pair["hosts"] = {name: pair["hosts"][name] for name in (DEAD, "cmp08")}
    pair["hosts"]["cmp08"]["up_for"] = 60.0
    assert said(pair) == ("recover", None)


# -- mass_silence, cool_down -------------------------------------------------------------------------------


def storm(*dead: int, **more: t.Any) -> dict[str, t.Any]:
    return cloud(*dead, **{"storm": {"silent_for": 100.0, "ended_ago": None}, **more})


def test_many_silent_hosts_are_held() -> None:
    it = verdict(storm(3, 7, 8))
    assert (it["verdict"], it["gate"], it["look_again"]) == ("hold", "mass_silence", 500.0)
    assert it["reason"] == "too many are silent: 3 of 10 in the cloud"


@pytest.mark.parametrize("lasts", [600.0, 86400.0])
def test_a_storm_that_lasts_leads_to_a_question_and_never_to_fencing(lasts: float) -> None:
    assert said(storm(3, 7, 8, storm={"silent_for": lasts, "ended_ago": None})) == ("ask", "mass_silence")


@pytest.mark.parametrize("unknown", [None, {}, {"silent_for": None}])
def test_a_storm_of_which_the_length_is_not_known_is_held(unknown: t.Any) -> None:
    it = verdict(storm(3, 7, 8, storm=unknown))
    assert (it["verdict"], it["gate"], it["look_again"]) == ("hold", "mass_silence", None)


def test_by_hand_a_storm_is_asked_about_at_once() -> None:
    assert said(storm(3, 7, 8, **BY_HAND)) == ("ask", "mass_silence")


def test_it_takes_a_number_and_a_share() -> None:
    raised = [order("budget", limits={"at_once": 9})]
    assert said(cloud(3, 4, orders=raised)) == ("recover", None), "40 % of the segment, but only two"
    assert said(storm(3, 7, 8, orders=raised), policy(gates__mass_silence__percent=31)) == ("recover", None)
    assert said(storm(3, 4, 5, orders=raised), policy(gates__mass_silence__percent=31))[1] == "mass_silence"


def test_a_storm_in_another_segment_stops_nobody_here() -> None:
    raised = [order("budget", limits={"at_once": 9})]
    rules = policy(gates__mass_silence__percent=50)
    assert said(storm(3, 7, 8, 9, orders=raised), rules) == ("recover", None)
    assert said(storm(3, 7, 8, 9, orders=raised), rules, "cmp07") == ("hold", "mass_silence")


def test_the_loss_of_one_failure_domain_is_asked_about_at_once() -> None:
    it = verdict(storm(3, 4, 5))
    assert (it["verdict"], it["gate"]) == ("ask", "mass_silence")
    assert it["reason"] == (
        "too many are silent: 3 of 10 in the cloud; 3 of 5 in segment rack1; all of them in failure domain pdu-1, "
        "the rest of the cloud is well"
    )
    assert said(storm(3, 4, 5, 7))[0] == "hold", "one more elsewhere, and it is no longer one domain"
    homeless = storm(3, 4, 5)
    for host in homeless["hosts"].values():
        host["domain"] = None
    assert said(homeless)[0] == "hold"


@pytest.mark.parametrize(
    "arranged",
    [
        {"maintenance": "rewiring"},
        {"status": "disabled", "disabled_reason": "broken"},
        {"forced_down": True, "maintenance": "rewiring"},
    ],
)
def test_hosts_whose_silence_was_arranged_do_not_count(arranged: t.Any) -> None:
    it = storm(3, 7, 8)
    it["suspects"] = [DEAD]
    it["hosts"]["cmp08"].update(arranged)
    assert said(it) == ("recover", None)


@pytest.mark.parametrize(
    "facts",
    [
        {"role": "reserved", "status": "disabled", "disabled_reason": "spare"},
        {"status": "disabled", "disabled_reason": "openstack_ha: failed"},
        {"status": "disabled", "disabled_reason": "AUTO: Connection to libvirt lost: 1"},
    ],
)
def test_hosts_that_are_disabled_for_another_reason_count(facts: t.Any) -> None:
    it = storm(3, 7, 8)
    it["suspects"] = [DEAD]
    it["hosts"]["cmp08"].update(facts)
    assert said(it) == ("hold", "mass_silence")


@pytest.mark.parametrize("fact", ["role", "disabled_reason"])
def test_hosts_of_which_it_is_not_known_why_they_are_disabled_count(fact: str) -> None:
    it = storm(3, 7, 8)
    it["suspects"] = [DEAD]
    it["hosts"]["cmp08"].update(status="disabled", disabled_reason="broken")
    it["hosts"]["cmp08"].pop(fact)
    assert said(it) == ("hold", "mass_silence")


@pytest.mark.parametrize("fact", ["silent", "segment"])
def test_hosts_of_which_nothing_is_known_count(fact: str) -> None:
    it = storm(3, 4, 8)
    it["suspects"] = [DEAD]
    it["hosts"]["cmp08"].pop(fact)
    assert said(it, policy(gates__mass_silence__percent=30)) == ("hold", "mass_silence")
    if fact == "segment":
        assert said(it, policy(gates__mass_silence__percent=50)) == ("hold", "mass_silence")


def test_after_a_storm_nothing_is_done_for_a_while() -> None:
    it = verdict(cloud(storm={"silent_for": None, "ended_ago": 100.0}))
    assert (it["verdict"], it["gate"], it["look_again"]) == ("hold", "cool_down", 200.0)


# -- budget ------------------------------------------------------------------------------------------------


def test_the_reason_says_which_cap_is_exceeded_and_where() -> None:
    it = verdict(cloud(in_flight=["cmp07"]))
    assert it["reason"] == "2 hosts at once in the cloud, allowed without asking: 1"
    assert verdict(cloud(3, 4))["reason"].startswith(
        "2 hosts at once in the cloud, allowed without asking: 1; 2 hosts at once in segment rack1"
    )


@pytest.mark.parametrize(
    ("facts", "gate"),
    [
        ({"forced_down": True}, "budget"),
        ({"forced_down": None}, "budget"),
        ({"forced_down": True, "maintenance": "new mainboard"}, None),
        ({"forced_down": False, "status": "disabled"}, None),
    ],
)
def test_a_host_that_is_forced_down_uses_up_the_budget_until_it_is_back_or_in_maintenance(
    facts: t.Any, gate: str | None
) -> None:
    it = cloud()
    it["hosts"]["cmp07"].update(facts)
    assert said(it)[1] == gate


def test_a_suspect_that_is_not_recovered_does_not_use_up_the_budget() -> None:
    it = cloud(3, 7)
    it["hosts"]["cmp07"]["maintenance"] = "rewiring"
    assert said(it) == ("recover", None)
    assert said(it, None, "cmp07") == ("ignore", "maintenance")


@pytest.mark.parametrize(
    "facts", [{"recoveries": 3}, {"kdump": {"last": 1.0, "for": 2.0}}, {"fencing": {"levels": 0}}, {"known": None}]
)
def test_a_suspect_that_has_failed_although_it_is_not_recovered_does(facts: t.Any) -> None:
    it = cloud(3, 7)
    it["hosts"]["cmp07"].update(facts)
    assert said(it, None, "cmp07")[1] != "budget"
    assert said(it) == ("ask", "budget")


def test_a_storm_elsewhere_does_not_free_the_budget_for_others() -> None:
    it = storm(3, 4, 5, 7)
    rules = policy(gates__mass_silence__percent=50, budgets__cloud__at_once=3)
    assert said(it, rules) == ("hold", "mass_silence")
    assert said(it, rules, "cmp07") == ("ask", "budget")


def test_a_suspect_that_is_stopped_because_too_little_is_known_of_it_does() -> None:
    it = cloud(3, 7)
    del it["hosts"]["cmp07"]["maintenance"]
    assert said(it) == ("ask", "budget")
    assert said(it, None, "cmp07") == ("hold", "maintenance")
