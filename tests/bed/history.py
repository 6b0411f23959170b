# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the log of the virt drivers says about the past. Pure functions over its lines."""

from __future__ import annotations

import typing as t

Event = t.Dict[str, t.Any]

STARTS = frozenset({"spawn", "power_on"})
ENDS = frozenset({"destroy", "power_off", "vanish", "crash"})


def ran_twice(events: t.Iterable[Event]) -> list[tuple[str, str, str]]:
    """Every (uuid, host, other host) that had one guest running on both at the same time, at any time."""
    running: dict[str, list[str]] = {}
    seen: dict[tuple[str, str, str], None] = {}
    for event in events:
        hosts = running.setdefault(event["uuid"], [])
        if event["event"] in ENDS and event["host"] in hosts:
            hosts.remove(event["host"])
        elif event["event"] in STARTS and event["host"] not in hosts:
            for other in hosts:
                seen[(event["uuid"], other, event["host"])] = None
            hosts.append(event["host"])
    return list(seen)


def running(events: t.Iterable[Event]) -> dict[str, list[str]]:
    """Host to the uuids that run on it after the last event."""
    hosts: dict[str, list[str]] = {}
    for event in events:
        here = hosts.setdefault(event["host"], [])
        if event["event"] in ENDS and event["uuid"] in here:
            here.remove(event["uuid"])
        elif event["event"] in STARTS and event["uuid"] not in here:
            here.append(event["uuid"])
    return {host: sorted(uuids) for host, uuids in hosts.items() if uuids}
