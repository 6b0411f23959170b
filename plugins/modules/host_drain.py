#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_drain
short_description: Move the VMs of a living host away
version_added: 0.1.0
description:
  - Plans where the VMs of a host go, as M(openstack_ha.recovery.evacuation_plan) does for a dead one, to hosts of its
    failover segment that are in service. Then migrates them alive, follows Nova's records, tries other targets where
    one refuses, and verifies host, state, ports and volumes of each VM.
  - The host must live and its nova-compute be up. When it dies meanwhile, the task stops; what was on it is for
    C(recover_host), which fences it first. Nothing here forces anything, and no VM's state is reset.
  - A VM that cannot be moved alive stays where it is, or is shut down, moved and started again, as C(drain.fallback) of
    the policy says. VMs that are paused stay so; VMs that are powered off stay, or are moved, by C(drain.powered_off).
  - Every intent is journaled before Nova is asked, so the task can be killed at any moment and run again. It then
    follows what is under way.
  - Whether something new is scheduled to the host meanwhile is not for this task to say; disable its nova-compute first
    with M(openstack_ha.recovery.compute_service).
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.both_groups
  - openstack_ha.recovery.attributes.no_diff
  - openstack_ha.recovery.attributes.idempotent
  - openstack_ha.recovery.cloud
  - openstack_ha.recovery.journal
options:
  run_id:
    description:
      - The run, of kind V(network) or V(process), as M(openstack_ha.recovery.recovery_run) returned it. Needed except
        in check mode.
    type: str
  host:
    description: The host, by its name in the inventory.
    type: str
    required: true
  topology:
    description: The segments and hosts, as the inventory plugin sets them in the variable C(ha_topology).
    type: dict
    required: true
  policy:
    description:
      - The complete policy, as the inventory plugin sets it in the variable C(ha_policy); its section C(drain) says
        which VMs, how many at once, how long, and what follows where that does not work; C(ha) and what stands on
        OpenStack's objects which VMs are protected.
    type: dict
author:
  - openstack_ha.recovery maintainers (@openstack-ha)
"""

EXAMPLES = r"""
- name: Move the VMs away
  openstack_ha.recovery.host_drain:
    cloud: prod
    run_id: "{{ run.run_id }}"
    host: cmp03
    topology: "{{ ha_topology }}"
    policy: "{{ ha_policy }}"

- name: See what would be moved, and where to
  openstack_ha.recovery.host_drain:
    cloud: prod
    host: cmp03
    topology: "{{ ha_topology }}"
  check_mode: true
