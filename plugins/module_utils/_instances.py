# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides what becomes of VMs that seem to have failed. PRIVATE to this collection: may change at any time.

Pure: one snapshot and one policy in, one verdict for each VM out. The table of its gates is the only place for their
names, order and meaning; docs/instances.md is made from it.
"""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _instances_gates as gates
from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates import question
from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates_scene import Objection

Json = t.Dict[str, t.Any]
Facts = t.Mapping[str, t.Any]

#: Types of signals that are no failure of one VM: how many VMs of a host have them is looked at here, too.
storage_suspects = gates.storage_suspects


@dataclasses.dataclass(frozen=True)
class Gate:
    """One question that must be answered well before a VM is restarted.

    :param inputs: What it looks at, in the snapshot. :param settings: Keys of the policy that it goes by.
    :param answers: The verdicts that it gives, for people. :param harm: What happens without it.
    """

    name: str
    question: str
    inputs: tuple[str, ...]
    settings: tuple[str, ...]
    answers: str
    harm: str
    ask: t.Callable[[gates.Case], t.Optional[Objection]]


INPUTS: dict[str, t.Callable[[gates.Case], t.Any]] = {
    "caller": lambda case: case.snapshot.get("caller"),
    "orders": lambda case: [f"{it['kind']} {it['number']}" for it in case.snapshot.get("orders") or []],
    "type": lambda case: case.word,
    "data": lambda case: {key: case.data[key] for key in ("action", "resuming", "domain") if key in case.data},
    "age": lambda case: case.facts.get("age"),
    "server": lambda case: None if case.server is None else dict(case.server),
    "protection": lambda case: dataclasses.asdict(case.protection) if case.protection else None,
    "watchdog_action": lambda case: case.watchdog,
    "host": lambda case: dict(case.host),
    "io_errors": lambda case: storage_suspects(case.snapshot, case.policy),
    "history": lambda case: case.recent(),
}

GATES: tuple[Gate, ...] = (
    Gate(
        name="orders",
        question="Does no operator's order forbid it?",
        inputs=("orders", "caller"),
        settings=(),
        answers="pause: hold until its end; disarm: ignore; by hand: ask",
        harm="A VM is started under the hands of people who had paused the recovery because they work on it.",
        ask=gates.orders,
    ),
    Gate(
        name="known",
        question="Is it a VM of Nova, on the host that speaks about it?",
        inputs=("host", "server"),
        settings=(),
        answers="host unknown: alert; deleted, none of Nova's, or on another host: ignore; Nova does not answer: hold",
        harm="A VM that was moved a moment ago is started on the host that it has left.",
        ask=gates.known,
    ),
    Gate(
        name="trouble",
        question="Does this trouble call for a restart?",
        inputs=("type", "data", "caller"),
        settings=("instances.types",),
        answers="what `instances.types` says; an I/O error that its operating system was told of: alert",
        harm="A VM that copes with a failing data disk is killed.",
        ask=gates.trouble,
    ),
    Gate(
        name="hypervisor",
        question="Is it nothing that the hypervisor does by itself?",
        inputs=("type", "data", "watchdog_action", "age", "caller"),
        settings=("instances.watchdog",),
        answers="by `hw:watchdog_action` of the flavor or the image what `instances.watchdog` says; guest agent silent "
        "and the watchdog would reset it or power it off: hold for `instances.watchdog.wait`",
        harm="A VM that its watchdog has just reset is restarted once more, in the middle of its boot.",
        ask=gates.hypervisor,
    ),
    Gate(
        name="owner",
        question="Did it run, and is neither its owner nor Nova at it?",
        inputs=("server", "caller"),
        settings=("instances.locked",),
        answers="deleted, shelved, building, suspended: ignore; paused, rescued, resized: alert; locked: what "
        "`instances.locked` says; a task: hold, alert after 15 minutes",
        harm="A VM that its owner has just deleted or shelved comes back.",
        ask=gates.owner,
    ),
    Gate(
        name="protected",
        question="Is it to be restarted, by policy?",
        inputs=("protection", "age", "caller"),
        settings=("ha",),
        answers="not protected, none: ignore; notify: hold until its deadline, without one alert; heat: alert",
        harm="A VM that is one of many and replaced by its application is started beside its replacement.",
        ask=gates.protected,
    ),
    Gate(
        name="source",
        question="Does its host answer, and does nothing else work on it?",
        inputs=("host",),
        settings=(),
        answers="hold: it becomes an incident of the host; maintenance: hold, by hand ask",
        harm="A VM of a host that is only cut off is started a second time.",
        ask=gates.source,
    ),
    Gate(
        name="storage",
        question="Is it this VM, and not the path of its host to the storage?",
        inputs=("io_errors", "type", "caller"),
        settings=("instances.storage_suspect",),
        answers="hold: the host is said to have lost its storage, which is a question for the gates of hosts",
        harm="All VMs of a host are restarted into a storage that is not there, and each restart loses their memory.",
        ask=gates.storage,
    ),
    Gate(
        name="resuming",
        question="Has the monitor been given time to resume it?",
        inputs=("type", "data", "age", "caller"),
        settings=("instances.resume_wait",),
        answers="hold for `instances.resume_wait`",
        harm="A paused VM loses its memory although its storage was back a moment later.",
        ask=gates.resuming,
    ),
    Gate(
        name="limits",
        question="Has it not been recovered too often lately?",
        inputs=("history", "caller"),
        settings=(
            "instances.tries",
            "instances.within",
            "instances.back_off",
            "instances.back_off_most",
            "instances.then",
            "instances.elsewhere",
        ),
        answers="too soon: hold; too often: alert",
        harm="A VM whose software cannot start is started for ever.",
        ask=gates.limits,
    ),
)


def decide(snapshot: Facts, policy: Facts, table: t.Sequence[Gate] = GATES) -> dict[str, Json]:
    """Give a verdict for each VM of the snapshot.

    :param snapshot: See docs/architecture.md. :param policy: The complete policy.
    :returns: By place ``verdict``, ``gate``, ``reason``, ``look_again``, ``reaction`` and ``gates``. The reaction of
        what is to be recovered is ``recover`` (on its host), ``elsewhere`` or ``recover_or_elsewhere``.
    """
    return {place: _verdict(gates.Case(place, snapshot, policy), table) for place in sorted(snapshot["places"])}


def _verdict(case: gates.Case, table: t.Sequence[Gate]) -> Json:
    asked: list[Json] = []
    for gate in table:
        objection = gate.ask(case)
        asked.append(_row(gate, case, objection))
        if objection:
            found = _objected(case, gate, objection)
            if found["verdict"] != "recover":
                return {**found, "gates": asked}
    return {
        "verdict": "recover", "gate": None, "reason": "all gates passed", "look_again": None,
        "reaction": gates.reaction(case), "gates": asked,
        "priority": case.protection.priority if case.protection else None,
    }  # fmt: skip


def _row(gate: Gate, case: gates.Case, objection: Objection | None) -> Json:
    says, reason = (objection.verdict, objection.reason) if objection else ("pass", "")
    return {"gate": gate.name, "inputs": {it: INPUTS[it](case) for it in gate.inputs}, "says": says, "reason": reason}


def _objected(case: gates.Case, gate: Gate, objection: Objection) -> Json:
    """A person's answer turns ``ask`` into what was answered, and nothing else."""
    verdict, reason = objection.verdict, objection.reason
    answer = _answer(case, gate.name, reason) if verdict == "ask" else None
    if answer:
        verdict, reason = answer["verdict"], f"{reason}; {answer['by']} answered {answer['verdict']}: {answer['why']}"
    return {
        "verdict": verdict, "gate": gate.name, "reason": reason, "look_again": objection.look_again,
        "reaction": objection.reaction,
    }  # fmt: skip


