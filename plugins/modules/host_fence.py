#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_fence
short_description: Switch a compute host off and prove it
version_added: 0.1.0
description:
  - Switches a host off through the levels of O(levels), in order, and returns a power certificate.
  - With O(run_id), the steps C(fencing), right before the first device is told to switch off, and C(fenced) or
    C(not fenced) are journaled. A run that was paused before the first one stops there.
  - A device succeeds only when its power state is read back as off. What it answers to the command proves nothing,
    and a refusal is no failure when the host turns out to be off.
  - Each device is asked for its identity first, where it can tell. One that belongs to another machine ends its
    level with nothing switched off.
  - A level may also be a wait that proves something by itself, such as V(watchdog). It switches nothing off, and its
    certificate says what was observed instead.
  - Afterwards the endpoints of O(probe) must be silent. Whatever connects is a sign of life, and so is a refused
    connection, unless the address is a loopback address or a crash kernel is known to run there. The level then counts
    as failed.
  - Fails when no level succeeds, naming every attempt.
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.journal_group
  - openstack_ha.recovery.attributes.diff
  - openstack_ha.recovery.attributes.idempotent
  - openstack_ha.recovery.fencing
  - openstack_ha.recovery.journal
  - openstack_ha.recovery.run
attributes:
  check_mode:
    details:
      - Logs in to the devices, compares their identity and reads the power state. Waits are not waited for.
  idempotent:
    details:
      - A host that is read back as off is not switched off again. The certificate is made anew each time.
