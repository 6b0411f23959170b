#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: recovery_order
short_description: Pause, disarm, or raise the budgets of recoveries for a while
version_added: 0.1.0
description:
  - Gives or ends an order, which every recovery run obeys from its next step on, also one that is at work.
  - C(pause) lets nothing be begun for the hosts that it covers. Incidents stay open and are decided when it has ended.
    What Nova was already asked for is followed to its end.
  - C(disarm) has failures of the hosts that it covers recorded and nothing else. What happened meanwhile is not made up
    for when it has ended.
  - A person who starts C(recover_host) by hand for a host that is paused or disarmed is asked first.
  - C(budget) raises how many hosts may be recovered without asking. It never lowers what the policy allows.
  - Several orders may hold at once. One ends when its time is over, or by O(state=absent); whoever reads the orders
    next is told of an end that nobody caused.
  - A power-off that has begun is not interrupted. The order is written all the same, and the task waits up to O(wait)
    seconds for the end of the power-off and tells what it has waited for.
  - It needs neither Nova nor Keystone, only the journal.
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.both_groups
  - openstack_ha.recovery.attributes.diff
  - openstack_ha.recovery.attributes.idempotent
  - openstack_ha.recovery.cloud
  - openstack_ha.recovery.journal
options:
  state:
    description: Whether the order is to hold.
    type: str
    choices: [present, absent]
    default: present
  kind:
    description:
      - What is ordered. Needed with O(state=present).
      - With O(state=absent), which kind of order is ended; without it, every kind.
    type: str
    choices: [pause, disarm, budget]
  scope:
    description: What the order is about. With O(state=absent), only orders about exactly that are ended.
    type: str
    choices: [cloud, segment, host]
    default: cloud
  name:
    description: The failover segment, or the host by any of its names. Needed unless O(scope=cloud).
    type: str
  owner:
    description: The person who gives, or ends, the order.
    type: str
    required: true
  reason:
    description: Why.
    type: str
    required: true
  until:
    description:
      - How long the order holds, from now on, in seconds or as V(30m), V(2h), V(1h30m), V(1d).
      - Without it the order holds until it is ended. An order that is in force with the same options is left as it is,
        and so is what remains of its time.
    type: str
  at_once:
    description: With O(kind=budget), how many hosts may be failed or under recovery at once. At least 1.
    type: int
  per_hour:
    description: With O(kind=budget), how many hosts may be powered off within an hour. At least 1.
    type: int
  topology:
    description:
      - The segments and hosts, as the inventory plugin sets them in the variable C(ha_topology). With it an unknown
        O(name) is refused; without it the name is taken as it is, so that Nova need not be there.
    type: dict
  wait:
    description: Seconds to wait for the end of power-offs under way that the new order covers.
    type: float
    default: 60
seealso:
  - module: openstack_ha.recovery.recovery_order_info
author:
  - openstack_ha.recovery maintainers (@openstack-ha)
"""

EXAMPLES = r"""
- name: Recover nothing in a rack while its switch is replaced
  openstack_ha.recovery.recovery_order:
    cloud: prod
    kind: pause
    scope: segment
    name: rack1
    owner: alice
    reason: switch replacement, CHG-4711
    until: 2h

- name: Let five hosts be recovered at once, without further questions
  openstack_ha.recovery.recovery_order:
    cloud: prod
    kind: budget
    at_once: 5
    owner: alice
    reason: half a rack is really dead, seen on site
    until: 30m

- name: The work is done
  openstack_ha.recovery.recovery_order:
    cloud: prod
    state: absent
    scope: segment
    name: rack1
    owner: bob
    reason: switch works
"""

RETURN = r"""
orders:
  description:
    - The order that holds, or those that were ended, as M(openstack_ha.recovery.recovery_order_info) shows them.
  returned: success
  type: list
  elements: dict
waited_for:
  description: Power-offs that were under way when the order was given.
  returned: O(state=present)
  type: list
  elements: dict
  contains:
    host: {description: The host., type: str}
    run_id: {description: The run that fences it., type: str}
    ended: {description: Whether it ended within O(wait)., type: bool}
    seconds: {description: How long it was waited for., type: float}
