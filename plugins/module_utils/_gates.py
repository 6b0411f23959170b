# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gates between "a host seems to have failed" and powering it off. PRIVATE: may change at any time.

Pure: one snapshot (plain data) in, one verdict per host out. Gates are asked in the order of
:data:`GATES`; the first that objects decides. Missing facts close a gate.
"""

from __future__ import annotations

import dataclasses
import typing as t

Snapshot = t.Mapping[str, t.Any]
Facts = t.Mapping[str, t.Any]

#: The words of a verdict.
VERDICTS = {
    "recover": "fence the host and recover its VMs",
    "hold": "do nothing now and look again; the reason says what must change",
    "ask": "only a person may decide",
    "alert": "tell the operators, do nothing",
    "ignore": "expected; recorded and nothing else",
}

#: Defaults of the policy values that gates use.
POLICY = {"max_hosts_at_once": 1}


@dataclasses.dataclass(frozen=True)
class Objection:
    """Why a gate stays closed, and the verdict that follows."""

    verdict: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Gate:
    """One question that must be answered well before a host may be fenced.

    :param inputs: Names of the facts it looks at, for the record.
    :param missing: What missing facts mean.
    """

    name: str
    question: str
    inputs: tuple[str, ...]
    missing: str
    ask: t.Callable[[Facts, Snapshot, t.Mapping[str, t.Any]], t.Optional[Objection]]


def decide(snapshot: Snapshot, policy: t.Mapping[str, t.Any] | None = None) -> dict[str, dict[str, t.Any]]:
    """Give a verdict for each host of the snapshot.

    A person's answer (``snapshot["answer"]``) turns ``ask`` into what was answered, and nothing else.
    """
    rules = {**POLICY, **(policy or {})}
    return {host: _decide_one(facts, snapshot, rules) for host, facts in sorted(snapshot["hosts"].items())}


def _decide_one(facts: Facts, snapshot: Snapshot, policy: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    passed: list[dict[str, t.Any]] = []
    verdict: dict[str, t.Any] = {"verdict": "recover", "gate": None, "reason": "all gates passed"}
    for gate in GATES:
        objection = gate.ask(facts, snapshot, policy)
        answered = objection is not None and objection.verdict == "ask" and bool(snapshot.get("answer"))
        passed.append(
            {
                "gate": gate.name,
                "inputs": {name: _lookup(name, facts, snapshot, policy) for name in gate.inputs},
                "says": objection.verdict if objection else "pass",
                "reason": objection.reason if objection else "",
            }
        )
        if answered:
            verdict = _answered(snapshot["answer"], gate, t.cast(Objection, objection))
        elif objection:
            verdict = {"verdict": objection.verdict, "gate": gate.name, "reason": objection.reason}
        if verdict["verdict"] != "recover":
            break
    return {**verdict, "gates": passed}


def _answered(answer: Facts, gate: Gate, objection: Objection) -> dict[str, t.Any]:
    reason = f"{objection.reason}; {answer['operator']} answered {answer['verdict']}: {answer['reason']}"
    return {"verdict": answer["verdict"], "gate": gate.name, "reason": reason}


def _lookup(name: str, facts: Facts, snapshot: Snapshot, policy: t.Mapping[str, t.Any]) -> t.Any:
    for source in (facts, snapshot, policy):
        if name in source:
            return source[name]
    return None


def _control_plane(facts: Facts, snapshot: Snapshot, policy: t.Mapping[str, t.Any]) -> Objection | None:
    down = [binary for binary in ("nova-conductor", "nova-scheduler") if not snapshot.get("control", {}).get(binary)]
    if down:
        return Objection(
            "hold", f"Nova reports no living {' and no '.join(down)}: evacuations could not be carried out"
        )
    return None


def _everything_stale(facts: Facts, snapshot: Snapshot, policy: t.Mapping[str, t.Any]) -> Objection | None:
    total, up = snapshot.get("computes_total", 0), snapshot.get("computes_up", 0)
    if total > 1 and not up:
        return Objection("hold", f"all {total} nova-computes look down: the source is broken, not the hosts")
    return None


def _in_segment(facts: Facts, snapshot: Snapshot, policy: t.Mapping[str, t.Any]) -> Objection | None:
    if not facts.get("segment"):
        return Objection("alert", "is in no failover segment, so its VMs have nowhere to go")
    return None


def _maintenance(facts: Facts, snapshot: Snapshot, policy: t.Mapping[str, t.Any]) -> Objection | None:
    if facts.get("maintenance"):
        verdict = "ask" if snapshot.get("caller") == "operator" else "ignore"
        return Objection(verdict, f"is in maintenance ({facts.get('disabled_reason')})")
    return None


def _planned(facts: Facts, snapshot: Snapshot, policy: t.Mapping[str, t.Any]) -> Objection | None:
    ours = (facts.get("disabled_reason") or "").startswith(OUR_REASON)
    if facts.get("role") != "reserved" and facts.get("status") == "disabled" and not ours:
        return Objection(
            "ask", f"an operator had disabled it before ({facts.get('disabled_reason') or 'no reason given'})"
        )
    return None


def _witnesses(facts: Facts, snapshot: Snapshot, policy: t.Mapping[str, t.Any]) -> Objection | None:
    living = facts.get("signs_of_life") or []
    if living:
        return Objection("ask", f"it shows signs of life: {', '.join(living)}")
    against = facts.get("witnesses") or []
    if len(against) < 2:
        return Objection("ask", f"only {len(against)} of 2 independent witnesses say that it is down: {against}")
    return None


def _budget(facts: Facts, snapshot: Snapshot, policy: t.Mapping[str, t.Any]) -> Objection | None:
    if snapshot.get("in_flight") is None:
        return Objection("ask", "it is not known which other hosts are being recovered")
    at_once = len(snapshot["hosts"]) + len(snapshot["in_flight"])
    if at_once > policy["max_hosts_at_once"]:
        return Objection("ask", f"{at_once} hosts at once, allowed without asking: {policy['max_hosts_at_once']}")
    return None


#: How a disabled_reason written by this collection begins.
OUR_REASON = "openstack_ha:"

GATES: tuple[Gate, ...] = (
    Gate("control_plane", "Can Nova carry out an evacuation at all?", ("control",), "closed", _control_plane),
    Gate(
        "everything_stale",
        "Is it the host that is silent, and not everything?",
        ("computes_total", "computes_up"),
        "open: a cloud without figures is caught by control_plane",
        _everything_stale,
    ),
    Gate("segment", "Is there somewhere for its VMs to go?", ("segment",), "closed", _in_segment),
    Gate(
        "maintenance",
        "Is it out of maintenance?",
        ("maintenance", "disabled_reason"),
        "open: no mark means no maintenance",
        _maintenance,
    ),
    Gate(
        "planned",
        "Was it in service before it failed?",
        ("status", "disabled_reason", "role"),
        "open: an unknown status is caught by witnesses",
        _planned,
    ),
    Gate(
        "witnesses",
        "Do two independent witnesses say it is down, and none that it lives?",
        ("witnesses", "signs_of_life"),
        "closed",
        _witnesses,
    ),
    Gate("budget", "Are few enough hosts failing at once?", ("in_flight", "max_hosts_at_once"), "closed", _budget),
)
