"""recover_host killed between any two of its tasks: run again, it finishes, and evacuates no VM twice."""

from __future__ import annotations

from pathlib import Path

import processes
import pytest
from bed.client import Bed
from driver import until
from scenes import HOST, RACK, Recovery, assert_moved_once, assert_recovered, started

BOUNDARIES = [
    pytest.param("Show the verdict", marks=pytest.mark.deep),
    "Disable and force down nova-compute",
    "Fence, and prove it",
    pytest.param("Plan which VM goes where", marks=pytest.mark.deep),
    "Evacuate, follow, verify",
    pytest.param("Give back reserved hosts that nothing landed on", marks=pytest.mark.deep),
    "Close the run",
    pytest.param("Report", marks=pytest.mark.deep),
]


@pytest.mark.parametrize("task", BOUNDARIES)
def test_killed_between_two_tasks_the_next_run_finishes(
    cloud: Bed, recovery: Recovery, tmp_path: Path, task: str
) -> None:
    vms = cloud.fill(HOST, 2)
    playbooks = recovery(RACK, method="redfish")
    cloud.crash(HOST)
    reached = tmp_path / "reached"
    breakpoint_ = {
        "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "halt_before",
        "HALT_BEFORE": task,
        "HALT_FILE": str(reached),
    }
    unbroken = playbooks.environment
    playbooks.environment = {**unbroken, **breakpoint_}
    with started(playbooks) as process:
        until(reached.exists)
        processes.kill([process.pid, *processes.children(process.pid)])
    playbooks.environment = unbroken

    outcome = playbooks.recover(HOST)

    assert outcome, outcome.out
    if task == "Report":  # the run was closed, and with it the incident: the next one finds nothing to do
        assert playbooks.report()["ledger"] == []
        assert_moved_once(cloud, vms)
    else:
        assert_recovered(cloud, playbooks, vms)
