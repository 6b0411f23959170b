# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The readable record of a story. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t


class Log:
    """One line per thing that happened, with its simulated time."""

    def __init__(self, now: t.Callable[[], float]) -> None:
        self._now = now
        self._start = now()
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        """Write a line."""
        self.lines.append(f"{stamp(self._now() - self._start):>8}  {text}")

    def end(self, word: str, text: str) -> None:
        """Write a line of the result."""
        self.lines.append(f"{word:>8}  {text}")

    def text(self) -> str:
        """All of it."""
        return "".join(f"{line}\n" for line in self.lines)


def stamp(seconds: float) -> str:
    """Minutes and seconds, with hours when there are some: ``1:05``, ``2:01:05``."""
    whole = int(seconds)
    minutes, hours = whole // 60, whole // 3600
    return f"{hours}:{minutes % 60:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def names(found: t.Iterable[str]) -> str:
    """Names in a line: ``cmp01, cmp02`` or, when there are many, ``cmp01 … cmp40 (40)``."""
    listed = sorted(found)
    return ", ".join(listed) if len(listed) <= 6 else f"{listed[0]} … {listed[-1]} ({len(listed)})"
