#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: instance_recover
short_description: Bring VMs back that have failed on hosts that live
version_added: 0.1.0
description:
  - Works on the VMs of a run of kind C(instance), see M(openstack_ha.recovery.recovery_run), many at a time.
  - First on the same host. A VM that is off is started, one that runs is stopped and started, one that hangs is
    rebooted hard. A VM that its monitor has resumed meanwhile is only looked at.
  - Then, where the verdict says so, on another host of its failover segment, by cold migration or by shelving.
    The host that it leaves lives and is not fenced. It is moved only when Nova shows it stopped there, its host
    answers, and the monitor of that host has said since the stop that libvirt has it off, or a person vouches for that.
  - A VM whose host does not answer any more is left alone. That becomes an incident of the host.
  - Before each request the claim is renewed, and it is looked whether another run has come to work on the host.
  - A VM counts as recovered when Nova shows it active and running, its monitor says so, too, if there is one, and it
    has stayed so for a while.
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.both_groups
  - openstack_ha.recovery.attributes.no_diff
  - openstack_ha.recovery.cloud
  - openstack_ha.recovery.journal
  - openstack_ha.recovery.run
attributes:
  idempotent:
    support: full
    description: Running it again with the same options changes nothing more and reports C(changed=false).
    details:
      - A VM that is recovered is not restarted again by the same run.
options:
  topology:
    description: The segments and hosts, as the inventory plugin sets them in the variable C(ha_topology).
    type: dict
    required: true
  policy:
    description:
      - The complete policy, as the inventory plugin sets it in the variable C(ha_policy); its section C(instances)
        counts here. Without it the defaults hold.
    type: dict
  how:
    description:
      - What to do with the VMs instead of what the verdict says.
      - V(here) restarts them on their host, V(elsewhere) moves them.
    type: str
    choices: [here, elsewhere]
  vouched_by:
    description:
      - Who vouches that the VMs that are to be moved are off on their hosts, where no monitor says so.
      - Needs O(vouched_reason).
    type: str
  vouched_reason:
    description: How that is known.
    type: str
author:
  - openstack_ha.recovery maintainers (@openstack-ha)
"""

EXAMPLES = r"""
- name: Bring the VMs back
  openstack_ha.recovery.instance_recover:
    cloud: prod
    run_id: "{{ run.run_id }}"
    topology: "{{ ha_topology }}"
    policy: "{{ ha_policy }}"

- name: Move a VM whose host has no monitor
  openstack_ha.recovery.instance_recover:
    cloud: prod
    run_id: "{{ run.run_id }}"
    topology: "{{ ha_topology }}"
    how: elsewhere
    vouched_by: jane
    vouched_reason: virsh shows it shut off on cmp01
