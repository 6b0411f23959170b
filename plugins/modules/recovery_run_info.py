#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: recovery_run_info
short_description: Show recovery runs from the journal
version_added: 0.1.0
description:
  - Lists recovery runs, newest first, and shows everything the journal knows about one of them.
  - Also lists what waits, which is the hosts that could not be fenced with the time of the next attempt, questions that
    nobody has answered, and orders of operators.
  - Shows the incidents that have not ended, and the newest signals of monitors with the verdict on each.
  - Fails if the journal is an SQLite file that does not exist, because then the wrong journal was named.
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.journal_group
  - openstack_ha.recovery.attributes.reads_only
  - openstack_ha.recovery.journal
options:
  run_id:
    description: Show only this run. It is an error if the journal does not have it.
    type: str
  host:
    description:
      - Show only runs on this host, its incidents and its signals, by its service host name, which is its name in
        the inventory.
      - Has no effect on runs if O(run_id) is given.
    type: str
  limit:
    description: Show at most so many runs, and so many signals. Must be at least 1.
    type: int
    default: 10
  region_name:
    description: Of incidents, signals and what waits, show only what belongs to this region.
    type: str
  full:
    description: Also return the O(ignore:report) of the run, or of the newest one if several are shown.
    type: bool
    default: false
seealso:
  - module: openstack_ha.recovery.recovery_run
author:
  - openstack_ha.recovery maintainers (@openstack-ha)
"""

EXAMPLES = r"""
- name: Look at the last ten runs
  openstack_ha.recovery.recovery_run_info:
  register: journal

- name: Get everything about the last run on one host
  openstack_ha.recovery.recovery_run_info:
    host: cmp03
    full: true
  register: last

- name: Show what became of each VM
  ansible.builtin.debug:
    msg: "{{ last.report.ledger | map(attribute='name') | zip(last.report.ledger | map(attribute='state')) }}"
"""

RETURN = r"""
runs:
  description: The runs, newest first. Empty if there are none.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id of the run.
      type: str
      sample: 0d5f8a2e-5d0c-4b43-8d6d-6b3b8ef0f9a1
    kind:
      description: What it is about, which is V(host), V(instance), V(process) or V(network).
      type: str
    state:
      description: V(open) at work, V(closed) ended by itself, V(abandoned) its process died or it lost its lease.
      type: str
      sample: closed
    check_mode:
      description: Whether the run was made in check mode.
      type: bool
    resumes:
      description: Id of the unfinished run that this one picked up, or null.
      type: str
    holder:
      description: Who ran it. User, machine, process, and when that process started.
      type: dict
    outcome:
      description: What the run ended with, or null.
      type: dict
    opened_at:
      description: When it began, in UTC.
      type: str
      sample: "2026-03-01T04:05:06.789Z"
    closed_at:
      description: When it ended, in UTC, or null.
      type: str
    hosts:
      description: The hosts, or C(HOST/OBJECT), that it is about, with C(incident_id), C(outcome) and C(reason).
      type: list
      elements: dict
held:
  description: Incidents that are held because their host could not be fenced, and are to be tried again.
  returned: success
  type: list
  elements: dict
  contains:
    host: {description: The host., type: str}
    scope: {description: The region., type: str}
    segment: {description: Its failover segment., type: str}
    reason: {description: Why it was not fenced., type: str}
    attempts: {description: How often it was tried., type: int}
    next_look_at: {description: "When it is due again, UTC. For people.", type: str}
    due_in: {description: "Seconds until then, 0 when it is due.", type: float}
questions:
  description: Questions that nobody has answered, with C(host), C(gate), C(reason), C(plan) and C(asked_at).
  returned: success
  type: list
  elements: dict
orders:
  description: Orders in force, as M(openstack_ha.recovery.recovery_order_info) shows them.
  returned: success
  type: list
  elements: dict
incidents:
  description: Incidents that have not ended, oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    id: {description: Id of the incident., type: str}
    scope: {description: The region., type: str}
    kind: {description: "V(host), V(instance), V(process) or V(network).", type: str}
    host: {description: The host., type: str}
    object: {description: "Id of the VM, name of the unit or of the network; empty for a host.", type: str}
    segment: {description: Its failover segment., type: str}
    state: {description: "V(open), V(held), V(recovering) or V(partial).", type: str}
    reason: {description: Why it is in that state., type: str}
    opened_at: {description: "When it began, UTC.", type: str}
