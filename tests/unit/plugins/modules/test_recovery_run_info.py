# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call
from ansible_collections.openstack_ha.recovery.plugins.modules.recovery_run_info import TASK

Info = t.Callable[..., t.Dict[str, t.Any]]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/journal.db"


@pytest.fixture
def info(monkeypatch: pytest.MonkeyPatch, url: str) -> Info:
    """The module, as a task with these options runs it."""
    monkeypatch.setenv("OPENSTACK_HA_JOURNAL", url)

    def run(**options: t.Any) -> dict[str, t.Any]:
        checked = ArgumentSpecValidator(TASK.argument_spec).validate(options)
        assert not checked.error_messages
        return TASK.run(Call(params=checked.validated_parameters, check_mode=True))

    return run


@pytest.fixture
def run_ids(url: str) -> list[str]:
    """Three runs, oldest first: two on cmp03, then one on cmp04."""
    ids = []
    with open_journal(url) as journal:
        for host in ("cmp03", "cmp03", "cmp04"):
            incident = journal.open_incident(host, "R", "rack1")["id"]
            ids.append(journal.open_run([{"host": host, "incident_id": incident}], {"user": "eve"})["id"])
            while journal.runs(limit=1)[0]["opened_at"] == _now():
                pass  # times have milliseconds: the next run must begin in another one
    return ids


def _now() -> str:
    from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.rows import now

    return now()


def test_runs_are_shown_newest_first_from_the_journal_of_the_environment(info: Info, run_ids: list[str]) -> None:
    result = info()
    assert [run["id"] for run in result["runs"]] == run_ids[::-1]
    assert (result["changed"], "report" in result) == (False, False)


def test_runs_are_limited_and_chosen_by_host_or_id(info: Info, run_ids: list[str]) -> None:
    assert [run["id"] for run in info(limit=1)["runs"]] == run_ids[2:]
    assert [run["id"] for run in info(host="cmp03")["runs"]] == run_ids[1::-1]
    assert [run["id"] for run in info(run_id=run_ids[0], host="cmp04")["runs"]] == run_ids[:1]


def test_the_report_is_of_the_newest_run_shown(info: Info, run_ids: list[str]) -> None:
    assert info(host="cmp03", full=True)["report"]["run"]["id"] == run_ids[1]
    assert info(run_id=run_ids[0], full=True)["report"]["run"]["id"] == run_ids[0]


def test_a_host_without_runs_has_none(info: Info, run_ids: list[str]) -> None:
    nothing: dict[str, t.Any] = {key: [] for key in ("runs", "held", "questions", "orders", "incidents", "signals")}
    assert info(host="cmp99", full=True) == {"changed": False, **nothing}


def test_an_unknown_run_a_missing_journal_and_a_senseless_limit_are_errors(
    info: Info, url: str, tmp_path: Path
) -> None:
    with pytest.raises(JournalError, match="There is no journal in"):
        info()
    assert not list(tmp_path.iterdir())
    open_journal(url).close()
    with pytest.raises(JournalError, match="There is no run nonsense"):
        info(run_id="nonsense")
    with pytest.raises(ConfigError, match=r"^limit: 0"):
        info(limit=0)


def test_what_waits_is_shown_with_the_time_that_is_left(info: Info, url: str) -> None:
    with open_journal(url) as journal:
        incidents = {host: journal.open_incident(host, "R", "rack1") for host in ("cmp03", "cmp04", "cmp05")}
        journal.hold_incident(incidents["cmp03"]["id"], "not fenced: BMC is silent", 2, 60.0)
        journal.hold_incident(incidents["cmp04"]["id"], "not fenced: BMC is silent", 1, 0.0)
        journal.set_incident(incidents["cmp05"]["id"], "held", "asked")
        entry = {"host": "cmp05", "incident_id": incidents["cmp05"]["id"]}
        run = journal.open_run([entry], holder.describe())
        journal.ask(run["id"], entry, "budget", "d", "too many")
        journal.add_order("R", "pause", "cloud", None, "al", "wait")
    found = info()
    assert [(it["host"], it["attempts"], it["due_in"] > 0) for it in found["held"]] == [
        ("cmp03", 2, True),
        ("cmp04", 1, False),
    ]
    assert [(it["host"], it["gate"]) for it in found["questions"]] == [("cmp05", "budget")]
    assert [it["words"] for it in found["orders"]] == [
        "order 1: pause of the whole cloud by al until it is ended: wait"
    ]
    elsewhere = info(region_name="S")
    assert (elsewhere["held"], elsewhere["questions"], elsewhere["orders"]) == ([], [], [])


def test_incidents_that_have_not_ended_and_the_newest_signals_are_shown(info: Info, url: str) -> None:
    with open_journal(url) as journal:
        vm = journal.open_incident("cmp03", "R", "rack1", "instance", "vm-1")["id"]
        over = journal.open_incident("cmp03", "R", "rack1", "process", "nova-compute")["id"]
        journal.set_incident(over, "closed", "it is well")
        journal.accept_signals("R", "ctl1", [_crash("cmp03", "vm-1", 1), _crash("cmp04", "vm-2", 2)])
        (first,) = journal.signals(host="cmp03")
        journal.decide_signals([first["id"]], "alert", None, "nobody knows better", vm)

    shown = info(host="cmp03")
    assert [(it["id"], it["kind"], it["object"], it["state"]) for it in shown["incidents"]] == [
        (vm, "instance", "vm-1", "open")
    ]
    (signal,) = shown["signals"]
    assert (signal["reason"], signal["verdict"], signal["incident_id"]) == ("qemu died", "alert", vm)
    assert not [key for row in (signal, *shown["incidents"]) for key in row if key.endswith(("_mark", "_key"))]
    assert sorted(it["host"] for it in info()["signals"]) == ["cmp03", "cmp04"]
    assert info(region_name="elsewhere")["signals"] == []


def _crash(host: str, vm: str, sequence: int) -> dict[str, t.Any]:
    return {
        "source": f"/hosts/{host}/monitors/instance", "event_id": f"event-{sequence}", "kind": "instance",
        "type": "openstack_ha.instance.crashed", "host": host, "object": vm, "state": "failed", "epoch": "e",
        "sequence": sequence, "data": {"reason": "qemu died"}, "reporter": f"host:{host}",
    }  # fmt: skip
