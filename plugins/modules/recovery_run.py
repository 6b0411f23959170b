#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: recovery_run
short_description: Open and close a recovery run
version_added: 0.1.0
description:
  - With O(state=open), resolves the names of the failed hosts, claims the hosts so that no other run works on them,
    takes a snapshot of the cloud, passes it through the gates, and journals the verdict.
  - With O(state=held), gives one host of the run up, for example because it could not be fenced.
  - With O(state=closed), journals the outcome, releases the claims, and returns the report of the run.
  - In check mode nothing is claimed or journaled; the verdict is returned all the same.
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.both_groups
  - openstack_ha.recovery.attributes.no_diff
  - openstack_ha.recovery.cloud
  - openstack_ha.recovery.journal
  - openstack_ha.recovery.run
attributes:
  idempotent:
    support: none
    description: Running it again with the same options changes nothing more and reports C(changed=false).
    details:
      - O(state=open) begins a run each time; a second one for the same host is refused while the first is at work.
options:
  state:
    description: What to do with the run.
    type: str
    required: true
    choices: [open, held, closed]
  hosts:
    description:
      - The failed hosts, by service host, hypervisor hostname, or a short name that only one host has.
      - Needed with O(state=open). With O(state=held) exactly one.
    type: list
    elements: str
  topology:
    description: The segments and hosts, as the inventory plugin sets them in the variable C(ha_topology).
    type: dict
  reason:
    description: Why the host is given up. Needed with O(state=held).
    type: str
  answer:
    description: A person's answer to the verdict V(ask). Needs O(answered_by) and O(answer_reason).
    type: str
    choices: [recover, hold]
  answered_by:
    description: Who gives the O(answer).
    type: str
  answer_reason:
    description: Why.
    type: str
  max_hosts_at_once:
    description: Hosts that may be under recovery at once without asking, counting those of other runs.
    type: int
    default: 1
  probe_timeout:
    description: Seconds to wait for a host that does not answer its probe.
    type: float
    default: 0.5
  lease_seconds:
    description:
      - How long a claim outlives its last renewal, in seconds. A run on another machine waits so long before it takes
        over the claim of a run that seems dead.
    type: float
    default: 60
author:
  - openstack_ha.recovery maintainers (@openstack-ha)
"""

EXAMPLES = r"""
- name: Claim the host, look at the cloud, decide
  openstack_ha.recovery.recovery_run:
    cloud: prod
    state: open
    hosts: [cmp03]
    topology: "{{ ha_topology }}"
  register: run

- name: Close the run
  openstack_ha.recovery.recovery_run:
    state: closed
    run_id: "{{ run.run_id }}"
"""

RETURN = r"""
run_id:
  description: Id of the run. Null in check mode.
  returned: success
  type: str
hosts:
  description: Hosts with the verdict V(recover), by service host.
  returned: O(state=open)
  type: list
  elements: str
verdicts:
  description: Verdict, deciding gate, reason and all gates with their inputs, by host.
  returned: O(state=open)
  type: dict
resumes:
  description: Id of the unfinished run that this one continues.
  returned: O(state=open)
  type: str
report:
  description: Everything the journal knows about the run.
  returned: O(state=closed)
  type: dict
