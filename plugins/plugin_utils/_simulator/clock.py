# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A clock that only moves when somebody waits, and what happens meanwhile. PRIVATE: may change at any time."""

from __future__ import annotations

import heapq
import itertools
import typing as t


class Clock:
    """Simulated seconds."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._events: list[tuple[float, int, t.Callable[[], None]]] = []
        self._number = itertools.count()

    def soon(self, event: t.Callable[[], None]) -> None:
        """Let something happen now, but not before what is going on is done."""
        self.at(self.time, event)

    def at(self, time: float, event: t.Callable[[], None]) -> None:
        """Let something happen at that time."""
        heapq.heappush(self._events, (max(time, self.time), next(self._number), event))

    def after(self, seconds: float, event: t.Callable[[], None]) -> None:
        """Let something happen later; at once when there is nothing to wait for."""
        if seconds <= 0:
            event()
        else:
            heapq.heappush(self._events, (self.time + seconds, next(self._number), event))

    def advance(self, seconds: float, enough: t.Callable[[], bool] = lambda: False) -> None:
        """Let time pass, event by event, and stop early once it is enough."""
        end = self.time + seconds
        while not enough() and self._events and self._events[0][0] <= end:
            self.time, _number, event = heapq.heappop(self._events)
            event()
        if not enough():
            self.time = max(self.time, end)

    def drain(self) -> None:
        """Let everything happen that is still to come."""
        while self._events:
            self.time, _number, event = heapq.heappop(self._events)
            event()
