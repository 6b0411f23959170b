"""Benchmark of recover_host against the floor, on one bed in one run. Writes build/bench/recover_host.json.

Absolute times say more about the machine than about the code; the ratios are the result.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
import typing as t
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from bed.client import Bed
from driver import Playbooks
from tree import ROOT, collections_path

sys.path.insert(0, str(collections_path()))

SEGMENTS = {"rack1": {"hosts": [f"cmp{number:02d}" for number in range(1, 7)], "shared_storage": True}}
PARALLEL = 20  # the default of host_evacuate


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--vms", type=int, default=100)
    arguments.add_argument("--rounds", type=int, default=2)
    arguments.add_argument("--growth", type=int, nargs="*", default=[10, 100, 300])
    wanted = arguments.parse_args()
    directory = ROOT / "build" / "bench"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    with Bed.start(directory / "bed", computes=6) as bed:
        result = Bench(bed, directory).against_the_floor(wanted.vms, wanted.rounds)
        result["growth"] = [Bench(bed, directory).recover_some(count) for count in wanted.growth]
    (directory / "recover_host.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


class Bench:
    """Measurements on one bed."""

    def __init__(self, bed: Bed, directory: Path) -> None:
        self.bed, self.directory = bed, directory
        self.inventory = bed.segments_file(directory / "bench.failover_segments.yml", SEGMENTS)

    def against_the_floor(self, vms: int, rounds: int) -> dict[str, t.Any]:
        """The playbook, the floor with the same targets, the floor with the scheduler's choice; in turn."""
        self.fill(vms)
        times: dict[str, list[float]] = {"playbook": [], "floor": [], "scheduler": []}
        details: dict[str, t.Any] = {}
        for number in range(rounds):
            details = self.recover()
            times["playbook"].append(details["seconds"]["last_active"])
            times["floor"].append(self.floor(details["pairs"]))
            times["scheduler"].append(self.floor([(server, None) for server, _target in details["pairs"]]))
            print(f"round {number + 1}: " + ", ".join(f"{k} {v[-1]:.1f} s" for k, v in times.items()), flush=True)
        medians = {name: statistics.median(values) for name, values in times.items()}
        del details["pairs"]
        return {
            "vms": vms,
            "ratio_to_floor": round(medians["playbook"] / medians["floor"], 3),
            "ratio_to_scheduler_choice": round(medians["playbook"] / medians["scheduler"], 3),
            "seconds_all_rounds": times,
            **details,
        }

    def recover_some(self, vms: int) -> dict[str, t.Any]:
        """One recovery of this many VMs, for the growth."""
        self.bed.reset()
        self.fill(vms)
        details = self.recover()
        return {"vms": vms, **{key: details[key] for key in ("seconds", "memory_mib", "tokens", "api_calls_total")}}

    def fill(self, vms: int) -> None:
        self.vms = self.bed.fill("cmp01", vms, timeout=600)
        self.bed.snapshot("bench")

    def prepare(self) -> None:
        self.bed.restore("bench")
        self.bed.crash("cmp01")
        self.bed.reset_api_calls()

    def recover(self) -> dict[str, t.Any]:
        self.prepare()
        shutil.rmtree(self.directory / "run", ignore_errors=True)
        (self.directory / "run").mkdir()
        playbooks = Playbooks(self.inventory, self.directory / "run", self.bed.clouds_yaml)
        began = time.monotonic()
        outcome = playbooks.recover("cmp01", timeout=1800)
        if not outcome:
            raise SystemExit(outcome.out)
        report = playbooks.report()
        calls = self.bed.api_calls()
        steps = {
            step["name"]: step["seconds"] + report["run"]["holder"]["monotonic"] - began for step in report["steps"]
        }
        return {
            "seconds": {
                "forced_down": round(steps["forced_down"], 2),
                "fenced": round(steps["fenced"], 2),
                "first_evacuate_after_fenced": round(self.first_evacuate() - began - steps["fenced"], 2),
                "last_active": round(self.last_spawn() - began, 2),
                "playbook": round(outcome.seconds, 2),
            },
            "tokens": calls["tokens"],
            "api_calls_total": calls["total"],
            "api_calls": calls["by_route"],
            "memory_mib": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024),
            "pairs": [(line["server_id"], line["target"]) for line in report["ledger"]],
        }

    def floor(self, pairs: t.Sequence[tuple[str, str | None]]) -> float:
        """Seconds from the start of the floor's process to the last VM active."""
        self.prepare()
        began = time.monotonic()
        subprocess.run(
            [sys.executable, str(ROOT / "tests" / "floor.py")],
            input=json.dumps({"host": "cmp01", "pairs": pairs, "parallel": PARALLEL}),
            env={**os.environ, "OS_CLIENT_CONFIG_FILE": str(self.bed.clouds_yaml)},
            text=True,
            check=True,
            timeout=1800,
        )
        return self.last_spawn() - began

    def first_evacuate(self) -> float:
        return min(call["monotonic"] for call in self.bed.api_log() if "evacuate" in str(call.get("body")))

    def last_spawn(self) -> float:
        """The moment at which the last VM ran, by the hypervisors' own log."""
        spawns = [event["monotonic"] for event in self.bed.truth_events() if event["event"] == "spawn"]
        if len(self.bed.running()) and sum(map(len, self.bed.running().values())) != len(self.vms):
            raise SystemExit(f"only {sum(map(len, self.bed.running().values()))} of {len(self.vms)} VMs run")
        return max(spawns)


if __name__ == "__main__":
    main()
