#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: reserved_host
short_description: Take a reserved host into service, or give it back
version_added: 0.1.0
description:
  - A reserved host is kept empty, with its nova-compute disabled, until a failover needs it.
  - With O(state=taken) the host is enabled. With O(state=returned) it is disabled again with its former reason, unless
    something has landed on it; then it stays in service and counts as consumed.
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.both_groups
  - openstack_ha.recovery.attributes.diff
  - openstack_ha.recovery.attributes.idempotent
  - openstack_ha.recovery.cloud
  - openstack_ha.recovery.journal
  - openstack_ha.recovery.run
options:
  state:
    description: Whether the host is to serve or to be reserved.
    type: str
    choices: [taken, returned]
    default: taken
  host:
    description:
      - Service host. Without it, O(state=taken) picks the best usable reserved host of O(segment), and
        O(state=returned) gives back every host that this run, or a run that has ended, had taken.
    type: str
  segment:
    description: Failover segment to pick a reserved host of.
    type: str
  topology:
    description: The segments and hosts, as the inventory plugin sets them in C(ha_topology). Needed with O(segment).
    type: dict
  join_aggregates_of:
    description: A host whose host aggregates the reserved host is to join. Only with O(state=taken).
    type: str
author:
  - openstack_ha.recovery maintainers (@openstack-ha)
"""

EXAMPLES = r"""
- name: Take the best reserved host of the segment
  openstack_ha.recovery.reserved_host:
    cloud: prod
    segment: rack1
    topology: "{{ ha_topology }}"
    join_aggregates_of: cmp03
  register: reserve

- name: Give back what a run has taken and nothing landed on
  openstack_ha.recovery.reserved_host:
    cloud: prod
    state: returned
    run_id: "{{ run.run_id }}"

- name: Give one back if nothing landed on it
  openstack_ha.recovery.reserved_host:
    cloud: prod
    host: "{{ reserve.host }}"
    state: returned
"""

RETURN = r"""
host:
  description: The reserved host.
  returned: O(state=taken), or O(host) was given
  type: str
hosts:
  description: What became of each, with C(host), C(changed), C(consumed) and C(diff).
  returned: O(state=returned) without O(host)
  type: list
  elements: dict
consumed:
  description: What keeps the host in service.
  returned: O(state=returned) with O(host)
  type: list
  elements: str
aggregates:
  description: Names of the aggregates it has joined.
  returned: O(state=taken)
  type: list
  elements: str
"""

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute, _reserved, _run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import CLOUD_SPEC, Cloud, Json, connect
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task


def run(call: Call) -> Result:
    """Take one reserved host, or return one or all."""
    cloud = connect(call.params)
    with _run.attached(call.params, orders=call.params["state"] == "taken") as recovery:
        if call.params["state"] == "taken":
            host = call.params["host"] or _reserved.pick(cloud, call.params["topology"], call.params["segment"])
            return _take(call, cloud, _compute.compute_service(cloud, host), recovery)
        if call.params["host"]:
            return _give_back(call, cloud, call.params["host"], recovery)
        if not recovery and not call.check_mode:
            raise ConfigError("host: is missing; give it, or run_id to return what runs have taken.")
        hosts = sorted({use["host"] for use in recovery.journal.reserved_uses(state="taken")}) if recovery else []
        returned = [_give_back(call, cloud, host, recovery) for host in hosts]
        return {"changed": any(one["changed"] for one in returned), "hosts": returned}


def _take(call: Call, cloud: Cloud, service: Json, recovery: _run.Run | None) -> Result:
    taking = _reserved.taking(cloud, service, call.params["join_aggregates_of"])
    after = {**service, **taking.change, "disabled_reason": None}
    if not call.check_mode:
        after = taking.carry_out(cloud, recovery)
    return {
        "changed": bool(taking.change or taking.aggregates),
        "host": service["host"],
        "aggregates": [aggregate["name"] for aggregate in taking.aggregates],
        "diff": {"before": _reserved.shown(service), "after": _reserved.shown(after)},
    }


def _give_back(call: Call, cloud: Cloud, host: str, recovery: _run.Run | None) -> Result:
    service = _compute.compute_service(cloud, host)
    uses = recovery.journal.reserved_uses(host=host, state="taken") if recovery else []
    others = [use for use in uses if recovery and _is_others(recovery, use)]
    consumed = _reserved.used_by(cloud, host) + [f"run {use['run_id']}" for use in others]
    change: Json = {}
    taken = bool(uses) or not recovery  # a run gives back only what a run has taken
    if taken and not consumed and service["status"] == "enabled":
        reason = uses[-1]["reason_before"] if uses else None
        change = {"status": "disabled", "disabled_reason": reason or _reserved.DEFAULT_REASON}
    after = {**service, **change}
    if change and not call.check_mode:
        if recovery:
            recovery.check(orders=False)
        after = _compute.update_service(cloud, service["id"], change)
    if recovery and not call.check_mode:
        for use in uses:
            if use not in others:
                recovery.journal.set_reserved(use["id"], "consumed" if consumed else "returned")
    return {
        "changed": bool(change),
        "host": host,
        "consumed": consumed,
        "diff": {"before": _reserved.shown(service), "after": _reserved.shown(after)},
    }


def _is_others(recovery: _run.Run, use: Json) -> bool:
    """Whether another run, still at work, counts on the host."""
    return use["run_id"] != recovery.id and recovery.journal.run(use["run_id"])["state"] == "open"


TASK = Task(
    argument_spec={
        "state": {"type": "str", "choices": ["taken", "returned"], "default": "taken"},
        "host": {"type": "str"},
        "segment": {"type": "str"},
        "topology": {"type": "dict"},
        "join_aggregates_of": {"type": "str"},
        **CLOUD_SPEC,
        **_run.RUN_SPEC,
    },
    run=run,
    constraints={
        "required_by": {"segment": "topology"},
        "required_if": [("state", "taken", ["host", "segment"], True)],
    },
)


def main() -> None:
    """Entry point of the module."""
    TASK.main()


if __name__ == "__main__":
    main()
