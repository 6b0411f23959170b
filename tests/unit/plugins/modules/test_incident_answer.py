# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from unit.fakes.tasks import Tasks, WrongOptions

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.modules import incident_answer, recovery_run
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Nova

ANN = {"answer": "recover", "answered_by": "ann", "answer_reason": "it burns"}


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any) -> Tasks:
    it = Tasks(monkeypatch, FakeCloud(Nova(Clock(), ["cmp01", "cmp02", "cmp03"], []), {}), tmp_path)
    for host, facts in it.topology["hosts"].items():
        facts["hypervisor_hostname"] = f"{host}.example.net"
    return it


def ask(tasks: Tasks, *hosts: str) -> None:
    """About living hosts a person is asked."""
    with pytest.raises(RecoveryError, match="ask"):
        tasks.run(recovery_run, state="open", hosts=list(hosts), topology=tasks.topology)


def answer(tasks: Tasks, *hosts: str, check_mode: bool = False, **args: t.Any) -> dict[str, t.Any]:
    return tasks.run(incident_answer, check_mode, hosts=list(hosts), topology=tasks.topology, **{**ANN, **args})


def states(tasks: Tasks) -> dict[str, str]:
    with tasks.journal() as journal:
        return {it["host"]: it["state"] for it in journal.questions()}


def test_a_question_is_answered_once_with_name_and_reason(tasks: Tasks) -> None:
    ask(tasks, "cmp02")
    first, again = answer(tasks, "cmp02"), answer(tasks, "cmp02")
    assert (first["changed"], again["changed"]) == (True, False)
    (shown,) = first["questions"]
    assert (shown["state"], shown["answered_by"], shown["plan"]["hosts"]) == ("answered", "ann", ["cmp02"])
    with tasks.journal() as journal:
        (kept,) = journal.questions()
    assert (kept["answer"], kept["answered_by"], kept["answer_reason"]) == ("recover", "ann", "it burns")


def test_another_answer_to_what_was_answered_is_refused(tasks: Tasks) -> None:
    ask(tasks, "cmp02")
    answer(tasks, "cmp02")
    with pytest.raises(RecoveryError, match="was answered recover by ann"):
        answer(tasks, "cmp02", answer="hold")


def test_an_answer_after_the_default_was_done_is_refused(tasks: Tasks) -> None:
    ask(tasks, "cmp02")
    with tasks.journal() as journal:
        journal.expire_question(journal.questions()[0]["id"], "hold", "no answer within 60 s")
    with pytest.raises(RecoveryError, match=r"answered hold by nobody in time.*asks anew"):
        answer(tasks, "cmp02")


def test_an_answer_to_nothing_is_refused(tasks: Tasks) -> None:
    with tasks.journal():
        pass
    with pytest.raises(RecoveryError, match="Nothing is asked about cmp02"):
        answer(tasks, "cmp02")


def test_an_incident_that_has_ended_asks_nothing(tasks: Tasks) -> None:
    ask(tasks, "cmp02")
    with tasks.journal() as journal:
        journal.set_incident(journal.incidents()[0]["id"], "closed")
    with pytest.raises(RecoveryError, match="Nothing is asked about cmp02"):
        answer(tasks, "cmp02")


def test_all_or_none_are_answered(tasks: Tasks) -> None:
    ask(tasks, "cmp02")
    with pytest.raises(RecoveryError, match="Nothing is asked about cmp03"):
        answer(tasks, "cmp02", "cmp03")
    assert states(tasks) == {"cmp02": "open"}


def test_several_hosts_are_answered_by_any_of_their_names(tasks: Tasks) -> None:
    ask(tasks, "cmp02", "cmp03")
    assert answer(tasks, "cmp02.example.net", "cmp03")["changed"]
    assert states(tasks) == {"cmp02": "answered", "cmp03": "answered"}


def test_check_mode_answers_nothing(tasks: Tasks) -> None:
    ask(tasks, "cmp02")
    checked = answer(tasks, "cmp02", check_mode=True)
    assert (checked["changed"], checked["questions"][0]["answer"]) == (True, "recover")
    assert states(tasks) == {"cmp02": "open"}


@pytest.mark.parametrize("option", ["answered_by", "answer_reason"])
def test_an_answer_without_a_name_or_a_reason_is_refused(tasks: Tasks, option: str) -> None:
    with pytest.raises(ConfigError, match=f"^{option}: "):
        answer(tasks, "cmp02", **{option: "  "})


def test_there_are_two_answers(tasks: Tasks) -> None:
    with pytest.raises(WrongOptions):
        answer(tasks, "cmp02", answer="yes")
