"""Benchmark of recover_host, on clouds that are started for it. Writes build/bench/recover_host.json.

In one run, in turn: the playbook; the floor, a bare script with the same targets and as many VMs under way at once; and
that script with no targets, so that Nova's scheduler chooses. Absolute times say more about the machine than about the
code; the ratios are the result.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from bed.client import Bed
from bench_clouds import CLOUDS, FAILED, TARGETS, CloudToMeasure, cpu_seconds, floor
from driver import Playbooks
from tree import ROOT, collections_path

sys.path.insert(0, str(collections_path()))

DIRECTORY = ROOT / "build" / "bench"
SEGMENTS = {"rack1": {"hosts": [FAILED, *TARGETS], "shared_storage": True}}
PARALLEL = 20  # the default of host_evacuate
TIMEOUT = 1800
#: Which cloud a ratio is taken from. In one process the scheduler sees each claim at once, as in no real cloud.
TOLD_BY = {"ratio_to_floor": "one", "ratio_to_scheduler_choice": "many"}

Targets = t.Sequence[t.Optional[str]]


@dataclasses.dataclass
class Measured:
    """One evacuation of a host. Seconds count from the start of the client's process."""

    last_active: float
    cpu_of_client: float
    cpu_of_cloud: float
    memory_mib: int
    targets: list[str | None]
    vms_per_target: dict[str, int]
    details: dict[str, t.Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Start:
    """The moment before a client is started."""

    moment: float
    cpu_of_cloud: float

    @classmethod
    def now(cls, bed: Bed) -> Start:
        used = cpu_seconds(bed)
        return cls(time.monotonic(), used)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--vms", type=int, default=100)
    arguments.add_argument("--rounds", type=int, default=2)
    arguments.add_argument("--growth", type=int, nargs="*", default=[10, 100, 300])
    arguments.add_argument("--clouds", nargs="*", choices=[*CLOUDS], default=[*CLOUDS])
    wanted = arguments.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is stopped on the way out
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    DIRECTORY.mkdir(parents=True)
    result: dict[str, t.Any] = {"vms": wanted.vms, "parallel": PARALLEL, "clouds": {}, "growth": []}
    for key in wanted.clouds:
        cloud = CLOUDS[key](DIRECTORY / key)
        try:
            compared = compare(cloud, wanted.vms, wanted.rounds)
            if key == "one":
                result["growth"] = growth(cloud, wanted.growth)
                result.update(compared.pop("playbook"))
        finally:
            cloud.close()
        result["clouds"][cloud.name] = compared
        result.update({name: compared[name] for name, teller in TOLD_BY.items() if teller == key})
        (DIRECTORY / "recover_host.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def compare(cloud: CloudToMeasure, vms: int, rounds: int) -> dict[str, t.Any]:
    """The playbook, the floor with the same targets, the floor with the scheduler's choice; in turn."""
    every: dict[str, list[Measured]] = collections.defaultdict(list)
    for number in range(rounds):
        mine = recover(cloud, vms)
        every["playbook"].append(mine)
        every["floor"].append(evacuate(cloud, mine.targets))
        every["scheduler"].append(evacuate(cloud, [None] * vms))
        told = ", ".join(f"{who} {runs[-1].last_active:.1f} s" for who, runs in every.items())
        print(f"{cloud.name}, round {number + 1}, {vms} VMs until the last is active: {told}", flush=True)
    median = {who: statistics.median(run.last_active for run in runs) for who, runs in every.items()}
    return {
        "about": cloud.about,
        "ratio_to_floor": round(median["playbook"] / median["floor"], 3),
        "ratio_to_scheduler_choice": round(median["playbook"] / median["scheduler"], 3),
        "last_active_all_rounds": {who: [run.last_active for run in runs] for who, runs in every.items()},
        "cpu_seconds": {who: [[run.cpu_of_client, run.cpu_of_cloud] for run in runs] for who, runs in every.items()},
        "vms_per_target": {who: runs[-1].vms_per_target for who, runs in every.items()},
        "playbook": every["playbook"][-1].details,
    }


def growth(cloud: CloudToMeasure, counts: t.Iterable[int]) -> list[dict[str, t.Any]]:
    """One recovery each of so many VMs."""
    found = []
    for vms in counts:
        run = recover(cloud, vms)
        took = run.details["seconds"]
        found.append(
            {
                "vms": vms,
                "seconds": took,
                "seconds_per_vm": round((took["last_active"] - took["first_evacuate"]) / vms, 3),
                "cpu_seconds": [run.cpu_of_client, run.cpu_of_cloud],
                "memory_mib": run.memory_mib,
                "tokens": run.details["tokens"],
                "api_calls_total": run.details["api_calls_total"],
            }
        )
        print(f"{cloud.name}, growth: {json.dumps(found[-1])}", flush=True)
    return found


def recover(cloud: CloudToMeasure, vms: int) -> Measured:
    """By the playbook."""
    with cloud.failed_host(vms) as (bed, _servers):
        shutil.rmtree(DIRECTORY / "run", ignore_errors=True)
        (DIRECTORY / "run").mkdir()
        inventory = bed.segments_file(DIRECTORY / "bench.failover_segments.yml", SEGMENTS)
        playbooks = Playbooks(inventory, DIRECTORY / "run", bed.clouds_yaml)
        start = Start.now(bed)
        # two: the host of the warm-up is still away
        process = playbooks.start("recover_host", failed_hosts=FAILED, max_hosts_at_once=2)
        run = finished(process, bed, vms, start)
        ended = time.monotonic()
        report, seen = playbooks.report(), cloud.seen(bed)
        run.targets = [line["target"] for line in report["ledger"]]
        first_evacuate = seen.pop("first_evacuate", None)
        run.details = {"seconds": seconds(report, first_evacuate, start.moment), "memory_mib": run.memory_mib, **seen}
        run.details["seconds"] |= {"last_active": run.last_active, "playbook": round(ended - start.moment, 2)}
        return run


def seconds(report: dict[str, t.Any], first_evacuate: float | None, began: float) -> dict[str, float]:
    """Seconds from the start of ansible-playbook to the steps of the run."""
    opened = report["run"]["holder"]["monotonic"]
    at = {step["name"]: opened + step["seconds"] for step in report["steps"]}
    at["first_evacuate"] = first_evacuate or at["first_evacuate"]
    return {
        **{name: round(at[name] - began, 2) for name in ("forced_down", "fenced", "first_evacuate")},
        "first_evacuate_after_fenced": round(at["first_evacuate"] - at["fenced"], 2),
    }


def evacuate(cloud: CloudToMeasure, targets: Targets) -> Measured:
    """By the floor, with these targets, or with those that the scheduler chooses."""
    with cloud.failed_host(len(targets)) as (bed, servers):
        start = Start.now(bed)
        process = floor(bed, FAILED, zip(servers, targets), PARALLEL)
        return finished(process, bed, len(targets), start)


def finished(process: subprocess.Popen[str], bed: Bed, vms: int, start: Start) -> Measured:
    """Wait for the end of a client, and look at what it has done and taken."""
    watchdog = threading.Timer(TIMEOUT, os.killpg, (process.pid, signal.SIGKILL))
    watchdog.start()
    try:
        out = t.cast(t.IO[str], process.stdout).read()
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        watchdog.cancel()
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
    where = {host: len(guests) for host, guests in bed.running().items()}
    if process.returncode or sum(where.values()) != vms or FAILED in where:
        raise SystemExit(f"{process.args!r} ended with {process.returncode}, VMs run on {where}:\n{out}")
    spawns = [event["monotonic"] for event in bed.truth_events() if event["event"] == "spawn"]
    return Measured(
        last_active=round(max(spawns) - start.moment, 2),
        cpu_of_client=round(usage.ru_utime + usage.ru_stime, 2),
        cpu_of_cloud=round(cpu_seconds(bed) - start.cpu_of_cloud, 2),
        memory_mib=round(usage.ru_maxrss / 1024),
        targets=[],
        vms_per_target=where,
    )


if __name__ == "__main__":
    main()
