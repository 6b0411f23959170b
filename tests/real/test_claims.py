"""One run per host: who comes second is told who is first, and who lost its claim changes nothing more."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
import typing as t

import processes
from bed.client import Bed
from driver import Playbooks, until
from scenes import (
    HOST,
    RACK,
    Recovery,
    assert_moved_once,
    assert_recovered,
    evacuations,
    slow_spawns,
    started,
    states,
)

ELSEWHERE = {"user": "eve", "hostname": "ctl2", "boot_id": "another-boot", "pid_namespace": "pid:[7]", "pid": 7}


def change_claim(playbooks: Playbooks, assignments: str, *values: t.Any) -> None:
    """Change the claim on HOST behind the back of its holder."""
    with contextlib.closing(sqlite3.connect(playbooks.journal_url.removeprefix("sqlite:///"), timeout=30)) as journal:
        changed = journal.execute(f"UPDATE claims SET {assignments} WHERE host = ?", (*values, HOST))
        journal.commit()
        assert changed.rowcount == 1


def killed_in_mid_evacuation(cloud: Bed, playbooks: Playbooks) -> None:
    slow_spawns(cloud)
    with started(playbooks, evacuate_parallel=1) as process:
        until(lambda: "requested" in states(playbooks))
        processes.kill([process.pid, *processes.children(process.pid)])


def test_the_second_run_is_told_who_holds_the_claim(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill(HOST, 2)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    slow_spawns(cloud, 6)
    with started(playbooks) as first:
        until(lambda: "requested" in states(playbooks))
        with playbooks.journal() as journal:
            run = journal.runs(limit=1)[0]

        second = playbooks.recover(HOST)

        assert first.poll() is None, "the second run must answer while the first is at work"
        assert second.rc != 0
        words = " ".join(second.out.split())
        assert f"run {run['id']} of {run['holder']['user']}@{run['holder']['hostname']}" in words, second.out
        assert f"process {first.pid}," in words
        assert first.wait(120) == 0
    assert_moved_once(cloud, vms)
    with playbooks.journal() as journal:
        refused, won = journal.runs(limit=2)
    assert (won["id"], won["state"], won["outcome"]["vms"]) == (run["id"], "closed", {"verified": 2})
    assert HOST in refused["outcome"]["refused"]


def test_of_two_runs_started_together_one_wins(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill(HOST, 3)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    slow_spawns(cloud)
    with started(playbooks) as one, started(playbooks) as other:
        outs = [process.communicate(timeout=120)[0] for process in (one, other)]

    codes = [one.returncode, other.returncode]
    assert 0 in codes, outs
    for code, out in zip(codes, outs):
        assert code == 0 or "is at work on it" in out, out
    assert_moved_once(cloud, vms)


def test_a_silent_claim_of_another_machine_is_taken_over_after_its_lease(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill(HOST, 2)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    killed_in_mid_evacuation(cloud, playbooks)
    change_claim(playbooks, "holder = ?, lease_seconds = 4", json.dumps(ELSEWHERE))

    outcome = playbooks.recover(HOST)

    assert outcome, outcome.out
    assert "Watching for 4 s whether" in outcome.out
    assert "eve@ctl2" in outcome.out
    assert outcome.seconds > 4
    assert_recovered(cloud, playbooks, vms)
    for line in playbooks.report()["ledger"]:
        assert (line["attempts"], line["request_id"][:4]) == (1, "req-"), "also what the first run had asked for"


def test_a_beating_claim_of_another_machine_is_respected(cloud: Bed, recovery: Recovery) -> None:
    cloud.fill(HOST, 2)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    killed_in_mid_evacuation(cloud, playbooks)
    change_claim(playbooks, "holder = ?", json.dumps(ELSEWHERE))
    cloud.reset_api_calls()
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(0.2):
            change_claim(playbooks, "beats = beats + 1")

    heart = threading.Thread(target=beat)
    heart.start()
    try:
        outcome = playbooks.recover(HOST)
    finally:
        ended.set()
        heart.join()

    assert outcome.rc != 0
    assert "eve@ctl2" in outcome.out
    assert cloud.api_log() == []
    assert cloud.ever_ran_twice() == []


def test_a_run_whose_claim_was_stolen_changes_nothing_more(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill(HOST, 3)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    slow_spawns(cloud)
    with started(playbooks, evacuate_parallel=1) as robbed:
        until(lambda: "requested" in states(playbooks))
        change_claim(playbooks, "run_id = 'thief', token = token + 1, holder = ?", json.dumps(ELSEWHERE))
        stolen = time.monotonic()
        before = len(evacuations(cloud))
        out = robbed.communicate(timeout=120)[0]

    assert robbed.returncode != 0
    assert "lost its claim on cmp01: cmp01 is held by run thief of eve@ctl2" in " ".join(out.split()), out
    # a look that had begun with the claim may still read what it wanted to
    assert [line for line in cloud.api_log() if line["monotonic"] > stolen and line["method"] != "GET"] == []
    assert len(evacuations(cloud)) == before < len(vms)
    with playbooks.journal() as journal:
        assert journal.runs(limit=1)[0]["state"] == "open", "it has no right to close what another run works on"
    change_claim(playbooks, "lease_seconds = 1")
    outcome = playbooks.recover(HOST)
    assert outcome, outcome.out
    assert_recovered(cloud, playbooks, vms)
