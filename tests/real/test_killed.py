"""recover_host killed in the middle of a task: run again, it finishes, evacuates no VM twice and forgets none."""

from __future__ import annotations

import dataclasses
import subprocess
import time
import typing as t

import processes
import pytest
from bed.client import Bed
from driver import Playbooks, until
from scenes import (
    EVACUATE,
    HOST,
    RACK,
    Recovery,
    assert_recovered,
    evacuations,
    requests,
    slow_spawns,
    started,
    states,
    steps,
)


def doomed(process: subprocess.Popen[str], victim: str) -> list[int]:
    """Who is to be killed: the ansible-playbook alone, its workers alone, or everything."""
    workers = processes.children(process.pid)
    return {"playbook": [process.pid], "workers": workers, "all": [process.pid, *workers]}[victim]


@dataclasses.dataclass(frozen=True)
class Moment:
    """When to kill in the middle of a task.

    :param prepare: Makes the moment last, so that it cannot be missed.
    :param reached: Whether it is now.
    """

    prepare: t.Callable[[Bed], t.Any]
    reached: t.Callable[[Bed, Playbooks], t.Any]


def _one_landed_one_under_way(_cloud: Bed, playbooks: Playbooks) -> bool:
    return {"landed", "requested"} <= set(states(playbooks))


MOMENTS = {
    "force down obeyed, not answered": Moment(
        lambda cloud: cloud.fail_api(
            service="compute", method="PUT", path="os-services", when="after", status=0, seconds=10
        ),
        lambda cloud, _playbooks: cloud.services()[HOST]["forced_down"],
    ),
    "BMC takes its time": Moment(
        lambda cloud: cloud.bmc_fault(HOST, "delay:4"),
        lambda _cloud, playbooks: "forced_down" in steps(playbooks),
    ),
    "planning": Moment(
        lambda cloud: cloud.fail_api(service="compute", path="os-server-groups", seconds=10),
        lambda cloud, _playbooks: any(cloud.api_fault_hits().values()),
    ),
    "evacuation not yet processed": Moment(
        lambda cloud: cloud.fail_api(**EVACUATE, status=0, seconds=10),
        lambda cloud, _playbooks: requests(cloud),
    ),
    "evacuation accepted, not answered": Moment(
        lambda cloud: cloud.fail_api(**EVACUATE, when="after", status=0, seconds=10),
        lambda cloud, _playbooks: evacuations(cloud),
    ),
    "half way": Moment(slow_spawns, _one_landed_one_under_way),
}


@pytest.mark.parametrize(
    ("moment", "victim"),
    [
        ("force down obeyed, not answered", "playbook"),
        ("BMC takes its time", "all"),
        pytest.param("planning", "workers", marks=pytest.mark.deep),
        ("evacuation not yet processed", "all"),
        pytest.param("evacuation accepted, not answered", "playbook", marks=pytest.mark.deep),
        ("evacuation accepted, not answered", "workers"),
        ("half way", "playbook"),
        pytest.param("half way", "workers", marks=pytest.mark.deep),
        ("half way", "all"),
    ],
)
def test_killed_in_the_middle_the_next_run_finishes(cloud: Bed, recovery: Recovery, moment: str, victim: str) -> None:
    vms = cloud.fill(HOST, 3)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    MOMENTS[moment].prepare(cloud)
    with started(playbooks, evacuate_parallel=1) as process:
        until(lambda: MOMENTS[moment].reached(cloud, playbooks))
        workers = processes.children(process.pid)
        processes.kill(doomed(process, victim))
        assert process.wait(60) != 0

        outcome = playbooks.recover(HOST)

        assert outcome, outcome.out
        until(lambda: not any(map(processes.alive, workers)))
    assert_recovered(cloud, playbooks, vms)
    with playbooks.journal() as journal:
        second, first = journal.runs(limit=2)
    assert (first["state"], second["resumes"]) == ("abandoned", first["id"])


def test_the_orphan_of_a_killed_playbook_changes_nothing_more(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill(HOST, 3)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    slow_spawns(cloud, 8)
    with started(playbooks, evacuate_parallel=1) as process:
        until(lambda: "requested" in states(playbooks))
        orphans = processes.children(process.pid)
        assert any(map(processes.alive, orphans))
        processes.kill([process.pid])
        killed = time.monotonic()
        until(lambda: not any(map(processes.alive, orphans)))

    assert cloud.running().get("cmp02", []) + cloud.running().get("cmp03", []) == [], "it does not wait for its VM"
    assert [line for line in cloud.api_log() if line["monotonic"] > killed] == []
    assert len(evacuations(cloud)) < len(vms)
    assert "requesting" not in states(playbooks), "what was never asked for must not look as if it might have been"
    outcome = playbooks.recover(HOST)
    assert outcome, outcome.out
    assert_recovered(cloud, playbooks, vms)
