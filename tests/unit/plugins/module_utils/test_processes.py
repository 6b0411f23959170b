"""What follows when a service of a compute host has failed: one test for each gate, and what must always hold."""

from __future__ import annotations

import copy
import re
import typing as t
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.fakes.profiles import examples

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _processes
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults

Json = t.Dict[str, t.Any]
UNIT, PLACE = "libvirtd.service", "cmp01/libvirtd.service"
HOST: Json = {
    "segment": "rack1",
    "known": True,
    "maintenance": False,
    "status": "enabled",
    "disabled_reason": None,
    "forced_down": False,
    "nova_state": "up",
    "heard": True,
    "host_incident": None,
    "host_run": False,
    "failing": [UNIT],
}
FAILED: Json = {
    "host": "cmp01",
    "object": UNIT,
    "type": "openstack_ha.process.failed",
    "state": "failed",
    "reason": "it is failed (failed, signal); 3 restarts did not help",
    "data": {},
    "age": 1.0,
    "history": [],
    "attempts": 0,
}
WELL: Json = {**FAILED, "type": "openstack_ha.process.ok", "state": "ok", "reason": "it has been running for 30 s"}
OURS = f"openstack_ha: process {UNIT}: it is failed, run 4711"


def scene(about: Json | None = None, host: Json | None = None, **more: t.Any) -> Json:
    hosts = {f"cmp{number:02d}": HOST for number in range(1, 21)}
    hosts["cmp01"] = {**HOST, **(host or {})}
    return {"caller": "responder", "orders": [], "hosts": hosts, "places": {PLACE: about or FAILED}, **more}


def policy(**processes: t.Any) -> Json:
    found = defaults()
    found["processes"].update(processes)
    return found


def decide(snapshot: Json, **processes: t.Any) -> Json:
    return _processes.decide(snapshot, policy(**processes))[PLACE]


def order(kind: str, scope: str, name: str | None) -> Json:
    return {"number": 1, "kind": kind, "scope": scope, "name": name, "owner": "kim", "reason": "work", "left": 60.0}


def test_a_host_whose_service_does_not_come_back_is_taken_out_of_service() -> None:
    verdict = decide(scene())
    assert (verdict["verdict"], verdict["gate"], verdict["reaction"]) == ("recover", None, "disable")
    assert verdict["reason"] == f"{UNIT}: it is failed (failed, signal); 3 restarts did not help"


@pytest.mark.parametrize(
    ("processes", "reaction"),
    [
        ({"then": "migrate"}, "migrate"),
        ({"then": "recover"}, "recover"),
        ({"units": {UNIT: {"then": "migrate"}}}, "migrate"),
        ({"units": {"libvirtd.service": {"then": "alert"}}, "then": "migrate"}, "disable"),
        ({"units": {"other.service": {"then": "migrate"}}}, "disable"),
        ({"units": {UNIT: {"disable": False}}, "restart": {"over_ssh": True, "settle": 1}}, "alert"),
        ({"units": {UNIT: {"disable": False, "then": "migrate"}}}, "migrate"),
    ],
)
def test_the_policy_says_what_follows_for_each_unit(processes: Json, reaction: str) -> None:
    assert decide(scene(), **processes)["reaction"] == reaction


def test_a_unit_may_be_named_without_its_suffix() -> None:
    place = "cmp01/nova-compute"
    found = _processes.decide(
        {**scene(), "places": {place: FAILED}}, policy(units={"nova-compute.service": {"then": "migrate"}})
    )
    assert found[place]["reaction"] == "migrate"


