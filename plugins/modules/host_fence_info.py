#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_fence_info
short_description: Log in to the fencing devices of a compute host
version_added: 0.1.0
description:
  - Logs in to all devices of all levels at once, and reads whose machine they switch and its power state.
  - Switches nothing. Use it regularly, because an expired BMC password is otherwise found during an outage.
  - Levels with the method V(operator) have no device and are left out.
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.reads_only
  - openstack_ha.recovery.fencing
options:
  fail_on_error:
    description: Fail when a device does not answer or belongs to another machine, or when there is no device.
    type: bool
    default: false
author:
  - openstack_ha.recovery maintainers (@openstack-ha)
"""

EXAMPLES = r"""
- name: Look at the fencing devices
  openstack_ha.recovery.host_fence_info:
    host: "{{ inventory_hostname }}"
    levels: "{{ ha_fencing }}"
    identity: "{{ ha_identity }}"
  register: fencing

- name: Show what does not work
  ansible.builtin.debug:
    msg: "{{ fencing.devices | rejectattr('ok') }}"
"""

RETURN = r"""
ready:
  description: Whether the host can be fenced by at least one level, as far as reading can tell.
  returned: always, except when the options are wrong
  type: bool
devices:
  description: One entry per device, in the order of the levels.
  returned: always, except when the options are wrong
  type: list
  elements: dict
  contains:
    level: {description: "The level, counted from 1.", type: int}
    method: {description: The fencing method., type: str}
    address: {description: Where the device is., type: str}
    ok: {description: Whether it answered and does not belong to another machine., type: bool}
    reachable: {description: Whether it let us in and answered., type: bool}
    power_state: {description: "V(on), V(off) or V(unknown).", type: str}
    identity: {description: "What it reports as C(uuid) and C(serial), as far as it does.", type: dict}
    identity_check: {description: "V(matched), V(mismatch), V(unreadable) or V(not_configured).", type: str}
    error: {description: What went wrong. Null when nothing did., type: str}
    seconds: {description: How long it took., type: float}
"""

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing import identity
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import FencingError, Level
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.levels import Attempt, Fencing
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.methods import LEVELS_SPEC, parse_levels
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.world import real_world
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task


def run(call: Call) -> Result:
    """Look at the fencing devices of one host."""
    host = call.params["host"]
    identity.check(call.params["identity"])
    world = real_world()
    levels = parse_levels(call.params["levels"], world)
    seen = Fencing(host, call.params["identity"], world, dry=True).survey(levels)
    devices = [_device(level, attempt) for level, attempt in seen]
    bad = {device["level"] for device in devices if not device["ok"]}
    ready = any(device["level"] not in bad for device in devices)
    if call.params["fail_on_error"] and (bad or not devices):
        raise FencingError(_failure(host, devices), devices=devices, ready=ready)
    return {"changed": False, "ready": ready, "devices": devices}


def _device(level: Level, attempt: Attempt) -> Result:
    return {
        "level": level.number,
        "method": attempt.method.NAME,
        "address": attempt.method.address,
        "ok": attempt.error is None,
        "reachable": attempt.reached,
        "power_state": attempt.state,
        "identity": attempt.identity,
        "identity_check": attempt.check,
        "error": attempt.error,
        "seconds": round(attempt.ended - attempt.started, 3),
    }


def _failure(host: str, devices: list[Result]) -> str:
    errors = [
        f"level {device['level']}, {device['method']} {device['address']}: {device['error']}"
        for device in devices
        if not device["ok"]
    ]
    return f"{host} cannot be fenced as configured: {'; '.join(errors) or 'no device is configured'}."


TASK = Task(
    argument_spec={
        "host": {"type": "str", "required": True},
        "levels": LEVELS_SPEC,
        "identity": identity.SPEC,
        "fail_on_error": {"type": "bool", "default": False},
    },
    run=run,
)


def main() -> None:
    """Entry point of the module."""
    TASK.main()


if __name__ == "__main__":
    main()
