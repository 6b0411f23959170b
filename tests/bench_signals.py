"""Benchmark of the way from a failure to its recovery. Writes build/bench/signals.json, a section for each part.

``python bench_signals.py [PART...]``; see docs/performance.md for what each part measures.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import datetime
import http.server
import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).with_name("real")))

import bench_load
import bench_monitors
import processes
import responders
from bed.client import Bed
from bench_load import NETWORKS, Json
from bench_monitors import told
from driver import until
from responders import Hosts, Responder, Scene, event
from tree import ROOT

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal

DIRECTORY = ROOT / "build" / "bench" / "signals"
FAILED = "cmp01"
RACK = [f"cmp{number:02d}" for number in range(1, 7)]
SCOPE = "RegionOne"
#: Of the monitors and of the responder, as they are unless told otherwise.
INTERVAL, SILENCE = 0.5, 2.5
LONG = 300.0
#: All that would hold up a recovery in a small cloud that has just been started; what is measured is what is left.
POLICY = {
    "gates": {
        "start_grace": 1,
        "cool_down": 0,
        "mass_silence": {"hosts": 10000, "percent": 100},
        "witnesses": {"ask_after": 3600},
    },
    "budgets": {name: {"at_once": 1000, "per_hour": 1000} for name in ("cloud", "segment", "failure_domain")},
}


# -- the responder, and who is told ----------------------------------------------------------------------------


class Owners:
    """A webhook of somebody who wants to know: keeps the moment at which it was told first of each event."""

    def __init__(self) -> None:
        self.at: dict[str, list[float]] = {}
        owners = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                owners.at.setdefault(self.headers["X-Openstack-Ha-Event"], []).append(time.monotonic())
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_what: t.Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Nobody listens any more."""
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def responder(bed: Bed, directory: Path, segments: Json, warm: bool) -> t.Iterator[tuple[Responder, Owners]]:
    """A responder with its defaults that has looked at a cloud that is well."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    inventory = bed.segments_file(directory / "bench.failover_segments.yml", segments)
    with contextlib.closing(Owners()) as owners, contextlib.closing(Scene(directory, inventory, bed.clouds_yaml)) as it:
        (made,) = it.add(["ctl1"], [f"sqlite:///{directory}/journal.db"], warm=warm)
        (directory / "ha_policy.yml").write_text(json.dumps(POLICY))
        path = directory / "ctl1.yml"
        config = json.loads(path.read_text())
        config["heartbeat"]["silence"] = SILENCE
        config["webhooks"] = [{"name": "owners", "url": owners.url}]
        del config["runs"]["lease"], config["probe_timeout"]
        path.write_text(json.dumps(config))
        made.start()
        if warm:
            until(lambda: listens(made), LONG)
        yield made, owners


def listens(made: Responder) -> bool:
    """Whether its warm ansible-playbook does."""
    assert made.process
    for pid in processes.children(made.process.pid):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as server:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if any(word.endswith("warm_server.py") for word in words):
                server.connect(f"{words[-2]}/server")
                return True
    return False


@dataclasses.dataclass
class Seen:
    """A responder that hears hosts, and what it says."""

    responder: Responder
    owners: Owners
    hosts: Hosts
    journal: Journal


@contextlib.contextmanager
def watching(
    bed: Bed, directory: Path, segments: Json, beating: t.Sequence[str], warm: bool = False
) -> t.Iterator[Seen]:
    """A responder that hears these hosts, which beat as often as monitors do."""
    with contextlib.ExitStack() as stack:
        made, owners = stack.enter_context(responder(bed, directory, segments, warm))
        hosts = stack.enter_context(Hosts(beating, [made], INTERVAL))
        journal = stack.enter_context(open_journal(made.journal_url))
        until(lambda: hears(journal, len(beating)), LONG)
        yield Seen(made, owners, hosts, journal)


def hears(journal: Journal, hosts: int) -> bool:
    """Whether the responder hears so many hosts."""
    return [it["view"]["networks"]["admin"].get("hears") for it in journal.observers(SCOPE)] == [hosts]


def lost(journal: Journal, *hosts: str) -> bool:
    """Whether the journal says that they are not heard any more, on any network."""
    views = [it["view"]["networks"] for it in journal.observers(SCOPE)]
    return bool(views) and all(
        host in view[name].get("lost", ()) for host in hosts for view in views for name in NETWORKS
    )


# -- plug pulled -> signal accepted --------------------------------------------------------------------------------


def plug(directory: Path, rounds: int = 20) -> Json:
    """From kill -9 of the host monitor to the journal that says that the host is lost, at defaults.

    Others are heard, so that the responder does not take itself for isolated; the host itself goes on to answer, so
    nothing follows.
    """
    chance = random.Random(7)
    with Bed.start(directory / "bed", hosts=RACK) as bed, watching(bed, directory / "run", rack(), RACK[1:]) as seen:
        ports = zip(NETWORKS, seen.responder.ports[1:])
        beats = {network: f"127.0.0.1:{port}" for network, port in ports}
        common: Json = {
            "responders": [{"name": "ctl1", "url": seen.responder.url, "beats": beats}],
            "networks": {name: {"source": "127.0.0.1"} for name in NETWORKS},
        }
        token = responders.token(f"host:{FAILED}")
        monitor = bench_monitors.monitor(directory / "monitor", "host", "", {}, token, **common)
        try:
            found = {"seconds": told([pulled(monitor, seen.journal, chance) for _round in range(rounds)])}
        finally:
            monitor.kill()
    print(json.dumps(found), flush=True)
    return found


def pulled(monitor: t.Any, journal: Journal, chance: random.Random) -> float:
    """One round, at any moment between two beats."""
    monitor.start()
    until(lambda: hears(journal, len(RACK)), LONG)
    time.sleep(1 + chance.random())
    began = time.monotonic()
    monitor.kill()
    until(lambda: lost(journal, FAILED), LONG, pause=0.01)
    return time.monotonic() - began


# -- signal accepted -> forced down, told ----------------------------------------------------------------------


def recovery(directory: Path, rounds: int = 3) -> Json:
    """From the word of a reporter, and from lost heartbeats, to nova-compute forced down and owners told."""
    found: Json = {}
    with Bed.start(directory / "bed", hosts=RACK) as bed:
        bed.fill(FAILED, 2)
        bed.snapshot("bench")
        for way, warm in ((way, warm) for way in (reported, silent) for warm in (False, True)):
            runs = [way(bed, directory / "run", warm) for _round in range(rounds)]
            name = f"{way.__name__}, {'warm' if warm else 'cold'}"
            found[name] = {key: told([run[key] for run in runs]) for key in runs[0]}
            print(name, json.dumps(found[name]), flush=True)
    return found


def rack() -> Json:
    """One segment of all hosts."""
    return {"rack1": {"hosts": RACK, "shared_storage": True}}


def reported(bed: Bed, directory: Path, warm: bool) -> Json:
    """A membership engine says that a host is gone, before anybody else does: its agents were never heard."""
    bed.restore("bench")
    with watching(bed, directory, rack(), RACK[1:], warm) as seen:
        time.sleep(2 + random.random())
        bed.crash(FAILED)
        assert seen.responder.send(event(FAILED, "host.unreachable", 1), principal="reporter:pacemaker") == 202
        return after(time.monotonic(), bed, seen)


def silent(bed: Bed, directory: Path, warm: bool) -> Json:
    """A host falls silent."""
    bed.restore("bench")
    with watching(bed, directory, rack(), RACK, warm) as seen:
        time.sleep(2 + random.random())
        bed.crash(FAILED)
        seen.hosts.pull_plug(FAILED)
        began = time.monotonic()
        until(lambda: lost(seen.journal, FAILED), LONG, pause=0.005)
        accepted = time.monotonic()
        return {"plug_to_accepted": accepted - began, **after(accepted, bed, seen)}


def after(accepted: float, bed: Bed, seen: Seen) -> Json:
    """Seconds from then to what follows."""
    owners, journal = seen.owners, seen.journal
    forced = until(lambda: forced_down(bed), LONG, pause=0.5)  # it has the time; who asks often is in the way
    until(lambda: "run_started" in owners.at and "verdict" in owners.at, LONG)
    until(lambda: all(run["state"] != "open" for run in journal.runs()), LONG, pause=0.5)
    return {
        "forced_down": forced - accepted,
        "owners_told_verdict": min(owners.at["verdict"]) - accepted,
        "owners_told_run": min(owners.at["run_started"]) - accepted,
        **run_steps(journal, accepted),
    }


def forced_down(bed: Bed) -> float | None:
    """When Nova was told first to force a host down; the clock is that of the machine."""
    calls = [it["monotonic"] for it in bed.api_log() if "forced_down" in str(it.get("body"))]
    return min(calls, default=None)


def run_steps(journal: Journal, since: float) -> Json:
    """When the run was taken over by its playbook, and when the host was proved to be off."""
    (run,) = [it for it in journal.runs() if any(entry["outcome"] == "recovered" for entry in it["hosts"])]
    opened = run["holder"]["monotonic"]
    steps = {step["name"]: opened + step["seconds"] for step in journal.steps(run["id"])}
    return {name: steps[name] - since for name in ("taken_over", "fenced") if name in steps}


# -- twenty hosts at once --------------------------------------------------------------------------------------


def many(directory: Path, hosts: int = 20, rounds: int = 1) -> Json:
    """So many hosts fall silent at the same moment, each in a segment of its own: as many runs."""
    names = [f"{kind}{number:02d}" for number in range(1, hosts + 1) for kind in ("dead", "well")]
    failed = [name for name in names if name.startswith("dead")]
    segments = {
        f"rack{number:02d}": {"hosts": [f"dead{number:02d}", f"well{number:02d}"], "shared_storage": True}
        for number in range(1, hosts + 1)
    }
    found: Json = {}
    with Bed.start(directory / "bed", hosts=names) as bed:
        bed.snapshot("bench")
        for warm in (False, True):
            runs = [at_once(bed, directory / "run", segments, failed, warm) for _round in range(rounds)]
            found["warm" if warm else "cold"] = {key: told([run[key] for run in runs]) for key in runs[0]}
            print(json.dumps(found), flush=True)
    return {"hosts": hosts, **found}


def at_once(bed: Bed, directory: Path, segments: Json, failed: list[str], warm: bool) -> Json:
    """Seconds from the last of them being lost."""
    bed.restore("bench")
    names = [host for it in segments.values() for host in it["hosts"]]
    with watching(bed, directory, segments, names, warm) as seen:
        time.sleep(3)
        for host in failed:
            bed.crash(host)
        seen.hosts.pull_plug(*failed)
        until(lambda: lost(seen.journal, *failed), LONG, pause=0.01)
        accepted, wall, cpu = time.monotonic(), time.time(), bench_load.processor(pid_of(seen.responder))
        until(lambda: len(run_notices(seen.journal)) == len(failed), LONG, pause=0.2)
        cpu = bench_load.processor(pid_of(seen.responder)) - cpu
        until(lambda: len(taken_over(seen.journal)) == len(failed), LONG, pause=0.5)
        until(lambda: len(seen.owners.at.get("run_started", ())) == len(failed), LONG)
        return {
            # A busy machine is late with the beats of others, too: their verdicts are runs that hold.
            "runs_opened": max(it["holder"]["monotonic"] for it in runs_on(seen.journal, failed)) - accepted,
            "forced_down": max(reached(seen.journal, "forced_down")) - accepted,
            "runs_started": max(run_notices(seen.journal)) - wall,
            "owners_told": max(seen.owners.at["run_started"]) - accepted,
            "playbooks_at_work": max(taken_over(seen.journal)) - accepted,
            "cpu_of_responder": cpu,
        }


def pid_of(made: Responder) -> int:
    """Of its process."""
    assert made.process
    return made.process.pid


def run_notices(journal: Journal) -> list[float]:
    """When owners were to be told of each run, which is when it was handed to its playbook."""
    made = [it["made_at"] for it in journal.notices(event="run_started")]
    return [datetime.datetime.fromisoformat(it).timestamp() for it in made]


def runs_on(journal: Journal, hosts: t.Sequence[str]) -> list[Json]:
    """The runs about any of these hosts."""
    return [run for run in journal.runs(limit=1000) if any(it["host"] in hosts for it in run["hosts"])]


def taken_over(journal: Journal) -> list[float]:
    """When each run was taken over by its playbook."""
    return reached(journal, "taken_over")


def reached(journal: Journal, name: str) -> list[float]:
    """When each run reached a step first."""
    found = []
    for run in journal.runs(limit=1000):
        steps = [it["seconds"] for it in journal.steps(run["id"]) if it["name"] == name]
        found += [run["holder"]["monotonic"] + steps[0]] if steps else []
    return found


# -- all of it -------------------------------------------------------------------------------------------------


def table(_directory: Path) -> Json:
    """What an interval and a silence cost and bring."""
    argv = [sys.executable, str(ROOT / "tests" / "tools" / "heartbeat_table.py")]
    lines = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    print(lines, flush=True)
    return {"lines": lines.splitlines()}


PARTS: dict[str, t.Callable[[Path], Json]] = {
    "plug": plug,
    "recovery": recovery,
    "many": many,
    "qemu": bench_monitors.qemu,
    "monitors": bench_monitors.monitors,
    "process": bench_monitors.process,
    "intake": bench_load.intake,
    "beats": lambda _directory: bench_load.beats(),
    "table": table,
}


def main() -> None:
    """Measure the parts that are wanted."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART", help=", ".join(PARTS))
    wanted = arguments.parse_args().parts or [*PARTS]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is stopped on the way out
    output = DIRECTORY.with_suffix(".json")
    for part in wanted:
        print(f"== {part}: {PARTS[part].__doc__ or ''}", flush=True)
        shutil.rmtree(DIRECTORY / part, ignore_errors=True)
        (DIRECTORY / part).mkdir(parents=True)
        before = bench_load.share_of_a_core()
        result = PARTS[part](DIRECTORY / part)
        result["share_of_a_core"] = [before, bench_load.share_of_a_core()]
        print(f"{part}: share of a core before and after: {result['share_of_a_core']}", flush=True)
        known = json.loads(output.read_text()) if output.exists() else {}
        output.write_text(json.dumps({**known, part: result}, indent=2) + "\n")


if __name__ == "__main__":
    main()
