# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a story has come to. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.log import names
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.plant import Host
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.site import Site

_OURS = "openstack_ha:"


@dataclasses.dataclass(frozen=True)
class Ending:
    """:param outcome: A line per host that something happened to. :param harm: What was hurt."""

    outcome: list[str]
    harm: list[str]


def look_back(site: Site) -> Ending:
    """Look at all hosts and guests as they really are now, and write it below the log."""
    site.beats.refresh()
    states = {incident["host"]: incident["state"] for incident in site.journal.incidents()}
    _late_harm(site, states)
    homes = _homes(site)
    outcome = _together(
        {name: _outcome(site, host, states.get(name), homes[name]) for name, host in site.plant.hosts.items()}
    )
    for line in outcome:
        site.log.end("end", line)
    for line in site.plant.harm or ["none"]:
        site.log.end("harm", line)
    return Ending(outcome, list(site.plant.harm))


def _late_harm(site: Site, states: t.Mapping[str, str]) -> None:
    for name, service in site.nova.services.items():
        host = site.plant.hosts[name]
        ours = (service["disabled_reason"] or "").startswith(_OURS)
        forgotten = states.get(name) not in ("held", "partial", "recovering", "recovered")
        if ours and service["forced_down"] and site.plant.is_healthy(host) and not host.fenced and forgotten:
            site.plant.harmed(f"{name} is healthy and was left forced down, and nobody is told")
    for vm in sorted(site.nova.ruined):
        site.plant.harmed(f"{vm} was ruined by a second evacuation request while the first was under way")
    for vm in sorted(set(site.nova.reset_while_rebuilding)):
        site.plant.harmed(f"{vm} was reset while Nova was rebuilding it")


def _homes(site: Site) -> dict[str, list[str]]:
    """The VMs that each host had first."""
    first: dict[str, list[str]] = {name: [] for name in site.plant.hosts}
    for vm, home in site.homes.items():
        first[home].append(vm)
    return first


def _outcome(site: Site, host: Host, incident: str | None, vms: list[str]) -> str | None:
    """None for a host to which nothing has happened."""
    service = site.nova.services[host.name]
    words = [incident] if incident else []
    words += ["off" if not host.power else host.system] if not host.lives else []
    words += ["forced down"] if service["forced_down"] else []
    moved = _whereabouts(site, host.name, vms)
    if not words and not moved:
        return None
    return ", ".join(words or ["in service"]) + (f"; VMs: {moved}" if moved else "")


def _whereabouts(site: Site, home: str, vms: t.Sequence[str]) -> str:
    """``2 on cmp02, 1 down``; empty when all run at home."""
    found: collections.Counter[str] = collections.Counter()
    for vm in vms:
        where = site.plant.where(vm)
        found["down" if not where and vm in site.running else " and ".join(where) or "stopped"] += 1
    if not set(found) - {home, "stopped"} and not (set(found) == {"stopped"} and site.plant.hosts[home].power is False):
        return ""
    return ", ".join(f"{number} {_at(place)}" for place, number in sorted(found.items()))


def _at(place: str) -> str:
    return place if place in ("down", "stopped") else f"on {place}"


def _together(outcomes: t.Mapping[str, str | None]) -> list[str]:
    """Hosts to which the same has happened share a line."""
    hosts: dict[str, list[str]] = {}
    for host, outcome in outcomes.items():
        if outcome:
            hosts.setdefault(outcome, []).append(host)
    return sorted(f"{names(same)}: {outcome}" for outcome, same in hosts.items())