"""

import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _order_words
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import CLOUD_SPEC, Json, connect
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalMissing
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.options import JOURNAL_SPEC
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.orders import in_force
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._names import HostNames
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task

_LOOK = 0.5  # seconds between two looks whether a power-off has ended


def run(call: Call) -> Result:
    """Give or end an order."""
    wanted = _wanted(call)
    try:
        opened = open_journal(call.params["journal_url"], create=not call.check_mode)
    except JournalMissing:  # in check mode it is not made
        return {"changed": call.params["state"] == "present", "orders": [], "waited_for": [], "diff": _diff([], [])}
    with opened as journal:
        unended = journal.unended_orders(wanted["scope_region"])
        for order in [] if call.check_mode else journal.announce_orders(unended):
            call.warn(f"An order {_order_words.ending(order)}")
        existing = [order for order in unended if in_force(order)]
        if call.params["state"] == "absent":
            return _end(call, journal, wanted, existing)
        return _give(call, journal, wanted, existing)


def _give(call: Call, journal: Journal, wanted: Json, existing: list[Json]) -> Result:
    same = [order for order in existing if _order_words.same(order, wanted)]
    given = same[-1] if same else {**wanted, "number": "new", "left": wanted["seconds"]}
    if not same and not call.check_mode:
        given = {**journal.add_order(**wanted), "left": wanted["seconds"]}
    after = existing if same else [*existing, given]
    stops = given["kind"] != "budget" and not call.check_mode
    return {
        "changed": not same,
        "orders": [_shown(given)],
        "waited_for": _wait(call, journal, given) if stops else [],
        "diff": _diff(existing, after),
    }


def _end(call: Call, journal: Journal, wanted: Json, existing: list[Json]) -> Result:
    keys = ["scope", "name", *(["kind"] if wanted["kind"] else [])]
    ended = [order for order in existing if all(order[key] == wanted[key] for key in keys)]
    for order in [] if call.check_mode else ended:
        journal.end_order(order["id"], wanted["owner"], wanted["reason"])
    left = [order for order in existing if order not in ended]
    return {"changed": bool(ended), "orders": [_shown(order) for order in ended], "diff": _diff(existing, left)}


def _wait(call: Call, journal: Journal, order: Json) -> list[Json]:
    """Wait for the power-offs that the order came too late for."""
    began = time.monotonic()
    found = {(it["run_id"], it["host"]): 0.0 for it in _fences(journal, order)}
    under_way = set(found)
    if found:
        call.progress(f"Waiting for the end of the power-off of {_hosts(found)}, which is not interrupted")
    while under_way and time.monotonic() - began < call.params["wait"]:
        time.sleep(_LOOK)
        under_way &= {(it["run_id"], it["host"]) for it in _fences(journal, order)}
        found.update(dict.fromkeys(under_way, round(time.monotonic() - began, 1)))
    if under_way:
        call.warn(
            f"The power-off of {_hosts(under_way)} has not ended within {call.params['wait']:g} s. It is not "
            "interrupted; what follows it is not begun."
        )
    return [
        {"host": key[1], "run_id": key[0], "ended": key not in under_way, "seconds": seconds}
        for key, seconds in sorted(found.items())
    ]


def _fences(journal: Journal, order: Json) -> list[Json]:
    """Those of runs that live, as far as that can be told from here."""
    return [
        fence
        for fence in journal.fences_under_way(order["scope_region"])
        if _order_words.covers(order, fence["host"], fence["segment"]) and holder.is_alive(fence["holder"]) is not False
    ]


def _hosts(fences: t.Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{host} (run {run_id})" for run_id, host in sorted(fences))


def _shown(order: Json) -> Json:
    shown = {key: value for key, value in order.items() if not key.endswith("_mark")}
    return {**shown, "words": _order_words.words(order)}


def _diff(before: list[Json], after: list[Json]) -> Json:
    sides = {"before": before, "after": after}
    return {side: {"orders": [_order_words.words(order) for order in orders]} for side, orders in sides.items()}


# -- options ------------------------------------------------------------------------------------------------------


def _wanted(call: Call) -> Json:
    params = call.params
    for option in ("owner", "reason"):
        if not params[option].strip():
            raise ConfigError(f"{option}: is empty; whoever reads the order later must know")
    return {
        "scope_region": connect(params).region,
        "kind": params["kind"],
        "scope": params["scope"],
        "name": _name(params),
        "owner": params["owner"],
        "reason": params["reason"],
        "seconds": _order_words.seconds(params["until"], "until") if params["until"] else None,
        "limits": _limits(params),
    }


def _name(params: Json) -> str | None:
    scope, name, topology = params["scope"], params["name"], params["topology"]
    if scope == "cloud":
        if name:
            raise ConfigError(
                f"name: the whole cloud has no name; say with scope whether {name} is a segment or a host"
            )
        return None
    if not topology:
        return str(name)
    if scope == "host":
        known = topology["hosts"]
        names = HostNames({host: facts.get("hypervisor_hostname") for host, facts in known.items()})
        return names.resolve(name, "name")
    if name not in topology["segments"]:
        raise ConfigError(f"name: there is no segment {name}; there are {', '.join(sorted(topology['segments']))}")
    return str(name)


def _limits(params: Json) -> Json | None:
    limits = {key: params[key] for key in ("at_once", "per_hour")}
    given = {key: value for key, value in limits.items() if value is not None}
    if params["kind"] != "budget" and given:
        raise ConfigError(f"{min(given)}: only orders of kind budget have limits")
    if params["kind"] == "budget" and params["state"] == "present" and not given:
        raise ConfigError("at_once: an order of kind budget needs at_once, per_hour, or both")
    for key, value in given.items():
        if value < 1:
            raise ConfigError(
                f"{key}: must be at least 1, not {value}; to stop recoveries, give an order of kind pause"
            )
    return limits if given else None


TASK = Task(
    argument_spec={
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "kind": {"type": "str", "choices": ["pause", "disarm", "budget"]},
        "scope": {"type": "str", "choices": ["cloud", "segment", "host"], "default": "cloud"},
        "name": {"type": "str"},
        "owner": {"type": "str", "required": True},
        "reason": {"type": "str", "required": True},
        "until": {"type": "str"},
        "at_once": {"type": "int"},
        "per_hour": {"type": "int"},
        "topology": {"type": "dict"},
        "wait": {"type": "float", "default": 60.0},
        **CLOUD_SPEC,
        **JOURNAL_SPEC,
    },
    run=run,
    constraints={
        "required_if": [
            ("state", "present", ["kind"]),
            ("scope", "segment", ["name"]),
            ("scope", "host", ["name"]),
        ],
    },
)


def main() -> None:
    """Entry point of the module."""
    TASK.main()


if __name__ == "__main__":
    main()
