"""Responders as processes of their own, and hosts that beat for them over loopback."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import typing as t
import urllib.error
import urllib.request
from pathlib import Path

from driver import until
from journal_servers import free_ports
from tree import collections_path

MASTER = "5e" * 32
MODULE = "ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder"
NETWORKS = ("admin", "storage")

#: Short, so that a test takes seconds; no storms, as six hosts are not many.
POLICY = {
    "gates": {"start_grace": 1, "witnesses": {"ask_after": 3600}, "cool_down": 0},
    "budgets": {name: {"at_once": 10, "per_hour": 100} for name in ("cloud", "segment", "failure_domain")},
}


def token(principal: str) -> str:
    """The token of a principal."""
    from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.credentials import token_of

    return token_of(bytes.fromhex(MASTER), principal)


@dataclasses.dataclass
class Responder:
    """One responder: start it, ask it, end it."""

    name: str
    directory: Path
    ports: list[int]
    journal_url: str
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def log(self) -> str:
        return (self.directory / f"{self.name}.log").read_text(errors="replace")

    def start(self, ready: bool = True) -> Responder:
        """Start it; with ``ready``, wait until it decides."""
        with (self.directory / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", MODULE, "serve", "--config", str(self.directory / f"{self.name}.yml")],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        if ready:
            until(self.healthy, 60)
        return self

    def kill(self) -> None:
        """kill -9 of the responder alone."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and wait for its end."""
        assert self.process
        self.process.terminate()
        return self.process.wait(60)

    def clean(self) -> None:
        """Whatever is left of it ends."""
        if self.process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def get(self, path: str) -> tuple[int, str]:
        """GET with the credential of a reader."""
        request = urllib.request.Request(self.url + path, headers=bearer("reader:test"))
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def healthy(self) -> bool:
        """Whether it decides."""
        assert self.process
        assert self.process.poll() is None, self.log[-3000:]
        return self.get("/healthz")[0] == 200

    def send(self, *events: dict[str, t.Any], principal: str) -> int:
        """POST signals; the status of the answer, 0 for none."""
        request = urllib.request.Request(
            f"{self.url}/v1/signals",
            json.dumps(events).encode(),
            {**bearer(principal), "Content-Type": "application/cloudevents-batch+json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0


def bearer(principal: str) -> dict[str, str]:
    """The header of a principal."""
    return {"Authorization": f"Bearer {principal}.{token(principal)}"}


def event(host: str, type_: str, number: int, object_: str = "", source: str = "test") -> dict[str, t.Any]:
    """One signal."""
    kind, _dot, word = type_.partition(".")
    state = "ok" if word in ("ok", "reachable", "armed") else "failed"
    return {
        "specversion": "1.0", "id": f"{source}-{host}-{object_}-{number}", "source": f"/hosts/{host}/{source}/{kind}",
        "type": f"openstack_ha.{type_}", "subject": f"{host}/{object_}", "datacontenttype": "application/json",
        "time": "2026-01-01T00:00:00Z",
        "data": {"host": host, "object": object_, "state": state, "reason": "test", "epoch": source,
                 "sequence": number, "age": None},
    }  # fmt: skip


class Scene:
    """Some responders of one cloud, in one directory."""

    def __init__(self, directory: Path, inventory: Path, clouds_yaml: Path) -> None:
        self.directory, self.inventory = directory, inventory
        self.responders: list[Responder] = []
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(collections_path()),
            "ANSIBLE_COLLECTIONS_PATH": str(collections_path()),
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "OS_CLIENT_CONFIG_FILE": str(clouds_yaml),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        (directory / "keys").write_text(f"{MASTER}\n")
        (directory / "ha_policy.yml").write_text(json.dumps(POLICY))

    def add(self, names: t.Sequence[str], journal_urls: t.Sequence[str], **options: t.Any) -> list[Responder]:
        """Configure responders; they are not started."""
        for number, name in enumerate(names):
            ports = free_ports(1 + len(NETWORKS))
            url = journal_urls[number % len(journal_urls)]
            config = {
                "name": name, "responders": list(names), "segments_file": str(self.inventory), "cloud": "lab",
                "journal_url": url, "key_file": str(self.directory / "keys"),
                "intake": {"listen": [f"127.0.0.1:{ports[0]}"], "plain_http": True, "per_host_rate": 100000,
                           "per_host_burst": 100000, "body_limit": 16777216},
                "heartbeat": {"networks": {it: f"127.0.0.1:{port}" for it, port in zip(NETWORKS, ports[1:])},
                              "silence": 1.5},
                "reporters": {"pacemaker": {}}, "probe_timeout": 0.3, "metrics_public": True,
                "runs": {"directory": str(self.directory / f"runs-{name}"), "warm": False, "lease": 4, **options},
            }  # fmt: skip
            (self.directory / f"{name}.yml").write_text(json.dumps(config))
            self.responders.append(Responder(name, self.directory, ports, url, self.environment))
        return self.responders

    def close(self) -> None:
        """Nothing of them is left."""
        for responder in self.responders:
            responder.clean()


class Hosts:
    """The host monitors of a cloud: one thread that beats for all of them, to all responders, on all networks."""

    def __init__(self, names: t.Iterable[str], responders: t.Sequence[Responder], interval: float = 0.25) -> None:
        from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor import heartbeat

        self.silent: set[tuple[str, str]] = set()
        self._interval, self._stopped = interval, threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self._senders = {
            (host, network, responder.name): (
                heartbeat.Sender(host, network, heartbeat.key_of(token(f"host:{host}"))),
                ("127.0.0.1", responder.ports[1 + number]),
            )
            for host in names
            for responder in responders
            for number, network in enumerate(NETWORKS)
        }
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Hosts:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join(10)
        self._socket.close()

    def pull_plug(self, *hosts: str) -> None:
        """They say nothing any more."""
        self.silent.update((host, network) for host in hosts for network in NETWORKS)

    def _beat(self) -> None:
        began = time.monotonic()
        while not self._stopped.wait(self._interval):
            for (host, network, _responder), (sender, address) in self._senders.items():
                if (host, network) not in self.silent:
                    with contextlib.suppress(OSError):
                        self._socket.sendto(sender.beat(False, 86400.0 + time.monotonic() - began), address)
            self._take_answers()

    def _take_answers(self) -> None:
        """Whom an answer is for, its code tells."""
        by_address: dict[t.Any, list[t.Any]] = {}
        for sender, address in self._senders.values():
            by_address.setdefault(address, []).append(sender)
        deadline = time.monotonic() + self._interval / 2
        while time.monotonic() < deadline:
            try:
                datagram, address = self._socket.recvfrom(2048)
            except OSError:
                return
            any(sender.take(datagram) for sender in by_address.get(address, ()))
