from __future__ import annotations

import copy
import json
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.fakes.profiles import examples

from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates import GATES, VERDICTS, decide

SNAPSHOT: dict[str, t.Any] = {
    "caller": "operator",
    "control": {"nova-conductor": 2, "nova-scheduler": 1},
    "computes_total": 6,
    "computes_up": 5,
    "in_flight": [],
    "hosts": {
        "cmp03": {
            "segment": "rack1",
            "role": "active",
            "state": "down",
            "status": "enabled",
            "disabled_reason": None,
            "maintenance": False,
            "witnesses": ["operator", "nova"],
            "signs_of_life": [],
        }
    },
}
ANSWER = {"verdict": "recover", "operator": "ann", "reason": "I unplugged it"}


def verdict(policy: t.Any = None, facts: t.Any = None, **snapshot: t.Any) -> dict[str, t.Any]:
    it = copy.deepcopy(SNAPSHOT)
    it.update(snapshot)
    it["hosts"]["cmp03"].update(facts or {})
    return decide(it, policy)["cmp03"]


def test_a_host_that_is_dead_by_two_witnesses_is_recovered_through_all_gates() -> None:
    it = verdict()
    assert (it["verdict"], it["gate"], it["reason"]) == ("recover", None, "all gates passed")
    assert [gate["gate"] for gate in it["gates"]] == [gate.name for gate in GATES]
    assert {gate["says"] for gate in it["gates"]} == {"pass"}


@pytest.mark.parametrize(
    ("gate", "says", "snapshot", "facts"),
    [
        ("control_plane", "hold", {"control": {"nova-conductor": 0, "nova-scheduler": 1}}, {}),
        ("control_plane", "hold", {"control": {"nova-conductor": 1, "nova-scheduler": 0}}, {}),
        ("everything_stale", "hold", {"computes_up": 0}, {}),
        ("segment", "alert", {}, {"segment": None}),
        ("maintenance", "ask", {}, {"maintenance": True, "status": "disabled"}),
        ("maintenance", "ignore", {"caller": "monitor"}, {"maintenance": True, "status": "disabled"}),
        ("planned", "ask", {}, {"status": "disabled", "disabled_reason": "broken disk"}),
        ("planned", "ask", {}, {"status": "disabled", "disabled_reason": None}),
        ("witnesses", "ask", {}, {"signs_of_life": ["tcp://192.0.2.3:22"]}),
        ("witnesses", "ask", {}, {"witnesses": ["operator"]}),
        ("budget", "ask", {"in_flight": ["cmp09"]}, {}),
        ("budget", "ask", {"hosts": {**SNAPSHOT["hosts"], "cmp04": SNAPSHOT["hosts"]["cmp03"]}}, {}),
    ],
)
def test_each_gate_can_close_and_the_first_to_close_decides(
    gate: str, says: str, snapshot: t.Any, facts: t.Any
) -> None:
    it = verdict(facts=facts, **copy.deepcopy(snapshot))
    assert (it["verdict"], it["gate"]) == (says, gate)
    assert it["reason"]
    assert [entry["says"] for entry in it["gates"]] == ["pass"] * (len(it["gates"]) - 1) + [says]
    assert it["gates"][-1]["gate"] == gate


@pytest.mark.parametrize(
    ("facts", "snapshot"),
    [
        ({"status": "disabled", "disabled_reason": "openstack_ha: failed, run 1"}, {}),
        ({"status": "disabled", "disabled_reason": "spare", "role": "reserved"}, {}),
        ({}, {"computes_total": 1, "computes_up": 0}),
        ({"witnesses": ["nova", "probe"]}, {}),
    ],
)
def test_what_only_looks_like_an_objection_is_none(facts: t.Any, snapshot: t.Any) -> None:
    assert verdict(facts=facts, **snapshot)["verdict"] == "recover"


@pytest.mark.parametrize(
    ("gate", "part", "name"),
    [
        ("control_plane", "snapshot", "control"),
        ("segment", "facts", "segment"),
        ("witnesses", "facts", "witnesses"),
        ("budget", "snapshot", "in_flight"),
    ],
)
def test_missing_facts_close_the_gates_whose_row_says_closed(gate: str, part: str, name: str) -> None:
    it = copy.deepcopy(SNAPSHOT)
    del (it if part == "snapshot" else it["hosts"]["cmp03"])[name]
    assert decide(it)["cmp03"]["gate"] == gate
    assert next(row for row in GATES if row.name == gate).missing.startswith("closed")


@pytest.mark.parametrize("name", ["computes_total", "computes_up", "maintenance", "status", "disabled_reason"])
def test_missing_facts_leave_the_others_open_as_their_row_says(name: str) -> None:
    it = copy.deepcopy(SNAPSHOT)
    (it if name in it else it["hosts"]["cmp03"]).pop(name)
    if name == "computes_up":
        del it["computes_total"]
    assert decide(it)["cmp03"]["verdict"] == "recover"
    assert all(row.missing.startswith("open") for row in GATES if name in row.inputs and row.name != "witnesses")