Closed = t.Tuple[Json, Json, str, str]
CLOSED: dict[str, Closed] = {
    "orders are not known": ({"orders": None}, {}, "hold", "orders"),
    "the cloud is paused": ({"orders": [order("pause", "cloud", None)]}, {}, "hold", "orders"),
    "its segment is paused": ({"orders": [order("pause", "segment", "rack1")]}, {}, "hold", "orders"),
    "it is disarmed": ({"orders": [order("disarm", "host", "cmp01")]}, {}, "ignore", "orders"),
    "nobody knows the host": ({}, {"known": False}, "alert", "known_host"),
    "it is in maintenance": ({}, {"maintenance": True}, "ignore", "maintenance"),
    "a run is at work on the host": ({}, {"host_run": True}, "hold", "host"),
    "it is not known whether a run is at work on the host": ({}, {"host_run": None}, "hold", "host"),
    "it is not known whether the host is forced down": ({}, {"forced_down": None}, "hold", "host"),
    "the host is forced down": ({}, {"forced_down": True}, "hold", "host"),
    "the host is silent": ({}, {"heard": False}, "hold", "host"),
    "the host is being recovered": ({}, {"host_incident": "recovering"}, "hold", "host"),
    "nobody hears the host, and it is suspected": ({}, {"heard": None, "host_incident": "held"}, "hold", "host"),
    "its status is not known": ({}, {"status": None}, "hold", "service"),
    "a person has disabled it": ({}, {"status": "disabled", "disabled_reason": "new disk"}, "alert", "service"),
    "it is out of service for this": ({}, {"status": "disabled", "disabled_reason": OURS}, "alert", "service"),
}


@pytest.mark.parametrize("case", CLOSED)
def test_a_gate_closes(case: str) -> None:
    more, host, verdict, gate = CLOSED[case]
    found = decide(scene(host=host, **more))
    assert (found["verdict"], found["gate"], found["reaction"]) == (verdict, gate, "alert"), found


@pytest.mark.parametrize(
    "others",
    [
        {"orders": [order("pause", "host", "cmp02")]},
        {"orders": [order("pause", "segment", "rack2")]},
        {"orders": [order("budget", "cloud", None)]},
    ],
)
def test_orders_about_others_stop_nothing(others: Json) -> None:
    assert decide(scene(**others))["verdict"] == "recover"


def test_a_host_that_is_suspected_because_nova_misses_it_and_that_is_heard_is_worked_on() -> None:
    assert decide(scene(host={"host_incident": "held", "nova_state": "down"}))["verdict"] == "recover"


def test_nothing_is_done_about_a_unit_of_which_people_are_only_told() -> None:
    found = decide(scene(), units={UNIT: {"disable": False}})
    assert (found["verdict"], found["gate"]) == ("alert", "wanted")


def test_an_update_that_breaks_a_service_everywhere_takes_not_all_hosts_out_of_service() -> None:
    snapshot = scene()
    for host in ("cmp02", "cmp03", "cmp04"):
        snapshot["places"][f"{host}/{UNIT}"] = {**FAILED, "host": host}
    verdicts = _processes.decide(snapshot, policy())
    assert {(it["verdict"], it["gate"]) for it in verdicts.values()} == {("alert", "storm")}
    assert "4 hosts, of which 3" in verdicts[PLACE]["reason"]


def test_hosts_that_are_out_of_service_already_count_as_well() -> None:
    snapshot = scene()
    for host in ("cmp02", "cmp03", "cmp04"):
        snapshot["hosts"][host] = {**HOST, "status": "disabled", "disabled_reason": OURS}
    assert decide(snapshot)["gate"] == "storm"


def test_a_person_may_do_it_all_the_same() -> None:
    snapshot = scene(host={"status": "disabled", "disabled_reason": OURS}, caller="operator")
    for host in ("cmp02", "cmp03", "cmp04"):
        snapshot["places"][f"{host}/{UNIT}"] = {**FAILED, "host": host}
    assert decide(snapshot, then="migrate")["reaction"] == "migrate"


# -- the way back ---------------------------------------------------------------------------------------------------