"""

RETURN = r"""
ledger:
  description: One line per VM, in the order of the plan.
  returned: success
  type: list
  elements: dict
  contains:
    id: {description: UUID of the server., type: str}
    name: {description: Name of the server., type: str}
    project: {description: Its project., type: str}
    host: {description: The host that is drained., type: str}
    target: {description: "Where it is now, or was to go.", type: str}
    method: {description: 'V(live_migrate) or V(cold_migrate).', type: str}
    state:
      description: 'V(verified), V(skipped), V(pending) or V(failed); V(planned) in check mode.'
      type: str
    reason: {description: Why it is not verified., type: str}
    attempts: {description: Requests made., type: int}
    request_id: {description: Nova's id of the last request., type: str}
counts:
  description: Number of VMs by state.
  returned: success
  type: dict
  sample: {verified: 41, pending: 1}
left:
  description: What keeps the host from being called drained, in words; empty if nothing does.
  returned: success
  type: str
  sample: 1 VMs could not be moved
"""

import collections
import concurrent.futures

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute, _drain_world, _run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._capacity import Room
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import CLOUD_SPEC, Cloud, Json, connect
from ansible_collections.openstack_ha.recovery.plugins.module_utils._drain import Drain
from ansible_collections.openstack_ha.recovery.plugins.module_utils._drain_contract import Limits, Line
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import HOST, NETWORK
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.states import INCIDENT, INCIDENT_FINAL
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task

_STATE_OF_STEP = {"migrate": "planned", "follow": "requested", "skip": "skipped", "pending": "pending"}
_SHOWN = ("id", "name", "project", "host", "target", "state", "reason", "attempts", "request_id")
_LIMITS = ("parallel", "per_target", "vm_timeout", "fallback")


def run(call: Call) -> Result:
    """Plan, and carry the plan out."""
    cloud, host = connect(call.params), call.params["host"]
    policy = call.params["policy"] or defaults()
    _drain_world.check_movable(_compute.compute_service(cloud, host))
    if call.check_mode:
        plan = _drain_world.make_plan(cloud, call.params["topology"], host, policy)
        lines = _lines(plan["lines"], [])
    else:
        lines = _carry_out(call, cloud, host, policy)
    counts = collections.Counter(line.state for line in lines)
    return {
        "changed": any(line.attempts or (call.check_mode and line.state == "planned") for line in lines),
        "ledger": [{**{name: getattr(line, name) for name in _SHOWN}, "method": line.way} for line in lines],
        "counts": dict(counts),
        "left": _left(lines),
    }


def _left(lines: list[Line]) -> str:
    unmoved = sum(line.state in ("pending", "failed") for line in lines)
    return f"{unmoved} VMs could not be moved" if unmoved else ""


def _carry_out(call: Call, cloud: Cloud, host: str, policy: Json) -> list[Line]:
    topology = call.params["topology"]
    limits = Limits(**{name: policy["drain"][name] for name in _LIMITS})
    # Orders are left to the executor: what Nova was asked for is followed although nothing more may be begun.
    joined = _run.joined(call.params, [host], orders=False)
    with joined as recovery, concurrent.futures.ThreadPoolExecutor(limits.parallel) as pool:
        ledger = recovery.journal.lines([recovery.incident(host)])
        ailing = _ailing(recovery, cloud.region, host)
        plan = _drain_world.make_plan(cloud, topology, host, policy, ledger, ailing)
        recovery.journal.plan_lines(recovery.id, [_ledger_line(entry, recovery) for entry in plan["lines"]])
        lines = _lines(plan["lines"], recovery.journal.lines([recovery.incident(host)]))
        recovery.step("drain_planned", host)
        with recovery.lease.keep(_run.KEEP_INTERVAL):
            probes = topology["hosts"][host].get("probe") or []
            world = _drain_world.RealWorld(cloud, recovery, host, probes, pool, call.progress)
            Drain(world, lines, Room.of_free(plan["room"]), limits).run()
        recovery.step("drained", host)
        if recovery.kind == NETWORK:  # of a unit that has failed, more is to be said than that
            left = _left(lines)
            recovery.journal.set_run_host(recovery.id, host, "partial" if left else "recovered", left or None)
    return lines


def _ailing(recovery: _run.Run, scope: str, but: str) -> set[str]:
    """Hosts that nobody hears, or that may have failed or lost a network as well: VMs are no better off there."""
    unsettled = [state for state in INCIDENT if state not in INCIDENT_FINAL]
    found = recovery.journal.incidents(scope=scope, kind=[HOST, NETWORK], state=unsettled)
    return {*recovery.silent(), *(it["host"] for it in found)} - {but}


def _lines(planned: list[Json], ledger: list[Json]) -> list[Line]:
    noted = {row["server_id"]: row["state"] for row in ledger}
    return [_line(entry, noted.get(entry["id"], "")) for entry in planned]


def _line(entry: Json, noted: str) -> Line:
    names = (
        "id", "name", "project", "host", "order", "former", "need", "target", "alternates", "floor", "reason",
    )  # fmt: skip
    kept = {name: entry[name] for name in names}
    return Line(**kept, way=entry["method"], state=_STATE_OF_STEP[entry["step"]], noted=noted)


def _ledger_line(entry: Json, recovery: _run.Run) -> Json:
    return {
        "incident_id": recovery.incident(entry["host"]),
        "server_id": entry["id"],
        "state": _STATE_OF_STEP[entry["step"]],
        "name": entry["name"],
        "host": entry["host"],
        "position": entry["order"],
        "priority": entry["priority"],
        "method": entry["method"],
        "target": entry["target"],
        "former_state": entry["former"],
        "reason": entry["reason"],
        "facts": {
            "project": entry["project"],
            "need": entry["need"],
            "segment": entry["segment"],
            "note": entry["note"],
        },
    }


TASK = Task(
    argument_spec={
        "host": {"type": "str", "required": True},
        "topology": {"type": "dict", "required": True},
        "policy": {"type": "dict"},
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
