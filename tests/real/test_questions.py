"""What only a person may decide: asked, answered or not, on a real Nova."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from bed.client import Bed
from driver import Outcome, Playbooks, until
from scenes import HOST, RACK, Recovery, assert_recovered, evacuations, finish, started

ANSWER = {"host": HOST, "answer": "recover", "answered_by": "alice", "answer_reason": "no lights, seen on site"}


@pytest.fixture
def vms(cloud: Bed) -> list[str]:
    return cloud.fill(HOST, 1)


@pytest.fixture
def asked(cloud: Bed, recovery: Recovery, vms: list[str]) -> Playbooks:
    """A host that falls silent while a maintenance was announced: only a person knows what that means."""
    playbooks = recovery(RACK)
    service = cloud.services()[HOST]
    change = {"status": "disabled", "disabled_reason": "maintenance of the fans"}
    cloud.request("PUT", f"/os-services/{service['id']}", change)
    cloud.crash(HOST)
    return playbooks


def questions(playbooks: Playbooks) -> list[dict[str, t.Any]]:
    with playbooks.journal() as journal:
        return list(journal.questions())


def answer(playbooks: Playbooks, **other: t.Any) -> Outcome:
    return playbooks.run("answer_incident", "-e", json.dumps({**ANSWER, **other}))


def test_a_run_waits_and_is_answered_from_elsewhere(
    cloud: Bed, asked: Playbooks, vms: list[str], tmp_path: Path
) -> None:
    hook = tmp_path / "hook.yml"
    note = tmp_path / "told"
    hook.write_text(
        "- ansible.builtin.copy:\n"
        '    content: "{{ decision.questions[0].host }} {{ decision.questions[0].gate }}"\n'
        f"    dest: {note}\n"
        "    mode: '0600'\n"
    )
    with started(asked, ask_wait=120, ask_hook=hook) as process:
        until(note.exists)
        assert note.read_text() == f"{HOST} maintenance"
        shown = asked.run("answer_incident")
        assert f"{HOST}: gate maintenance asks" in shown.out, shown.out
        # the maintenance, then that it was disabled before it went down
        for number in (1, 2):
            until(lambda number=number: len(questions(asked)) == number)
            given = answer(asked)
            assert given, given.out
        said = finish(process)
        assert process.returncode == 0, said
    assert [(it["gate"], it["answered_by"]) for it in questions(asked)] == [
        ("maintenance", "alice"),
        ("planned", "alice"),
    ]
    assert "alice answered recover: no lights, seen on site" in said
    assert_recovered(cloud, asked, vms)


def test_when_nobody_answers_in_time_the_host_is_held_and_a_late_answer_is_refused(
    cloud: Bed, asked: Playbooks
) -> None:
    outcome = asked.recover(HOST, ask_wait=2)
    assert not outcome
    assert "the default of the policy answered hold: no answer within 2 s" in " ".join(outcome.out.split())
    assert evacuations(cloud) == []
    assert not cloud.services()[HOST]["forced_down"]
    assert [it["state"] for it in questions(asked)] == ["expired"]
    late = answer(asked)
    assert not late
    assert "was answered hold by nobody in time" in " ".join(late.out.split())


def test_without_waiting_the_question_stays_and_the_next_run_finds_the_answer(
    cloud: Bed, asked: Playbooks, vms: list[str]
) -> None:
    for _gate in range(2):
        refused = asked.recover(HOST)
        assert not refused
        assert f"answer_incident -i INVENTORY -e host={HOST} -e answer=recover" in " ".join(refused.out.split())
        given = answer(asked)
        assert given, given.out
    outcome = asked.recover(HOST)
    assert outcome, outcome.out
    assert_recovered(cloud, asked, vms)


def test_an_answer_about_one_host_does_not_count_when_there_are_two(cloud: Bed, asked: Playbooks) -> None:
    assert not asked.recover(HOST)
    assert answer(asked)
    cloud.crash("cmp02")
    grown = asked.recover(HOST, "cmp02")
    assert not grown
    assert f"{HOST}: ask (gate maintenance)" in " ".join(grown.out.split())


def test_a_hook_that_fails_does_not_keep_the_run_from_waiting(cloud: Bed, asked: Playbooks, tmp_path: Path) -> None:
    hook = tmp_path / "hook.yml"
    hook.write_text("- ansible.builtin.fail:\n    msg: the mail server is away\n")
    outcome = asked.recover(HOST, ask_wait=1, ask_hook=hook)
    assert "The question stands all the same" in outcome.out, outcome.out
    assert [it["state"] for it in questions(asked)] == ["expired"]


def held(playbooks: Playbooks) -> list[dict[str, t.Any]]:
    with playbooks.journal() as journal:
        return list(journal.retries())


def due(playbooks: Playbooks) -> None:
    """Let the time until the next attempt be over."""
    from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.schema import table

    with playbooks.journal() as journal:
        statement = table("incidents").update().values(look_after=0.0)
        journal.database.write(lambda connection: connection.execute(statement))


def test_a_host_that_could_not_be_fenced_is_recovered_when_its_bmc_is_back(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill(HOST, 2)
    playbooks = recovery(RACK)
    assert "There is no journal in" in playbooks.run("recover_held").out, "it must not watch the wrong one in silence"
    cloud.crash(HOST)
    cloud.bmc_fault(HOST, "refuse")

    assert not playbooks.recover(HOST)

    assert evacuations(cloud) == []
    (first,) = held(playbooks)
    assert (first["attempts"], first["look_after"]) == (1, 30)
    assert first["reason"].startswith("not fenced: Fence, and prove it")
    early = playbooks.run("recover_held")
    assert early, early.out
    assert f"NOT FENCED: {HOST}, 1 attempts, due in" in early.out
    due(playbooks)
    again = playbooks.run("recover_held")
    assert not again, "it must be seen that it failed"
    assert f"NOT FENCED: {HOST} is out of service" in " ".join(again.out.split())
    assert evacuations(cloud) == []
    assert [it["attempts"] for it in held(playbooks)] == [2]
    due(playbooks)
    cloud.bmc_fault(HOST, "")
    outcome = playbooks.run("recover_held")
    assert outcome, outcome.out
    assert_recovered(cloud, playbooks, vms)
    seen = playbooks.report()["verdicts"][-1]["snapshot"]["hosts"][HOST]
    assert seen["witnesses"] == {"nova": "down", "probe": "down"}, "nobody was there to vouch for it"
    assert held(playbooks) == []
    idle = playbooks.run("recover_held")
    assert idle, idle.out
    assert "no host waits to be fenced" in idle.out