def test_what_is_well_for_long_enough_gets_its_host_enabled_again() -> None:
    host = {"status": "disabled", "disabled_reason": OURS, "failing": []}
    early = decide(scene({**WELL, "age": 299.0}, host))
    assert (early["verdict"], early["gate"], early["look_again"]) == ("hold", "health", 1.0)
    late = decide(scene({**WELL, "age": 300.0}, host))
    assert (late["verdict"], late["reaction"]) == ("recover", "enable")


@pytest.mark.parametrize(
    "host",
    [
        {"status": "enabled"},
        {"status": "disabled", "disabled_reason": "new disk"},
        {"status": "disabled", "disabled_reason": "openstack_ha: process other.service: it is failed, run 4711"},
        {"status": "disabled", "disabled_reason": "openstack_ha: network it has lost tenant, run 4711"},
    ],
)
def test_a_host_that_was_not_disabled_for_it_is_left_alone(host: Json) -> None:
    found = decide(scene({**WELL, "age": 9999.0}, {"failing": [], **host}))
    assert (found["verdict"], found["gate"]) == ("ignore", "health")


def test_a_host_stays_disabled_while_another_of_its_services_fails() -> None:
    host = {"status": "disabled", "disabled_reason": OURS, "failing": ["nova-compute.service"]}
    found = decide(scene({**WELL, "age": 9999.0}, host))
    assert (found["verdict"], found["gate"]) == ("hold", "health")
    assert "nova-compute.service" in found["reason"]


def test_the_reason_says_for_which_unit_a_host_is_out_of_service() -> None:
    assert _processes.unit_of(OURS) == UNIT
    assert _processes.unit_of("openstack_ha: failed, run 1") is None
    assert _processes.unit_of(None) is None


def test_the_page_has_the_gates_as_they_are() -> None:
    page = (Path(__file__).resolve().parents[4] / "docs" / "processes.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(\w+)` \| (.*?\?) \|", page, re.MULTILINE)
    assert told == [(name, gate.__doc__) for name, gate in _processes._TABLE]


def test_where_the_gates_of_hosts_are_to_be_asked_they_are_as_long_as_it_fails() -> None:
    out = {"status": "disabled", "disabled_reason": OURS}
    assert decide(scene(host=out), then="recover")["reaction"] == "recover"
    assert decide(scene({**WELL, "age": 1.0}, {**out, "failing": []}), then="recover")["reaction"] == "alert"


FACT = st.sampled_from
ANY_HOST = st.fixed_dictionaries(
    {},
    optional={
        "segment": FACT(["rack1", None]),
        "known": FACT([True, False]),
        "maintenance": FACT([True, False, None]),
        "status": FACT(["enabled", "disabled", None]),
        "disabled_reason": FACT([None, OURS, "new disk", "openstack_ha: failed, run 1"]),
        "forced_down": FACT([True, False, None]),
        "heard": FACT([True, False, None]),
        "host_incident": FACT([None, "open", "held", "recovering", "partial"]),
        "host_run": FACT([True, False, None]),
        "failing": FACT([[], [UNIT], ["nova-compute.service"]]),
    },
)


@examples(300)
@given(ANY_HOST, FACT([FAILED, WELL]), FACT(["responder", "operator"]), FACT(["alert", "migrate", "recover"]))
def test_whatever_is_known_a_host_that_fails_itself_is_left_to_its_own_gates(
    host: Json, about: Json, caller: str, then: str
) -> None:
    snapshot = {**scene(about, caller=caller), "hosts": {"cmp01": host}}
    before = copy.deepcopy(snapshot)
    found = decide(snapshot, then=then)
    assert snapshot == before
    assert found.keys() == {"verdict", "gate", "reason", "look_again", "reaction"}
    if found["verdict"] == "recover":
        assert host.get("known")
        assert not host.get("maintenance")
        assert (host["forced_down"], host["host_run"]) == (False, False)
        assert host.get("heard") is not False
        assert host.get("host_incident") not in ("recovering", "partial")
        if found["reaction"] == "enable":
            assert host["disabled_reason"] == OURS
