from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import threading
import typing as t
from pathlib import Path

import pytest
from unit.plugins.module_utils._monitor.monitor_fakes import configuration

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor import __main__ as program
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.config import Config
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.errors import MonitorError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.report import Answer, Http
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.state import Board

Run = t.Callable[[Config, Board, threading.Event], None]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "monitor.json"
    path.write_text(json.dumps(configuration(spool={"directory": str(tmp_path / "spool")}, repeat=3600)))
    return path


@pytest.fixture
def delivered(monkeypatch: pytest.MonkeyPatch) -> list[t.Any]:
    """What a responder has accepted."""
    events: list[t.Any] = []

    def post(_self: Http, _responder: t.Any, batch: t.Sequence[t.Any]) -> Answer:
        events.extend(batch)
        return Answer(202, accepted=tuple(it["id"] for it in batch))

    monkeypatch.setattr(Http, "__call__", post)
    return events


@pytest.fixture(autouse=True)
def _handlers() -> t.Iterator[None]:
    before = {it: signal.getsignal(it) for it in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def kinds(monkeypatch: pytest.MonkeyPatch, **runs: Run) -> None:
    """Kinds that do what the test says."""
    monkeypatch.setattr(program, "KINDS", {name: name for name in runs})
    monkeypatch.setattr(program, "ONCE", {name: name for name in runs if name == "once"})
    monkeypatch.setattr(program, "_load", runs.__getitem__)


def wait(_config: Config, _board: Board, stop: threading.Event) -> None:
    stop.wait(60)


def told_to_stop(_config: Config, _board: Board, stop: threading.Event) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    stop.wait(60)


def fail_then_stop(_config: Config, board: Board, stop: threading.Event) -> None:
    board.set("network", "admin", "failed", "lost", "pulled")
    os.kill(os.getpid(), signal.SIGTERM)
    stop.wait(60)
    board.set("network", "admin", "ok", "ok", "last words")


def test_a_kind_runs_until_a_signal_comes_and_its_last_words_are_delivered(
    monkeypatch: pytest.MonkeyPatch, file: Path, delivered: list[t.Any]
) -> None:
    kinds(monkeypatch, network=fail_then_stop)
    assert program.main(["network", "--config", str(file)]) == 0
    assert [it["data"]["state"] for it in delivered] == ["failed", "ok"]
    assert {it["source"] for it in delivered} == {"/hosts/cmp01/monitors/network"}


def test_several_kinds_run_in_one_program_with_a_spool_each(
    monkeypatch: pytest.MonkeyPatch, file: Path, delivered: list[t.Any]
) -> None:
    met = threading.Barrier(2)

    def meet(config: Config, board: Board, stop: threading.Event) -> None:
        met.wait(60)
        fail_then_stop(config, board, stop)

    kinds(monkeypatch, network=meet, etcd=meet)
    assert program.main(["network:etcd", "--config", str(file)]) == 0
    assert {it["source"].rpartition("/")[2] for it in delivered} == {"network", "etcd"}
    assert sorted(os.listdir(file.parent / "spool")) == ["etcd", "network"]


@pytest.mark.parametrize("ends", ["fails", "returns"])
def test_a_kind_that_ends_by_itself_ends_the_program_with_an_error(
    monkeypatch: pytest.MonkeyPatch, file: Path, caplog: pytest.LogCaptureFixture, ends: str
) -> None:
    def run(_config: Config, _board: Board, _stop: threading.Event) -> None:
        if ends == "fails":
            raise RuntimeError("broken")

    kinds(monkeypatch, network=run, etcd=wait)
    assert program.main(["network,etcd", "--config", str(file)]) == 1
    assert "network failed" in caplog.text or "network ended by itself" in caplog.text


def test_what_was_not_delivered_is_delivered_after_the_next_start(
    monkeypatch: pytest.MonkeyPatch, file: Path, delivered: list[t.Any]
) -> None:
    post = Http.__call__
    monkeypatch.setattr(Http, "__call__", lambda *_what: Answer(0, "nobody is there"))
    kinds(monkeypatch, network=fail_then_stop)
    assert program.main(["network", "--config", str(file)]) == 0
    assert delivered == []
    monkeypatch.setattr(Http, "__call__", post)
    kinds(monkeypatch, network=told_to_stop)
    assert program.main(["network", "--config", str(file)]) == 0
    assert [it["data"]["state"] for it in delivered] == ["failed", "ok"]


def test_systemd_is_told_that_the_program_is_ready_at_work_and_stopping(
    monkeypatch: pytest.MonkeyPatch, file: Path, delivered: list[t.Any]
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(file.parent / "notify"))
        systemd.settimeout(0.1)
        told: list[str] = []

        def run(_config: Config, board: Board, stop: threading.Event) -> None:
            while "WATCHDOG=1" not in told:
                board.alive("network")
                with contextlib.suppress(TimeoutError):
                    told.append(systemd.recv(99).decode())
            os.kill(os.getpid(), signal.SIGTERM)
            stop.wait(60)

        monkeypatch.setenv("NOTIFY_SOCKET", str(file.parent / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "1500000")
        kinds(monkeypatch, network=run)
        assert program.main(["network", "--config", str(file)]) == 0
        with contextlib.suppress(TimeoutError):
            while True:
                told.append(systemd.recv(99).decode())
    assert told[0] == "READY=1"
    assert "STOPPING=1" in told


def test_of_a_kind_that_cannot_work_here_systemd_is_not_told_that_it_is_ready(
    monkeypatch: pytest.MonkeyPatch, file: Path, delivered: list[t.Any]
) -> None:
    def run(_config: Config, _board: Board, _stop: threading.Event) -> None:
        raise MonitorError("there is nothing to watch")

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(file.parent / "notify"))
        systemd.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(file.parent / "notify"))
        monkeypatch.setattr(program, "_BEGIN", 60.0)
        kinds(monkeypatch, network=run)
        assert program.main(["network", "--config", str(file)]) == 1
        assert systemd.recv(99).decode() != "READY=1"


