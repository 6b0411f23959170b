# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
import typing as t

import pytest
import sqlalchemy as sa

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import LeaseLost
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims, holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.lease import Lease
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal

LEASE = 30.0
ELSEWHERE = {"user": "eve", "hostname": "ctl2", "boot_id": "other", "pid": 7}


class Time:
    """A clock that only sleeping moves, and what happens while somebody sleeps."""

    def __init__(self, meanwhile: t.Callable[[], object] = lambda: None, per_look: float = 0.0) -> None:
        self.now = 1000.0
        self.meanwhile, self.per_look = meanwhile, per_look

    def clock(self) -> float:
        self.now += self.per_look
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()


def _take(journal: Journal, run_id: str, *hosts: str, who: dict[str, t.Any] | None = None) -> None:
    claims.take(journal, [("R", host) for host in hosts], run_id, who or ELSEWHERE, LEASE, alive=lambda it: False)


def _lease(journal: Journal, run_id: str, *hosts: str, time: Time | None = None) -> Lease:
    time = time or Time()
    return Lease.of_run(journal, run_id, hosts, time.clock, time.sleep)


def _beats(journal: Journal) -> dict[str, int]:
    query = sa.text("SELECT host, beats FROM claims")
    return journal.database.read(lambda connection: {row[0]: row[1] for row in connection.execute(query)})


