# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fencing one host, level by level. PRIVATE to this collection: may change at any time.

Decides from what devices answer; everything outside comes in through the devices, the :class:`World`
and the :class:`Hooks`. The rules:

* Levels in order; all devices of a level must succeed, and work in parallel.
* Before anything of a level is switched off, all its devices have told who they are: one that switches
  another machine ends the level with nothing powered off.
* Only a power state that was read back as off counts, whatever a device answered to the command.
* A sign of life after the power-off ends the level: its devices are lying.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing import identity as _identity
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import (
    OFF,
    ON,
    UNKNOWN,
    Device,
    FencingError,
    FencingRefused,
    Identity,
    Level,
    World,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._probe import signs_of_life

Evidence = t.Dict[str, t.Any]

#: Seconds of a try that a slow answer to the power-off leaves for reading back.
_READ_BACK_RESERVE = 5.0


def _nothing(*_args: t.Any) -> None:
    """Nobody listens."""


@dataclasses.dataclass(frozen=True)
class Hooks:
    """What happens while fencing.

    :param before_power_off: Called right before each command that switches off; what it raises ends everything.
    """

    before_power_off: t.Callable[[], None] = _nothing
    warn: t.Callable[[str], None] = _nothing
    progress: t.Callable[[str], None] = _nothing


@dataclasses.dataclass
class Outcome:
    """How it ended.

    :param level: The level that did it, counted from 1.
    :param before: The power state before anything was done, as far as it could be read.
    :param commanded: Whether any device was told to switch off.
    :param asked: The level at which only a person can go on.
    :param alive: What showed life although a level had read back ``off``.
    """

    off: bool = False
    level: int | None = None
    methods: list[str] = dataclasses.field(default_factory=list)
    identity: str = _identity.NOT_CONFIGURED
    before: str = UNKNOWN
    after: str = UNKNOWN
    commanded: bool = False
    asked: int | None = None
    alive: list[str] = dataclasses.field(default_factory=list)
    evidence: list[Evidence] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Attempt:
    """What one device did in one try."""

    device: Device
    started: float
    ended: float = 0.0
    reached: bool = False
    tried: list[str] = dataclasses.field(default_factory=list)
    identity: Identity = dataclasses.field(default_factory=dict)
    check: str = _identity.NOT_CONFIGURED
    state: str = UNKNOWN
    answer: str | None = None
    error: str | None = None
    final: bool = False

    def fail(self, error: FencingError) -> None:
        """Keep what went wrong."""
        self.error = self.device.clean(error.message)
        self.final = isinstance(error, FencingRefused)


class Fencing:
    """The fencing of one host."""

    def __init__(
        self, host: str, expected: _identity.Pair, world: World, hooks: Hooks | None = None, dry: bool = False
    ) -> None:
        self.host = host
        self.expected = expected
        self.world = world
        self.hooks = hooks or Hooks()
        self.dry = dry
        self.identify = any(expected.values())
        self.outcome = Outcome()

    def run(self, levels: t.Sequence[Level], probes: t.Sequence[str] = (), probe_timeout: float = 1.0) -> Outcome:
        """Fence. With ``dry`` only look, and stop at the first level that could do it."""
        for level in levels:
            if not all(device.REMOTE for device in level.devices):
                self.outcome.asked = level.number
                break
            if not self._level(level):
                continue
            if self.dry or not self._alive(level.number, probes, probe_timeout):
                self._succeeded(level)
                break
        return self.outcome

    def survey(self, levels: t.Sequence[Level]) -> list[tuple[Level, Attempt]]:
        """Look at every device of every level, all at once; changes nothing."""
        self.identify = True
        start = self.world.clock()
        pairs = [(level, Attempt(device, start)) for level in levels for device in level.devices if device.REMOTE]
        _in_parallel(lambda pair: self._look(pair[1], start + pair[0].timeout), pairs)
        return pairs

    def confirm_silence(self, probes: t.Sequence[str], timeout: float) -> None:
        """Look for signs of life when no device, but a person says that the host is off."""
        self._alive(None, probes, timeout)

    def _level(self, level: Level) -> bool:
        """Whether the level did it, within its tries."""
        pause = pauses()
        for number in range(1, level.tries + 1):
            attempts = self._try(level)
            done = self._settle(level, number, attempts)
            if done is not None:
                return done
            if number < level.tries:
                self.world.wait(next(pause))
        return False

    def _try(self, level: Level) -> list[Attempt]:
        deadline = self.world.clock() + level.timeout
        attempts = [Attempt(device, self.world.clock()) for device in level.devices]
        _in_parallel(lambda attempt: self._look(attempt, deadline), attempts)
        if self.outcome.before == UNKNOWN:
            self.outcome.before = together(attempts)
        if not self.dry and not any(attempt.error for attempt in attempts):
            _in_parallel(lambda attempt: self._switch_off(attempt, deadline), attempts)
        return attempts

    def _look(self, attempt: Attempt, deadline: float) -> None:
        device = attempt.device
        try:
            if self.identify:
                attempt.tried.append("identity")
                attempt.identity = device.identity(self._left(deadline))
                attempt.check = _identity.compare(self.expected, attempt.identity)
            attempt.tried.append("power_state")
            attempt.state = device.power_state(self._left(deadline))
            attempt.reached = True
        except FencingError as error:
            attempt.fail(error)
        if attempt.check == _identity.MISMATCH:
            attempt.error = f"it belongs to another machine: it reports {attempt.identity}, expected {self.expected}"
            attempt.final = True
        attempt.ended = self.world.clock()

    def _switch_off(self, attempt: Attempt, deadline: float) -> None:
        if attempt.state == OFF:
            return  # read back just now
        self.hooks.before_power_off()
        self.outcome.commanded = True
        attempt.tried.append("power_off")
        left = self._left(deadline)
        try:
            attempt.answer = attempt.device.power_off(left - min(_READ_BACK_RESERVE, left / 2))
        except FencingError as error:
            attempt.answer = attempt.device.clean(error.message)
        self._read_back(attempt, deadline)
        attempt.ended = self.world.clock()

    def _read_back(self, attempt: Attempt, deadline: float) -> None:
        attempt.tried.append("read_back")
        for pause in pauses():
            attempt.error = None
            try:
                attempt.state = attempt.device.power_state(self._left(deadline))
            except FencingError as error:
                attempt.state = UNKNOWN
                attempt.fail(error)
            if attempt.state == OFF or attempt.final:
                return
            if self.world.clock() + pause >= deadline:
                attempt.error = attempt.error or f"still reports {attempt.state} at the end of the time"
                return
            self.world.wait(pause)

    def _left(self, deadline: float) -> float:
        left = deadline - self.world.clock()
        if left <= 0:
            raise FencingError("no time left in this try")
        return left

    def _settle(self, level: Level, number: int, attempts: list[Attempt]) -> bool | None:
        """Record a try: True it is off, False this level cannot do it, None try again."""
        self.outcome.evidence += [self._record(level, number, attempt) for attempt in attempts]
        failed = [attempt for attempt in attempts if attempt.error]
        for attempt in failed:
            self._say(attempt, level, number)
        self.outcome.after = together(attempts)
        self.outcome.identity = _identity.combine(attempt.check for attempt in attempts)
        if any(attempt.final for attempt in failed):
            return False
        return None if failed else True

    def _say(self, attempt: Attempt, level: Level, number: int) -> None:
        say = self.hooks.warn if attempt.check == _identity.MISMATCH else self.hooks.progress
        say(f"{self.host}: level {level.number} try {number}: {_name(attempt.device)}: {attempt.error}")

    def _record(self, level: Level, number: int, attempt: Attempt) -> Evidence:
        return {
            "level": level.number,
            "try": number,
            "method": attempt.device.NAME,
            "address": attempt.device.address,
            "tried": attempt.tried,
            "identity": attempt.check,
            "reported": attempt.identity,
            "answer": attempt.answer,
            "error": attempt.error,
            "observed_state": attempt.state,
            "seconds": round(attempt.ended - attempt.started, 3),
        }

    def _alive(self, level: int | None, probes: t.Sequence[str], timeout: float) -> bool:
        if not probes:
            return False
        started = self.world.clock()
        results = self.world.probe(probes, timeout)
        living = signs_of_life(results)
        self.outcome.alive += living
        self.outcome.evidence.append(
            {
                "level": level,
                "method": "probe",
                "tried": ["probe"],
                "answer": results,
                "observed_state": "alive" if living else "silent",
                "seconds": round(self.world.clock() - started, 3),
            }
        )
        if living:
            self.hooks.warn(f"{self.host}: reported off, but {', '.join(living)} shows life: this is no proof.")
        return bool(living)

    def _succeeded(self, level: Level) -> None:
        self.outcome.off = self.outcome.after == OFF
        self.outcome.level = level.number
        self.outcome.methods = sorted({device.NAME for device in level.devices})
        names = ", ".join(_name(device) for device in level.devices)
        self.hooks.progress(f"{self.host}: level {level.number}: {names} reports {self.outcome.after}")


def pauses() -> t.Iterator[float]:
    """Seconds between readings: a BMC that is quick is seen at once, a slow one is not flooded."""
    pause = 0.1
    while True:
        yield pause
        pause = min(pause * 1.5, 1.0)


def together(attempts: t.Sequence[Attempt]) -> str:
    """The power state of the host: off only when all devices say so, on as soon as one does.

    What devices of another machine say is about another machine.
    """
    found = {UNKNOWN if attempt.check == _identity.MISMATCH else attempt.state for attempt in attempts}
    return found.pop() if len(found) == 1 else ON if ON in found else UNKNOWN


def _name(device: Device) -> str:
    return device.address if device.address.startswith(device.NAME) else f"{device.NAME} {device.address}"


def _in_parallel(work: t.Callable[[t.Any], None], items: t.Sequence[t.Any]) -> None:
    with concurrent.futures.ThreadPoolExecutor(len(items) or 1) as pool:
        for done in [pool.submit(work, item) for item in items]:
            done.result()
