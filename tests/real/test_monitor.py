"""The monitor as a process, against real sockets: heartbeats over UDP, signals over HTTPS."""

from __future__ import annotations

import http.server
import json
import shutil
import signal
import socket
import subprocess
import threading
import time
import typing as t
from pathlib import Path

import pytest
from bed.tls import server_context
from driver import until
from monitor_program import Monitor

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.event import parse
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.heartbeat import Heard, Receiver, key_of

TOKEN = "not-secret"
MEGABYTE = 2**20


class Ear:
    """What a responder does with heartbeats."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.1)
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.heard: list[tuple[Heard, str]] = []
        self.restart()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def restart(self) -> None:
        """All nonces are forgotten."""
        self.receiver = Receiver(lambda host: [key_of(TOKEN)] if host == "cmp01" else [])

    def counted(self) -> list[Heard]:
        """The signs of life so far."""
        return [it for it, _sender in list(self.heard) if it.counted]

    def close(self) -> None:
        self._stop.set()
        self._thread.join(60)
        self.socket.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                datagram, sender = self.socket.recvfrom(2048)
            except TimeoutError:
                continue
            heard = self.receiver.take(datagram)
            if heard:
                self.heard.append((heard, sender[0]))
                self.socket.sendto(heard.answer, sender)


class Intake(http.server.ThreadingHTTPServer):
    """What a responder does with signals: checks, keeps, and answers as it was told to."""

    daemon_threads = True
    status = 202

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.socket = server_context(folder).wrap_socket(self.socket, server_side=True)
        self.rows: list[dict[str, t.Any]] = []
        self.refused = 0
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"

    def states(self) -> list[tuple[str, str]]:
        return [(row["object"], row["state"]) for row in list(self.rows)]

    def handle_error(self, *_what: t.Any) -> None:
        """A client that trusts somebody else is not worth a traceback."""

    def close(self) -> None:
        self.shutdown()
        self._thread.join(60)
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Intake

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        events = body if isinstance(body, list) else [body]
        right = (self.path, self.headers["Authorization"]) == ("/v1/signals", f"Bearer host:cmp01.{TOKEN}")
        status = self.server.status if right else 401
        if status == 202:
            self.server.rows += [parse(it) for it in events]
        else:
            self.server.refused += 1
        content = json.dumps({"accepted": [it["id"] for it in events]}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_what: t.Any) -> None:
        pass


@pytest.fixture
def ears() -> t.Iterator[list[Ear]]:
    made = [Ear() for _each in range(3)]
    yield made
    for ear in made:
        ear.close()


@pytest.fixture
def intakes(tmp_path: Path) -> t.Iterator[list[Intake]]:
    made = [Intake(tmp_path / f"tls{n}") for n in range(2)]
    yield made
    for intake in made:
        intake.close()


class Starter:
    """Makes monitors, and ends them whatever happens."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, t.cast("list[Monitor]", [])

    def __call__(self, kind: str, options: dict[str, t.Any] | None = None, **common: t.Any) -> Monitor:
        directory = self._folder / kind
        directory.mkdir()
        monitor = Monitor(directory, kind, "", options or {}, **common)
        path = directory / "monitor.json"
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "host": "cmp01"}))  # the section of kind host is none
        self._made.append(monitor)
        monitor.start()
        return monitor

    def end(self) -> None:
        for monitor in self._made:
            monitor.kill()


@pytest.fixture
def start(tmp_path: Path) -> t.Iterator[Starter]:
    starter = Starter(tmp_path)
    yield starter
    starter.end()


def heard_by(ears: list[Ear]) -> list[dict[str, t.Any]]:
    beats = [{"admin": ear.address, "storage": ear.address} for ear in ears]
    return [{"name": f"ctl{n}", "url": "http://127.0.0.1:1", "beats": it} for n, it in enumerate(beats)]


def told_to(*intakes: Intake, folder: Path) -> list[dict[str, t.Any]]:
    return [
        {"name": f"ctl{n}", "url": it.url, "ca_file": str(folder / f"tls{n}" / "ca.pem")}
        for n, it in enumerate(intakes)
    ]


NETWORKS = {"admin": {"source": "127.0.0.1"}, "storage": {"source": "127.0.0.2"}}
#: A network of this machine that is there, and one that never is.
WATCHED = {"here": {"source": "127.0.0.1", "interface": "lo"}, "gone": {"source": "192.0.2.9", "interface": "gone0"}}


