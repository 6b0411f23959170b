"""The journal or the clock fails in mid-run: nothing is done that is not written down, and all is recovered."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from bed.client import Bed
from driver import until
from scenes import HOST, RACK, Recovery, assert_recovered, finish, given_up, requests, slow_spawns, started, states


def test_a_journal_that_is_locked_for_a_while_is_waited_for(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill(HOST, 3)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    slow_spawns(cloud, 1)
    with started(playbooks, evacuate_parallel=1) as process:
        until(lambda: "requested" in states(playbooks))
        before = len(requests(cloud))
        journal = sqlite3.connect(playbooks.journal_url.removeprefix("sqlite:///"), timeout=30, isolation_level=None)
        journal.execute("BEGIN IMMEDIATE")
        unlocked = time.monotonic() + 8
        until(lambda: time.monotonic() > unlocked)
        assert len(requests(cloud)) <= before, "nothing is asked for that could not be written down before"
        journal.close()
        out = finish(process)

    assert process.returncode == 0, out
    assert_recovered(cloud, playbooks, vms)


def test_without_its_journal_a_run_changes_nothing_more(cloud: Bed, recovery: Recovery, tmp_path: Path) -> None:
    vms = cloud.fill(HOST, 3)
    playbooks = recovery(RACK)
    playbooks.journal_url = playbooks.environment["OPENSTACK_HA_JOURNAL"] = f"sqlite:///{tmp_path}/kept/journal.db"
    cloud.crash(HOST)
    slow_spawns(cloud)
    with started(playbooks, evacuate_parallel=1) as process:
        until(lambda: (tmp_path / "kept").exists() and "requested" in states(playbooks))
        shutil.move(tmp_path / "kept", tmp_path / "moved")
        lost = time.monotonic()
        out = finish(process)

    assert process.returncode != 0
    assert f"{tmp_path}/kept/journal.db" in out
    assert [line for line in cloud.api_log() if line["monotonic"] > lost] == []
    shutil.rmtree(tmp_path / "kept", ignore_errors=True)
    shutil.move(tmp_path / "moved", tmp_path / "kept")
    outcome = playbooks.recover(HOST)
    assert outcome, outcome.out
    assert_recovered(cloud, playbooks, vms)


@pytest.mark.deep
def test_vms_that_found_no_host_while_a_clock_jumped_are_recovered(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill(HOST, 3)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    refused = threading.Event()

    def jump() -> None:
        while not refused.wait(0.1):
            cloud.jump_clock(60)

    with started(playbooks, evacuate_retry_delay=2) as process:
        until(lambda: requests(cloud))
        clock = threading.Thread(target=jump)
        clock.start()
        try:
            until(lambda: given_up(cloud))
        finally:
            refused.set()
            clock.join()
        out = finish(process)

    assert process.returncode == 0, out
    assert given_up(cloud)
    assert_recovered(cloud, playbooks, vms)