"""

import os
import time

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _recovery, _run, _snapshot
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import CLOUD_SPEC, Cloud, Json, connect
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates import decide
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._names import HostNames
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task


def run(call: Call) -> Result:
    """Open, hold or close."""
    if call.params["state"] == "open":
        return _open_checked(call) if call.check_mode else _open(call)
    if call.check_mode or not call.params["run_id"]:
        return {"changed": call.check_mode, "run_id": call.params["run_id"]}
    # A host is held beside others of its run, whose claims may be released at this moment.
    held = call.params["hosts"] if call.params["state"] == "held" else None
    with _run.joined(call.params, held) as recovery:
        if held is not None:
            for host in held:
                _recovery.hold(recovery.journal, recovery.id, host, call.params["reason"])
            return {"changed": True, "run_id": recovery.id}
        return {"changed": True, "run_id": recovery.id, "report": _recovery.finish(recovery.journal, recovery.id)}


def _open_checked(call: Call) -> Result:
    """The verdict without a claim, a run, or a line in the journal."""
    cloud, hosts = connect(call.params), _resolve(call)
    snapshot = _see(call, cloud, hosts)
    try:
        with open_journal(call.params["journal_url"], create=False) as journal:
            in_flight = _recovery.in_flight(journal, cloud.region, hosts)
    except JournalError as error:
        call.warn(f"Runs on other hosts are not counted: {error.message}")
        in_flight = []
    snapshot = _snapshot.merge(snapshot, _journal_facts(call, in_flight, hosts))
    return _opened(call, None, decide(snapshot, full=True), None)


def _open(call: Call) -> Result:
    cloud, hosts = connect(call.params), _resolve(call)
    segments = {host: call.params["topology"]["hosts"][host].get("segment") for host in hosts}
    me = holder.describe(os.getppid(), monotonic=time.monotonic())
    if not call.in_process:
        me.update(pid=None, pid_start=None)  # a module's process ends long before its run
    with open_journal(call.params["journal_url"]) as journal:
        record = _recovery.begin(journal, cloud.region, segments, me, call.params["lease_seconds"], call.progress)
        snapshot = _see(call, cloud, hosts)
        in_flight = _recovery.in_flight(journal, cloud.region, hosts)
        snapshot = _snapshot.merge(snapshot, _journal_facts(call, in_flight, hosts))
        verdicts = _recovery.decide(journal, record["id"], snapshot, defaults())
        if not _to_recover(verdicts):
            _recovery.finish(journal, record["id"])
        return _opened(call, record["id"], verdicts, record["resumes"])


def _opened(call: Call, run_id: str | None, verdicts: dict[str, Json], resumes: str | None) -> Result:
    hosts = _to_recover(verdicts)
    refused = [
        f"{host}: {v['verdict']} (gate {v['gate']}): {v['reason']}" for host, v in verdicts.items() if host not in hosts
    ]
    for line in refused:
        call.warn(f"Not recovered: {line}")
    result = {"changed": bool(hosts), "run_id": run_id, "hosts": hosts, "verdicts": verdicts, "resumes": resumes}
    if not hosts and not call.check_mode:
        raise RecoveryError("Nothing is recovered. " + "; ".join(refused) + _how_to_answer(verdicts), **result)
    return result


def _how_to_answer(verdicts: dict[str, Json]) -> str:
    if not any(verdict["verdict"] == "ask" for verdict in verdicts.values()):
        return ""
    return ". To answer: -e answer=recover -e answered_by=YOUR_NAME -e answer_reason='WHY'"


def _to_recover(verdicts: dict[str, Json]) -> list[str]:
    return [host for host, verdict in verdicts.items() if verdict["verdict"] == "recover"]


def _resolve(call: Call) -> list[str]:
    known = call.params["topology"]["hosts"]
    names = HostNames({host: facts.get("hypervisor_hostname") for host, facts in known.items()})
    return sorted({names.resolve(name, "failed_hosts") for name in call.params["hosts"]})


def _see(call: Call, cloud: Cloud, hosts: list[str]) -> Json:
    snapshot = _snapshot.take(cloud, call.params["topology"], hosts, "operator", call.params["probe_timeout"])
    if call.params["answer"]:
        snapshot["answer"] = {
            "verdict": call.params["answer"],
            "operator": call.params["answered_by"],
            "reason": call.params["answer_reason"],
        }
    return snapshot


def _journal_facts(call: Call, in_flight: list[str], hosts: list[str]) -> Json:
    """``max_hosts_at_once`` counts as an order for this run."""
    order = {
        "id": "",
        "number": 0,
        "kind": "budget",
        "scope": "cloud",
        "name": None,
        "limits": {"at_once": call.params["max_hosts_at_once"]},
    }
    return {
        "in_flight": in_flight,
        "fences": [],
        "orders": [order],
        "storm": {"silent_for": None, "ended_ago": None},
        "hosts": {host: {"recoveries": 0} for host in hosts},
    }


TASK = Task(
    argument_spec={
        "state": {"type": "str", "required": True, "choices": ["open", "held", "closed"]},
        "hosts": {"type": "list", "elements": "str"},
        "topology": {"type": "dict"},
        "reason": {"type": "str"},
        "answer": {"type": "str", "choices": ["recover", "hold"]},
        "answered_by": {"type": "str"},
        "answer_reason": {"type": "str"},
        "max_hosts_at_once": {"type": "int", "default": 1},
        "probe_timeout": {"type": "float", "default": 0.5},
        "lease_seconds": {"type": "float", "default": 60.0},
        **CLOUD_SPEC,
        **_run.RUN_SPEC,
    },
    run=run,
    constraints={
        "required_if": [
            ("state", "open", ["hosts", "topology"]),
            ("state", "held", ["run_id", "hosts", "reason"]),
        ],
        "required_together": [("answer", "answered_by", "answer_reason")],
    },
)


def main() -> None:
    """Entry point of the module."""
    TASK.main()


if __name__ == "__main__":
    main()