"""

RETURN = r"""
ledger:
  description: One line per VM.
  returned: success
  type: list
  elements: dict
  contains:
    id: {description: UUID of the server., type: str}
    name: {description: Name of the server., type: str}
    project: {description: Its project., type: str}
    host: {description: The host on which it failed., type: str}
    target: {description: Where it is now., type: str}
    method: {description: 'V(restart), V(hard_reboot), V(resume), V(cold_migrate) or V(shelve).', type: str}
    state: {description: 'V(verified), V(skipped), V(pending) or V(failed).', type: str}
    reason: {description: Why it is not verified., type: str}
    attempts: {description: Requests that Nova has accepted., type: int}
    request_id: {description: Nova's id of the last request., type: str}
    outcome: {description: 'Of the run for it, V(recovered), V(partial) or V(held).', type: str}
counts:
  description: Number of VMs by state.
  returned: success
  type: dict
  sample: {verified: 6}
"""

import collections
import concurrent.futures

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _recovery, _run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import CLOUD_SPEC, Json, connect
from ansible_collections.openstack_ha.recovery.plugins.module_utils._instance_contract import Limits, Line
from ansible_collections.openstack_ha.recovery.plugins.module_utils._instance_recovery import Recovery
from ansible_collections.openstack_ha.recovery.plugins.module_utils._instance_world import RealWorld
from ansible_collections.openstack_ha.recovery.plugins.module_utils._instances_gates import ELSEWHERE, HERE
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import host_of, object_of
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task

_HOW = {"here": HERE, "elsewhere": ELSEWHERE}
_SHOWN = (
    "id", "name", "project", "host", "target", "method", "state", "reason", "attempts", "request_id", "outcome",
)  # fmt: skip


def run(call: Call) -> Result:
    """Work on all VMs of the run that are not done."""
    if call.check_mode:
        return {"changed": True, "ledger": [], "counts": {}}
    rules = (call.params["policy"] or defaults())["instances"]
    # Orders are looked at before each request: what Nova was asked for is followed although nothing more may be begun.
    with _run.joined(call.params, orders=False) as recovery:
        lines = _lines(call, recovery)
        recovery.journal.plan_lines(recovery.id, [_ledger_line(line, recovery) for line in lines])
        _carry_out(call, recovery, lines, rules)
    ledger = [{name: getattr(line, name) for name in _SHOWN} for line in lines]
    counts = dict(collections.Counter(line.state for line in lines))
    return {"changed": any(line.attempts for line in lines), "ledger": ledger, "counts": counts}


def _carry_out(call: Call, recovery: _run.Run, lines: list[Line], rules: Json) -> None:
    if not lines:
        return
    world = RealWorld(connect(call.params), recovery, call.params["topology"], call.progress)
    limits = Limits.of_policy(rules)
    with recovery.lease.keep(_run.KEEP_INTERVAL), concurrent.futures.ThreadPoolExecutor(rules["parallel"]) as pool:
        for done in [pool.submit(Recovery(world, line, limits).run) for line in lines]:
            done.result()
    entries = {entry["host"]: entry for entry in recovery.journal.run(recovery.id)["hosts"]}
    for line in lines:
        if line.outcome == "held":
            _recovery.release(recovery.journal, recovery.id, entries[line.place], "held", line.reason)


def _lines(call: Call, recovery: _run.Run) -> list[Line]:
    """The VMs with the verdict to recover them, the more important ones first."""
    verdict = recovery.journal.verdicts(recovery.id)[-1]
    places = [it["host"] for it in recovery.record["hosts"] if it["outcome"] is None]
    earlier = {it["server_id"]: it for it in recovery.ledger(places)}
    lines = [_line(call, place, verdict, earlier.get(object_of(place))) for place in places]
    return sorted(lines, key=lambda line: (-line.priority, line.place))


def _line(call: Call, place: str, verdict: Json, earlier: Json | None) -> Line:
    about, decided = verdict["snapshot"]["places"][place], verdict["result"][place]
    facts = about.get("facts") or {}
    before = (earlier or {}).get("facts") or {}
    vouched = f"{call.params['vouched_by']}: {call.params['vouched_reason']}" if call.params["vouched_by"] else ""
    segment = verdict["snapshot"]["hosts"].get(host_of(place), {}).get("segment") or ""
    project = (facts.get("project") or {}).get("id") or ""
    return Line(
        place=place,
        host=host_of(place),
        id=object_of(place),
        name=facts.get("name") or (about.get("data") or {}).get("name") or "",
        project=project,
        segment=segment,
        priority=500 if decided.get("priority") is None else decided["priority"],
        reaction=_HOW.get(call.params["how"] or "", decided["reaction"]),
        word="" if about.get("state") == "ok" else str(about.get("type") or "").rpartition(".")[2],
        noted=(earlier or {}).get("state") or "",
        attempts=(earlier or {}).get("attempts") or 0,
        vouched_by=vouched,
        facts={**before, "project": project, "segment": segment, "note": "", "vouched_by": vouched},
    )


def _ledger_line(line: Line, recovery: _run.Run) -> Json:
    return {
        "incident_id": recovery.incident(line.place),
        "server_id": line.id,
        "name": line.name,
        "host": line.host,
        "position": 0,
        "priority": line.priority,
        "method": line.method,
        "attempts": line.attempts,
        "former_state": "running",
        "facts": line.facts,
    }


TASK = Task(
    argument_spec={
        "topology": {"type": "dict", "required": True},
        "policy": {"type": "dict"},
        "how": {"type": "str", "choices": ["here", "elsewhere"]},
        "vouched_by": {"type": "str"},
        "vouched_reason": {"type": "str"},
        **CLOUD_SPEC,
        **_run.RUN_SPEC,
    },
    run=run,
    constraints={"required_together": [("vouched_by", "vouched_reason")]},
)


def main() -> None:
    """Entry point of the module."""
    TASK.main()


if __name__ == "__main__":
    main()
