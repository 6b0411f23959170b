#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_fence_info
short_description: Check whether a compute host could be fenced
version_added: 0.1.0
description:
  - Logs in to all devices of all levels at once, and reads whose machine they switch and its power state. Looks whether
    waits could begin, and whether the host answers at the endpoints that must be silent after fencing.
  - Switches nothing. Use it regularly, because an expired BMC password is otherwise found during an outage.
  - Levels with the method V(operator) have no device and are left out.
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.both_groups
  - openstack_ha.recovery.attributes.reads_only
  - openstack_ha.recovery.fencing
  - openstack_ha.recovery.cloud
  - openstack_ha.recovery.journal
attributes:
  idempotent:
    details:
      - This module only reads, except that O(record) writes the result down.
options:
  probe:
    description:
      - Endpoints as C(tcp://address:port) that answer while the host lives.
      - One that is silent although the host is not off would be silent after any power-off, too, and proves nothing.
    type: list
    elements: str
    default: []
  probe_timeout:
    description: Seconds to wait for an answer from the endpoints of O(probe), all at once; greater than 0.
    type: float
    default: 1.0
  record:
    description:
      - Write the result to the journal, where the gate C(fence_ready) finds it, and return the one before.
      - Nothing is asked of the cloud. The name of its region tells hosts of equal names apart in the journal.
      - The method V(watchdog) can only be checked with this option, because the journal knows the agents.
      - In check mode the journal is only read.
    type: bool
    default: false
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
    probe: "{{ ha_probe }}"
    record: true
  register: fencing

- name: Show what does not work
  ansible.builtin.debug:
    msg: "{{ fencing.devices | rejectattr('ok') }}"
"""

RETURN = r"""
result:
  description:
    - V(ok), V(failed) when something does not work as configured, V(mismatch) when a device switches another machine.
  returned: always, except when the options are wrong
  type: str
said:
  description: What does not work, in one text. Empty when all does.
  returned: always, except when the options are wrong
  type: str
last_check:
  description: The result that the journal had before. Null without O(record), or if there was none.
  returned: always, except when the options are wrong
  type: dict
  contains:
    result: {description: "V(ok), V(failed) or V(mismatch).", type: str}
    said: {description: What did not work., type: str}
    checked_at: {description: "When it was checked, UTC. For people.", type: str}
    age: {description: How many seconds ago that was., type: float}
probes:
  description: V(answers), V(refused) or V(silent) by endpoint.
  returned: always, except when the options are wrong
  type: dict
silent_probes:
  description: The endpoints that do not show that the host lives, although it is not off.
  returned: always, except when the options are wrong
  type: list
  elements: str
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
    told: {description: What a wait would do. Null for devices., type: str}
    error: {description: What went wrong. Null when nothing did., type: str}
    seconds: {description: How long it took., type: float}
"""

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _cloud
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing import agent, identity
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import (
    OFF,
    Agent,
    FencingError,
    Level,
    World,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.levels import Attempt, Fencing
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.methods import LEVELS_SPEC, parse_levels
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.watchdog import Watchdog
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.world import real_world
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.options import JOURNAL_SPEC
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._probe import check_probes, signs_of_life
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task


def run(call: Call) -> Result:
    """Look at everything that would fence one host."""
    identity.check(call.params["identity"])
    check_probes(call.params["probe"], call.params["probe_timeout"])
    world = real_world()
    levels = parse_levels(call.params["levels"], world)
    if not call.params["record"]:
        return _judged(call, _look(call, world, levels, None), None)
    try:
        scope = _cloud.connect(call.params).region
        with open_journal(call.params["journal_url"]) as journal:
            return _recorded(call, world, levels, journal, scope)
    except FencingError:
        raise
    except RecoveryError as error:  # what was seen must be known also where it cannot be written down
        seen = _look(call, world, levels, None)
        raise RecoveryError(f"The fence check was not recorded: {error.message}", **seen) from error


def _recorded(call: Call, world: World, levels: list[Level], journal: Journal, scope: str) -> Result:
    host = call.params["host"]
    before = journal.fence_checks(scope).get(host)
    seen = _look(call, world, levels, agent.of_healthy_host(journal, scope, host, world.utc()))
    if not call.check_mode:
        journal.add_fence_check(scope, host, seen["result"], seen["said"])
    return _judged(call, seen, before)


def _look(call: Call, world: World, levels: list[Level], known: Agent | None) -> Result:
    params = call.params
    pairs = Fencing(params["host"], params["identity"], world, dry=True, agent=known).survey(levels)
    devices = [_device(level, attempt, known) for level, attempt in pairs]
    probes = world.probe(params["probe"], params["probe_timeout"]) if params["probe"] else {}
    bad = {device["level"] for device in devices if not device["ok"]}
    ready = any(level.number not in bad and all(it.SUFFICES for it in level.methods) for level in levels)
    off = any(device["power_state"] == OFF for device in devices)
    silent = [] if off else [url for url in probes if url not in signs_of_life(probes)]
    said = _complaints(devices, silent, ready)
    mismatch = any(device["identity_check"] == identity.MISMATCH for device in devices)
    result = "mismatch" if mismatch else "failed" if said else "ok"
    return {
        "result": result,
        "said": "; ".join(said),
        "ready": ready,
        "devices": devices,
        "probes": probes,
        "silent_probes": silent,
    }


def _judged(call: Call, seen: Result, before: t.Mapping[str, t.Any] | None) -> Result:
    last = {key: before[key] for key in ("result", "said", "checked_at", "age")} if before else None
    if call.params["fail_on_error"] and seen["said"]:
        message = f"{call.params['host']} cannot be fenced as configured: {seen['said']}."
        raise FencingError(message, **seen, last_check=last)
    return {"changed": False, **seen, "last_check": last}


def _device(level: Level, attempt: Attempt, known: Agent | None) -> Result:
    if isinstance(attempt.method, Watchdog) and known is None:
        attempt.error = "not checked: what its agent said last stands in the journal (option record)"
    return {
        "level": level.number,
        "method": attempt.method.NAME,
        "address": attempt.method.address,
        "ok": attempt.error is None,
        "reachable": attempt.reached,
        "power_state": attempt.state,
        "identity": attempt.identity,
        "identity_check": attempt.check,
        "told": attempt.answer,
        "error": attempt.error,
        "seconds": round(attempt.ended - attempt.started, 3),
    }


def _complaints(devices: list[Result], silent: list[str], ready: bool) -> list[str]:
    """What does not work, for people."""
    found = [
        f"level {device['level']}, {device['method']} {device['address']}: {device['error']}"
        for device in devices
        if not device["ok"]
    ]
    if not ready and not found:
        found.append("no level fences it in every case" if devices else "no device is configured")
    if silent:
        found.append(f"probes that are silent although the host is not off: {', '.join(silent)}")
    return found


TASK = Task(
    argument_spec={
        "host": {"type": "str", "required": True},
        "levels": LEVELS_SPEC,
        "identity": identity.SPEC,
        "probe": {"type": "list", "elements": "str", "default": []},
        "probe_timeout": {"type": "float", "default": 1.0},
        "record": {"type": "bool", "default": False},
        "fail_on_error": {"type": "bool", "default": False},
        **_cloud.CLOUD_SPEC,
        **JOURNAL_SPEC,
    },
    run=run,
)


def main() -> None:
    """Entry point of the module."""
    TASK.main()


if __name__ == "__main__":
    main()