signals:
  description: The newest signals that responders have taken, oldest first.
  returned: success
  type: list
  elements: dict
  contains:
    kind: {description: "V(host), V(instance), V(process), V(network) or V(watchdog).", type: str}
    host: {description: The host that it is about., type: str}
    object: {description: "Id of the VM, name of the unit or of the network; empty for a host.", type: str}
    type: {description: What it says., type: str, sample: openstack_ha.instance.crashed}
    state: {description: "V(failed), V(ok) or V(unknown).", type: str}
    reason: {description: What its monitor gave as the reason., type: str}
    reporter: {description: Who sent it., type: str, sample: "host:cmp03"}
    received_at: {description: "When it was taken first, UTC.", type: str}
    repeats: {description: How often the same was said again., type: int}
    repeat_age: {description: Seconds since it was said last., type: float}
    verdict: {description: "What was decided about it, null if nothing yet.", type: str}
    gate: {description: Which gate decided., type: str}
    verdict_reason: {description: Why., type: str}
    incident_id: {description: The incident that it belongs to., type: str}
report:
  description: Everything about one run.
  returned: O(full=true) and there is a run
  type: dict
  contains:
    run:
      description: The run, as in RV(runs).
      type: dict
    hosts:
      description: Its hosts, as in RV(runs[].hosts).
      type: list
      elements: dict
    incidents:
      description: The incidents of its hosts.
      type: list
      elements: dict
    verdicts:
      description: Each decision with the snapshot it was made from and the hash of the policy.
      type: list
      elements: dict
    certificates:
      description: Power certificates of the incidents, void ones with the reason.
      type: list
      elements: dict
    ledger:
      description: One line per VM of the incidents, in the order of the plan.
      type: list
      elements: dict
    reserved:
      description: Reserved hosts that the run took, and whether they were consumed or returned.
      type: list
      elements: dict
    steps:
      description: Steps of the run with their times in seconds.
      type: list
      elements: dict
    claims:
      description: Claims that the run still holds.
      type: list
      elements: dict
"""

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _order_words
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.options import JOURNAL_SPEC
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.rows import Row
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task


def run(call: Call) -> Result:
    """Read the journal."""
    wanted = call.params
    if wanted["limit"] < 1:
        raise ConfigError(f"limit: {wanted['limit']} is not a number of runs; use 1 or more")
    with open_journal(wanted["journal_url"], create=False) as journal:
        runs = [journal.run(wanted["run_id"])] if wanted["run_id"] else journal.runs(wanted["host"], wanted["limit"])
        result: Result = {"changed": False, "runs": runs, **_waiting(journal, wanted["region_name"])}
        result.update(_going_on(journal, wanted["region_name"], wanted["host"], wanted["limit"]))
        if wanted["full"] and runs:
            result["report"] = journal.report(runs[0]["id"])
        return result


def _waiting(journal: Journal, region: str | None) -> Result:
    """What somebody must look at."""
    orders = [{**order, "words": _order_words.words(order)} for order in journal.orders(region)]
    found = {"held": journal.retries(region), "questions": journal.open_questions(region), "orders": orders}
    return {name: _plain(rows) for name, rows in found.items()}


def _going_on(journal: Journal, region: str | None, host: str | None, limit: int) -> Result:
    """Incidents that have not ended, and what monitors said last."""
    given = {"scope": region, "host": host}
    here = {name: value for name, value in given.items() if value is not None}
    signals = [{**it, "reason": (it["data"] or {}).get("reason")} for it in journal.signals(limit, **here)]
    return {"incidents": _plain(journal.unended_incidents(**here)), "signals": _plain(signals)}


def _plain(rows: t.Iterable[Row]) -> list[Row]:
    return [
        {key: value for key, value in row.items() if not key.endswith(("_mark", "_key"))}  # for programs only
        for row in rows
    ]


TASK = Task(
    argument_spec={
        "run_id": {"type": "str"},
        "host": {"type": "str"},
        "limit": {"type": "int", "default": 10},
        "region_name": {"type": "str"},
        "full": {"type": "bool", "default": False},
        **JOURNAL_SPEC,
    },
    run=run,
)


def main() -> None:
    """Entry point of the module."""
    TASK.main()


if __name__ == "__main__":
    main()
