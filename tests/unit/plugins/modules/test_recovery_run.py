from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from unit.fakes.tasks import Tasks, WrongOptions

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import ClaimHeld
from ansible_collections.openstack_ha.recovery.plugins.modules import recovery_run
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Nova

ANSWER = {"answer": "recover", "answered_by": "ann", "answer_reason": "it burns"}


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any) -> Tasks:
    nova = Nova(Clock(), ["cmp01", "cmp02", "cmp03"], ["cmp01"])
    it = Tasks(monkeypatch, FakeCloud(nova, {}), tmp_path)
    for host, facts in it.topology["hosts"].items():
        facts["hypervisor_hostname"] = f"{host}.example.net"
    return it


def begin(tasks: Tasks, *hosts: str, check_mode: bool = False, **args: t.Any) -> dict[str, t.Any]:
    given = {"state": "open", "hosts": list(hosts or ["cmp01"]), "topology": tasks.topology, **args}
    return tasks.run(recovery_run, check_mode, **given)


def close(tasks: Tasks, run_id: str) -> dict[str, t.Any]:
    return dict(tasks.run(recovery_run, state="closed", run_id=run_id)["report"])


def incident(tasks: Tasks, host: str = "cmp01") -> dict[str, t.Any]:
    with tasks.journal() as journal:
        return dict(journal.incidents(host=host)[-1])


def test_a_dead_host_gets_a_claim_a_verdict_and_an_incident(tasks: Tasks) -> None:
    opened = begin(tasks)
    assert (opened["changed"], opened["hosts"], opened["resumes"]) == (True, ["cmp01"], None)
    assert opened["verdicts"]["cmp01"]["verdict"] == "recover"
    assert incident(tasks)["state"] == "recovering"
    with tasks.journal() as journal:
        report = journal.report(opened["run_id"])
    assert [claim["host"] for claim in report["claims"]] == ["cmp01"]
    assert report["verdicts"][0]["snapshot"]["hosts"]["cmp01"]["state"] == "down"


@pytest.mark.parametrize("name", ["cmp01", "cmp01.example.net"])
def test_each_name_of_a_host_means_the_service_host(tasks: Tasks, name: str) -> None:
    assert begin(tasks, name)["hosts"] == ["cmp01"]


def test_a_name_that_no_host_has_is_refused_before_anything_is_written(tasks: Tasks) -> None:
    with pytest.raises(ConfigError, match="cmp1"):
        begin(tasks, "cmp1")
    assert not Path(tasks.url.removeprefix("sqlite:///")).exists()


def test_check_mode_gives_the_same_verdict_and_leaves_no_trace(tasks: Tasks) -> None:
    checked = begin(tasks, check_mode=True)
    assert checked["run_id"] is None
    assert not Path(tasks.url.removeprefix("sqlite:///")).exists()
    assert any("not counted" in warning for warning in tasks.warnings)
    assert {**checked, "run_id": 0} == {**begin(tasks), "run_id": 0}


def test_check_mode_counts_the_hosts_that_other_runs_are_at_work_on(tasks: Tasks) -> None:
    begin(tasks)
    tasks.service("cmp02")["state"] = "down"
    verdict = begin(tasks, "cmp02", check_mode=True)["verdicts"]["cmp02"]
    assert (verdict["verdict"], verdict["gate"]) == ("ask", "budget")


def test_a_host_that_is_claimed_is_not_claimed_again(tasks: Tasks) -> None:
    first = begin(tasks)["run_id"]
    with pytest.raises(ClaimHeld, match=first):
        begin(tasks)
    close(tasks, first)
    assert begin(tasks)["hosts"] == ["cmp01"]


def test_a_living_host_is_asked_about_and_the_failure_says_how_to_answer(tasks: Tasks) -> None:
    with pytest.raises(RecoveryError, match=r"cmp02: ask \(gate witnesses\).*-e answer=recover") as caught:
        begin(tasks, "cmp02")
    assert caught.value.facts["verdicts"]["cmp02"]["verdict"] == "ask"
    assert incident(tasks, "cmp02")["state"] == "held"
    assert begin(tasks, "cmp02", **ANSWER)["hosts"] == ["cmp02"]


