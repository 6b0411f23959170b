# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gates between "a host seems to have failed" and powering it off. PRIVATE: may change at any time.

Pure: one snapshot and one policy (plain data) in, one verdict per suspect out, always the same for the same. Gates are
asked in the order of :data:`GATES`; the first that objects decides.
"""

from __future__ import annotations

import collections
import hashlib
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates_cloud import crowded
from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates_scene import (
    Case,
    Objection,
    Policy,
    Scene,
    Snapshot,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates_table import GATES, INPUTS, Gate
from ansible_collections.openstack_ha.recovery.plugins.module_utils._networks import LOST, state
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults

Json = t.Dict[str, t.Any]

#: The words of a verdict.
VERDICTS = {
    "recover": "fence the host and recover its VMs",
    "hold": "do nothing now and look again; the reason says what must change",
    "ask": "only a person may decide",
    "alert": "tell the operators, do nothing",
    "ignore": "expected; recorded and nothing else",
}


def decide(
    snapshot: Snapshot, policy: Policy | None = None, gates: t.Sequence[Gate] = GATES, full: bool = False
) -> dict[str, Json]:
    """Give a verdict for each suspect of the snapshot.

    A person's answer turns ``ask`` into what was answered, and nothing else.

    :param policy: The complete policy; None: the defaults.
    :param full: Ask also the gates after the one that decides.
    """
    scene = Scene(snapshot, defaults() if policy is None else policy)
    hearings = {host: _Hearing(Case(host, scene), full) for host in scene.suspects}
    for together in (False, True):
        if together:
            scene.budgets.want(host for host, hearing in hearings.items() if hearing.counts)
        rows = [_Row(gate, scene) for gate in gates if gate.together is together]
        for hearing in hearings.values():
            hearing.pass_through(rows)
    return {host: hearing.verdict() for host, hearing in hearings.items()}


def question(gate: str, reason: str) -> str:
    """What an answer is an answer to: this gate, closed for this reason."""
    return hashlib.sha256(f"{gate}\n{reason}".encode()).hexdigest()[:16]


def storms(snapshot: Snapshot, policy: Policy | None = None) -> list[str]:
    """Where too many hosts are silent now: in the cloud, in which segments, on which networks. Empty: no storm."""
    scene = Scene(snapshot, defaults() if policy is None else policy)
    places = [None, *scene.silence.segments()]
    return sorted({place for segment in places for place in crowded(scene, segment)} | set(_cut(scene)))


def _cut(scene: Scene) -> t.Iterator[str]:
    """The networks that too many hosts have lost: when their switch returns, the last ones are not the broken ones."""
    rules, total = scene.gates["mass_silence"], len(scene.hosts)
    lost = collections.Counter(
        name
        for facts in scene.hosts.values()
        for name, report in (facts.get("networks") or {}).items()
        if state(report) == LOST
    )
    for name, hosts in sorted(lost.items()):
        if hosts >= rules["hosts"] and hosts * 100 >= rules["percent"] * total:
            yield f"{hosts} of {total} on network {name}"


class _Row:
    """A gate, with those of its inputs that are the same for all hosts."""

    def __init__(self, gate: Gate, scene: Scene) -> None:
        self.gate = gate
        anyone = Case("", scene)
        self._readers = [(name, INPUTS[name].read) for name in gate.inputs if not INPUTS[name].shared]
        self._shared = {name: INPUTS[name].read(anyone) if INPUTS[name].shared else None for name in gate.inputs}
        self._shared.update((path, _at(scene.policy, path)) for path in gate.settings)

    def inputs(self, case: Case) -> Json:
        if not self._readers:
            return self._shared
        found = self._shared.copy()
        for name, read in self._readers:
            found[name] = read(case)
        return found


def _at(policy: Policy, path: str) -> t.Any:
    value: t.Any = policy
    for key in path.split("."):
        value = value[key]
    return value


class _Hearing:
    """One suspect on its way through the gates."""

    def __init__(self, case: Case, full: bool) -> None:
        self.case, self.full = case, full
        self.gates: list[Json] = []
        self.last: Json = {
            "verdict": "recover",
            "gate": None,
            "reason": "all gates passed",
            "look_again": None,
            "reaction": "recover",
        }
        self.counts = True

    def pass_through(self, rows: t.Iterable[_Row]) -> None:
        for row in rows:
            decided = self.last["verdict"] != "recover"
            if decided and not self.full:
                return
            objection = row.gate.ask(self.case)
            self._note(row, objection)
            if objection and not decided:
                self._object(row.gate, objection)

    def _note(self, row: _Row, objection: Objection | None) -> None:
        note = row.gate.note(self.case) if row.gate.note and not objection else ""
        self.gates.append(
            {
                "gate": row.gate.name,
                "inputs": row.inputs(self.case),
                "says": objection.verdict if objection else "pass",
                "reason": objection.reason if objection else note,
            }
        )

    def _object(self, gate: Gate, objection: Objection) -> None:
        answer = _answer(self.case, gate.name, objection)
        verdict, reason = objection.verdict, objection.reason
        if answer:
            verdict = answer["verdict"]
            reason = f"{reason}; {answer['by']} answered {verdict}: {answer['why']}"
        recovered = verdict == "recover"
        self.last = {
            "verdict": verdict,
            "gate": gate.name,
            "reason": reason,
            "look_again": None if recovered else objection.look_again,
            "reaction": "recover" if recovered else objection.reaction,
        }
        # What is not known of a host may be that it is dead: then it is one more that has failed.
        self.counts = recovered or objection.unknown or not gate.clears

    def verdict(self) -> Json:
        return {**self.last, "gates": self.gates}


def _answer(case: Case, gate: str, objection: Objection) -> Json | None:
    """What a person has said to this question, now or before."""
    if objection.verdict != "ask":
        return None
    now = case.scene.snapshot.get("answer")
    if now:
        return {"verdict": now["verdict"], "by": now["operator"], "why": now["reason"]}
    asked = (case.host, gate, question(gate, objection.reason))
    for answer in case.scene.snapshot.get("answers") or []:
        if (answer["host"], answer["gate"], answer["question"]) == asked:
            return {key: answer[key] for key in ("verdict", "by", "why")}
    return None
