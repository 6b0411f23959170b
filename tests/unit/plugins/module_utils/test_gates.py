"""The table as a whole, how it is passed, and what a person's answer does; single gates have files of their own."""

from __future__ import annotations

import copy
import json
import typing as t

import pytest
from unit.fakes.gates import ANSWER, DEAD, cloud, order, policy, said, verdict

from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates import (
    GATES,
    INPUTS,
    VERDICTS,
    decide,
    question,
    storms,
)

NAMES = (
    "orders", "known_host", "segment", "maintenance", "planned", "observer", "everything_stale", "control_plane",
    "start_grace", "power_restored", "kdump", "witnesses", "networks", "flapping", "fence_ready", "mass_silence",
    "cool_down", "budget",
)  # fmt: skip


def by_hand(**more: t.Any) -> dict[str, t.Any]:
    """The dead host as the operator who found it sees it."""
    it = cloud(caller="operator", **more)
    it["observer"]["up_for"] = None
    it["hosts"][DEAD]["witnesses"] = {"operator": "down", "nova": "down"}
    return it


def test_the_gates_are_those_that_stories_and_docs_name_in_their_order() -> None:
    assert tuple(gate.name for gate in GATES) == NAMES


def test_every_row_says_all_that_its_reader_needs() -> None:
    for gate in GATES:
        assert gate.question.endswith("?"), gate.name
        assert gate.missing.startswith(("closed", "open: ")), gate.name
        assert gate.harm.endswith("."), gate.name
        assert gate.answers, gate.name
        assert any(word in gate.answers for word in VERDICTS) or "reaction" in gate.answers, gate.name
    assert len({gate.harm for gate in GATES}) == len(GATES)


def test_every_input_is_used_and_says_what_it_is() -> None:
    assert {name for gate in GATES for name in gate.inputs} == set(INPUTS)
    assert all(it.meaning for it in INPUTS.values())


@pytest.mark.parametrize("snapshot", [cloud(), by_hand()], ids=["responder", "by hand"])
def test_a_single_dead_host_is_recovered_through_all_gates_without_a_policy_file(snapshot: t.Any) -> None:
    it = verdict(snapshot)
    assert {key: it[key] for key in it if key != "gates"} == {
        "verdict": "recover",
        "gate": None,
        "reason": "all gates passed",
        "look_again": None,
        "reaction": "recover",
    }
    assert [gate["gate"] for gate in it["gates"]] == list(NAMES)
    assert {gate["says"] for gate in it["gates"]} == {"pass"}


def test_only_suspects_get_a_verdict() -> None:
    assert list(decide(cloud())) == [DEAD]
    assert decide(cloud(suspects=[])) == {}


def test_the_first_gate_to_close_decides_and_ends_the_table() -> None:
    snapshot = cloud(control={})
    snapshot["hosts"][DEAD]["recoveries"] = 9
    it = verdict(snapshot)
    assert (it["verdict"], it["gate"]) == ("hold", "control_plane")
    assert [gate["gate"] for gate in it["gates"]][-1] == "control_plane"
    assert it["reason"] == it["gates"][-1]["reason"]


def test_a_full_table_shows_every_gate_and_the_same_verdict() -> None:
    snapshot = cloud(control={})
    snapshot["hosts"][DEAD]["recoveries"] = 9
    [it] = decide(snapshot, full=True).values()
    assert {**it, "gates": 0} == {**verdict(snapshot), "gates": 0}
    assert [gate["gate"] for gate in it["gates"]] == list(NAMES)
    assert [gate["gate"] for gate in it["gates"] if gate["says"] != "pass"] == ["control_plane", "flapping"]


def test_a_gate_that_is_left_out_is_not_asked() -> None:
    table = [gate for gate in GATES if gate.name != "control_plane"]
    it = decide(cloud(control={}), gates=table)[DEAD]
    assert it["verdict"] == "recover"
    assert "control_plane" not in [gate["gate"] for gate in it["gates"]]


def test_the_verdict_keeps_what_each_gate_looked_at_and_went_by() -> None:
    it = verdict(cloud())
    inputs = {gate["gate"]: gate["inputs"] for gate in it["gates"]}
    assert inputs["witnesses"] == {
        "witnesses": {"ctl1": "down", "nova": "down", "probe": "down"},
        "signs_of_life": [],
        "networks": {},
        "segment": "rack1",
        "suspected_for": 90.0,
        "caller": "responder",
        "responders": 1,
        "gates.witnesses.needed": 2,
        "gates.witnesses.required": [],
        "gates.witnesses.ask_after": 300,
    }
    assert inputs["budget"]["counts"]["segment rack1"] == {
        "at_once": 1,
        "at_once_cap": 1,
        "per_hour": 1,
        "per_hour_cap": 3,
    }
    assert json.loads(json.dumps(it)) == it


def test_a_suspect_of_which_there_is_no_fact_is_unknown() -> None:
    assert said(cloud(suspects=["stranger"]), which="stranger") == ("alert", "known_host")


# -- a person's answer -------------------------------------------------------------------------------------


