#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: evacuation_plan
short_description: Plan where the VMs of failed compute hosts go
version_added: 0.1.0
description:
  - Reads the VMs of the failed hosts from Nova and the room on the other hosts of their failover segments from
    Placement, and returns a plan as data. Nothing is changed.
  - Several failed hosts share one plan, with one order of priority and one account of the room that is left.
  - VMs are spread over the hosts of their segment. Nova checks each target again when it is asked.
  - With O(run_id), hosts that nobody heard when that run was decided on are no targets, also while Nova still takes
    them for up.
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.both_groups
  - openstack_ha.recovery.attributes.reads_only
  - openstack_ha.recovery.cloud
  - openstack_ha.recovery.journal
  - openstack_ha.recovery.run
options:
  hosts:
    description: Service hosts that have failed. With O(run_id), hosts that the run holds back are left out.
    type: list
    elements: str
    required: true
  topology:
    description: The segments and hosts, as the inventory plugin sets them in the variable C(ha_topology).
    type: dict
    required: true
  policy:
    description:
      - The complete policy, as the inventory plugin sets it in the variable C(ha_policy). The default is what holds
        where there is no policy file.
    type: dict
  join_aggregates:
    description:
      - Plan as if each reserved host that is taken joined the aggregates, and with them the availability zone, of the
        failed host in RV(reserved_for). M(openstack_ha.recovery.reserved_host) does that when it is told to.
    type: bool
    default: false
requirements:
  - jmespath, if selectors are to be evaluated (openstacksdk needs it, too)
author:
  - openstack_ha.recovery maintainers (@openstack-ha)
"""

EXAMPLES = r"""
- name: What would happen to the VMs of cmp03?
  openstack_ha.recovery.evacuation_plan:
    cloud: prod
    hosts: [cmp03]
    topology: "{{ ha_topology }}"
    policy: "{{ ha_policy }}"
  register: plan

- name: Show it
  ansible.builtin.debug:
    msg: "{{ plan.lines | map(attribute='name') | zip(plan.lines | map(attribute='target')) }}"
"""

RETURN = r"""
hosts:
  description: The failed hosts that the plan is for.
  returned: success
  type: list
  elements: str
lines:
  description: One entry per VM, in the order of evacuation.
  returned: success
  type: list
  elements: dict
  contains:
    id: {description: UUID of the server., type: str}
    name: {description: Name of the server., type: str}
    project: {description: Its project., type: str}
    host: {description: The failed host that it is on., type: str}
    segment: {description: Failover segment of that host., type: str}
    order: {description: Position in the plan; 1 goes first., type: int}
    priority: {description: 'Priority class, 0 to 1000; higher goes first.', type: int}
    step:
      description: >-
        V(evacuate); V(follow), an evacuation is under way and is only watched; V(done), an earlier run has brought it
        up, and others wait until it is ready; V(skip), policy or state says
        no; V(pending), not now. V(skip) and V(pending) have a RV(lines[].reason).
      type: str
    reason: {description: Why., type: str}
    method:
      description: >-
        Rescue method, as the policy says: V(evacuate), V(rebuild), V(restart), V(notify), V(heat) or V(none). Only the
        first two are evacuated.
      type: str
    otherwise: {description: 'With V(notify), the method after RV(lines[].deadline).', type: str}
    deadline: {description: 'With V(notify), the seconds that its owner has.', type: float}
    because:
      description: Who says whether it is protected, and who finer contradicts itself or is not understood.
      type: str
    policy_notes:
      description: What in the policy contradicts itself or is not understood, where it would have mattered.
      type: list
      elements: str
    local_disk_loss: {description: Whether what is on its local disks may be lost., type: bool}
    group: {description: 'Its restart group, as the policy says.', type: str}
    after: {description: Restart groups that the policy has started before it., type: list, elements: str}
    ready: {description: 'When it counts as ready, as the policy says.', type: dict}
    rank: {description: 'Its priority class, or that of the most important VM that waits for it.', type: int}
    keys: {description: What others may wait for it by., type: list, elements: str}
    waits: {description: What it waits for before it is started., type: list, elements: str}
    awaited: {description: 'When it counts as ready; null if no VM waits for it.', type: dict}
    remarks: {description: What is odd about its restart order., type: list, elements: str}
    former: {description: 'Power state to restore: V(running) or V(stopped).', type: str}
    reset: {description: Whether Nova evacuates it only after its state was reset., type: bool}
    note: {description: What its owner must know of it also when it is recovered., type: str}
    target: {description: Planned target host., type: str}
    alternates: {description: 'Other targets, best first.', type: list, elements: str}
    reserves:
      description: Reserved hosts that are taken into service only when all RV(lines[].alternates) have refused.
      type: list
      elements: str
    need: {description: Amount by resource class., type: dict}
