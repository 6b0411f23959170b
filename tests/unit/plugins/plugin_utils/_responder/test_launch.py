# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.launch import (
    Order,
    Progress,
    write_secret,
)

ORDER = Order("run1", ("cmp01",), "recover_host", {})


@pytest.fixture
def log() -> list[str]:
    return []


@pytest.fixture
def progress(log: list[str]) -> Progress:
    return Progress(ORDER, "local", log.append)


def failed(message: t.Any, task: str = "Fence", **more: t.Any) -> dict[str, t.Any]:
    data = {"host": "cmp01", "task": task, "res": {"msg": message}, **more}
    return {"event": "runner_on_failed", "event_data": data, "pid": 42}


def test_the_journal_is_told_of_each_task_once(progress: Progress, log: list[str]) -> None:
    progress.heard({"event": "playbook_on_task_start", "event_data": {"task": "Fence"}, "pid": 42})
    news = progress.news()
    assert news is not None
    assert (news["task"], news["failed"], progress.pid) == ("Fence", [], 42)
    assert progress.news() is None
    assert log == ["run run1: Fence"]


def test_the_first_cause_of_a_failure_is_the_last_that_was_not_ignored(progress: Progress) -> None:
    progress.heard(failed("no answer"))
    progress.heard(failed("never mind", task="Look", ignore_errors=True))
    progress.heard({"event": "verbose", "stdout": "ERROR! something else"})
    assert progress.why() == "cmp01: Fence: no answer"


@pytest.mark.parametrize(
    ("out", "why"),
    [
        ("\nERROR! the playbook x could not be found\n", "ERROR! the playbook x could not be found"),
        ("[ERROR]: no such plugin\nsee above", "[ERROR]: no such plugin"),
        ("The command was not found or was not executable: ansible-playbook.", "The command was not found or was not"),
        ("", None),
    ],
)
def test_without_a_failed_task_the_output_tells_why(progress: Progress, out: str, why: str | None) -> None:
    progress.heard({"event": "verbose", "stdout": out})
    assert (progress.why() or "")[: len(why or "")] == (why or "")


@pytest.mark.parametrize(
    "event",
    [{}, {"event": "runner_on_failed"}, failed(None), failed({"a": 1}), {"event_data": {"res": 5}, "pid": "x"},
     {"event": "runner_on_failed", "event_data": {"res": "text"}}, {"event": "playbook_on_task_start"}],
)  # fmt: skip
def test_an_odd_event_does_not_end_the_run(progress: Progress, event: dict[str, t.Any]) -> None:
    assert progress.heard(event)
    progress.news()
    progress.why()


def test_an_event_that_cannot_be_understood_is_told(progress: Progress, log: list[str]) -> None:
    assert progress.heard({"event": "runner_on_failed", "event_data": 5})
    assert "not understood" in log[0]


def test_of_many_failures_the_newest_are_kept(progress: Progress) -> None:
    for number in range(50):
        progress.heard(failed("x" * 1000, task=str(number)))
    news = progress.news()
    assert news is not None
    assert [it["task"] for it in news["failed"]] == [str(number) for number in range(30, 50)]
    assert max(len(it["msg"]) for it in news["failed"]) == 500


def test_a_secret_is_written_for_its_owner_even_over_a_file_that_all_could_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secret"
    write_secret(path, "old")
    path.chmod(0o644)
    write_secret(path, {"a": 1})
    assert (path.read_text(encoding="utf-8"), path.stat().st_mode & 0o777) == ('{"a": 1}', 0o600)
