"""recover_host cancelled as people and ansible-runner do it: run again, it finishes."""

from __future__ import annotations

import os
import signal
import sys
import typing as t
from pathlib import Path

import ansible_runner
import processes
import pytest
from bed.client import Bed
from driver import Playbooks, until
from scenes import HOST, RACK, Recovery, assert_recovered, finish, slow_spawns, started, states


def half_way(playbooks: Playbooks) -> bool:
    return {"landed", "requested"} <= set(states(playbooks))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP, pytest.param(signal.SIGINT, marks=pytest.mark.deep)])
def test_a_cancelled_run_can_be_resumed(cloud: Bed, recovery: Recovery, how: signal.Signals) -> None:
    vms = cloud.fill(HOST, 3)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    slow_spawns(cloud)
    with started(playbooks, evacuate_parallel=1) as process:
        until(lambda: half_way(playbooks))
        workers = processes.children(process.pid)
        # a terminal tells the whole group, ``kill`` only the process
        os.killpg(process.pid, how) if how == signal.SIGINT else process.send_signal(how)
        out = finish(process)
        assert process.returncode != 0, out

        outcome = playbooks.recover(HOST)

        assert outcome, outcome.out
        until(lambda: not any(map(processes.alive, workers)))
    assert_recovered(cloud, playbooks, vms)


def test_a_run_that_ansible_runner_cancels_can_be_resumed(cloud: Bed, recovery: Recovery, tmp_path: Path) -> None:
    vms = cloud.fill(HOST, 3)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    slow_spawns(cloud)
    private = tmp_path / "runner"
    (private / "project").mkdir(parents=True)
    others = set(processes.children(os.getpid()))
    started_by_it: set[int] = set()

    def cancel() -> bool:
        started_by_it.update(set(processes.children(os.getpid())) - others)
        return half_way(playbooks)

    run: t.Any = ansible_runner.run(
        private_data_dir=str(private),
        playbook="openstack_ha.recovery.recover_host",
        inventory=str(playbooks.inventory),
        extravars={"failed_hosts": HOST, "evacuate_parallel": 1},
        envvars={**playbooks.environment, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        cancel_callback=cancel,
        quiet=True,
    )

    assert run.status == "canceled", run.stdout.read()
    outcome = playbooks.recover(HOST)
    assert outcome, outcome.out
    assert started_by_it
    until(lambda: not any(map(processes.alive, started_by_it)))
    assert_recovered(cloud, playbooks, vms)
