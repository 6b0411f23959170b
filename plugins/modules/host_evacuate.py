#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_evacuate
short_description: Carry out an evacuation plan, and see each VM to its end
version_added: 0.1.0
description:
  - Evacuates the VMs of fenced hosts as planned by M(openstack_ha.recovery.evacuation_plan), follows Nova's records,
    tries other targets where one refuses (reserved hosts last), and verifies host, power state, ports and volumes of
    each VM.
  - Refuses to start unless each source host has a valid power certificate, made in this run by
    M(openstack_ha.recovery.host_fence). There is no option that skips this.
  - VMs that wait for others by the plan (RV(openstack_ha.recovery.evacuation_plan#module:lines[].waits)) are moved with
    all the others, land powered off, and are started when it is their turn. Clouds older than microversion 2.95 start
    what they evacuate, so there such VMs are moved when it is their turn.
  - Stops at the first sign of life of a fenced host, and voids its certificate.
  - Every intent is journaled before Nova is asked, so the task can be killed at any moment and run again. It then
    follows what is under way instead of asking twice.
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.both_groups
  - openstack_ha.recovery.attributes.no_diff
  - openstack_ha.recovery.attributes.idempotent
  - openstack_ha.recovery.cloud
  - openstack_ha.recovery.journal
  - openstack_ha.recovery.fencing.evacuated
options:
  run_id:
    description: The run, as M(openstack_ha.recovery.recovery_run) returned it. Needed except in check mode.
    type: str
  plan:
    description: What M(openstack_ha.recovery.evacuation_plan) returned.
    type: dict
    required: true
  topology:
    description: The segments and hosts, as the inventory plugin sets them in the variable C(ha_topology).
    type: dict
    required: true
  policy:
    description:
      - The complete policy, as the inventory plugin sets it in the variable C(ha_policy). Its section C(restart) says
        how long VMs wait for others, and where these are asked whether they are ready. The default is the policy that
        holds where there is no policy file.
    type: dict
  parallel:
    description: VMs under evacuation at once.
    type: int
    default: 20
  per_target:
    description: VMs under evacuation at once to one target host.
    type: int
    default: 5
  retries:
    description: How often all targets are tried again for a VM that none of them took, before it is pending.
    type: int
    default: 2
  retry_delay:
    description: Seconds before the first of these rounds; it grows with each round.
    type: float
    default: 10
  vm_timeout:
    description: Seconds to follow one evacuation. After that it is reported as pending and not asked for again.
    type: float
    default: 900
  verify_timeout:
    description: Seconds that a landed VM may take to show its power state, ports and volumes.
    type: float
    default: 60
  join_aggregates:
    description:
      - Whether a reserved host that is taken because all other targets refused joins the aggregates of the failed host.
    type: bool
    default: false
  settle:
    description: Seconds in which an evacuation request that Nova did not answer may still take effect.
    type: float
    default: 15
  silent_for:
    description:
      - Seconds that must pass without a heartbeat before the first evacuation from a host without a probe that Nova
        still took for alive when the run was opened, because the device that reported it off could be wrong.
      - A host whose certificate was voided before in this incident is always waited for.
      - Must be greater than C(report_interval) of nova-compute, which is 10 seconds by default.
    type: float
    default: 15
author:
  - openstack_ha.recovery maintainers (@openstack-ha)
"""

EXAMPLES = r"""
- name: Bring the VMs of the fenced host up elsewhere
  openstack_ha.recovery.host_evacuate:
    cloud: prod
    run_id: "{{ run.run_id }}"
    plan: "{{ plan }}"
    topology: "{{ ha_topology }}"
    policy: "{{ ha_policy }}"
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
    host: {description: The failed host., type: str}
    target: {description: "Where it is now, or was to go.", type: str}
    state: {description: 'V(verified), V(skipped), V(pending) or V(failed).', type: str}
    reason: {description: Why it is not verified., type: str}
    attempts: {description: Evacuation requests made., type: int}
    request_id: {description: Nova's id of the last request., type: str}
counts:
  description: Number of VMs by state.
  returned: success
  type: dict
  sample: {verified: 41, pending: 1}
"""

import collections
import concurrent.futures
import contextlib
import functools
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _owners, _recovery, _run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._capacity import Room
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import CLOUD_SPEC, Json, connect
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._evacuation import Evacuation
from ansible_collections.openstack_ha.recovery.plugins.module_utils._evacuation_contract import Limits, Line
from ansible_collections.openstack_ha.recovery.plugins.module_utils._evacuation_world import RealWorld
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.methods import LEVELS_SPEC, parse_levels
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.rereading import Rereading
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.world import real_world
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults
from ansible_collections.openstack_ha.recovery.plugins.module_utils._readiness import Readiness
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task
from ansible_collections.openstack_ha.recovery.plugins.module_utils._watch import Power

_LIMITS = ("parallel", "per_target", "retries", "retry_delay", "vm_timeout", "verify_timeout", "settle")
_STATE_OF_STEP = {
    "evacuate": "planned",
    "follow": "requested",
    "done": "verified",
    "skip": "skipped",
    "pending": "pending",
}
_READERS = 8  # of power states at once
_SHOWN = ("id", "name", "project", "host", "target", "state", "reason", "attempts", "request_id")


def run(call: Call) -> Result:
    """Carry out the plan."""
    planned = call.params["plan"]["lines"]
    restart = (call.params["policy"] or defaults())["restart"]
    limits = Limits(**{name: call.params[name] for name in _LIMITS}, tier_timeout=float(restart["tier_timeout"]))
    if not call.params["silent_for"] > 0:
        raise ConfigError(f"silent_for: must be greater than 0 seconds, not {call.params['silent_for']}.")
    lines = (
        _lines(planned, call.params["topology"], []) if call.check_mode else _carry_out(call, planned, limits, restart)
    )
    ledger = [{name: getattr(line, name) for name in _SHOWN} for line in lines]
    moved = [line for line in lines if line.attempts]
    return {
        "changed": bool(moved) or (call.check_mode and any(line.state == "planned" for line in lines)),
        "ledger": ledger,
        "counts": dict(collections.Counter(line.state for line in lines)),
    }


def _carry_out(call: Call, planned: list[Json], limits: Limits, restart: Json) -> list[Line]:
    topology, hosts = call.params["topology"], call.params["plan"]["hosts"]
    # Orders are left to the executor: what Nova was asked for is followed although nothing more may be begun.
    joined = _run.joined(call.params, hosts, orders=False)
    with joined as recovery, concurrent.futures.ThreadPoolExecutor(limits.parallel) as pool:
        recovery.journal.plan_lines(recovery.id, [_ledger_line(entry, recovery) for entry in planned])
        _owners.tell(recovery, planned)
        lines = _lines(planned, topology, recovery.ledger(hosts))
        probes = _probes(lines, topology)
        silent_for, join = call.params["silent_for"], call.params["join_aggregates"]
        with recovery.lease.keep(_run.KEEP_INTERVAL), _power_read(call) as power:
            ready = Readiness(restart["probe_networks"], restart["tasks"], functools.partial(_agent, recovery))
            world = RealWorld(
                connect(call.params), recovery, probes, silent_for, pool, call.progress, join, power, ready
            )
            Evacuation(world, lines, Room.of_free(call.params["plan"]["room"]), limits).run()
        if world.last_active is not None:
            recovery.step("last_active", at=world.last_active)
        for host in hosts:
            recovery.step(_recovery.EVACUATED, host)
    return lines


def _agent(recovery: _run.Run, server_id: str, host: str) -> str:
    """Nova knows nothing of guest agents; the monitor of the host does, where it asks them.

    What was said before the incident is about an earlier stay of the VM on that host.
    """
    mine = [recovery.incident(it["host"]) for it in recovery.record["hosts"]]
    since = max((it["age"] for it in recovery.journal.unended_incidents(id=mine)), default=0.0)
    said = recovery.journal.signals(limit=1, kind="instance", host=host, object=server_id)
    if said and said[0]["data"].get("agent") and said[0]["repeat_age"] <= since:
        return ""
    return f"the monitor of {host} has not said that its guest agent answers"


@contextlib.contextmanager
def _power_read(call: Call) -> t.Iterator[Power]:
    """What reads the power of the hosts again; at the end, no reading is left under way."""
    outside = real_world()
    given = call.params["fencing"]
    levels = {it["host"]: parse_levels(it["levels"], outside, f"fencing[{n}].levels") for n, it in enumerate(given)}
    with concurrent.futures.ThreadPoolExecutor(max(1, min(len(levels), _READERS))) as readers:
        yield Rereading(levels, readers, outside.clock, call.progress).signs


def _probes(lines: list[Line], topology: Json) -> dict[str, list[str]]:
    """Hosts of which something may be evacuated, with their probes."""
    hosts = sorted({line.host for line in lines if line.state not in ("skipped", "pending")})
    return {host: topology["hosts"][host].get("probe") or [] for host in hosts}


def _lines(planned: list[Json], topology: Json, ledger: list[Json]) -> list[Line]:
    rows = {row["server_id"]: row for row in ledger}
    return [_line(entry, topology, rows.get(entry["id"], {})) for entry in planned]


def _line(entry: Json, topology: Json, row: Json) -> Line:
    names = (
        "id",
        "name",
        "project",
        "host",
        "order",
        "former",
        "reset",
        "note",
        "need",
        "target",
        "alternates",
        "reserves",
        "floor",
        "reason",
        "rank",
        "keys",
        "waits",
        "awaited",
    )
    segment, state = topology["segments"][entry["segment"]], _STATE_OF_STEP[entry["step"]]
    if entry.get("local_disk_loss") is not None:
        segment = {**segment, "allow_local_disk_loss": entry["local_disk_loss"]}
    line = Line(**{name: entry[name] for name in names}, segment=segment, state=state, noted=row.get("state", ""))
    known = row.get("facts") or {}
    line.landed_off = bool(line.waits or known.get("waits"))
    line.no_room = state == "pending" and bool(line.alternates)
    line.facts = {**_facts(entry), "need": line.need or known.get("need", {})} if line.waits else {}
    return line


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
        "facts": _facts(entry),
    }


def _facts(entry: Json) -> Json:
    """What later runs must know of it, and what people may want to."""
    names = ["project", "need", "segment", "note", "because", "policy_notes", "deadline", "otherwise"]
    names += ["group", "after", "ready", "keys", "waits"]
    return {name: entry[name] for name in names}


TASK = Task(
    argument_spec={
        "plan": {"type": "dict", "required": True},
        "topology": {"type": "dict", "required": True},
        "policy": {"type": "dict"},
        "parallel": {"type": "int", "default": 20},
        "per_target": {"type": "int", "default": 5},
        "retries": {"type": "int", "default": 2},
        "retry_delay": {"type": "float", "default": 10.0},
        "vm_timeout": {"type": "float", "default": 900.0},
        "verify_timeout": {"type": "float", "default": 60.0},
        "settle": {"type": "float", "default": 15.0},
        "silent_for": {"type": "float", "default": 15.0},
        "join_aggregates": {"type": "bool", "default": False},
        "fencing": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {"host": {"type": "str", "required": True}, "levels": LEVELS_SPEC},
        },
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
