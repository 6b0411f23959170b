# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much each principal may send. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import math
import time
import typing as t


class Buckets:
    """A bucket of tokens for each name, filled at a rate. One request may take more than is there, once.

    :param rate: Tokens that come back in a second. :param burst: As many as a bucket holds.
    """

    def __init__(self, rate: float, burst: float, clock: t.Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._levels: dict[str, tuple[float, float]] = {}

    def wait(self, name: str) -> float:
        """Seconds until something may be taken; 0: now."""
        return max(0.0, (1.0 - self._level(name)) / self._rate)

    def take(self, name: str, tokens: float) -> None:
        """Take tokens, whether they are there or not; what is owed is waited for later."""
        if name not in self._levels:
            self._forget()
        self._levels[name] = (self._level(name) - tokens, self._clock())

    def _level(self, name: str) -> float:
        level, at = self._levels.get(name, (self._burst, 0.0))
        return min(self._burst, level + (self._clock() - at) * self._rate)

    def _forget(self) -> None:
        """Drop the buckets that are full again: that is what an unknown one is, too."""
        if len(self._levels) >= 1024 and math.log2(len(self._levels)).is_integer():
            self._levels = {name: it for name, it in self._levels.items() if self._level(name) < self._burst}
