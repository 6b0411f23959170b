# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VMs that are left to their owners (method notify): they are told, and asked. PRIVATE: may change at any time.

A run does not wait for owners. It journals what they are to be told, and a question about each VM with its deadline;
the first run after that does what the policy says then, unless somebody has answered ``hold`` for the place HOST/VM.
"""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import rows
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.notices import EVERYBODY
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import object_of, place
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal

Json = t.Dict[str, t.Any]

#: How the reason of such a line in a plan begins.
LEFT_TO_OWNER = "is left to its owner"

EVENT = "vm_notify"
GATE = "owner"


class Run(t.Protocol):
    """See :class:`_run.Run`."""

    journal: Journal
    id: str

    def incident(self, host: str) -> str: ...


class Said(t.NamedTuple):
    """What owners have said, or not in time.

    :param overdue: VMs for which the policy's ``otherwise`` is to be done now.
    :param kept: By VM, who takes care of it.
    """

    overdue: set[str]
    kept: dict[str, str]


def said(run: Run, hosts: t.Iterable[str], expire: bool = True) -> Said:
    """What became of the questions about VMs of these hosts.

    :param expire: Write down that nobody has answered in time.
    """
    overdue, kept = set(), {}
    for question in run.journal.questions(incident_id=[run.incident(host) for host in hosts], gate=GATE):
        vm = object_of(question["host"])
        if question["state"] == "answered" and question["answer"] == "hold":
            kept[vm] = f"{question['answered_by']} takes care of it: {question['answer_reason']}"
        elif question["state"] != "open":
            overdue.add(vm)
        elif question["wait"] and (question["age"] or 0.0) >= question["wait"]:
            overdue.add(vm)
            if expire:
                reason = f"no answer within {question['wait']:g} s"
                run.journal.expire_question(question["id"], question["default"], reason)
    return Said(overdue, kept)


def leave(lines: t.Iterable[Json], kept: t.Mapping[str, str]) -> None:
    """Nothing is left to do with those that somebody takes care of."""
    for line in lines:
        if line["id"] in kept and _is_left(line):
            line.update(step="skip", reason=f"{LEFT_TO_OWNER}: {kept[line['id']]}")


def tell(run: Run, lines: t.Iterable[Json]) -> None:
    """Have the owners told, each VM once in an incident, and ask about those that have a deadline.

    Told before it is asked: who is killed in between tells twice, which is better than never.
    """
    left = [line for line in lines if _is_left(line)]
    for host in dict.fromkeys(line["host"] for line in left):
        incident = run.incident(host)
        told = _told(run.journal, incident)
        new = [line for line in left if line["host"] == host and line["id"] not in told]
        if new:
            (scope,) = {it["scope"] for it in run.journal.incidents(id=incident)}
            run.journal.add_notice(scope, EVERYBODY, EVENT, _body(host, new), incident, run.id)
        asked = {question["host"] for question in run.journal.questions(incident_id=incident, gate=GATE)}
        for line in left:
            if line["host"] == host and place(host, line["id"]) not in asked and _deadline(line) is not None:
                _ask(run, incident, line)


def soonest(journal: Journal, scope: str, host: str) -> float | None:
    """Seconds until the next deadline of a VM of a host is over; None: there is none."""
    open_ = [it["id"] for it in journal.incidents(scope=scope, host=host, kind="host") if it["open_key"]]
    asked = journal.questions(incident_id=open_, gate=GATE, state="open") if open_ else []
    left = [it["wait"] - (it["age"] or 0.0) for it in asked if it["wait"]]
    return max(0.0, min(left)) if left else None


def _is_left(line: Json) -> bool:
    return (
        line["method"] == "notify" and line["step"] in ("skip", "pending") and line["reason"].startswith(LEFT_TO_OWNER)
    )


def _deadline(line: Json) -> float | None:
    """None: it is left to its owner for good."""
    return line["deadline"] if line["step"] == "pending" else None


def _told(journal: Journal, incident: str) -> set[str]:
    notices = journal.notices(incident_id=incident, event=EVENT, target=EVERYBODY)
    return {vm["id"] for notice in notices for vms in notice["body"]["projects"].values() for vm in vms}


def _body(host: str, lines: t.Iterable[Json]) -> Json:
    projects: dict[str, list[Json]] = {}
    for line in lines:
        vm = {"id": line["id"], "name": line["name"], "host": host, "state": "down"}
        deadline = _deadline(line)
        if deadline is not None:
            vm.update(deadline=deadline, until=rows.now(deadline), otherwise=line["otherwise"])
        projects.setdefault(line["project"], []).append(vm)
    return {"hosts": [host], "projects": projects}


def _ask(run: Run, incident: str, line: Json) -> None:
    about = place(line["host"], line["id"])
    # A deadline of 0 would mean a question that nobody waits for.
    wait = max(1.0, float(line["deadline"]))
    reason = f"{line['name']} {line['reason']}"
    plan = {"hosts": [about], "vms": {about: 1}}
    entry = {"incident_id": incident, "host": about}
    run.journal.ask(run.id, entry, GATE, line["id"], reason, plan, wait, "recover")