def _until(reached: t.Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_renewal_beats_for_all_hosts_or_for_one(journal: Journal) -> None:
    _take(journal, "run1", "cmp01", "cmp03")
    lease = _lease(journal, "run1", "cmp01", "cmp03")
    lease.renew()
    lease.renew("cmp03")
    assert _beats(journal) == {"cmp01": 1, "cmp03": 2}
    assert (lease.tokens, lease.seconds) == ({"cmp01": 1, "cmp03": 1}, LEASE)


def test_a_run_without_claim_gets_no_lease(journal: Journal) -> None:
    _take(journal, "run1", "cmp01")
    with pytest.raises(LeaseLost, match="holds no claim on cmp03: nobody holds it now"):
        _lease(journal, "run1", "cmp01", "cmp03")
    with pytest.raises(LeaseLost, match="cmp01 is held by run run1 of eve@ctl2"):
        _lease(journal, "run2", "cmp01")


def test_a_run_without_hosts_gets_no_lease(journal: Journal) -> None:
    with pytest.raises(LeaseLost):
        _lease(journal, "run1")


def test_who_took_over_is_named_and_the_loss_is_for_ever(journal: Journal) -> None:
    _take(journal, "run1", "cmp01", "cmp03")
    lease = _lease(journal, "run1", "cmp01", "cmp03")
    _take(journal, "run2", "cmp03")
    before = _beats(journal)
    with pytest.raises(LeaseLost, match="cmp03 is held by run run2 of eve@ctl2, process 7"):
        lease.renew()
    assert _beats(journal) == before, "a renewal that fails for one host beats for none"
    claims.release(journal, "run2", ["cmp03"])
    with pytest.raises(LeaseLost):
        lease.renew("cmp01")


def test_the_same_run_with_an_older_token_has_lost(journal: Journal) -> None:
    _take(journal, "run1", "cmp03")
    old = _lease(journal, "run1", "cmp03")
    claims.release(journal, "run1", ["cmp03"])
    _take(journal, "run1", "cmp03")
    with pytest.raises(LeaseLost):
        old.renew()
    _lease(journal, "run1", "cmp03").renew()


def test_what_is_written_with_a_renewal_is_written_by_the_holder_only(journal: Journal) -> None:
    _take(journal, "r1", "h1")
    lease = _lease(journal, "r1", "h1")
    mark = sa.text("UPDATE claims SET taken_at = :who")

    lease.renew("h1", also=lambda connection: connection.execute(mark, {"who": "r1"}))
    assert claims.held(journal, "r1", ["h1"])[0]["taken_at"] == "r1"

    _take(journal, "r2", "h1")
    with pytest.raises(LeaseLost):
        lease.renew("h1", also=lambda connection: connection.execute(mark, {"who": "r1"}))
    assert claims.held(journal, "r2", ["h1"])[0]["taken_at"] != "r1"


@pytest.fixture
def impatient(url: str) -> t.Iterator[Journal]:
    """A journal that does not wait for other writers, so that a locked database fails at once."""
    with open_journal(f"{url}?timeout=0") as journal:
        yield journal


@pytest.fixture
def outage(impatient: Journal, tmp_path: t.Any) -> t.Iterator[sqlite3.Connection]:
    """Somebody who locks the database until the connection is rolled back."""
    _take(impatient, "run1", "cmp03")
    other = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    yield other
    other.close()


def test_a_short_outage_is_sat_out(impatient: Journal, outage: sqlite3.Connection) -> None:
    clock = Time(lambda: outage.rollback() if clock.now > 1010 else None)
    lease = _lease(impatient, "run1", "cmp03", time=clock)
    outage.execute("BEGIN IMMEDIATE")
    lease.renew()
    assert 1010 < clock.now < 1012
    assert _beats(impatient) == {"cmp03": 1}


def test_an_outage_longer_than_the_lease_loses_it_for_ever(impatient: Journal, outage: sqlite3.Connection) -> None:
    clock = Time()
    lease = _lease(impatient, "run1", "cmp03", time=clock)
    outage.execute("BEGIN IMMEDIATE")
    with pytest.raises(LeaseLost, match=r"could not be renewed for 30 s: .*database is locked"):
        lease.renew()
    assert 1028 < clock.now <= 1000 + LEASE
    outage.rollback()
    with pytest.raises(LeaseLost):
        lease.renew()


def test_a_lease_is_lost_at_once_with_the_file_that_it_is_written_in(journal: Journal, tmp_path: t.Any) -> None:
    _take(journal, "r1", "h1")
    clock = Time()
    lease = _lease(journal, "r1", "h1", time=clock)
    (tmp_path / "journal.db").rename(tmp_path / "moved.db")
    with pytest.raises(LeaseLost, match="removed or replaced"):
        lease.renew()
    assert clock.now == 1000
    with pytest.raises(LeaseLost, match="removed or replaced"):
        lease.check()


def test_an_answer_that_took_most_of_the_lease_is_no_answer(journal: Journal) -> None:
    _take(journal, "run1", "cmp03")
    clock = Time()
    lease = _lease(journal, "run1", "cmp03", time=clock)
    clock.per_look = LEASE * 0.4
    lease.renew()
    clock.per_look = LEASE * 0.6
    with pytest.raises(LeaseLost, match="answers too slowly"):
        lease.renew()


def test_the_background_keeps_the_lease_and_stops_with_the_block(journal: Journal) -> None:
    _take(journal, "run1", "cmp03")
    lease = _lease(journal, "run1", "cmp03")
    with lease.keep(0.005):
        _until(lambda: _beats(journal)["cmp03"] >= 3)
        lease.renew()
    assert "lease" not in [thread.name for thread in threading.enumerate()]


def test_what_the_background_saw_is_raised_by_the_next_renewal(journal: Journal) -> None:
    _take(journal, "run1", "cmp03")
    lease = _lease(journal, "run1", "cmp03")
    with lease.keep(0.005):
        _set_run(journal, "run2")
        _until(lambda: "lease" not in [thread.name for thread in threading.enumerate()])
        _set_run(journal, "run1")
        with pytest.raises(LeaseLost, match="held by run run2"):
            lease.renew()


def _set_run(journal: Journal, run_id: str) -> None:
    statement = sa.text("UPDATE claims SET run_id = :run")
    journal.database.write(lambda connection: connection.execute(statement, {"run": run_id}))


def test_threads_renew_side_by_side(journal: Journal) -> None:
    _take(journal, "run1", "cmp03")
    lease = _lease(journal, "run1", "cmp03")
    threads = [threading.Thread(target=lambda: [lease.renew("cmp03") for _index in range(10)]) for _thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _beats(journal) == {"cmp03": 80}


def test_a_task_whose_holder_died_stops(journal: Journal) -> None:
    process = subprocess.Popen(["sleep", "60"])
    try:
        _take(journal, "run1", "cmp03", who=holder.describe(process.pid))
        lease = _lease(journal, "run1", "cmp03")
        lease.renew()
    finally:
        process.kill()
        process.wait()
    with pytest.raises(LeaseLost, match=f"process {process.pid} is gone"):
        lease.renew()


ORPHAN = """
import os, sys, time
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import LeaseLost
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.lease import Lease
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal
url, answer = sys.argv[1:]
reader, writer = os.pipe()
if os.fork():
    os.close(writer)
    os.read(reader, 1)
    os._exit(0)
parent = os.getppid()
lease = Lease.of_run(open_journal(url), "run1", ["cmp03"])
lease.renew()
os.write(writer, b"x")
deadline = time.monotonic() + 20
while os.getppid() == parent and time.monotonic() < deadline:
    time.sleep(0.005)
try:
    lease.renew()
    said = "renewed"
except LeaseLost as lost:
    said = lost.message
with open(answer + ".new", "w") as file:
    file.write(said)
os.rename(answer + ".new", answer)
"""


def test_a_worker_whose_ansible_playbook_was_killed_stops(journal: Journal, url: str, tmp_path: t.Any) -> None:
    _take(journal, "run1", "cmp03")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = tmp_path / "answer"
    subprocess.run([sys.executable, "-c", ORPHAN, url, str(answer)], env=environment, check=True)
    _until(answer.exists)
    assert "the process that started this one is gone" in answer.read_text()