def test_every_row_says_what_missing_facts_mean() -> None:
    assert all(row.missing.partition(":")[0] in ("open", "closed") for row in GATES)
    assert all(row.question.endswith("?") for row in GATES)
    assert len({row.name for row in GATES}) == len(GATES)


# -- a person's answer -------------------------------------------------------------------------------------


def test_an_answer_turns_ask_into_what_was_answered_and_names_who() -> None:
    it = verdict(facts={"witnesses": ["operator"]}, answer=ANSWER)
    assert (it["verdict"], it["gate"]) == ("recover", "witnesses")
    assert "ann answered recover: I unplugged it" in it["reason"]
    held = verdict(facts={"witnesses": ["operator"]}, answer={**ANSWER, "verdict": "hold"})
    assert (held["verdict"], held["gate"]) == ("hold", "witnesses")


def test_an_answer_does_not_open_what_nobody_may_open() -> None:
    assert verdict(answer=ANSWER, control={})["verdict"] == "hold"
    assert verdict(answer=ANSWER, facts={"segment": None})["verdict"] == "alert"
    asked_and_held = verdict(answer=ANSWER, facts={"maintenance": True}, computes_up=0)
    assert (asked_and_held["verdict"], asked_and_held["gate"]) == ("hold", "everything_stale")


def test_an_answer_is_not_needed_where_nothing_is_asked() -> None:
    assert verdict(answer=ANSWER)["reason"] == "all gates passed"
    assert verdict(answer={**ANSWER, "verdict": "hold"})["verdict"] == "recover"


def test_the_budget_is_policy() -> None:
    assert verdict({"max_hosts_at_once": 2}, in_flight=["cmp09"])["verdict"] == "recover"
    assert verdict({"max_hosts_at_once": 0})["gate"] == "budget"


def test_each_host_is_judged_by_its_own_facts() -> None:
    it = copy.deepcopy(SNAPSHOT)
    it["hosts"]["cmp04"] = {**it["hosts"]["cmp03"], "segment": None}
    both = decide(it, {"max_hosts_at_once": 2})
    assert {host: entry["verdict"] for host, entry in both.items()} == {"cmp03": "recover", "cmp04": "alert"}


def test_the_verdict_keeps_what_each_gate_looked_at_ready_for_json() -> None:
    it = verdict()
    inputs = {gate["gate"]: gate["inputs"] for gate in it["gates"]}
    assert inputs["witnesses"] == {"witnesses": ["operator", "nova"], "signs_of_life": []}
    assert inputs["budget"] == {"in_flight": [], "max_hosts_at_once": 1}
    assert json.loads(json.dumps(it)) == it


FACTS = st.fixed_dictionaries(
    {},
    optional={
        "segment": st.sampled_from([None, "rack1"]),
        "role": st.sampled_from([None, "active", "reserved"]),
        "status": st.sampled_from([None, "enabled", "disabled"]),
        "disabled_reason": st.sampled_from([None, "", "maintenance", "openstack_ha: x"]),
        "maintenance": st.booleans(),
        "witnesses": st.lists(st.sampled_from(["operator", "nova", "probe"]), unique=True),
        "signs_of_life": st.sampled_from([[], ["tcp://192.0.2.1:22"]]),
    },
)
SNAPSHOTS = st.fixed_dictionaries(
    {"hosts": st.dictionaries(st.sampled_from(["a", "b"]), FACTS, min_size=1)},
    optional={
        "caller": st.sampled_from(["operator", "monitor"]),
        "control": st.dictionaries(st.sampled_from(["nova-conductor", "nova-scheduler"]), st.integers(0, 1)),
        "computes_total": st.integers(0, 3),
        "computes_up": st.integers(0, 3),
        "in_flight": st.sampled_from([[], ["c"]]),
        "answer": st.sampled_from([ANSWER, {**ANSWER, "verdict": "hold"}]),
    },
)


@examples(300)
@given(SNAPSHOTS)
def test_whatever_is_known_recover_needs_a_living_control_plane_a_segment_and_consent(snapshot: t.Any) -> None:
    before = copy.deepcopy(snapshot)
    for host, it in decide(snapshot).items():
        facts = snapshot["hosts"][host]
        assert it["verdict"] in VERDICTS
        if it["verdict"] == "recover":
            assert all(snapshot.get("control", {}).get(name) for name in ("nova-conductor", "nova-scheduler"))
            assert facts.get("segment")
            asked = [gate for gate in it["gates"] if gate["says"] == "ask"]
            assert {gate["says"] for gate in it["gates"]} <= {"pass", "ask"}
            assert not asked or snapshot["answer"]["verdict"] == "recover"
            assert asked or (len(facts["witnesses"]) >= 2 and not facts.get("signs_of_life"))
    assert snapshot == before