def asked(**more: t.Any) -> dict[str, t.Any]:
    it = cloud(**more)
    it["hosts"][DEAD]["recoveries"] = 3
    return it


def answers(snapshot: dict[str, t.Any], **changes: t.Any) -> list[dict[str, t.Any]]:
    """An answer of the journal to what is asked about the dead host."""
    it = verdict(snapshot)
    answer = {"host": DEAD, "gate": it["gate"], "question": question(it["gate"], it["reason"])}
    return [{**answer, "verdict": "recover", "by": "ann", "why": "new mainboard", **changes}]


def test_an_answer_turns_ask_into_what_was_answered_and_names_who() -> None:
    it = verdict(asked(answer=ANSWER))
    assert (it["verdict"], it["gate"]) == ("recover", "flapping")
    assert it["reason"] == "it was recovered 3 times lately; ann answered recover: I unplugged it"
    assert it["gates"][-1]["gate"] == "budget"
    assert said(asked(answer={**ANSWER, "verdict": "hold"})) == ("hold", "flapping")


def test_an_answer_by_hand_answers_every_question_of_the_run() -> None:
    snapshot = asked(answer=ANSWER)
    snapshot["in_flight"] = ["cmp07"]
    it = verdict(snapshot)
    assert (it["verdict"], it["gate"]) == ("recover", "budget")
    assert [gate["gate"] for gate in it["gates"] if gate["says"] == "ask"] == ["flapping", "budget"]


def test_a_journaled_answer_counts_for_this_very_question_of_this_host_only() -> None:
    snapshot = asked()
    fits = answers(snapshot)
    assert said({**snapshot, "answers": fits}) == ("recover", "flapping")
    for wrong in ({"host": "cmp04"}, {"gate": "budget"}, {"question": question("flapping", "it smelled")}):
        assert said({**snapshot, "answers": answers(snapshot, **wrong)}) == ("ask", "flapping"), wrong
    more = copy.deepcopy(snapshot)
    more["hosts"][DEAD]["recoveries"] = 4
    assert said({**more, "answers": fits}) == ("ask", "flapping"), "the reason has changed, so it was another question"


def test_a_journaled_answer_to_one_question_leaves_the_next_one_open() -> None:
    snapshot = asked(in_flight=["cmp07"])
    assert said({**snapshot, "answers": answers(snapshot)}) == ("ask", "budget")


@pytest.mark.parametrize(("facts", "gate"), [({"segment": None}, "segment"), ({"known": False}, "known_host")])
def test_an_answer_does_not_open_what_nobody_may_open(facts: t.Any, gate: str) -> None:
    snapshot = cloud(answer=ANSWER)
    snapshot["hosts"][DEAD].update(facts)
    assert said(snapshot) == ("alert", gate)
    assert said(cloud(answer=ANSWER, control={})) == ("hold", "control_plane")


def test_an_answer_is_not_needed_where_nothing_is_asked() -> None:
    assert verdict(cloud(answer=ANSWER))["reason"] == "all gates passed"
    assert said(cloud(answer={**ANSWER, "verdict": "hold"})) == ("recover", None)


def test_a_question_stays_the_same_while_time_goes_by() -> None:
    early, late = asked(), asked()
    late["hosts"][DEAD].update(suspected_for=1000.0)
    late["hosts"][DEAD]["fencing"]["age"] = 9.0
    assert verdict(early)["reason"] == verdict(late)["reason"]
    assert question("budget", "x") != question("flapping", "x")
    assert question("a", "b") == question("a", "b")


# -- storms ------------------------------------------------------------------------------------------------


def test_where_too_many_are_silent_can_be_asked_by_itself() -> None:
    assert storms(cloud(1, 2)) == []
    assert storms(cloud(1, 2, 3)) == ["3 of 10 in the cloud", "3 of 5 in segment rack1"]
    assert storms(cloud(1, 2, 6)) == ["3 of 10 in the cloud"]
    assert storms(cloud(1, 2, 3), policy(gates__mass_silence__percent=50)) == ["3 of 5 in segment rack1"]
    assert storms(cloud(1, 2, 3), policy(gates__mass_silence__hosts=4)) == []


def test_a_network_that_many_have_lost_is_a_storm_though_they_live() -> None:
    for number, expected in ((2, []), (3, ["3 of 10 on network storage"])):
        it = cloud()
        for host in sorted(it["hosts"])[:number]:
            it["hosts"][host]["networks"] = {
                "admin": {"state": "alive", "lost": [], "alive": ["ctl1"]},
                "storage": {"state": "lost", "lost": ["ctl1", "ctl2"], "alive": []},
            }
        assert storms(it) == expected


def test_an_order_that_raises_the_budget_lets_several_be_recovered_together() -> None:
    two = cloud(3, 7)
    assert {host: it["verdict"] for host, it in decide(two).items()} == {"cmp03": "ask", "cmp07": "ask"}
    raised = {**two, "orders": [order("budget", limits={"at_once": 2, "per_hour": None})]}
    assert {host: it["verdict"] for host, it in decide(raised).items()} == {"cmp03": "recover", "cmp07": "recover"}
