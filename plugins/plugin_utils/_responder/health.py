# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether this responder decides, which is more than that it lives. PRIVATE: may change at any time."""

from __future__ import annotations

import typing as t

Json = dict[str, t.Any]

#: So many looks may be missing, and a look may take so many seconds.
_LOOKS, _TAKES = 3, 5.0
#: A look whose cloud and journal do not answer gives up long before.
_HANGS = 120.0


class Health:
    """Tied to looks that ended without trouble. Safe to use from several threads."""

    def __init__(self, clock: t.Callable[[], float]) -> None:
        self._clock = clock
        self._decided_at: float | None = None
        self._ended_at = clock()
        self._valid_for = 0.0
        self._trouble = "no look has ended yet"

    def decided(self, next_look: float) -> None:
        """A look has ended without trouble; the next one is due in so many seconds."""
        self._decided_at = self._ended_at = self._clock()
        self._valid_for = _LOOKS * (next_look + _TAKES)
        self._trouble = ""

    def failed(self, why: str) -> None:
        """A look has failed."""
        self._trouble, self._ended_at = why, self._clock()

    @property
    def look_succeeded(self) -> bool:
        """Whether the last look ended without trouble."""
        return not self._trouble

    def age(self) -> float | None:
        """Seconds since a look ended without trouble."""
        return None if self._decided_at is None else self._clock() - self._decided_at

    def ok(self) -> bool:
        """Whether it decides."""
        age = self.age()
        return age is not None and age <= self._valid_for

    def hangs(self) -> bool:
        """Whether looks end no more, well or not. A restart cures that, but no cloud and no journal that is away; it
        would end the runs that are at work."""
        return self._clock() - self._ended_at > _HANGS

    def told(self) -> Json:
        """For ``/healthz``."""
        age = self.age()
        reason = self._trouble or ("" if self.ok() else "the last look is too long ago")
        return {"ok": self.ok(), "reason": reason, "last_decision_age": None if age is None else round(age, 3)}