def once(_config: Config, board: Board, _stop: threading.Event) -> None:
    board.set("host", "", "failed", "unreachable", "fenced", host="cmp07")


def test_what_runs_once_delivers_and_ends(monkeypatch: pytest.MonkeyPatch, file: Path, delivered: list[t.Any]) -> None:
    kinds(monkeypatch, once=once)
    assert program.main(["once", "--config", str(file)]) == 0
    assert [it["data"]["host"] for it in delivered] == ["cmp07"]


def test_what_runs_once_says_what_it_learns_though_it_said_so_before(
    monkeypatch: pytest.MonkeyPatch, file: Path, delivered: list[t.Any]
) -> None:
    def another(_config: Config, board: Board, _stop: threading.Event) -> None:
        board.set("host", "", "failed", "unreachable", "fenced", host="cmp08")

    for run in (once, another, once):
        kinds(monkeypatch, once=run)
        assert program.main(["once", "--config", str(file)]) == 0
    assert [it["data"]["host"] for it in delivered] == ["cmp07", "cmp08", "cmp07"]
    assert len({it["id"] for it in delivered}) == 3


def test_what_runs_once_leaves_in_the_file_what_it_cannot_deliver(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setattr(Http, "__call__", lambda *_what: Answer(0, "nobody is there"))
    monkeypatch.setattr(program, "_FLUSH", 0.0)
    kinds(monkeypatch, once=once)
    assert program.main(["once", "--config", str(file)]) == 1
    assert len(json.loads((file.parent / "spool" / "once" / "spool.json").read_text())["queue"]) == 1


def test_kind_host_writes_nothing(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    kinds(monkeypatch, host=told_to_stop)
    assert program.main(["host", "--config", str(file)]) == 0
    assert not (file.parent / "spool").exists()


def test_the_watchdog_does_the_work_of_kind_host_too() -> None:
    assert program._kinds("host:watchdog,network") == ["watchdog", "network"]


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("none", None, "no such kind: none; there are etcd, host"),
        ("host", "{", "cannot be read"),
        ("check-config", '{"host": ""}', "host: must be at least 1 characters"),
    ],
)
def test_mistakes_are_told(
    file: Path, kind: str, content: str | None, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    if content is not None:
        file.write_text(content)
    assert program.main([kind, "--config", str(file)]) == 2
    assert message in caplog.text


def test_a_configuration_can_be_checked(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert program.main(["check-config", "--config", str(file)]) == 0
    assert caplog.text == ""
