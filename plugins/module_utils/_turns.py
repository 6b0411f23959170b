# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose turn it is to be started, while a plan is carried out. Pure. PRIVATE: may change at any time.

A VM that waits gets its turn when all that it waits for is ready, has come to an end without being it, or has had its
own turn for as long as the policy gives it.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._evacuation_contract import Line
from ansible_collections.openstack_ha.recovery.plugins.module_utils._restart_order import ready_text

#: States of a line by which it is on its target, and by which it was seen running there.
_LANDED = ("landed", "started", "verified")
_RUNS = ("started", "verified")
#: States in which it will not be ready any more.
_GIVEN_UP = ("skipped", "pending", "failed")

_NAMED = 5  # VMs that are told by name


@dataclasses.dataclass(frozen=True)
class Turn:
    """A VM has got its turn.

    :param waited: Seconds. :param given_up: Why what it had waited for is not ready, by VM.
    :param more: How many further VMs are not.
    """

    id: str
    waited: float
    given_up: dict[str, str]
    more: int = 0

    def told(self) -> str:
        """What went wrong, in words."""
        whys = "; ".join(f"{name} {why}" for name, why in self.given_up.items()) + _and_more(self.more)
        return f"started after {self.waited:.0f} s although what it waits for is not ready: {whys}"


class Turns:
    """Who waits for whom.

    :param timeout: The longest time that others wait for a VM, in seconds from the moment when its own turn came.
    """

    def __init__(self, lines: t.Iterable[Line], timeout: float) -> None:
        given = list(lines)
        self._timeout = timeout
        self._members: dict[str, list[Line]] = collections.defaultdict(list)
        for line in given:
            for key in line.keys:
                self._members[key].append(line)
        self._lines = given
        self._waiting = [line for line in given if line.waits]
        self._since: dict[str, float] = {}
        self._began = 0.0

    def begin(self, now: float) -> None:
        """All that wait for nobody have their turn."""
        self._began = now
        self._since = {line.id: now for line in self._lines if not line.waits}

    def holds(self, line: Line) -> bool:
        """Whether it has not had its turn."""
        return line.id not in self._since

    def waiting(self) -> int:
        """How many have not had their turn."""
        return len(self._waiting)

    def come(self, now: float) -> list[Turn]:
        """Who gets a turn now; what has come up or to its end by itself waits no more, and is not told."""
        found: list[Turn] = []
        free = {key for key in self._awaited_keys() if not self._blocking([key], now)}
        for line in self._waiting:
            if line.state in (*_RUNS, *_GIVEN_UP):
                self._since[line.id] = now
            elif free.issuperset(line.waits):
                self._since[line.id] = now
                others = self._not_ready(line)
                named = {other.name: self._why_not(other) for other in others[:_NAMED]}
                found.append(Turn(line.id, round(now - self._began, 1), named, len(others) - len(named)))
        self._waiting = [line for line in self._waiting if self.holds(line)]
        return found

    def awaited(self) -> list[Line]:
        """Of whom others wait to hear that they are ready, although they run."""
        found = {line.id: line for key in sorted(self._awaited_keys()) for line in self._members[key]}
        return [line for line in found.values() if line.state in _RUNS and not self._ready(line)]

    def blocking(self, line: Line, now: float) -> str:
        """What a line waits for, in words."""
        names = [other.name for other in self._blocking(line.waits, now)]
        return ", ".join(names[:_NAMED]) + _and_more(len(names) - _NAMED)

    def _awaited_keys(self) -> set[str]:
        return {key for line in self._waiting for key in line.waits}

    def _blocking(self, keys: t.Iterable[str], now: float) -> list[Line]:
        others = [other for key in keys for other in self._members[key]]
        return [other for other in others if not (self._ready(other) or self._over(other, now))]

    def _not_ready(self, line: Line) -> list[Line]:
        return [other for key in line.waits for other in self._members[key] if not self._ready(other)]

    def _over(self, line: Line, now: float) -> bool:
        since = self._since.get(line.id)
        return line.state in _GIVEN_UP or (since is not None and now - since >= self._timeout)

    def _ready(self, line: Line) -> bool:
        how = line.awaited["is"] if line.awaited else "active"
        if how == "landed":
            return line.state in _LANDED
        return line.state in _RUNS and (how == "active" or line.is_ready)

    def _why_not(self, line: Line) -> str:
        if line.state not in _RUNS:
            return f"is {line.state}"
        return f"is not ready ({ready_text(line.awaited or {'is': 'active'})}): {line.why_not_ready or 'no answer yet'}"


def _and_more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""
