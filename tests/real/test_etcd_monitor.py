"""The kind ``etcd`` against real members of etcd."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import typing as t
import urllib.request
from pathlib import Path

import pytest
from driver import until
from monitor_program import Monitor
from signal_sink import Sink, sink

PREFIX = "openstack_ha/hosts/"


class Etcd:
    """A cluster on this machine."""

    def __init__(self, directory: Path, members: int) -> None:
        self._ports = [(_free_port(), _free_port()) for _each in range(members)]
        peers = ",".join(f"m{n}=http://127.0.0.1:{peer}" for n, (_client, peer) in enumerate(self._ports))
        self._processes = [self._start(directory / f"m{n}", n, peers) for n in range(members)]
        self.urls = [f"http://127.0.0.1:{client}" for client, _peer in self._ports]

    def _start(self, directory: Path, number: int, peers: str) -> subprocess.Popen[bytes]:
        client, peer = (f"http://127.0.0.1:{port}" for port in self._ports[number])
        options = {
            "name": f"m{number}",
            "data-dir": str(directory),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": peers,
            "log-level": "error",
        }
        argv = ["etcd", *(f"--{name}={value}" for name, value in options.items())]
        environment = {**os.environ, "ETCD_UNSUPPORTED_ARCH": os.uname().machine}
        quiet = subprocess.DEVNULL
        return subprocess.Popen(argv, env=environment, stdin=quiet, stdout=quiet, stderr=quiet)

    def call(self, path: str, request: dict[str, t.Any], member: int = 0) -> dict[str, t.Any]:
        """A request to a member, when it answers."""

        def attempt() -> dict[str, t.Any] | None:
            post = urllib.request.Request(f"{self.urls[member]}{path}", json.dumps(request).encode(), method="POST")
            with contextlib.suppress(OSError), urllib.request.urlopen(post, timeout=10) as answer:
                return dict(json.load(answer))
            return None

        return t.cast("dict[str, t.Any]", until(attempt, 90))

    def put(self, host: str, ttl: int = 3600, member: int = 0) -> None:
        """Put the key of a host there, with a lease."""
        lease = self.call("/v3/lease/grant", {"TTL": ttl}, member)["ID"]
        self.call("/v3/kv/put", {"key": _coded(PREFIX + host), "value": _coded("1"), "lease": lease}, member)

    def delete(self, host: str, member: int = 0) -> None:
        """Let the key go."""
        self.call("/v3/kv/deleterange", {"key": _coded(PREFIX + host)}, member)

    def signal(self, member: int, number: int) -> None:
        """Send a member a signal."""
        self._processes[member].send_signal(number)

    def end(self) -> None:
        """Kill all members."""
        for process in self._processes:
            process.kill()
            process.wait()


@pytest.fixture
def signals() -> t.Iterator[Sink]:
    """What the monitor has said."""
    with sink() as made:
        yield made


@contextlib.contextmanager
def following(tmp_path: Path, signals: Sink, members: int, **options: t.Any) -> t.Iterator[tuple[Etcd, Monitor]]:
    """A cluster of etcd and a monitor that follows it."""
    if not shutil.which("etcd"):
        pytest.skip("etcd is not installed here; `make packages` installs it")
    etcd = Etcd(tmp_path, members)
    monitor = Monitor(
        tmp_path,
        "etcd",
        signals.url,
        {"endpoints": etcd.urls, "prefix": PREFIX, **options},
        principal="reporter:etcd",
        repeat=1,
    )
    try:
        etcd.put("cmp01")
        etcd.put("cmp02")
        monitor.start()
        until(lambda: f"following {PREFIX}" in monitor.log(), 90)
        yield etcd, monitor
    finally:
        monitor.kill()
        etcd.end()
        print(monitor.log())


def word(signals: Sink, host: str, type_: str) -> t.Any:
    """The first signal of this type about a host."""
    return signals.wait(lambda it: it.data["host"] == host and it.type == f"openstack_ha.host.{type_}", 90)


def test_a_host_whose_lease_ends_is_told_and_told_again_when_it_has_one(tmp_path: Path, signals: Sink) -> None:
    # So rarely are the keys read that it must be the watch that tells.
    with following(tmp_path, signals, 1, poll=300) as (etcd, monitor):
        etcd.put("cmp03", ttl=1)
        found = word(signals, "cmp03", "unreachable")
        assert (found.object, found.data["reporter"], found.data["state"]) == ("", "etcd", "failed")
        etcd.put("cmp03")
        word(signals, "cmp03", "reachable")
        assert {it.data["host"] for it in signals.all()} == {"cmp03"}
        monitor.kill()
        etcd.delete("cmp02")
        monitor.start()
        word(signals, "cmp02", "unreachable")  # it went while nobody looked


def test_a_member_that_dies_or_is_cut_off_is_left_for_another_one(tmp_path: Path, signals: Sink) -> None:
    with following(tmp_path, signals, 3, poll=1, timeout=1) as (etcd, monitor):
        etcd.signal(0, signal.SIGSTOP)  # it keeps its connections, and answers nothing
        try:
            until(lambda: f"at {etcd.urls[1]}" in monitor.log(), 90)
            etcd.delete("cmp01", member=1)
            word(signals, "cmp01", "unreachable")
            etcd.signal(2, signal.SIGSTOP)  # no majority: nothing can be known
            until(lambda: monitor.log().count("no answer from etcd") >= 4, 90)
        finally:
            etcd.signal(0, signal.SIGCONT)
            etcd.signal(2, signal.SIGCONT)
        assert not [it for it in signals.all() if it.data["host"] == "cmp02"]
        etcd.delete("cmp02", member=1)
        word(signals, "cmp02", "unreachable")


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
