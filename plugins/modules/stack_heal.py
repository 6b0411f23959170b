#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_heal
short_description: Have Heat replace VMs of failed hosts
version_added: 0.1.0
description:
  - Works on the VMs of the hosts of a run whose rescue method is V(heat), after M(openstack_ha.recovery.host_evacuate)
    has left them alone. Finds the stack that each belongs to, marks it unhealthy there, updates the stack with the
    template and the parameters that it has, follows the update to its end, and sees that the new VM is active on
    another host.
  - Changes something only while the host has a power certificate of this run and shows no sign of life.
  - Before that, it sets the VM to ERROR, because Heat would wait for the dead host to detach its ports, and fail. A VM
    that has a port of another resource is deleted, because Nova gives that to the new one only then.
  - A stack that is being updated by somebody else is waited for. One whose last update has failed is left to its owner.
  - Without such VMs it does nothing, and asks nothing of Heat.
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.both_groups
  - openstack_ha.recovery.attributes.no_diff
  - openstack_ha.recovery.attributes.idempotent
  - openstack_ha.recovery.cloud
  - openstack_ha.recovery.journal
  - openstack_ha.recovery.run
options:
  topology:
    description: The segments and hosts, as the inventory plugin sets them in the variable C(ha_topology).
    type: dict
    required: true
  stack_timeout:
    description:
      - Seconds after which an update that has not ended is left to itself, and the VM is reported as V(pending). So
        long, too, an update of somebody else is waited for.
    type: float
    default: 1800
  poll:
    description: Seconds between two looks.
    type: float
    default: 2
  silent_for:
    description:
      - Seconds without a heartbeat that count as a sign that the host is dead where there is no other. See
        M(openstack_ha.recovery.host_evacuate).
    type: float
    default: 15
notes:
  - The user of this task needs a role in the project of each such VM that Heat's policy lets update stacks. Heat works
    in its name then. See docs/heat.md.
seealso:
  - module: openstack_ha.recovery.host_evacuate
author:
  - openstack_ha.recovery maintainers (@openstack-ha)
"""

EXAMPLES = r"""
- name: Have Heat replace the VMs that the policy leaves to it
  openstack_ha.recovery.stack_heal:
    cloud: prod
    run_id: "{{ run.run_id }}"
    topology: "{{ ha_topology }}"
