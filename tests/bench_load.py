"""What a responder can take: heartbeats of so many hosts, and signals. Parts of bench_signals.py.

``python bench_load.py`` is the side that is measured: the ears and the hearing of a responder, in a process of their
own. It tells its counts as a line of JSON for each line that it is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import typing as t
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).with_name("real")))

from tree import collections_path

sys.path.insert(0, str(collections_path()))
os.environ["ANSIBLE_COLLECTIONS_PATH"] = str(collections_path())  # for what is started

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor import heartbeat
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.credentials import Credentials, token_of

Json = t.Dict[str, t.Any]

MASTER = bytes(range(32))
NETWORKS = ("admin", "storage")
VIEW_EVERY = 2.0  # as the loop of the responder does


def share_of_a_core() -> float:
    """What one more process gets of the machine now, 1.0 when nothing else is at work: divides all times."""
    began = time.monotonic()
    spin = "import time\nwhile time.process_time() < 0.5: pass"
    subprocess.run([sys.executable, "-c", spin], check=True, start_new_session=True)
    return round(0.5 / (time.monotonic() - began), 2)


# -- heartbeats: the side that is measured -------------------------------------------------------------------------


class Ears:
    """The process with the ears; end it with ``with``."""

    def __init__(self, hosts: int, silence: float = 2.5) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(hosts), str(silence)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ports: dict[str, int] = self._read()

    def __enter__(self) -> Ears:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def told(self) -> Json:
        """Its counts until now."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Json:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the ears have ended")
        return t.cast(Json, json.loads(line))


async def serve(hosts: list[str], silence: float) -> None:
    """Listen as a responder does, and look at everybody as often as it does."""
    from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import ears
    from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.config import Address
    from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.hearing import Changes, Hearing
    from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.metrics import Metrics

    metrics, counts, lost = Metrics(lambda: 0.0), dict.fromkeys(("counted", "not_counted", "refused"), 0), [0]

    def count(outcome: str) -> None:
        metrics.heartbeat(outcome)
        counts[outcome] += 1

    def changed(changes: Changes) -> None:
        lost[0] += len(changes.lost)

    hearing = Hearing(NETWORKS, silence, time.monotonic())
    made = ears.Ears(hearing, Credentials([MASTER]), changed, count, lambda _address: None, time.monotonic)
    ports = dict(zip(NETWORKS, free_udp_ports(len(NETWORKS))))
    made.listen({network: Address("127.0.0.1", port) for network, port in ports.items()}, [])

    def view() -> None:
        while True:
            time.sleep(VIEW_EVERY)
            hearing.look().view(hosts)

    def tell() -> None:
        print(json.dumps(ports), flush=True)
        for _line in sys.stdin:
            print(json.dumps({**counts, "lost": lost[0], "cpu": time.process_time(), **memory()}), flush=True)

    for work in (view, tell):
        threading.Thread(target=work, daemon=True).start()
    await made.tick_until(asyncio.Event())


def memory() -> Json:
    """MiB that this process uses."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {"mib": next(int(it.split()[1]) // 1024 for it in lines if it.startswith("VmRSS"))}


def free_udp_ports(count: int) -> list[int]:
    """Ports at which nobody listens."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _number in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]


# -- heartbeats: the hosts -----------------------------------------------------------------------------------------


def names(hosts: int) -> list[str]:
    """Of hosts."""
    return [f"compute-{number:05d}.example.org" for number in range(hosts)]


class Crowd:
    """The agents of many hosts behind one socket, each with its session and its nonce."""

    def __init__(self, hosts: list[str], ports: t.Mapping[str, int]) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(30)
        self._ready: list[tuple[bytes, t.Any]] = []
        keys = {host: heartbeat.key_of(token_of(MASTER, f"host:{host}")) for host in hosts}
        self._senders = [
            (heartbeat.Sender(host, network, keys[host]), ("127.0.0.1", port))
            for host in hosts
            for network, port in ports.items()
        ]
        for sender, address in self._senders:
            self._socket.sendto(sender.beat(False, 86400.0), address)
            while sender.take(self._socket.recv(heartbeat.LONGEST + 1)) is None:
                pass
        self._socket.setblocking(False)

    def prepare(self, rounds: int) -> None:
        """Make the beats beforehand: it is not the hosts that are measured."""
        self._ready = [(it.beat(False, 86400.0), to) for _round in range(rounds) for it, to in self._senders]

    def beat(self, interval: float) -> tuple[int, float]:
        """Send all that is prepared at an even pace; how many that were, and the seconds that it really took."""
        pause = interval / len(self._senders)
        began = time.monotonic()
        for number, (datagram, address) in enumerate(self._ready):
            ahead = began + number * pause - time.monotonic()
            if ahead > 0.002:
                time.sleep(ahead)
            self._send(datagram, address)
        return len(self._ready), time.monotonic() - began

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _send(self, datagram: bytes, address: t.Any) -> None:
        while True:
            with contextlib.suppress(BlockingIOError):
                self._socket.sendto(datagram, address)
                return
            time.sleep(0.0005)


