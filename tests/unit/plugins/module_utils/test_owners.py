# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _owners
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.notices import EVERYBODY
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal

Json = t.Dict[str, t.Any]


class Run:
    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.incidents = {host: journal.open_incident(host, "R", "rack1")["id"] for host in ("cmp01", "cmp02")}
        entries = [{"host": host, "incident_id": it} for host, it in self.incidents.items()]
        self.id = journal.open_run(entries, {"monotonic": 0.0})["id"]

    def incident(self, host: str) -> str:
        return self.incidents[host]


@pytest.fixture
def run(tmp_path: Path) -> t.Iterator[Run]:
    with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        yield Run(journal)


def line(vm: str, deadline: float | None = 600.0, **more: t.Any) -> Json:
    left = {"step": "pending", "reason": "is left to its owner for 600 s, then evacuate: x", "otherwise": "evacuate"}
    if deadline is None:
        left = {"step": "skip", "reason": "is left to its owner: x", "otherwise": None}
    base = {"id": vm, "name": f"vm-{vm}", "host": "cmp01", "project": "p1", "method": "notify", "deadline": deadline}
    return {**base, **left, **more}


def answer(run: Run, place: str, word: str) -> None:
    (question,) = run.journal.questions(host=place, state="open")
    assert run.journal.answer_question(question["id"], word, "bob", "my cluster did it")


def test_owners_are_told_once_with_deadline_and_default_and_asked_about_each_vm(run: Run) -> None:
    lines = [
        line("1"), line("2", project="p2"), line("3", deadline=None), line("4", host="cmp02"),
        line("5", step="evacuate", reason=""), line("6", method="heat"), line("7", reason="its owner has deleted it"),
    ]  # fmt: skip
    _owners.tell(run, lines)
    _owners.tell(run, lines)
    notices = run.journal.notices()
    assert {(it["target"], it["event"], it["run_id"]) for it in notices} == {(EVERYBODY, "vm_notify", run.id)}
    told = {vm["id"]: vm for it in notices for vms in it["body"]["projects"].values() for vm in vms}
    assert set(told) == {"1", "2", "3", "4"}
    assert (told["1"]["deadline"], told["1"]["otherwise"], told["1"]["until"][-1]) == (600.0, "evacuate", "Z")
    assert "deadline" not in told["3"]
    assert [sorted(it["body"]["projects"]) for it in notices if it["incident_id"] == run.incidents["cmp01"]] == [
        ["p1", "p2"]
    ]
    questions = run.journal.open_questions("R")
    assert {it["host"] for it in questions} == {"cmp01/1", "cmp01/2", "cmp02/4"}
    assert {(it["wait"], it["default"], it["gate"]) for it in questions} == {(600.0, "recover", "owner")}


def test_a_vm_that_comes_to_it_later_is_told_by_itself(run: Run) -> None:
    _owners.tell(run, [line("1")])
    _owners.tell(run, [line("1"), line("2")])
    assert [len(it["body"]["projects"]["p1"]) for it in run.journal.notices()] == [1, 1]


def test_before_the_deadline_nobody_does_anything(run: Run) -> None:
    _owners.tell(run, [line("1")])
    assert _owners.said(run, ["cmp01"]) == _owners.Said(set(), {})
    left = _owners.soonest(run.journal, "R", "cmp01")
    assert left is not None
    assert 0.0 < left <= 600.0
    assert _owners.soonest(run.journal, "R", "cmp02") is None


def test_after_the_deadline_what_the_policy_says_is_done_and_that_nobody_answered_is_kept(run: Run) -> None:
    _owners.tell(run, [line("1", deadline=0.0)])
    questions = run.journal.questions
    run.journal.questions = lambda **given: [{**it, "age": 5.0} for it in questions(**given)]  # type: ignore[method-assign]
    assert _owners.said(run, ["cmp01"], expire=False).overdue == {"1"}
    assert questions()[0]["state"] == "open"
    assert _owners.said(run, ["cmp01"]).overdue == {"1"}
    assert (questions()[0]["state"], questions()[0]["answer"]) == ("expired", "recover")
    assert _owners.said(run, ["cmp01"]).overdue == {"1"}
    assert _owners.soonest(run.journal, "R", "cmp01") is None


def test_who_takes_care_of_a_vm_keeps_it_and_it_is_no_loose_end_any_more(run: Run) -> None:
    lines = [line("1"), line("2")]
    _owners.tell(run, lines)
    answer(run, "cmp01/1", "hold")
    said = _owners.said(run, ["cmp01"])
    assert said == _owners.Said(set(), {"1": "bob takes care of it: my cluster did it"})
    _owners.leave(lines, said.kept)
    assert (lines[0]["step"], lines[0]["reason"]) == (
        "skip", "is left to its owner: bob takes care of it: my cluster did it",
    )  # fmt: skip
    assert lines[1]["step"] == "pending"


def test_who_wants_it_done_now_need_not_wait(run: Run) -> None:
    _owners.tell(run, [line("1")])
    answer(run, "cmp01/1", "recover")
    assert _owners.said(run, ["cmp01"]).overdue == {"1"}


def test_a_line_that_is_on_its_way_is_not_stopped_by_an_answer_that_comes_too_late(run: Run) -> None:
    lines = [line("1", step="follow", reason="an evacuation is under way")]
    _owners.leave(lines, {"1": "bob takes care of it"})
    assert lines[0]["step"] == "follow"