"""

RETURN = r"""
ledger:
  description: The VMs that are left to Heat.
  returned: success
  type: list
  elements: dict
  contains:
    id: {description: UUID of the server that was on the failed host., type: str}
    name: {description: Its name., type: str}
    project: {description: Its project., type: str}
    host: {description: The failed host., type: str}
    target: {description: The host of the server that takes its place., type: str}
    state: {description: 'V(verified), V(pending) or V(failed).', type: str}
    reason: {description: 'What it was replaced by, or why not.', type: str}
    request_id: {description: Heat's id of the update., type: str}
"""

import dataclasses
import functools
import re
import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute, _healing, _heat, _run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import CLOUD_SPEC, Cloud, Json, connect
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError, ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._healing import LEFT_TO_HEAT, Limits, Line
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task
from ansible_collections.openstack_ha.recovery.plugins.module_utils._watch import Watch

_DELETED_WITHIN = 60  # seconds
_SHOWN = ("id", "name", "project", "host", "target", "state", "reason", "request_id")


def run(call: Call) -> Result:
    """Heal what is left to Heat."""
    params = call.params
    for option in ("stack_timeout", "poll", "silent_for"):
        if not params[option] > 0:
            raise ConfigError(f"{option}: must be greater than 0 seconds, not {params[option]}.")
    with _run.attached(params, orders=False) as recovery:
        if recovery is None:
            if call.check_mode:
                return {"changed": False, "ledger": []}
            raise ConfigError("run_id: this needs a run. Open one with recovery_run, state=open.")
        hosts = [entry["host"] for entry in recovery.record["hosts"] if not recovery.is_held(entry["host"])]
        rows = {row["server_id"]: row for row in recovery.ledger(hosts) if _is_left(row)}
        lines = [_line(row) for row in rows.values()]
        if lines and not call.check_mode:
            with recovery.lease.keep(_run.KEEP_INTERVAL):
                world = _World(call, recovery, rows)
                _healing.heal(world, lines, Limits(params["stack_timeout"], params["poll"]))
                recovery.step("healed")
    return {"changed": bool(lines), "ledger": [{key: getattr(line, key) for key in _SHOWN} for line in lines]}


def _is_left(row: Json) -> bool:
    """Whether Heat is to replace a VM, or an earlier run of this incident has begun to have it replaced."""
    begun = bool(row["facts"].get("stack")) and row["state"] != "verified"
    return row["method"] == "heat" and (begun or (row["reason"] or "").startswith(LEFT_TO_HEAT))


def _line(row: Json) -> Line:
    stack = row["facts"].get("stack")
    return Line(
        id=row["server_id"],
        name=row["name"],
        host=row["host"],
        project=row["facts"]["project"],
        resource=_heat.Resource(**stack) if stack else None,
        begun=bool(stack),
    )


def _unless_gone(change: t.Callable[[], t.Any]) -> None:
    try:
        change()
    except CloudError as error:
        if error.facts.get("status") != 404:
            raise


class _World:
    """See :class:`_healing.World`."""

    def __init__(self, call: Call, recovery: _run.Run, rows: t.Mapping[str, Json]) -> None:
        self._cloud: Cloud = connect(call.params)
        self._recovery, self._rows, self.progress = recovery, rows, call.progress
        hosts = call.params["topology"]["hosts"]
        probes = {row["host"]: hosts[row["host"]].get("probe") or [] for row in rows.values()}
        service = functools.partial(_compute.compute_service, self._cloud)
        self._watch = Watch(
            recovery, probes, service, call.params["silent_for"], time.monotonic, time.sleep, call.progress
        )

    def now(self) -> float:
        """Seconds on a clock that nobody sets."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Let time pass, unless the claims are lost meanwhile."""
        time.sleep(seconds)
        self._recovery.lease.check()

    def permit(self, host: str) -> None:
        """The claim, and the proof that the host is off."""
        self._recovery.lease.renew(host)
        self._watch.check()

    def paused(self, host: str) -> str:
        """By an order that is newer than the verdict."""
        return self._recovery.stopped().get(host, "")

    def heat(self, project: str) -> _heat.Heat:
        """As in that project: Heat makes what it makes where it is asked."""
        return _heat.Heat(self._cloud.of_project(project))

    def server(self, server_id: str) -> Json | None:
        """Nova's document of it."""
        return _compute.server(self._cloud, server_id)

    def let_go(self, line: Line) -> None:
        """Heat would ask the dead host to detach the ports of the server, wait, and give up.

        It does not when the server is in ERROR; its internal ports it deletes then. Ports of other resources are to be
        those of the new server, and Nova lets go of them only when the old one is deleted, which Heat would do later.
        """
        if self._has_ports_of_others(line):
            self._delete(line)
        else:
            error = {"os-resetState": {"state": "error"}}
            _unless_gone(lambda: _compute.action(self._cloud, line.id, error, _compute.OLDEST))

    def _has_ports_of_others(self, line: Line) -> bool:
        if not self._cloud.has("network") or line.resource is None:
            return False
        internal = re.compile(re.escape(line.resource.name) + r"-port-[0-9]+$")  # as Heat's server_network_mixin names
        ports = self._cloud.get("network", "/ports", device_id=line.id)["ports"]
        return not all(internal.match(port["name"]) for port in ports)

    def _delete(self, line: Line) -> None:
        _unless_gone(lambda: self._cloud.request("DELETE", "compute", f"/servers/{line.id}", _compute.OLDEST))
        for _look in range(_DELETED_WITHIN):
            if _compute.server(self._cloud, line.id) is None:
                return
            self.wait(1.0)
        raise CloudError(f"Nova has not deleted {line.name} ({line.id}) within {_DELETED_WITHIN} s.", status=None)

    def record(self, line: Line) -> None:
        """With the resource, by which a later run finds what became of it once the old server is gone."""
        row = self._rows[line.id]
        stack = {"stack": dataclasses.asdict(line.resource)} if line.resource and line.state != "pending" else {}
        asked = {"request_id": line.request_id} if line.request_id else {}
        change = self._recovery.journal.line_change(
            self._recovery.incident(line.host),
            line.id,
            line.state,
            run_id=self._recovery.id,
            target=line.target,
            reason=line.reason,
            facts={**row["facts"], **stack},
            **asked,
        )
        self._recovery.lease.renew(line.host, also=change)


TASK = Task(
    argument_spec={
        "topology": {"type": "dict", "required": True},
        "stack_timeout": {"type": "float", "default": 1800.0},
        "poll": {"type": "float", "default": 2.0},
        "silent_for": {"type": "float", "default": 15.0},
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
