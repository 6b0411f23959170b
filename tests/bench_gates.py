"""Benchmark of a decision over big clouds. Writes build/bench/gates.json; fails when a limit is exceeded.

The time is that of the process, the best of some rounds: what else runs on the machine is not the question.
"""

from __future__ import annotations

import json
import sys
import time
import typing as t
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from tree import ROOT, collections_path

sys.path.insert(0, str(collections_path()))

from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates import decide
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults

Json = t.Dict[str, t.Any]

#: Hosts -> seconds that a decision may take.
LIMITS = {1000: 0.1, 10_000: 1.0}
PER_SEGMENT, PER_DOMAIN = 10, 40
ROUNDS = 5
_LOST = {"state": "lost", "lost": ["cmp00001", "cmp00002", "ctl1"], "alive": []}


def snapshot(hosts: int, percent: int, spread: bool) -> Json:
    """A cloud in which so many percent of the hosts are dead and suspected.

    :param spread: No more than policy allows in a segment; else all suspects are what most gates are passed by.
    """
    dead = set(range(0, hosts, 100 // percent))
    return {
        "caller": "responder",
        "responders": 1,
        "suspects": [f"cmp{number:05d}" for number in sorted(dead)],
        "observer": {"name": "ctl1", "up_for": 86400.0, "api": True, "networks": {"storage": True}},
        "control": {"nova-conductor": 3, "nova-scheduler": 3},
        "hosts": {f"cmp{number:05d}": facts(number, number in dead, spread) for number in range(hosts)},
        "in_flight": [f"cmp{number:05d}" for number in range(1, 9)],
        "fences": [{"host": f"cmp{number:05d}", "segment": None, "domain": None, "age": 60.0} for number in range(9)],
        "orders": [ORDER],
        "storm": {"silent_for": None, "ended_ago": None},
        "answers": [],
    }


ORDER = {"id": "o", "number": 1, "kind": "pause", "scope": "segment", "name": "none", "owner": "a", "reason": "b"}


def facts(number: int, dead: bool, silent: bool) -> Json:
    """One host."""
    return {
        "known": True,
        "names": [f"cmp{number:05d}"],
        "segment": f"rack{number // PER_SEGMENT}",
        "domain": f"pdu{number // PER_DOMAIN}",
        "role": "active",
        "state": "down" if dead else "up",
        "status": "enabled",
        "disabled_reason": None,
        "forced_down": False,
        "maintenance": False,
        "silent": dead and silent,
        "up_for": None,
        "suspected_for": 60.0,
        "witnesses": {"ctl1": "down", "ctl2": "down", "nova": "down", "probe": "down"} if dead else {},
        "signs_of_life": [],
        "networks": dict.fromkeys(("admin", "storage", "tenant"), _LOST) if dead else {},
        "kdump": None,
        "recoveries": 0,
        "fencing": {"levels": 2, "check": "ok", "age": 60.0},
    }


def policy() -> Json:
    """With networks, so that the matrix is asked too."""
    addresses = {"isolation_addresses": ["tcp://192.0.2.1:3260"]}
    return {**defaults(), "networks": {"admin": {}, "storage": addresses, "tenant": {}}}


def measure(hosts: int, percent: int, silent: bool, full: bool) -> Json:
    """Seconds of the best round, and how far the suspects came."""
    case, rules = snapshot(hosts, percent, silent), policy()
    times = []
    for _round in range(ROUNDS):
        began = time.process_time()
        verdicts = decide(case, rules, full=full)
        times.append(time.process_time() - began)
    gates = sum(len(it["gates"]) for it in verdicts.values()) / len(verdicts)
    return {
        "hosts": hosts,
        "segments": hosts // PER_SEGMENT,
        "suspects": len(verdicts),
        "silent": silent,
        "full": full,
        "gates_per_suspect": gates,
        "seconds": round(min(times), 4),
        "limit": LIMITS[hosts],
    }


def main() -> int:
    """Measure all cases; 1 when one is too slow."""
    cases = [(1, True, False), (100, True, False), (100, False, False), (100, False, True)]
    results = [measure(hosts, *case) for hosts in LIMITS for case in cases]
    directory = ROOT / "build" / "bench"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "gates.json").write_text(json.dumps(results, indent=2) + "\n")
    for result in results:
        print(json.dumps(result))
    return int(any(result["seconds"] > result["limit"] for result in results))


if __name__ == "__main__":
    sys.exit(main())
