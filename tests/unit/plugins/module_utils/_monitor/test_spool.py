from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import signal
import threading
import typing as t
from pathlib import Path

import pytest
from unit.plugins.module_utils._monitor.monitor_fakes import Clock, board, said

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor import spool as module
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.errors import MonitorError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.spool import Spool
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.state import Board


@contextlib.contextmanager
def full_disk() -> t.Iterator[None]:
    """No file may have a single byte; Python is told of it by an error instead of a signal."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def crash(states: Board, *names: str) -> None:
    for name in names:
        states.set("instance", name, "failed", "crashed", "killed")


def everything(spool: Spool) -> list[str]:
    return [it["id"] for it in spool.batch(1000, 10**9)]


def killed(spool: Spool) -> None:
    """What kill -9 leaves: nothing more is written, and the lock is free."""
    spool._lock.close()


def test_what_was_not_accepted_is_there_after_a_restart_with_its_number(tmp_path: Path) -> None:
    clock = Clock()
    states, spool = board(clock, tmp_path)
    crash(states, "vm1", "vm2", "vm3")
    spool.drop(everything(spool)[:1])
    assert spool.save()
    before = [(it["id"], it["data"]["epoch"], it["data"]["sequence"]) for it in spool.batch(9, 9999)]
    killed(spool)
    _states, again = board(clock, tmp_path)
    assert [(it["id"], it["data"]["epoch"], it["data"]["sequence"]) for it in again.batch(9, 9999)] == before


def test_a_number_is_never_used_twice_though_the_program_was_killed_before_it_wrote(tmp_path: Path) -> None:
    used: list[tuple[str, int]] = []
    for _life in range(4):
        states, spool = board(Clock(), tmp_path)
        for n in range(3):
            crash(states, f"vm{n}")
            states.set("instance", f"vm{n}", "ok", "ok", "")
        used += [(it["data"]["epoch"], it["data"]["sequence"]) for it in spool.batch(1000, 10**9)]
        killed(spool)
    assert len(set(used)) == len(used) == 24
    assert len({epoch for epoch, _sequence in used}) == 1
    assert used == sorted(used, key=lambda it: it[1])


def test_ages_go_by_the_clock_of_this_boot_and_are_not_known_after_another(tmp_path: Path) -> None:
    clock = Clock()
    states, spool = board(clock, tmp_path)
    crash(states, "vm1")
    clock.now += 12
    assert spool.batch(1, 999)[0]["data"]["age"] == 12.0
    spool.close()
    clock.now += 3
    same = Spool(str(tmp_path), 10**6, clock, boot="boot-1")
    assert same.batch(1, 999)[0]["data"]["age"] == 15.0
    same.close()
    other = Spool(str(tmp_path), 10**6, clock, boot="boot-2")
    assert other.batch(1, 999)[0]["data"]["age"] is None
    assert other.states()[0].since is None


def test_a_repeat_is_left_out_while_the_word_itself_still_waits() -> None:
    clock = Clock()
    states, spool = board(clock)
    crash(states, "vm1")
    for _each in range(10):
        clock.now += 30
        states.repeat()
    assert said(spool) == [("vm1", "crashed", 1)]


def test_older_words_make_room_but_never_the_last_one_of_an_object(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    spool = Spool(None, 6000, clock, boot="boot-1")
    states = Board(spool, "/hosts/cmp01/monitors/instance", "cmp01", 30.0, clock)
    crash(states, *(f"vm{n}" for n in range(5)))
    for n in range(100):
        states.set("instance", "busy", "failed", "crashed" if n % 2 else "paused", str(n))
    kept = said(spool)
    assert [it[0] for it in kept if it[0] != "busy"] == [f"vm{n}" for n in range(5)]
    assert kept[-1] == ("busy", "crashed", 105)
    assert len(json.dumps(spool.batch(1000, 10**9))) < 7000
    assert "older words were dropped" in caplog.text
    crash(states, *(f"more{n}" for n in range(50)))
    assert {it[0] for it in said(spool)} == {"busy", *(f"vm{n}" for n in range(5)), *(f"more{n}" for n in range(50))}


def test_repeats_make_room_before_news() -> None:
    clock = Clock()
    spool = Spool(None, 10**6, clock, boot="boot-1")
    states = Board(spool, "/hosts/cmp01/monitors/instance", "cmp01", 30.0, clock)
    states.set("instance", "news", "failed", "paused", "")
    crash(states, "news", "old")
    spool.drop(everything(spool)[-1:])
    clock.now += 30
    states.repeat()
    states.set("instance", "old", "ok", "ok", "")
    assert [it[:2] for it in said(spool)] == [
        ("news", "paused"),
        ("news", "crashed"),
        ("old", "crashed"),
        ("old", "ok"),
    ]
    spool._limit = sum(it.size for it in spool._items.values()) - 1
    states.set("instance", "x", "ok", "ok", "")
    left = [("news", "paused"), ("news", "crashed"), ("old", "ok"), ("x", "ok")]
    assert [it[:2] for it in said(spool)] == left, "the repeat is gone, though it was not the oldest"


def test_a_batch_is_limited_but_has_at_least_one_signal() -> None:
    states, spool = board(Clock())
    crash(states, "vm1", "vm2", "vm3")
    assert len(spool.batch(2, 10**6)) == 2
    assert len(spool.batch(9, 1)) == 1
    assert len(spool.batch(9, 1200)) == 2


def test_a_full_disk_delays_nothing_and_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    states, spool = board(Clock(), tmp_path)
    crash(states, "vm1")
    with full_disk():
        assert not spool.save()
        crash(states, "vm2")
        assert not spool.save()
    assert [it[0] for it in said(spool)] == ["vm1", "vm2"]
    assert caplog.text.count("kept in memory only") == 1
    assert spool.wait_unwritten(0.0), "it is tried again"
    assert spool.save()
    assert "written again" in caplog.text
    assert sorted(os.listdir(tmp_path)) == ["spool.json", "spool.lock"], "nothing is left of the attempts"
    killed(spool)
    _states, again = board(Clock(), tmp_path)
    assert [it[0] for it in said(again)] == ["vm1", "vm2"]


def test_numbers_that_a_full_disk_could_not_promise_belong_to_a_new_epoch(tmp_path: Path) -> None:
    states, spool = board(Clock(), tmp_path)
    spool.close()
    with full_disk():
        states, spool = board(Clock(), tmp_path)
        crash(states, "vm1")
        lost = spool.batch(1, 999)[0]["data"]
        killed(spool)
    states, spool = board(Clock(), tmp_path)
    crash(states, "vm1")
    now = spool.batch(1, 999)[0]["data"]
    assert (now["epoch"], now["sequence"]) != (lost["epoch"], lost["sequence"])


def test_a_directory_that_cannot_be_used_leaves_all_in_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    states, spool = board(Clock(), tmp_path / "file")
    crash(states, "vm1")
    assert said(spool) == [("vm1", "crashed", 1)]
    assert "cannot be used, so its signals are kept in memory only" in caplog.text
    assert not spool.save()
    spool.close()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"version": 2}', '{"version": 1, "boot": "", "states": [{}]}']
)
def test_a_file_that_cannot_be_read_is_put_aside(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "spool.json").write_text(content)
    states, spool = board(Clock(), tmp_path)
    crash(states, "vm1")
    assert said(spool) == [("vm1", "crashed", 1)]
    assert (tmp_path / "spool.json.broken").read_text() == content
    assert "begun anew" in caplog.text


def test_only_one_process_has_a_spool(tmp_path: Path) -> None:
    _states, spool = board(Clock(), tmp_path)
    with pytest.raises(MonitorError, match="another monitor of this kind has it"):
        board(Clock(), tmp_path)
    spool.close()
    board(Clock(), tmp_path)[1].close()


def test_who_may_wait_gets_the_spool_when_it_is_free(tmp_path: Path) -> None:
    _states, spool = board(Clock(), tmp_path)
    thread = threading.Thread(target=lambda: Spool(str(tmp_path), 10**6, patience=60.0).close())
    thread.start()
    spool.close()
    thread.join(60)
    assert not thread.is_alive()


def test_what_is_refused_for_good_is_put_aside_for_people(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REFUSED", 3)
    states, spool = board(Clock(), tmp_path)
    crash(states, *(f"vm{n}" for n in range(5)))
    for event_id in everything(spool):
        spool.refuse(event_id, "400 no such host")
    spool.refuse("unknown", "")
    assert not len(spool)
    kept = [json.loads(path.read_text()) for path in (tmp_path / "refused").iterdir()]
    assert len(kept) == 3
    assert {it["why"] for it in kept} == {"400 no such host"}
    assert "signal refused for good: 400 no such host" in caplog.text


def test_others_cannot_read_what_is_spooled(tmp_path: Path) -> None:
    _states, spool = board(Clock(), tmp_path / "new")
    spool.close()
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "new" / "spool.json").stat().st_mode & 0o777 == 0o600


def test_those_who_wait_are_woken_by_a_signal_and_by_the_end() -> None:
    states, spool = board(Clock())
    woken: list[bool] = []
    thread = threading.Thread(target=lambda: woken.append(spool.wait(60.0)))
    thread.start()
    crash(states, "vm1")
    thread.join(60)
    spool.drop(everything(spool))
    thread = threading.Thread(target=lambda: woken.append(spool.wait(60.0)))
    thread.start()
    spool.end()
    thread.join(60)
    assert woken == [True, False]


def test_each_word_tells_how_long_ago_it_was_said_and_how_long_ago_that_began(tmp_path: Path) -> None:
    clock = Clock()
    states, spool = board(clock, tmp_path)
    crash(states, "vm1")
    spool.drop(everything(spool))
    clock.now += 40
    states.repeat()
    clock.now += 5
    (word,) = spool.batch(9, 9999)
    assert (word["data"]["age"], word["data"]["said_age"]) == (45.0, 5.0)
    assert spool.save()
    killed(spool)
    clock.now += 5
    _states, again = board(clock, tmp_path)
    assert again.batch(9, 9999)[0]["data"]["said_age"] == 10.0


def test_when_a_word_from_before_a_restart_of_the_machine_was_said_is_not_known(tmp_path: Path) -> None:
    states, spool = board(Clock(), tmp_path)
    crash(states, "vm1")
    assert spool.save()
    killed(spool)
    again = Spool(str(tmp_path), 1024 * 1024, Clock(5.0), boot="boot-2")
    assert again.batch(9, 9999)[0]["data"]["said_age"] is None
