# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waits until a host must have reset itself. PRIVATE to this collection: may change at any time.

An agent on the host feeds its watchdog device only while most responders hear it. When it has been heard by none for
longer than the agent bears, and the device has run down, the machine has been reset, whatever became of it. The
formula is the one that the agent itself uses; docs/fencing.md explains it.
"""

from __future__ import annotations

import datetime
import math
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import (
    FencingError,
    FencingRefused,
    Finding,
    Sighting,
    Vigil,
    Wait,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.safe_time import computed

EXPIRED = "watchdog expired"

_LOOK = 1.0

_SECONDS: dict[str, t.Any] = {"type": "float"}


class Watchdog(Wait):
    """A wait for the safe time after the last sign of life of an armed agent."""

    NAME = "watchdog"
    OPTIONS: t.ClassVar[dict[str, dict[str, t.Any]]] = {
        "heartbeat_interval": {**_SECONDS, "default": 15.0},
        "heartbeat_timeout": {**_SECONDS, "default": 5.0},
        "threshold": {"type": "int", "default": 3},
        "peer_time": {**_SECONDS, "default": 30.0},
        "device_timeout": {**_SECONDS, "default": 60.0},
        "safe_time": _SECONDS,
    }
    PROOF = EXPIRED
    TRIED = "sightings"

    @classmethod
    def check(cls, options: t.Mapping[str, t.Any]) -> None:
        """A safe time that is too short would start VMs while their old copies run."""
        for name, option in cls.OPTIONS.items():
            value = options.get(name)
            least = 0.0 if name == "peer_time" else 1 if option["type"] == "int" else 0.001
            if value is not None and not (least <= value < math.inf):
                raise ConfigError(f"{name}: must be a number of at least {least:g}, not {value}.")
        given = options.get("safe_time")
        if given is not None and _terms() <= options.keys() and given < computed(options):
            raise ConfigError(
                f"safe_time: {given:g} s is too short: the other options need at least {computed(options):g} s. Make "
                "it longer, or leave it out."
            )

    def describe(self) -> str:
        """What it rests on."""
        return f"agent of the host, safe time {self.safe_time:g} s"

    @property
    def safe_time(self) -> float:
        """Seconds of silence after which the machine has been reset."""
        return float(self.options.get("safe_time") or computed(self.options))

    def ready(self, vigil: Vigil) -> str:
        """Whether the agent was armed when it was heard last; in check mode there is no run, and no way to know."""
        if vigil.agent is None:
            return f"would wait {self.safe_time:g} s, if its agent was armed, which is not known without a run"
        last, _seen = self._newer(vigil, *self._before(vigil))
        left = max(0.0, last + self.safe_time - self.world.clock())
        return f"waiting {left:.1f} s for the end of the safe time of {self.safe_time:g} s"

    def observe(self, vigil: Vigil) -> Finding:
        """Wait until the safe time has passed since the last sign of life.

        A newer sign of life starts it anew, for one that arrives late must not spoil a proof, and a host that only a
        few responders hear resets itself all the same. But a host that lives on gives no proof, ever.
        """
        began = self.world.clock()
        last, seen = self._before(vigil)
        while True:
            last, seen = self._newer(vigil, last, seen)
            if last > began + self.safe_time:
                raise FencingError(f"its agent was heard after {last - began:.0f} s of fencing, so it was not reset")
            left = last + self.safe_time - self.world.clock()
            if left <= 0:
                break
            vigil.go_on()
            self.world.wait(min(_LOOK, left))
        silent, witnesses = self.world.clock() - last, _sources(seen)
        return Finding(EXPIRED, f"silent for {silent:.1f} s, armed when it was last heard by {witnesses}", proven=True)

    def _before(self, vigil: Vigil) -> tuple[float, list[Sighting]]:
        """When the host was heard last before the fencing began, and what was known of it then."""
        first = list(vigil.agent.first) if vigil.agent else []
        return self._last(first, vigil.began), first

    def _newer(self, vigil: Vigil, last: float, seen: list[Sighting]) -> tuple[float, list[Sighting]]:
        """The same again, from what is known now."""
        found = self._armed(vigil)
        fresh = [it for it in found if it not in seen]
        return max(last, self._last(fresh, self.world.clock())), found

    def _armed(self, vigil: Vigil) -> list[Sighting]:
        """The last sign of life by each witness, if they all say that the agent was armed then."""
        if vigil.agent is None:
            raise FencingRefused("what its agent said last stands in the journal, which this task does not read")
        found = vigil.agent.sightings()
        if not found:
            raise FencingRefused("its agent was never heard, so nothing resets it. Deploy the agent, or leave this out")
        if unarmed := [it for it in found if not it.armed]:
            raise FencingRefused(
                f"its agent was not armed when {_sources(unarmed)} heard it last, so nothing resets it. See the log of "
                "the agent once the host is back"
            )
        self._check_that_it_was_at_work(found, vigil.agent.lived_until)
        return found

    def _check_that_it_was_at_work(self, sightings: list[Sighting], lived_until: str | None) -> None:
        """Refuse when the host has lived on without its agent, as one that was removed says nothing.

        These are wall clocks of other machines. They can only take a proof away.
        """
        if lived_until is None:
            raise FencingRefused("nobody can tell until when the host lived, so its agent may have stopped before")
        alone = _utc(lived_until) - max(_utc(it.at) for it in sightings)
        if alone > self.safe_time:
            raise FencingRefused(
                f"the host was seen alive {alone:.0f} s after its agent was heard last, longer than the safe time: the "
                "agent does not work, so nothing resets the host"
            )

    def _last(self, sightings: list[Sighting], otherwise: float) -> float:
        """When the host was heard last; a moment that our clock cannot tell was before ``otherwise``."""
        now = self.world.clock()
        return max([otherwise if it.heard is None else min(it.heard, now) for it in sightings], default=-math.inf)


def _terms() -> set[str]:
    return set(Watchdog.OPTIONS) - {"safe_time"}


def _utc(text: str) -> float:
    moment = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)).timestamp()


def _sources(sightings: t.Sequence[Sighting]) -> str:
    return ", ".join(it.source for it in sightings)
