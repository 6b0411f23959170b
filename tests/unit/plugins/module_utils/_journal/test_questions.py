# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal

NewRun = t.Callable[..., t.Dict[str, t.Any]]


def ask(journal: Journal, run: dict[str, t.Any], digest: str = "d") -> dict[str, t.Any]:
    plan = {"hosts": ["cmp03"], "vms": 4}
    return journal.ask(run["id"], run["hosts"][0], "budget", digest, "too many", plan, wait=60, default="hold")


def test_a_question_is_read_as_it_was_asked(journal: Journal, new_run: NewRun) -> None:
    asked = ask(journal, new_run("cmp03"))
    (found,) = journal.questions(state="open")
    age = found.pop("age")
    assert 0 <= age < 5
    assert found.pop("answer_age") is None
    assert found == asked
    assert (asked["host"], asked["gate"], asked["plan"], asked["default"]) == (
        "cmp03", "budget", {"hosts": ["cmp03"], "vms": 4}, "hold",
    )  # fmt: skip


def test_the_first_answer_counts(journal: Journal, new_run: NewRun) -> None:
    asked = ask(journal, new_run("cmp03"))
    assert journal.answer_question(asked["id"], "recover", "al", "I see smoke")
    assert not journal.answer_question(asked["id"], "hold", "bo", "wait")
    assert not journal.expire_question(asked["id"], "hold", "nobody answered")
    (found,) = journal.questions()
    assert (found["state"], found["answer"], found["answered_by"], found["answer_reason"]) == (
        "answered", "recover", "al", "I see smoke",
    )  # fmt: skip
    assert found["answer_age"] is not None


def test_an_answer_that_comes_after_the_deadline_is_refused(journal: Journal, new_run: NewRun) -> None:
    asked = ask(journal, new_run("cmp03"))
    assert journal.expire_question(asked["id"], "hold", "nobody answered within 60 s")
    assert not journal.answer_question(asked["id"], "recover", "al", "now")
    assert [(it["state"], it["answer"], it["answered_by"]) for it in journal.questions()] == [("expired", "hold", None)]


def test_an_unknown_answer_is_refused(journal: Journal, new_run: NewRun) -> None:
    with pytest.raises(ValueError, match="unknown answer 'yes'"):
        journal.answer_question(ask(journal, new_run("cmp03"))["id"], "yes", "al", "why")


def test_an_incident_has_one_open_question(journal: Journal, new_run: NewRun) -> None:
    first, other = ask(journal, new_run("cmp03")), ask(journal, new_run("cmp04"))
    second = ask(journal, new_run("cmp03"), "e")
    assert {it["id"] for it in journal.questions(state="open")} == {other["id"], second["id"]}
    assert not journal.answer_question(first["id"], "recover", "al", "why")
