#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compute_service
short_description: Enable, disable or force down nova-compute on a host
version_added: 0.1.0
description:
  - Changes the status, the reason and the C(forced_down) flag of one nova-compute service, in one API call.
  - Use O(forced_down=true) together with O(status=disabled) for a host that is dead. Disabling alone makes
    nova-api wait for the dead host until its RPC timeout, 60 seconds by default.
  - A host that has been evacuated is not forced up while Nova still holds evacuation records of it in
    the status C(done). Its nova-compute must start first and delete the stale guests.
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.both_groups
  - openstack_ha.recovery.attributes.diff
  - openstack_ha.recovery.attributes.idempotent
  - openstack_ha.recovery.cloud
  - openstack_ha.recovery.journal
  - openstack_ha.recovery.run
options:
  host:
    description: Name of the service host, as C(openstack compute service list) shows it.
    type: str
    required: true
  status:
    description: Whether the scheduler may use the host. Left as it is by default.
    type: str
    choices: [enabled, disabled]
  disabled_reason:
    description: Why the host is disabled. Only with O(status=disabled).
    type: str
  forced_down:
    description: Whether Nova takes the service for down, whatever its heartbeat says. Left as it is by default.
    type: bool
author:
  - openstack_ha.recovery maintainers (@openstack-ha)
"""

EXAMPLES = r"""
- name: Take a dead host out of service at once
  openstack_ha.recovery.compute_service:
    cloud: prod
    host: cmp03
    status: disabled
    disabled_reason: "openstack_ha: power supply died"
    forced_down: true

- name: Put a repaired host back, after its nova-compute has started
  openstack_ha.recovery.compute_service:
    cloud: prod
    host: cmp03
    status: enabled
    forced_down: false
"""

RETURN = r"""
service:
  description: The service after the task.
  returned: success
  type: dict
  sample: {host: cmp03, status: disabled, state: down, forced_down: true, disabled_reason: power supply died}
"""

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import CLOUD_SPEC, Json, connect
from ansible_collections.openstack_ha.recovery.plugins.module_utils._service_state import bring
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task

_SHOWN = ("host", "id", "zone", "state", "status", "disabled_reason", "forced_down")
_OPTIONS = ("forced_down", "status", "disabled_reason")


def run(call: Call) -> Result:
    """Bring one nova-compute service to the wanted state."""
    host = call.params["host"]
    wanted = {name: call.params[name] for name in _OPTIONS if call.params[name] is not None}
    with _run.attached(call.params, [host]) as recovery:
        before, after = bring(connect(call.params), host, wanted, recovery, call.check_mode)
    return {
        "changed": after != before,
        "service": _shown(after),
        "diff": {"before": _shown(before), "after": _shown(after)},
    }


def _shown(service: Json) -> Json:
    return {name: service.get(name) for name in _SHOWN}


TASK = Task(
    argument_spec={
        "host": {"type": "str", "required": True},
        "status": {"type": "str", "choices": ["enabled", "disabled"]},
        "disabled_reason": {"type": "str"},
        "forced_down": {"type": "bool"},
        **CLOUD_SPEC,
        **_run.RUN_SPEC,
    },
    run=run,
    constraints={"required_by": {"disabled_reason": "status"}, "required_one_of": [["status", "forced_down"]]},
)


def main() -> None:
    """Entry point of the module."""
    TASK.main()


if __name__ == "__main__":
    main()
