# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether VMs are moved away from a living host that has lost a network. PRIVATE: may change at any time.

Pure. That they should be is what the gates of hosts have said, with the reaction ``migrate``, or a person; what is left
to ask is whether the host can be worked on now.
"""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates_scene import OPERATOR, Objection
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import host_of

Json = t.Dict[str, t.Any]
Facts = t.Mapping[str, t.Any]

MIGRATE = "migrate"


def decide(snapshot: Facts, policy: Facts) -> dict[str, Json]:
    """The verdict for each place of a snapshot of kind network, see ``_objects``."""
    return {place: _verdict(place, snapshot) for place in sorted(snapshot["places"])}


def _verdict(place: str, snapshot: Facts) -> Json:
    host = (snapshot.get("hosts") or {}).get(host_of(place)) or {}
    for name, gate in _TABLE:
        objection = gate(host_of(place), host, snapshot)
        if objection:
            found = {"verdict": objection.verdict, "reason": objection.reason, "look_again": objection.look_again}
            return {**found, "gate": name, "reaction": None}
    reason = str(snapshot["places"][place].get("reason") or f"the VMs of {host_of(place)} are to be moved away")
    return {"verdict": "recover", "gate": None, "reason": reason, "look_again": None, "reaction": MIGRATE}


def _orders(name: str, host: Facts, snapshot: Facts) -> Objection | None:
    """Does no operator's order forbid it?"""
    orders = snapshot.get("orders")
    if orders is None:
        return Objection("hold", "orders of operators are not known")
    mine = {"segment": host.get("segment"), "host": name}
    for order in orders:
        if order["kind"] in ("pause", "disarm") and mine.get(order["scope"], order.get("name")) == order.get("name"):
            words = f"{order['kind']} of {order['owner']} (order {order['number']}): {order['reason']}"
            return Objection("ignore" if order["kind"] == "disarm" else "hold", words, order.get("left"))
    return None


def _known(name: str, host: Facts, snapshot: Facts) -> Objection | None:
    """Is it certain which host is meant?"""
    if not host.get("known"):
        return Objection("alert", f"{name} is no compute host that Nova and the segments file know")
    return None


def _maintenance(name: str, host: Facts, snapshot: Facts) -> Objection | None:
    """Is the host out of maintenance?"""
    if host.get("maintenance") and snapshot.get("caller") != OPERATOR:
        return Objection("ignore", f"{name} is in maintenance ({host.get('disabled_reason')})")
    return None


def _lives(name: str, host: Facts, snapshot: Facts) -> Objection | None:
    """Does the host live? VMs of a dead one are evacuated, after it was fenced."""
    if host.get("host_run"):
        return Objection("hold", f"a run is at work on {name} itself")
    if host.get("forced_down"):
        return Objection("hold", f"{name} is forced down in Nova: it is recovered as a host, or was")
    if host.get("heard") is False:
        return Objection("hold", f"{name} is silent; if it stays so, that is an incident of the host")
    if host.get("nova_state") != "up":
        return Objection("hold", f"nova-compute of {name} is not up, and nothing is moved without it")
    return None


_TABLE = (("orders", _orders), ("known_host", _known), ("maintenance", _maintenance), ("host", _lives))