options:
  probe:
    description:
      - Endpoints as C(tcp://address:port) that answer while the host lives.
      - Addresses are better than names, which need a working name service at that moment.
    type: list
    elements: str
    default: []
  probe_timeout:
    description: Seconds to wait for an answer from the endpoints of O(probe), all at once; greater than 0.
    type: float
    default: 1.0
  confirmed_by:
    description:
      - Name of the person who has made sure that the host is off and stays off.
      - All levels are still tried first. The confirmation counts only if they fail, and not against a sign of life.
    type: str
  confirmed_reason:
    description: How O(confirmed_by) knows it.
    type: str
author:
  - openstack_ha.recovery maintainers (@openstack-ha)
"""

EXAMPLES = r"""
- name: Fence a host as the inventory describes it
  openstack_ha.recovery.host_fence:
    host: "{{ inventory_hostname }}"
    levels: "{{ ha_fencing }}"
    identity: "{{ ha_identity }}"
    probe: "{{ ha_probe }}"

- name: First the BMC, then both power supplies, then ask
  openstack_ha.recovery.host_fence:
    host: cmp03
    identity:
      uuid: 4c4c4544-0044-4a10-8054-b7c04f564232
    probe:
      - tcp://192.0.2.13:22
    levels:
      - timeout: 20
        tries: 2
        devices:
          - method: redfish
            address: https://10.0.0.13
            system: "1"
            username: fence
            password: "{{ vault_bmc_password }}"
      - timeout: 40
        tries: 1
        devices:
          - method: fence_agent
            agent: fence_apc_snmp
            options: {ip: 10.0.1.1, plug: 13}
            secrets: {community: "{{ vault_pdu_a_community }}"}
          - method: fence_agent
            agent: fence_apc_snmp
            options: {ip: 10.0.1.2, plug: 13}
            secrets: {community: "{{ vault_pdu_b_community }}"}
      - devices:
          - method: operator

- name: The BMC is dead, and somebody has pulled the plugs
  openstack_ha.recovery.host_fence:
    host: cmp03
    confirmed_by: Ada
    confirmed_reason: both power cords are unplugged, ticket 4711
"""

RETURN = r"""
power_state:
  description: The power state as the devices reported it, V(on), V(off) or V(unknown).
  returned: success
  type: dict
  sample: {before: "on", after: "off"}
attempts:
  description: Every attempt and every probe, in order. Also returned on failure.
  returned: always, except when the options are wrong
  type: list
  elements: dict
  contains:
    level: {description: "The level, counted from 1. Null for probes after a person's confirmation.", type: int}
    try: {description: "The try, counted from 1. Not for probes.", type: int}
    method: {description: The fencing method or V(probe)., type: str}
    address: {description: Where the device is. Not for probes., type: str}
    tried: {description: What was done., type: list, elements: str}
    identity: {description: "V(matched), V(mismatch), V(unreadable) or V(not_configured). Not for probes.", type: str}
    reported: {description: The identity it reported. Not for probes., type: dict}
    answer:
      description: What it answered to the power-off, or what a wait has shown. For probes, a dictionary of results.
      type: raw
    error: {description: What went wrong. Not for probes., type: str}
    observed_state:
      description:
        - The power state read last, or what a wait has observed. For probes, V(silent) or V(alive).
      type: str
    seconds: {description: How long it took., type: float}
certificate:
  description: The proof that the host is off. Null in check mode.
  returned: success
  type: dict
  contains:
    host: {description: The host., type: str}
    kind:
      description: The method that proved it, V(mixed) for several methods in one level, V(operator) for a person.
      type: str
    level: {description: "The level that succeeded, counted from 1. Null with kind V(operator).", type: int}
    identity:
      description: V(matched), V(unreadable) or V(not_configured). V(mismatch) is possible with kind V(operator) only.
      type: str
    observed_state:
      description:
        - What was observed, and nothing else. V(off) with the kinds of devices, V(crash kernel) with kind V(kdump),
          V(watchdog expired) with kind V(watchdog).
        - With kind V(operator), whatever the devices told last.
      type: str
    observed_at: {description: "When it was observed, UTC. For people.", type: str}
    evidence: {description: The same as RV(attempts)., type: list, elements: dict}
    confirmed_by: {description: The person. Only with kind V(operator)., type: str}
    confirmed_reason: {description: How the person knows. Only with kind V(operator)., type: str}
"""

import contextlib
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing import (
    agent,
    certificate,
    identity,
    report,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import OFF, FencingError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.levels import Fencing, Hooks, Outcome
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.methods import LEVELS_SPEC, parse_levels
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.record import Record
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.world import real_world
from ansible_collections.openstack_ha.recovery.plugins.module_utils._probe import check_probes
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task


def run(call: Call) -> Result:
    """Fence one host."""
    host = call.params["host"]
    _check(call.params)
    world = real_world()
    levels = parse_levels(call.params["levels"], world)
    with _run.attached(call.params, [host]) as recovery, _kept(recovery, host):
        record = Record(None if call.check_mode else recovery, host)
        hooks = Hooks(record.before_power_off, record.while_waiting, call.warn, call.progress)
        known = agent.of_run(recovery, host) if recovery else None
        fencing = Fencing(host, call.params["identity"], world, hooks, call.check_mode, known)
        try:
            outcome = fencing.run(levels, call.params["probe"], call.params["probe_timeout"])
            proof = _proof(fencing, call, world.utc)
        except RecoveryError as error:
            record.not_fenced()
            error.facts.update(attempts=fencing.outcome.evidence, changed=fencing.outcome.commanded)
            raise
        if proof:
            record.fenced(proof)
    return _result(call, outcome, proof)


@contextlib.contextmanager
def _kept(recovery: _run.Run | None, host: str) -> t.Iterator[None]:
    """Keep the claim on the host, because a slow BMC can take longer than a lease."""
    if recovery and recovery.is_held(host):
        raise FencingError(
            f"{host} is not fenced: run {recovery.id} holds it back. See recovery_run_info for the reason."
        )
    with recovery.lease.keep(_run.KEEP_INTERVAL) if recovery else contextlib.nullcontext():
        yield


def _check(params: t.Mapping[str, t.Any]) -> None:
    """Refuse what could only fail after the power-off."""
    identity.check(params["identity"])
    check_probes(params["probe"], params["probe_timeout"])
    if not params["levels"] and not params["confirmed_by"]:
        raise ConfigError(f"levels: empty, so there is no way to fence {params['host']}. See also confirmed_by.")


def _proof(fencing: Fencing, call: Call, utc: t.Callable[[], str]) -> certificate.Certificate | None:
    """The certificate; None in check mode. Raises FencingError when there is no proof."""
    outcome, params, host = fencing.outcome, call.params, fencing.host
    if outcome.level:
        return None if call.check_mode else certificate.by_level(host, outcome, utc())
    if params["confirmed_by"] and not outcome.alive:
        if call.check_mode:
            return None
        fencing.confirm_silence(params["probe"], params["probe_timeout"])
        if not outcome.alive:
            return certificate.by_operator(host, outcome, utc(), params["confirmed_by"], params["confirmed_reason"])
    raise FencingError(report.failure(host, outcome))


def _result(call: Call, outcome: Outcome, proof: certificate.Certificate | None) -> Result:
    would_switch = call.check_mode and outcome.switches and outcome.after != OFF
    power = {"before": outcome.before, "after": OFF if would_switch else outcome.after}
    return {
        "changed": outcome.commanded or would_switch,
        "power_state": power,
        "attempts": outcome.evidence,
        "certificate": proof,
        "diff": {side: {"power_state": state} for side, state in power.items()},
    }


TASK = Task(
    argument_spec={
        "host": {"type": "str", "required": True},
        "levels": LEVELS_SPEC,
        "identity": identity.SPEC,
        "probe": {"type": "list", "elements": "str", "default": []},
        "probe_timeout": {"type": "float", "default": 1.0},
        "confirmed_by": {"type": "str"},
        "confirmed_reason": {"type": "str"},
        **_run.RUN_SPEC,
    },
    run=run,
    constraints={"required_together": [("confirmed_by", "confirmed_reason")]},
)


def main() -> None:
    """Entry point of the module."""
    TASK.main()


if __name__ == "__main__":
    main()