def test_every_responder_hears_the_host_on_every_network_until_it_dies(start: Starter, ears: list[Ear]) -> None:
    monitor = start("host", networks=NETWORKS, responders=heard_by(ears), heartbeat={"interval": 0.1})
    until(lambda: all({it.network for it in ear.counted()} == {"admin", "storage"} for ear in ears))
    senders = {(it.network, sender) for ear in ears for it, sender in ear.heard}
    assert senders == {("admin", "127.0.0.1"), ("storage", "127.0.0.2")}
    assert not any(it.armed for ear in ears for it in ear.counted())
    ears[0].restart()
    before = len(ears[0].counted())
    until(lambda: len(ears[0].counted()) > before + 2)
    assert monitor.memory() < 32 * MEGABYTE
    monitor.kill()
    monitor.start()
    before = len(ears[1].counted())
    until(lambda: len(ears[1].counted()) > before + 2)
    assert monitor.stop() == 0
    assert monitor.log() == ""


def test_signals_reach_whichever_responder_takes_them(start: Starter, intakes: list[Intake], tmp_path: Path) -> None:
    intakes[0].status = 503
    monitor = start("network", networks=WATCHED, responders=told_to(*intakes, folder=tmp_path))
    until(lambda: sorted(intakes[1].states()) == [("gone", "failed"), ("here", "ok")])
    assert intakes[0].refused >= 1
    assert monitor.memory() < 40 * MEGABYTE
    assert monitor.stop() == 0
    assert {row["source"] for row in intakes[1].rows} == {"/hosts/cmp01/monitors/network"}


def test_what_was_said_while_no_responder_was_there_survives_kill_9(
    start: Starter, intakes: list[Intake], tmp_path: Path
) -> None:
    intakes[0].status = 503
    monitor = start("network", networks=WATCHED, responders=told_to(intakes[0], folder=tmp_path))
    spool = tmp_path / "network" / "spool" / "network" / "spool.json"
    until(lambda: spool.exists() and len(json.loads(spool.read_text())["queue"]) == 2)
    monitor.kill()
    waiting = json.loads(spool.read_text())
    monitor.start()
    until(lambda: intakes[0].refused >= 2)
    intakes[0].status = 202
    until(lambda: len(intakes[0].rows) >= 2)
    assert [it["event"]["id"] for it in waiting["queue"]] == [row["event_id"] for row in intakes[0].rows[:2]]
    until(lambda: json.loads(spool.read_text())["queue"] == [])
    assert [it["object"] for it in json.loads(spool.read_text())["states"]] == ["gone"]
    numbers = [(row["epoch"], row["sequence"]) for row in intakes[0].rows]
    assert len(set(numbers)) == len(numbers)


def test_a_network_on_which_nobody_answers_is_lost_and_found_again(
    start: Starter, intakes: list[Intake], tmp_path: Path
) -> None:
    with socket.socket() as gateway:
        gateway.bind(("127.0.0.1", 0))
        gateway.listen(0)
        address = gateway.getsockname()
        blocker = socket.create_connection(address)  # the queue is full: nobody else gets through
        networks = {"storage": {"source": "127.0.0.5", "check": [f"tcp://127.0.0.1:{address[1]}"]}}
        pace = {"interval": 0.1, "timeout": 0.1}
        start("network", pace, networks=networks, responders=told_to(intakes[0], folder=tmp_path))
        until(lambda: intakes[0].states() == [("storage", "failed")])
        with blocker, gateway.accept()[0]:
            gateway.listen(100)
            until(lambda: intakes[0].states() == [("storage", "failed"), ("storage", "ok")])


#: A network of its own, with a cable that can be pulled; no root is needed where user namespaces are allowed.
NAMESPACE = ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-ec"]
CABLE = """
mount -t sysfs none /sys
ip link add eth9 type veth peer name cable
ip link set eth9 up
ip link set cable up
"""


@pytest.fixture
def namespace() -> list[str]:
    tried = subprocess.run([*NAMESPACE, CABLE], capture_output=True, text=True, timeout=60, check=False)
    if tried.returncode:
        pytest.skip(f"no namespaces here: {tried.stderr.strip()}")
    return [*NAMESPACE, CABLE + 'exec "$@"', "sh"]


