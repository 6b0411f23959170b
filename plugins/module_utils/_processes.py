# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What follows when a service of a compute host has failed. PRIVATE to this collection: may change at any time.

Pure. One ordered table of questions, as for hosts; the first that objects decides. A failed service proves nothing
about the host: nothing here fences, and a host that fails itself is left to the gates of hosts.
"""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates_scene import OPERATOR, OUR_REASON
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import host_of, object_of

Json = t.Dict[str, t.Any]

#: How the ``disabled_reason`` of a host begins that is out of service for one of its services; then follow the unit, a
#: colon, why, and the run (playbooks/tasks/ailing_host.yml).
PROCESS_REASON = f"{OUR_REASON} process "

#: What a run does about a place, beside telling people: disable nova-compute; disable it and drain the host; disable it
#: and ask the gates of hosts; enable it again; nothing else.
DISABLE, MIGRATE, RECOVER, ENABLE, ALERT = "disable", "migrate", "recover", "enable", "alert"


class Objection(t.NamedTuple):
    """Why a gate stays closed, and the verdict that follows.

    :param look_again: Seconds until the gate may have opened, where that is known.
    """

    verdict: str
    reason: str
    look_again: float | None = None


class Case(t.NamedTuple):
    """One unit of one host in front of the gates."""

    place: str
    about: t.Mapping[str, t.Any]
    host: t.Mapping[str, t.Any]
    scene: t.Mapping[str, t.Any]
    policy: t.Mapping[str, t.Any]

    @property
    def name(self) -> str:
        """The host's."""
        return host_of(self.place)

    @property
    def unit(self) -> str:
        """The unit's."""
        return object_of(self.place)

    @property
    def well(self) -> bool:
        """Whether its monitor says that it works again."""
        return self.about.get("state") == "ok" or str(self.about.get("type") or "").endswith(".ok")


def decide(snapshot: Json, policy: Json) -> dict[str, Json]:
    """The verdict for each place of a snapshot of kind process; see docs/processes.md.

    :param snapshot: ``caller``, ``orders``, ``hosts`` and ``places``.
    :returns: By place ``verdict``, ``gate``, ``reason``, ``look_again``, and ``reaction``: what a run does about it.
    """
    places, hosts = snapshot["places"], snapshot["hosts"]
    cases = [Case(place, places[place], hosts.get(host_of(place), {}), snapshot, policy) for place in sorted(places)]
    return {case.place: _verdict(case) for case in cases}


def _verdict(case: Case) -> Json:
    for name, gate in _TABLE:
        objection = gate(case)
        if objection:
            # As long as it is out of service for this, the gates of hosts are asked again and again.
            suspect = name == "service" and reaction(case.unit, case.policy) == RECOVER
            return {**objection._asdict(), "gate": name, "reaction": RECOVER if suspect else ALERT}
    what = ENABLE if case.well else reaction(case.unit, case.policy)
    why = "is well again" if case.well else _said(case)
    return {"verdict": "recover", "gate": None, "look_again": None, "reason": f"{case.unit}: {why}", "reaction": what}


def reaction(unit: str, policy: t.Mapping[str, t.Any]) -> str:
    """What a run does about a unit that has failed; the policy names it with or without ``.service``."""
    given = policy["processes"]
    own = given["units"].get(unit) or given["units"].get(f"{unit}.service") or {}
    then = str(own.get("then", given["then"]))
    if then != ALERT:
        return then
    return DISABLE if own.get("disable", given["disable"]) else ALERT


def unit_of(disabled_reason: str | None) -> str | None:
    """The unit for which this collection has disabled a host; None if it has not, or for something else."""
    words = disabled_reason or ""
    return words[len(PROCESS_REASON) :].split(": ")[0] if words.startswith(PROCESS_REASON) else None


# -- the gates -----------------------------------------------------------------------------------------------------


def _orders(case: Case) -> Objection | None:
    """Does no operator's order forbid it?"""
    orders = case.scene.get("orders")
    if orders is None:
        return Objection("hold", "orders of operators are not known")
    for order in orders:
        if order["kind"] != "budget" and _covers(order, case):
            words = f"{order['kind']} of {order['owner']} ({order['reason']})"
            return Objection("ignore" if order["kind"] == "disarm" else "hold", words, order.get("left"))
    return None


def _covers(order: t.Mapping[str, t.Any], case: Case) -> bool:
    names = {"cloud": None, "segment": case.host.get("segment"), "host": case.name}
    return order["scope"] == "cloud" or order["name"] == names[order["scope"]]