def test_of_several_hosts_those_that_may_are_recovered_and_the_others_let_go(tasks: Tasks) -> None:
    tasks.topology["hosts"]["cmp02"]["segment"] = None
    opened = begin(tasks, "cmp01", "cmp02", max_hosts_at_once=2)
    assert opened["hosts"] == ["cmp01"]
    assert any("cmp02: alert" in warning for warning in tasks.warnings)
    with tasks.journal() as journal:
        assert [claim["host"] for claim in journal.report(opened["run_id"])["claims"]] == ["cmp01"]


def test_a_run_that_is_given_up_is_picked_up_by_the_next(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    describe = recovery_run.holder.describe
    gone = {**describe(), "pid": 999_999_999, "pid_start": 1}
    monkeypatch.setattr(recovery_run.holder, "describe", lambda pid, **more: {**gone, **more})
    first = begin(tasks)["run_id"]
    monkeypatch.setattr(recovery_run.holder, "describe", describe)
    assert begin(tasks)["resumes"] == first
    with tasks.journal() as journal:
        assert journal.run(first)["state"] == "abandoned"


def test_a_held_host_is_released_with_its_reason_and_the_run_goes_on(tasks: Tasks) -> None:
    run_id = begin(tasks)["run_id"]
    held = tasks.run(recovery_run, state="held", run_id=run_id, hosts=["cmp01"], reason="BMC is silent")
    assert held["changed"]
    assert (incident(tasks)["state"], incident(tasks)["reason"]) == ("held", "BMC is silent")
    report = close(tasks, run_id)
    assert [(host["outcome"], host["reason"]) for host in report["hosts"]] == [("held", "BMC is silent")]
    assert report["claims"] == []


def test_two_hosts_of_a_run_can_be_held_at_the_same_moment(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks.service("cmp02")["state"] = "down"
    run_id = begin(tasks, "cmp01", "cmp02", max_hosts_at_once=2)["run_id"]
    held = {"state": "held", "run_id": run_id, "reason": "BMC is silent"}
    check = _run.Run.check

    def with_company(run: _run.Run) -> None:
        """The task of the other host ends between the look at the claims and their renewal."""
        monkeypatch.setattr(_run.Run, "check", check)
        tasks.run(recovery_run, hosts=["cmp02"], **held)
        check(run)

    monkeypatch.setattr(_run.Run, "check", with_company)
    assert tasks.run(recovery_run, hosts=["cmp01"], **held)["changed"]
    assert [incident(tasks, host)["state"] for host in ("cmp01", "cmp02")] == ["held", "held"]


def test_a_run_that_never_came_to_evacuate_has_not_recovered_anything(tasks: Tasks) -> None:
    report = close(tasks, begin(tasks)["run_id"])
    assert report["run"]["state"] == "closed"
    assert report["hosts"][0]["outcome"] == "partial"
    assert incident(tasks)["state"] == "partial"


def test_closing_in_check_mode_or_without_a_run_does_nothing(tasks: Tasks) -> None:
    run_id = begin(tasks)["run_id"]
    tasks.run(recovery_run, True, state="closed", run_id=run_id)
    tasks.run(recovery_run, state="closed")
    with tasks.journal() as journal:
        assert journal.run(run_id)["state"] == "open"


@pytest.mark.parametrize(
    "args",
    [
        {"state": "open"},
        {"state": "open", "hosts": ["cmp01"]},
        {"state": "held", "run_id": "r", "hosts": ["cmp01"]},
        {"state": "open", "hosts": ["cmp01"], "topology": {}, "answer": "recover"},
        {"state": "paused"},
    ],
)
def test_options_that_make_no_sense_are_refused(tasks: Tasks, args: dict[str, t.Any]) -> None:
    with pytest.raises(WrongOptions):
        tasks.run(recovery_run, **args)
