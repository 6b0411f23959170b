# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No VM takes the last place of a more important one. Pure. PRIVATE: may change at any time.

The plan places the important VMs first. While it is carried out, targets refuse, and what is important needs another
place: one that was kept for it, or one that was meant for something less important.
"""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._capacity import Room
from ansible_collections.openstack_ha.recovery.plugins.module_utils._evacuation_contract import Line

#: States of a line that has no place yet that nobody can take any more.
_UNSETTLED = ("planned", "retry", "unknown", "requesting", "requested")
#: Those in which nobody was asked for the place that is booked.
_MOVABLE = ("planned", "retry")


class Watch:
    """What may be asked for, at one moment.

    :param room: What is left of it with all that is booked.
    """

    def __init__(self, lines: t.Iterable[Line], room: Room) -> None:
        unsettled = [line for line in lines if line.state in _UNSETTLED]
        self._room = room
        ranks = {line.rank for line in unsettled}
        self._endangered = [line for line in unsettled if len(ranks) > 1 and self._is_endangered(line)]

    def keeps_back(self, line: Line) -> bool:
        """Whether a more important VM may need the place of this one."""
        return any(other.rank > line.rank and self._may_need(other, line) for other in self._endangered)

    def _is_endangered(self, line: Line) -> bool:
        hosts = [*line.choices, *line.reserves]
        others = [host for host in hosts if host not in line.refused and host != line.booked]
        crowded = line.booked is not None and self._room.is_overbooked(line.booked)
        return crowded or not any(self._room.fits(host, line.need) for host in others)

    def _may_need(self, important: Line, line: Line) -> bool:
        host = str(line.target)
        if host == important.booked:
            return self._room.is_overbooked(host)
        wanted = host in important.choices and host not in important.refused and line.booked == host
        return wanted and _fits_without([line], important, host, self._room)


def displaced(line: Line, lines: t.Iterable[Line], room: Room, busy: t.Container[str]) -> tuple[str, list[Line]] | None:
    """A host that has room for a line once less important ones go elsewhere, and who these are; the fewest.

    :param busy: Ids of lines about which a call is under way.
    """
    weaker = [other for other in lines if other.rank < line.rank and other.state in _MOVABLE and other.id not in busy]
    found = [
        (host, chosen)
        for host in line.choices
        if host not in line.refused
        for chosen in [_enough([other for other in weaker if other.booked == host], line, host, room)]
        if chosen
    ]
    return min(found, key=lambda it: (max(other.rank for other in it[1]), len(it[1]))) if found else None


def _enough(weaker: list[Line], line: Line, host: str, room: Room) -> list[Line]:
    """The least important ones whose places are enough together; none if all of them are not."""
    chosen: list[Line] = []
    for other in sorted(weaker, key=lambda it: (it.rank, -it.order)):
        chosen.append(other)
        if _fits_without(chosen, line, host, room):
            return chosen
    return []


def _fits_without(others: list[Line], line: Line, host: str, room: Room) -> bool:
    for other in others:
        room.give(host, other.need)
    fits = room.fits(host, line.need)
    for other in others:
        room.take(host, other.need)
    return fits
