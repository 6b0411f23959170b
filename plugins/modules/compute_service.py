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
  unless_disabled:
    description:
      - With O(status=disabled), leave a service alone that somebody has disabled already, with the reason that it has.
    type: bool
    default: false
  only_if_reason:
    description:
      - With O(status=enabled), leave a service alone unless its C(disabled_reason) begins with this. So a host is
        enabled again only by who has disabled it.
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

- name: Enable a host again that was disabled for a service of its, and for nothing else
  openstack_ha.recovery.compute_service:
    cloud: prod
    host: cmp03
    status: enabled
    only_if_reason: "openstack_ha: process libvirtd.service:"

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
left_alone:
  description: Why the service was left as it is, with O(unless_disabled) and O(only_if_reason); empty if it was not.
  returned: success
  type: str
"""

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute, _run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import CLOUD_SPEC, Json, connect
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._service_state import bring
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task

_SHOWN = ("host", "id", "zone", "state", "status", "disabled_reason", "forced_down")
_OPTIONS = ("forced_down", "status", "disabled_reason")


def run(call: Call) -> Result:
    """Bring one nova-compute service to the wanted state."""
    host = call.params["host"]
    wanted = {name: call.params[name] for name in _OPTIONS if call.params[name] is not None}
    with _run.attached(call.params, [host]) as recovery:
        cloud = connect(call.params)
        before = _compute.compute_service(cloud, host)
        left_alone = _not_ours(call.params, before)
        before, after = bring(cloud, host, {} if left_alone else wanted, recovery, call.check_mode, before)
    return {
        "changed": after != before,
        "service": _shown(after),
        "left_alone": left_alone,
        "diff": {"before": _shown(before), "after": _shown(after)},
    }


def _not_ours(params: t.Mapping[str, t.Any], service: Json) -> str:
    """Why nothing is to be changed, though it is not as it was asked for."""
    wanted, reason = params["only_if_reason"], service.get("disabled_reason") or ""
    if params["unless_disabled"] and params["status"] != "disabled":
        raise ConfigError("unless_disabled: is for status=disabled. Leave it out.")
    if wanted is not None and params["status"] != "enabled":
        raise ConfigError("only_if_reason: is for status=enabled. Leave it out.")
    if service["status"] != "disabled":
        return ""
    why = f"{service['host']} is disabled already ({reason or 'no reason given'})"
    return why if params["unless_disabled"] or (wanted is not None and not reason.startswith(wanted)) else ""


def _shown(service: Json) -> Json:
    return {name: service.get(name) for name in _SHOWN}


TASK = Task(
    argument_spec={
        "host": {"type": "str", "required": True},
        "status": {"type": "str", "choices": ["enabled", "disabled"]},
        "disabled_reason": {"type": "str"},
        "forced_down": {"type": "bool"},
        "unless_disabled": {"type": "bool", "default": False},
        "only_if_reason": {"type": "str"},
        **CLOUD_SPEC,
        **_run.RUN_SPEC,
    },
    run=run,
    constraints={
        "required_by": {"disabled_reason": "status", "only_if_reason": "status"},
        "required_one_of": [["status", "forced_down"]],
    },
)


def main() -> None:
    """Entry point of the module."""
    TASK.main()


if __name__ == "__main__":
    main()
