# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides when a watchdog is fed. PRIVATE to this collection: may change at any time.

Pure: facts in, what to do out. The rule: a host that no majority of responders hears must be off after the safe time,
so it is fed only while a majority has counted a beat that was sent within ``patience``. And it is released only when
a majority knows that it is not armed any more, or somebody would wait for a reset that never comes.
"""

from __future__ import annotations

import dataclasses
import typing as t

#: Seconds between a majority's knowing that the host is not armed and the release: responders write what they hear
#: into the journal every few seconds.
LINGER = 15.0

STATES = {
    "waiting": "the watchdog is off, as no majority of responders hears this host yet",
    "broken": "the watchdog cannot be used",
    "armed": "the watchdog is fed, as a majority hears this host",
    "starving": "the watchdog is not fed, as no majority hears this host; it will reset it",
    "releasing": "the watchdog is fed, and responders are told that it will be released",
    "lingering": "a majority knows that the watchdog will be released, which happens soon",
    "released": "the watchdog is off, as it should be",
}


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known now; all times are on one clock, which goes on while the machine sleeps."""

    now: float
    heard: float  # a majority has counted a beat that was sent at this time or later
    disarmed: float  # the same, of beats that said that no watchdog is armed
    wanted: bool  # nobody has paused it, and the program goes on
    running: bool  # the device was opened and not released: it will reset this host when it is not fed


@dataclasses.dataclass(frozen=True)
class Step:
    """What to do now: feed, which begins with opening it, or release. Failures have to be told by ``failed``."""

    state: str
    feed: bool
    release: bool


class Keeper:
    """The state of one watchdog.

    :param patience: Seconds that a host may go unheard.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self.state = "waiting"
        self._since = 0.0

    @property
    def armed(self) -> bool:
        """What beats have to say: whether this host is reset when nobody hears it."""
        return self.state in ("armed", "starving")

    def step(self, facts: Facts) -> Step:
        """The next state, and what has to be done for it."""
        before, self.state = self.state, self._next(facts)
        if self.state != before:
            self._since = facts.now
        on = self.state in ("armed", "releasing", "lingering")
        return Step(self.state, on and self._heard(facts), self.state == "released" and facts.running)

    def failed(self) -> None:
        """The device could not be opened or fed; beats must not promise a reset."""
        self.state = "broken"

    def _next(self, facts: Facts) -> str:
        rules: dict[str, t.Callable[[Facts], str]] = {
            "waiting": self._off,
            "broken": self._off,
            "released": self._off,
            "armed": self._fed,
            "starving": self._fed,
            "releasing": self._releasing,
            "lingering": self._lingering,
        }
        return rules[self.state](facts)

    def _heard(self, facts: Facts) -> bool:
        return facts.now - facts.heard <= self._patience

    def _off(self, facts: Facts) -> str:
        if not facts.wanted:
            return "releasing" if facts.running else "released"
        return "armed" if self._heard(facts) else "broken" if self.state == "broken" else "waiting"

    def _fed(self, facts: Facts) -> str:
        if not facts.wanted:
            return "releasing"
        return "armed" if self._heard(facts) else "starving"

    def _releasing(self, facts: Facts) -> str:
        if facts.wanted:
            return self._fed(facts)
        return "lingering" if facts.disarmed > self._since else "releasing"

    def _lingering(self, facts: Facts) -> str:
        if facts.wanted:
            return self._fed(facts)
        done = facts.now - self._since >= LINGER and self._heard(facts)
        return "released" if done else "lingering"