def test_a_pulled_cable_is_told_without_waiting_for_the_next_look(
    start: Starter, namespace: list[str], tmp_path: Path
) -> None:
    networks = {"storage": {"source": "192.0.2.9", "interface": "eth9"}}
    nobody = [{"name": "ctl1", "url": "http://127.0.0.1:1"}]
    monitor = start("network", {"interval": 300.0}, wrap=namespace, networks=networks, responders=nobody)
    spool = tmp_path / "network" / "spool" / "network" / "spool.json"

    def told() -> list[str]:
        return (
            [it["event"]["data"]["reason"] for it in json.loads(spool.read_text())["queue"]] if spool.exists() else []
        )

    until(lambda: told()[-1:] == ["eth9: up"])
    inside = ["nsenter", "--target", str(monitor.pid), "--user", "--net", "--mount"]
    for change, reason in (("down", "eth9: no carrier"), ("up", "eth9: up")):
        subprocess.run([*inside, "ip", "link", "set", "cable", change], check=True, timeout=60)
        until(lambda reason=reason: told()[-1:] == [reason])


def test_nothing_is_told_to_who_cannot_prove_who_it_is(start: Starter, intakes: list[Intake], tmp_path: Path) -> None:
    responders = told_to(*intakes, folder=tmp_path)
    responders[0]["ca_file"], responders[1]["ca_file"] = responders[1]["ca_file"], responders[0]["ca_file"]
    monitor = start("network", networks=WATCHED, responders=responders)
    until(lambda: monitor.log().count("CERTIFICATE_VERIFY_FAILED") >= 2)
    assert intakes[0].rows == intakes[1].rows == []
    assert intakes[0].refused == intakes[1].refused == 0


def test_two_monitors_of_a_kind_do_not_share_a_spool(start: Starter, intakes: list[Intake], tmp_path: Path) -> None:
    monitor = start("network", networks=WATCHED, responders=told_to(intakes[0], folder=tmp_path))
    until(lambda: len(intakes[0].rows) == 2)
    argv = ["/usr/bin/python3", "-s", "-m", "openstack_ha_monitor", "network", "--config"]
    second = subprocess.run(
        [*argv, str(monitor.directory / "monitor.json")],
        env={"PYTHONPATH": str(monitor.directory / "lib"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 1
    assert "another monitor of this kind has it" in second.stderr


@pytest.fixture
def sbd(tmp_path: Path) -> t.Iterator[dict[str, str]]:
    """A process that is called like it; there is no watchdog device for the real one here."""
    program = shutil.copy("/bin/sleep", tmp_path / "sbd")
    process = subprocess.Popen([program, "3600"])
    (tmp_path / "sbd.pid").write_text(str(process.pid))
    yield {"mode": "sbd", "sbd_pid_file": str(tmp_path / "sbd.pid"), "pause_file": str(tmp_path / "pause")}
    process.kill()
    process.wait()


def test_a_host_says_that_it_is_armed_when_a_majority_hears_it_and_takes_it_back_when_paused(
    start: Starter, ears: list[Ear], sbd: dict[str, str], tmp_path: Path
) -> None:
    ears[2].close()
    common = {"networks": NETWORKS, "responders": heard_by(ears), "heartbeat": {"interval": 0.1}}
    monitor = start("watchdog", sbd, **common)
    until(lambda: all(ear.counted() and ear.counted()[-1].armed for ear in ears[:2]))
    assert not ears[0].counted()[0].armed, "not before it was heard"
    assert monitor.memory() < 40 * MEGABYTE
    (tmp_path / "pause").touch()
    until(lambda: not any(ear.counted()[-1].armed for ear in ears[:2]))
    (tmp_path / "pause").unlink()
    until(lambda: all(ear.counted()[-1].armed for ear in ears[:2]))


def test_a_host_whose_watchdog_is_none_says_so_and_beats_all_the_same(start: Starter, ears: list[Ear]) -> None:
    common = {"networks": NETWORKS, "responders": heard_by(ears), "heartbeat": {"interval": 0.1}}
    monitor = start("watchdog", {"device": "/dev/null"}, **common)
    until(lambda: "waiting => broken: /dev/null: is not used: " in monitor.log())
    until(lambda: all(len(ear.counted()) > 5 for ear in ears))
    assert not any(it.armed for ear in ears for it in ear.counted())
    began = time.monotonic()
    assert monitor.stop(signal.SIGINT) == 0
    assert time.monotonic() - began < 15, "nothing has to be released"