def _known(case: Case) -> Objection | None:
    """Is it certain which host is meant?"""
    if not case.host.get("known"):
        return Objection("alert", f"{case.name} is no compute host that Nova and the segments file know")
    return None


def _maintenance(case: Case) -> Objection | None:
    """Is the host out of maintenance?"""
    if case.host.get("maintenance"):
        return Objection("ignore", f"{case.name} is in maintenance ({case.host.get('disabled_reason')})")
    return None


def _host_itself(case: Case) -> Objection | None:
    """Is the host itself well?"""
    unknown = [key for key in ("host_run", "forced_down") if case.host.get(key) is None]
    if unknown:
        return Objection("hold", f"too little is known of {case.name} itself ({', '.join(unknown)})")
    if case.host["host_run"]:
        return Objection("hold", f"a run is at work on {case.name} itself")
    if case.host["forced_down"]:
        return Objection("hold", f"{case.name} is forced down in Nova: it is recovered as a host, or was")
    incident = case.host.get("host_incident")
    if incident in ("recovering", "partial"):
        return Objection("hold", f"{case.name} itself has failed (its incident is {incident})")
    # A host without nova-compute is suspected, too, because Nova misses it; that it is heard tells them apart.
    if incident in ("open", "held") and case.host.get("heard") is None and case.scene.get("caller") != OPERATOR:
        return Objection("hold", f"{case.name} itself may have failed (its incident is {incident})")
    if case.host.get("heard") is False:
        return Objection("hold", f"{case.name} is silent; if it stays so, that is an incident of the host")
    return None


def _service(case: Case) -> Objection | None:
    """Is the host in service?"""
    ours, status = unit_of(case.host.get("disabled_reason")), case.host.get("status")
    if case.well:
        return None
    if status is None:
        return Objection("hold", f"whether nova-compute of {case.name} is enabled is not known")
    if status == "disabled" and ours is None:
        why = case.host.get("disabled_reason") or "no reason given"
        return Objection("alert", f"{case.unit}: {_said(case)}; {case.name} is out of service already ({why})")
    if status == "disabled" and case.scene.get("caller") != OPERATOR:
        return Objection("alert", f"{case.unit}: {_said(case)}; {case.name} is out of service for {ours} already")
    return None


def _health(case: Case) -> Objection | None:
    """Has what is well again been so for long enough?"""
    if not case.well:
        return None
    ours = unit_of(case.host.get("disabled_reason"))
    if case.host.get("status") != "disabled" or ours != case.unit:
        return Objection("ignore", f"{case.unit} is well, and {case.name} is not disabled for it")
    ill = sorted(set(case.host.get("failing") or ()) - {case.unit})
    if ill:
        return Objection("hold", f"{case.unit} is well, but {', '.join(ill)} of {case.name} is not")
    left = case.policy["processes"]["healthy_for"] - (case.about.get("age") or 0.0)
    if left > 0:
        return Objection("hold", f"{case.unit} is well, but not for long enough yet", left)
    return None


def _wanted(case: Case) -> Objection | None:
    """Is anything to be done but to tell people?"""
    if case.well or case.scene.get("caller") == OPERATOR or case.policy["processes"]["restart"]["over_ssh"]:
        return None
    if reaction(case.unit, case.policy) == ALERT:
        return Objection("alert", f"{case.unit}: {_said(case)}")
    return None


def _storm(case: Case) -> Objection | None:
    """Are few enough hosts out of service?"""
    if case.well or reaction(case.unit, case.policy) == ALERT or case.scene.get("caller") == OPERATOR:
        return None
    hosts = case.scene["hosts"]
    out = {name for name, facts in hosts.items() if unit_of(facts.get("disabled_reason")) is not None}
    failing = {host_of(place) for place, about in case.scene["places"].items() if about.get("state") != "ok"}
    limits = case.policy["processes"]
    allowed = min(limits["at_once"], max(1, len(hosts) * limits["at_once_percent"] // 100))
    if len(out | failing) > allowed:
        return Objection(
            "alert",
            f"{case.unit}: {_said(case)}; services fail on {len(out | failing)} hosts, of which {allowed} may be taken "
            "out of service at once: look for what they have in common",
        )
    return None


_Gate = t.Callable[[Case], t.Optional[Objection]]
_TABLE: t.Tuple[t.Tuple[str, _Gate], ...] = (
    ("orders", _orders),
    ("known_host", _known),
    ("maintenance", _maintenance),
    ("host", _host_itself),
    ("service", _service),
    ("health", _health),
    ("wanted", _wanted),
    ("storm", _storm),
)


def _said(case: Case) -> str:
    data = case.about.get("data") or {}
    return str(case.about.get("reason") or data.get("reason") or "it has failed")
