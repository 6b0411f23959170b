# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides what a unit needs: nothing, a restart, or a signal. PRIVATE to this collection: may change at any time.

No D-Bus and no clock here: facts and the time come in, actions go out.
"""

from __future__ import annotations

import dataclasses
import typing as t

Json = t.Dict[str, t.Any]

#: What a unit does, as far as it matters here.
UP, STARTING, DOWN, OFF = "up", "starting", "down", "off"

#: The states in which a unit is for this program.
STATES = {
    "well": "it works, or is off because somebody wanted that",
    "trying": "it has failed, and is restarted or comes back by itself",
    "settling": "it runs again, but not for long enough yet",
    "reported": "it has failed, and was not brought back by restarts",
}


@dataclasses.dataclass(frozen=True)
class Facts:
    """A unit as systemd tells it.

    :param id: Its own name, where it was asked for by an alias. :param restarts: By systemd itself.
    :param checked: What the last checks found to be wrong with it.
    :param unproven: It has a check that it has not passed yet since it was restarted.
    """

    id: str = ""
    load: str = "loaded"
    active: str = "active"
    sub: str = "running"
    result: str = "success"
    file_state: str = "enabled"
    restarts: int = 0
    checked: str = ""
    unproven: bool = False

    @property
    def exists(self) -> bool:
        """Whether there is such a unit."""
        return self.load not in ("not-found", "bad-setting", "error")

    def __str__(self) -> str:
        result = f", {self.result}" if self.result not in ("", "success") else ""
        return f"{self.active} ({self.sub}{result})"


def condition(facts: Facts, always: bool) -> str:
    """What a unit does. One that was stopped in good order, or must not run, is off: somebody wanted that."""
    if facts.active in ("active", "reloading", "refreshing"):
        return DOWN if facts.checked else UP
    if facts.active == "activating":
        return STARTING
    if facts.active == "failed":
        return DOWN
    if facts.active == "deactivating":
        return STARTING if always else OFF
    wanted = always and facts.load != "masked" and facts.file_state not in ("masked", "masked-runtime")
    return DOWN if wanted or not facts.exists else OFF


@dataclasses.dataclass(frozen=True)
class Action:
    """``restart`` it, or say that it has ``failed``, ``hung`` or is ``ok``."""

    what: str
    reason: str
    details: Json = dataclasses.field(default_factory=dict)


class Unit:
    """One unit over time.

    :param options: As in ``UNIT`` of its options.
    :param known: It was reported before this program was started.
    """

    def __init__(self, name: str, options: Json, known: bool = False) -> None:
        self.name, self._options = name, options
        self.state = "reported" if known else "well"
        self._facts = Facts()
        self._tried: list[str] = []
        self._next = 0.0  # when it is restarted
        self._waits_since: float | None = None  # for a start to end
        self._up_since = 0.0
        self._was = self.state  # before it was settling
        self._restarts: int | None = None

    def step(self, facts: Facts, now: float) -> list[Action]:
        """Take the facts as they are now."""
        self._facts = facts
        self._count(facts, now)
        found = condition(facts, self._options["always"])
        if found != STARTING:
            self._waits_since = None
        elif self._waits_since is None:
            self._waits_since = now
        if found == STARTING and now - t.cast(float, self._waits_since) > self._options["start_timeout"]:
            found = DOWN
        if self.state in ("trying", "settling") and len(self._tried) > self._options["restarts"] and found != OFF:
            return self._report()
        return t.cast("list[Action]", getattr(self, f"_{found}")(now))

    def _count(self, facts: Facts, now: float) -> None:
        """What systemd restarts by itself may be up whenever it is looked at, and work for no second."""
        more = facts.restarts - (facts.restarts if self._restarts is None else self._restarts)
        self._restarts = facts.restarts
        if more > 0:
            self._tried += ["restarted by systemd"] * min(more, self._options["restarts"] + 1)
            if self.state == "well":
                self.state = "trying"
            elif self.state == "settling":
                self.state = self._was
            self._next = max(self._next, now)

    def restarted(self, error: str, now: float) -> None:
        """It was told to restart; what came back if that was refused."""
        self._tried.append(error or "restarted")
        self._waits_since = now
        self._next = now + self._options["back_off"] * 2 ** (len(self._tried) - 1)

    def due(self, now: float) -> float | None:
        """In how many seconds there is something to do although no fact changes."""
        moments = {
            "trying": [self._next, *self._until("start_timeout", self._waits_since)],
            "settling": [*self._until("stable", self._up_since)],
            "reported": [],
            "well": [*self._until("start_timeout", self._waits_since)],
        }[self.state]
        return max(0.0, min(moments) - now) if moments else None

    def _until(self, option: str, since: float | None) -> list[float]:
        return [] if since is None else [since + self._options[option]]

    def _up(self, now: float) -> list[Action]:
        if self.state == "well":
            return []
        if self.state != "settling":
            self._was, self.state, self._up_since = self.state, "settling", now
        if now - self._up_since < self._options["stable"] or self._facts.unproven:
            return []
        return self._well(f"it has been running for {self._options['stable']:g} s")

    def _starting(self, now: float) -> list[Action]:
        """While it starts nothing is done; one that did not stay up has failed again."""
        if self.state == "settling":
            self._fell(now)
        return []

    def _off(self, _now: float) -> list[Action]:
        return [] if self.state == "well" else self._well("it was stopped on purpose")

    def _down(self, now: float) -> list[Action]:
        if self.state == "well":
            self.state, self._next = "trying", now + self._options["back_off"]
        elif self.state == "settling":
            self._fell(now)
        if self.state == "reported":
            return []
        if len(self._tried) >= self._options["restarts"]:
            return self._report() if now >= self._next or not self._tried else []
        return [Action("restart", str(self._facts))] if now >= self._next else []

    def _fell(self, now: float) -> None:
        self.state = self._was
        self._next = max(self._next, now)

    def _report(self) -> list[Action]:
        self.state = "reported"
        facts = self._facts
        hung = bool(facts.checked) or facts.result == "watchdog"
        what = facts.checked or ("it did not feed its watchdog" if hung else f"it is {facts}")
        tried = f"; {len(self._tried)} restarts did not help" if self._tried else "; it is not to be restarted"
        details = {
            "active": facts.active, "sub": facts.sub, "result": facts.result, "tried": list(self._tried),
        }  # fmt: skip
        return [Action("hung" if hung else "failed", what + tried, details)]

    def _well(self, reason: str) -> list[Action]:
        reported = self.state == "reported" or (self.state == "settling" and self._was == "reported")
        self.state, self._was, self._tried = "well", "well", []
        return [Action("ok", reason)] if reported else []