def beats(
    cases: t.Sequence[tuple[int, float]] = ((10, 0.5), (100, 0.5), (1000, 0.5), (10000, 2.0), (10000, 0.5)),
) -> Json:
    """Heartbeats over two networks of so many hosts with such an interval."""
    found = []
    for hosts, interval in cases:
        found.append(one_crowd(hosts, interval))
        print(json.dumps(found[-1]), flush=True)
    return {"cases": found}


def one_crowd(hosts: int, interval: float, seconds: float = 20.0) -> Json:
    """What the ears have used and lost."""
    everybody = names(hosts)
    with Ears(hosts, 5 * interval) as ears, contextlib.closing(Crowd(everybody, ears.ports)) as crowd:
        crowd.prepare(max(1, round(seconds / interval)))
        before = ears.told()
        sent, took = crowd.beat(interval)
        lost = ears.told()["lost"]
        settled(ears)
        after = ears.told()
    counted = after["counted"] - before["counted"]
    cpu = after["cpu"] - before["cpu"]
    return {
        "hosts": hosts,
        "interval": interval,
        "wanted_per_second": round(hosts * len(NETWORKS) / interval),
        "sent_per_second": round(sent / took),
        "counted": counted,
        "not_counted": sent - counted,
        "called_lost": lost,
        "cpu_percent": round(100 * cpu / took, 1),
        "microseconds_each": round(1e6 * cpu / max(1, counted), 1),
        "mib": after["mib"],
    }


def settled(ears: Ears) -> None:
    """Wait until nothing more is taken in."""
    before, now = -1, 0
    while before != now:
        time.sleep(0.2)
        before, now = now, ears.told()["counted"]


# -- signals -------------------------------------------------------------------------------------------------------


def intake(directory: Path, seconds: float = 20.0, senders: int = 128) -> Json:
    """Signals in a second over TLS into a journal that is flushed to disk: one in a request, and more."""
    import journal_servers
    from bed.tls import server_context

    server_context(directory / "tls")
    found = []
    with journal_servers.postgresql() as server:
        for kind in ("sqlite", "postgresql"):
            for size in (1, 20):
                url = f"sqlite:///{directory}/{size}.db" if kind == "sqlite" else server.new_journal()[0]
                found.append({"journal": kind, "in_a_request": size, **flood(directory, url, size, seconds, senders)})
                print(json.dumps(found[-1]), flush=True)
    return {"cases": found, "seconds": seconds, "connections": senders}


def flood(directory: Path, url: str, size: int, seconds: float, senders: int) -> Json:
    """As many as it takes, over connections that are kept."""
    import intake_process

    with intake_process.running(directory, url, directory / "tls") as running:
        clients = [Client(running, size, number) for number in range(senders)]
        before = processor(running.process.pid)
        began = time.monotonic()
        asyncio.run(_all_at_once(clients, began + seconds))
        took = time.monotonic() - began
        cpu = processor(running.process.pid) - before
    waits = sorted(wait for client in clients for wait in client.waits)
    return {
        "signals_per_second": round(len(waits) * size / took),
        "answer_ms": {
            name: round(1000 * waits[int(len(waits) * at)], 1) for name, at in (("median", 0.5), ("p99", 0.99))
        },
        "cpu_percent": round(100 * cpu / took),
        "not_accepted": sum(client.refused for client in clients),
    }


async def _all_at_once(clients: t.Sequence[Client], until: float) -> None:
    await asyncio.gather(*(client.run(until) for client in clients))


class Client:
    """One connection. All are in one thread: threads of a Python process would measure how they wait for each other."""

    def __init__(self, running: t.Any, size: int, number: int) -> None:
        from ansible_collections.openstack_ha.recovery.tests.unit.fakes import intake as fakes

        self._port, self._tls = running.port, running.context()
        self._size, self._number = size, number
        self._host = sorted(fakes.TOPOLOGY["hosts"])[number % len(fakes.TOPOLOGY["hosts"])]
        self._event = fakes.event(self._host)
        self._head = (
            "POST /v1/signals HTTP/1.1\r\nHost: x\r\nContent-Type: application/cloudevents-batch+json\r\n"
            f"Authorization: {fakes.bearer(f'host:{self._host}')['Authorization']}\r\n"
        )
        self.waits: list[float] = []
        self.refused = 0

    async def run(self, until: float) -> None:
        """Send one request after the other."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=self._tls)
        began = time.monotonic()
        while began < until:
            writer.write(self._request())
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(it for it in head.lower().split(b"\r\n") if it.startswith(b"content-length:"))
            await reader.readexactly(int(length.partition(b":")[2]))
            if not head.startswith(b"HTTP/1.1 202"):
                self.refused += 1
                break
            ended = time.monotonic()
            self.waits.append(ended - began)
            began = ended
        writer.close()

    def _request(self) -> bytes:
        number = len(self.waits)
        events = [
            {**self._event, "id": str(uuid.uuid4()),
             "data": {**self._event["data"], "object": f"vm-{self._number}-{number}-{part}"}}
            for part in range(self._size)
        ]  # fmt: skip
        body = json.dumps(events).encode()
        return f"{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def processor(pid: int) -> float:
    """Seconds of the processors that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    asyncio.run(serve(names(int(sys.argv[1])), float(sys.argv[2])))
