from __future__ import annotations

import os
import socket
import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.notify import Notifier


@pytest.fixture
def systemd(tmp_path: Path) -> t.Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        opened.bind(str(tmp_path / "notify"))
        opened.settimeout(60)
        yield opened


def test_systemd_is_told(systemd: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "30000000"})
    assert notifier.patience == 30.0
    notifier.ready()
    notifier.alive()
    notifier.extend(20.0)
    notifier.stopping()
    assert [systemd.recv(99) for _each in range(4)] == [
        b"READY=1", b"WATCHDOG=1", b"EXTEND_TIMEOUT_USEC=20000000", b"STOPPING=1",
    ]  # fmt: skip


def test_names_in_the_abstract_namespace_are_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        opened.bind("")  # the kernel finds a name
        opened.settimeout(60)
        Notifier({"NOTIFY_SOCKET": "@" + opened.getsockname()[1:].decode()}).ready()
        assert opened.recv(99) == b"READY=1"


@pytest.mark.parametrize(
    "environment",
    [{}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": str(os.getpid() + 1)}],
)
def test_without_systemd_nothing_happens(environment: dict[str, str]) -> None:
    notifier = Notifier(environment)
    assert notifier.patience == 0.0
    notifier.ready()
    notifier.alive()


def test_a_socket_that_is_gone_does_no_harm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready()
    assert "cannot tell systemd READY=1" in caplog.text