def _answer(case: gates.Case, gate: str, reason: str) -> Json | None:
    """What a person has said to this question, now or before."""
    now = case.snapshot.get("answer")
    if now:
        return {"verdict": now["verdict"], "by": now["operator"], "why": now["reason"]}
    asked = (case.place, gate, question(gate, reason))
    for it in case.snapshot.get("answers") or []:
        if (it["host"], it["gate"], it["question"]) == asked:
            return {key: it[key] for key in ("verdict", "by", "why")}
    return None


def server_facts(server: Facts | None, now: datetime.datetime | None = None) -> Json:
    """What a snapshot says of a VM, from Nova's document of it; {}: Nova knows none.

    :param now: This moment by Nova's clock, as far as it is known: for the age of a task.
    """
    if server is None:
        return {}
    return {
        "host": server.get("OS-EXT-SRV-ATTR:host"),
        "vm_state": server.get("OS-EXT-STS:vm_state"),
        "task_state": server.get("OS-EXT-STS:task_state"),
        "power_state": server.get("OS-EXT-STS:power_state"),
        "locked": bool(server.get("locked")),
        "updated_age": _age(server.get("updated"), now),
    }


def _age(text: t.Any, now: datetime.datetime | None) -> float | None:
    if not text or now is None:
        return None
    then = datetime.datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    return max(0.0, (now - then).total_seconds())
