"""VMs that fail on hosts that live, in real Nova: restarted there, or moved once they are proven off."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import typing as t
from pathlib import Path

import processes
import pytest
from bed.client import Bed
from driver import Outcome, Playbooks, until
from truth_monitor import TruthMonitor

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.holder import describe

Recovery = t.Callable[..., Playbooks]

HOST, TARGETS = "cmp01", ("cmp02", "cmp03")
RACK = {"rack1": {"hosts": [HOST, *TARGETS], "shared_storage": True}}
#: Nothing is waited for longer than a test needs.
POLICY = "{instances: {stable: 2, view_timeout: 30, elsewhere: {how: HOW}}}"


@pytest.fixture
def playbooks(recovery: Recovery, tmp_path: Path) -> Playbooks:
    """The playbooks for one rack."""
    (tmp_path / "ha_policy.yml").write_text(POLICY.replace("HOW", "cold_migrate"))
    return recovery(RACK)


@pytest.fixture
def monitor(cloud: Bed, playbooks: Playbooks) -> t.Iterator[TruthMonitor]:
    """The monitors of the hosts."""
    with TruthMonitor(cloud, playbooks).watching() as made:
        yield made


def recover(playbooks: Playbooks, *vms: str, **variables: t.Any) -> Outcome:
    """Run ``recover_instance``."""
    return playbooks.run("recover_instance", failed_instances=",".join(vms), **variables)


def asked(cloud: Bed, vm: str) -> list[str]:
    """What Nova was asked to do with a VM."""
    return [
        line["action"] for line in cloud.api_log() if line.get("action") and f"/servers/{vm}/action" in line["path"]
    ]


def outcome(playbooks: Playbooks, vm: str) -> tuple[str, str, str]:
    """What the newest run did with a VM, and what came of it."""
    report = playbooks.report()
    (line,) = [it for it in report["ledger"] if it["server_id"] == vm]
    (place,) = [it for it in report["hosts"] if it["host"].endswith(f"/{vm}")]
    assert report["claims"] == []
    return line["method"], line["state"], place["outcome"]


def test_a_crashed_vm_runs_again_on_its_host_and_what_its_owner_has_stopped_stays_off(
    cloud: Bed, playbooks: Playbooks, monitor: TruthMonitor
) -> None:
    crashed, stopped = cloud.fill(HOST, 2)
    cloud.crash_guest(HOST, crashed, notice=True)
    cloud.action(stopped, {"os-stop": None})
    for vm in (crashed, stopped):
        cloud.await_server(vm, lambda it: it["OS-EXT-STS:vm_state"] == "stopped")
    shown = playbooks.run("recover_instance", "--check", failed_instances=crashed)
    assert shown, shown.out
    assert "RECOVER: all gates passed" in shown.out
    assert asked(cloud, crashed) == []
    ran = recover(playbooks, crashed, stopped)
    assert ran, ran.out
    assert outcome(playbooks, crashed) == ("restart", "verified", "recovered")
    assert outcome(playbooks, stopped) == ("restart", "skipped", "recovered")
    assert (asked(cloud, crashed), asked(cloud, stopped)) == (["os-start"], [])
    assert cloud.running() == {HOST: [crashed]}


def test_one_that_dies_at_each_start_goes_to_another_host_and_the_loop_ends(
    cloud: Bed, playbooks: Playbooks, monitor: TruthMonitor
) -> None:
    (vm,) = cloud.fill(HOST)
    cloud.knobs(HOST, start_crashes=True)
    cloud.crash_guest(HOST, vm)
    ran = recover(playbooks, vm)
    assert ran, ran.out
    assert outcome(playbooks, vm) == ("cold_migrate", "verified", "recovered")
    assert [it for it in asked(cloud, vm) if it != "os-stop"] == ["os-start", "migrate", "confirmResize", "os-start"]
    assert [host for host in TARGETS if cloud.running().get(host) == [vm]]
    assert HOST not in cloud.running()
    assert cloud.ever_ran_twice() == []
    assert {line["dest_compute"] for line in cloud.migrations()} <= set(TARGETS)


def test_without_the_word_of_a_monitor_it_is_moved_only_if_somebody_vouches(cloud: Bed, playbooks: Playbooks) -> None:
    (vm,) = cloud.fill(HOST)
    cloud.crash_guest(HOST, vm)
    (Path(playbooks.inventory).parent / "ha_policy.yml").write_text("{instances: {view_timeout: 2, stable: 1}}")
    ran = recover(playbooks, vm, how="elsewhere")
    assert not ran
    assert "no monitor on cmp01 has said anything about it" in ran.out
    assert "migrate" not in asked(cloud, vm)
    ran = recover(playbooks, vm, how="elsewhere", vouched_by="jane", vouched_reason="seen")
    assert ran, ran.out
    assert outcome(playbooks, vm) == ("cold_migrate", "verified", "recovered")
    assert playbooks.ledger()[vm]["facts"]["vouched_by"] == "jane: seen"


def test_it_can_be_shelved_and_unshelved_on_another_host(
    cloud: Bed, playbooks: Playbooks, monitor: TruthMonitor
) -> None:
    (vm,) = cloud.fill(HOST, volume=True)
    (Path(playbooks.inventory).parent / "ha_policy.yml").write_text(POLICY.replace("HOW", "shelve"))
    cloud.crash_guest(HOST, vm)
    ran = recover(playbooks, vm, how="elsewhere")
    assert ran, ran.out
    assert outcome(playbooks, vm) == ("shelve", "verified", "recovered")
    assert cloud.ever_ran_twice() == []
    assert HOST not in cloud.running()


def test_nothing_is_begun_on_a_host_that_another_run_works_on_or_that_does_not_answer(
    cloud: Bed, playbooks: Playbooks, monitor: TruthMonitor
) -> None:
    (vm,) = cloud.fill(HOST)
    cloud.crash_guest(HOST, vm)
    with playbooks.journal() as journal:
        incident = journal.open_incident(HOST, "RegionOne", "rack1")
        run = journal.open_run([{"host": HOST, "incident_id": incident["id"]}], describe())
        claims.take(journal, [("RegionOne", HOST)], run["id"], describe(), 60.0)
        refused = recover(playbooks, vm)
        claims.release(journal, run["id"], [HOST])
        journal.close_run(run["id"], "closed", {})
    assert not refused
    assert "a run is at work on its host cmp01" in refused.out
    cloud.kill_compute(HOST)
    until(lambda: cloud.services()[HOST]["state"] == "down")
    refused = recover(playbooks, vm)
    assert not refused
    assert "this becomes an incident of the host" in refused.out
    assert asked(cloud, vm) == []


def test_six_that_crash_at_once_are_recovered_in_little_more_time_than_one(
    cloud: Bed, playbooks: Playbooks, monitor: TruthMonitor
) -> None:
    vms = cloud.fill(HOST, 7)
    cloud.knobs(HOST, power_delay=8)

    def seconds(failed: list[str]) -> float:
        """From the first request to the start of the last one."""
        cloud.reset_api_calls()
        for vm in failed:
            cloud.crash_guest(HOST, vm)
        ran = recover(playbooks, *failed)
        assert ran, ran.out
        began = min(line["monotonic"] for line in cloud.api_log() if line.get("action"))
        return max(it["monotonic"] for it in cloud.truth_events() if it["event"] == "power_on") - began

    one, six = seconds(vms[:1]), seconds(vms[1:])
    assert six <= 1.5 * one, (one, six)
    assert sorted(cloud.running()[HOST]) == sorted(vms)
    assert {line["state"] for line in playbooks.ledger().values()} == {"verified"}


@contextlib.contextmanager
def started(playbooks: Playbooks, vm: str) -> t.Iterator[subprocess.Popen[str]]:
    """A run; whatever is left of it is gone afterwards."""
    process = playbooks.start("recover_instance", failed_instances=vm)
    family: set[int] = {process.pid}
    try:
        yield process
    finally:
        family.update(processes.children(process.pid))
        processes.kill(family)
        process.communicate()


@pytest.mark.parametrize("step", ["os-start", "migrate"])
def test_killed_at_any_step_and_run_again_it_ends_running_once(
    cloud: Bed, playbooks: Playbooks, monitor: TruthMonitor, step: str
) -> None:
    (vm,) = cloud.fill(HOST)
    cloud.knobs(HOST, power_delay=1, start_crashes=step == "migrate")
    cloud.crash_guest(HOST, vm)
    with started(playbooks, vm) as process:
        until(lambda: step in asked(cloud, vm), 120)
        os.killpg(process.pid, signal.SIGKILL)
    ran = recover(playbooks, vm)
    if not ran:  # it had died again in the meantime, which that run has found
        ran = recover(playbooks, vm)
    assert ran, ran.out
    assert outcome(playbooks, vm)[1:] == ("verified", "recovered")
    assert list(cloud.running().values()) == [[vm]]
    assert cloud.ever_ran_twice() == []
    assert len([it for it in asked(cloud, vm) if it == "migrate"]) <= 1