room:
  description: What is left on each possible target, by resource class, once all of the plan has landed.
  returned: success
  type: dict
reserved_hosts:
  description: Reserved hosts that the plan uses.
  returned: success
  type: list
  elements: str
reserved_for:
  description: The failed host that each of RV(reserved_hosts) helps first, by reserved host.
  returned: success
  type: dict
counts:
  description: Number of VMs by RV(lines[].step).
  returned: success
  type: dict
"""

import collections
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _owners, _run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import CLOUD_SPEC, Json, connect
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import INSTANCE
from ansible_collections.openstack_ha.recovery.plugins.module_utils._planning import make_plan
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task

#: States of incidents of single VMs that somebody has decided to restart, or wants to look at again.
_RESTARTED = ["held", "recovering", "partial"]


def run(call: Call) -> Result:
    """Make the plan."""
    hosts = call.params["hosts"]
    ledger: list[Json] = []
    silent: list[str] = []
    said = _owners.Said(set(), {})
    with _run.attached(call.params, hosts, orders=False) as recovery:
        if recovery:
            hosts = [host for host in hosts if not recovery.is_held(host)]
            ledger, silent = recovery.ledger(hosts), recovery.silent()
            ledger += _being_restarted(recovery, hosts, {line["server_id"] for line in ledger})
            said = _owners.said(recovery, hosts, expire=not call.check_mode)
        topology, join, policy = (call.params[name] for name in ("topology", "join_aggregates", "policy"))
        cloud = connect(call.params)
        plan = make_plan(cloud, topology, hosts, ledger, join, silent, policy=policy, overdue=said.overdue)
        _owners.leave(plan["lines"], said.kept)
    counts = collections.Counter(line["step"] for line in plan["lines"])
    return {"changed": False, "counts": dict(counts), "hosts": hosts, **plan}


def _being_restarted(recovery: _run.Run, hosts: list[str], known: t.Container[str]) -> list[Json]:
    """VMs that had failed before their host did, and were being brought back: if they are off, nobody wanted that."""
    if not hosts:
        return []
    (incident,) = recovery.journal.incidents(id=recovery.incident(hosts[0]))
    mine: Json = {"scope": incident["scope"], "kind": INSTANCE, "host": hosts, "state": _RESTARTED}
    ran = {"state": "skipped", "attempts": 1, "former_state": "running", "facts": {}}
    found = recovery.journal.unended_incidents(**mine)
    return [{"server_id": it["object"], **ran} for it in found if it["object"] not in known]


TASK = Task(
    argument_spec={
        "hosts": {"type": "list", "elements": "str", "required": True},
        "topology": {"type": "dict", "required": True},
        "policy": {"type": "dict"},
        "join_aggregates": {"type": "bool", "default": False},
        **CLOUD_SPEC,
        **_run.RUN_SPEC,
    },
    run=run,
)


def main() -> None:
    """Entry point of the module."""
    TASK.main()


if __name__ == "__main__":
    main()
