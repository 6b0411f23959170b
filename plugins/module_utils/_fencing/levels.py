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
* A level may also be a wait. It proves something, or nothing, or fails; then the next level goes on.
* A sign of life after the proof ends the level: it was none.
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
    Agent,
    Device,
    FencingError,
    FencingRefused,
    Finding,
    Identity,
    Level,
    Method,
    Person,
    Vigil,
    Wait,
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
    :param while_waiting: Called again and again during a wait; what it raises ends everything.
    """

    before_power_off: t.Callable[[], None] = _nothing
    while_waiting: t.Callable[[], None] = _nothing
    warn: t.Callable[[str], None] = _nothing
    progress: t.Callable[[str], None] = _nothing


@dataclasses.dataclass
class Outcome:
    """How it ended.

    :param off: Whether all devices of a level read back as off.
    :param level: The level that did it, counted from 1.
    :param proof: What was observed that proves it.
    :param switches: Whether that level switches the power off.
    :param before: The power state before anything was done, as far as it could be read.
    :param commanded: Whether any device was told to switch off.
    :param asked: The level at which only a person can go on.
    :param alive: What showed life although a level had read back ``off``.
    """

    off: bool = False
    level: int | None = None
    proof: str = UNKNOWN
    switches: bool = False
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

    method: Method
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
        self.error = self.method.clean(error.message)
        self.final = isinstance(error, FencingRefused)


class Fencing:
    """The fencing of one host.

    :param dry: Only look.
    :param agent: What is known of the host's agent, for the method ``watchdog``.
    """

    def __init__(
        self,
        host: str,
        expected: _identity.Pair,
        world: World,
        hooks: Hooks | None = None,
        dry: bool = False,
        agent: Agent | None = None,
    ) -> None:
        self.host = host
        self.expected = expected
        self.world = world
        self.hooks = hooks or Hooks()
        self.dry = dry
        self.agent = agent
        self.began = world.clock()
        self.identify = any(expected.values())
        self.outcome = Outcome()

    def run(self, levels: t.Sequence[Level], probes: t.Sequence[str] = (), probe_timeout: float = 1.0) -> Outcome:
        """Fence. With ``dry`` only look, and stop at the first level that could do it."""
        for level in levels:
            if isinstance(level.alone, Person):
                self.outcome.asked = level.number
                break
            if not (self._waited(level, level.alone) if level.alone else self._level(level)):
                continue
            refuses = isinstance(level.alone, Wait) and level.alone.REFUSES
            if self.dry or not self._alive(level.number, probes, probe_timeout, refuses):
                self._succeeded(level)
                break
        return self.outcome

    def survey(self, levels: t.Sequence[Level]) -> list[tuple[Level, Attempt]]:
        """Look at every device of every level, all at once, and whether waits could begin; changes nothing."""
        self.identify = True
        start = self.world.clock()
        pairs = [(level, Attempt(method, start)) for level in levels for method in _asked(level)]
        _in_parallel(lambda pair: self._inspect(pair[0], pair[1]), pairs)
        return pairs

    def _inspect(self, level: Level, attempt: Attempt) -> None:
        if isinstance(attempt.method, Device):
            self._look(attempt, attempt.method, attempt.started + level.timeout)
        elif isinstance(attempt.method, Wait):
            self._observe(level, attempt, attempt.method, dry=True)

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

    def _waited(self, level: Level, wait: Wait) -> bool:
        """Whether a wait proved something, or could do so when this is dry."""
        attempt = Attempt(wait, self.world.clock())
        finding = self._observe(level, attempt, wait, self.dry)
        self.outcome.evidence.append(self._record(level, 1, attempt))
        if attempt.error:
            self._say(attempt, level, 1)
        elif finding:
            self.hooks.progress(f"{self.host}: level {level.number}: {_name(wait)}: {finding.told}")
        self.outcome.identity = _identity.UNREADABLE if self.identify else _identity.NOT_CONFIGURED
        return bool(finding and finding.proven)

    def _observe(self, level: Level, attempt: Attempt, wait: Wait, dry: bool) -> Finding | None:
        vigil = Vigil(self.host, self.began, level.timeout, self.hooks.while_waiting, self.agent)
        finding = None
        try:
            if dry:
                finding = Finding(UNKNOWN, wait.ready(vigil), wait.can_prove(wait.options))
            else:
                attempt.tried.append(wait.TRIED)
                self.hooks.progress(f"{self.host}: level {level.number}: {_name(wait)}: {wait.ready(vigil)}")
                finding = wait.observe(vigil)
            attempt.reached, attempt.state, attempt.answer = True, finding.state, finding.told
        except FencingError as error:
            attempt.fail(error)
        attempt.ended = self.world.clock()
        return finding

    def _try(self, level: Level) -> list[Attempt]:
        deadline = self.world.clock() + level.timeout
        pairs = [(Attempt(device, self.world.clock()), device) for device in level.devices]
        attempts = [attempt for attempt, _device in pairs]
        _in_parallel(lambda pair: self._look(pair[0], pair[1], deadline), pairs)
        if self.outcome.before == UNKNOWN:
            self.outcome.before = together(attempts)
        if not self.dry and not any(attempt.error for attempt in attempts):
            _in_parallel(lambda pair: self._switch_off(pair[0], pair[1], deadline), pairs)
        return attempts

    def _look(self, attempt: Attempt, device: Device, deadline: float) -> None:
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

    def _switch_off(self, attempt: Attempt, device: Device, deadline: float) -> None:
        if attempt.state == OFF:
            return  # read back just now
        self.hooks.before_power_off()
        self.outcome.commanded = True
        attempt.tried.append("power_off")
        try:
            left = self._left(deadline)  # the journal may have been slow
            attempt.answer = device.power_off(left - min(_READ_BACK_RESERVE, left / 2))
        except FencingError as error:
            attempt.answer = device.clean(error.message)
        self._read_back(attempt, device, deadline)
        attempt.ended = self.world.clock()

    def _read_back(self, attempt: Attempt, device: Device, deadline: float) -> None:
        attempt.tried.append("read_back")
        for pause in pauses():
            attempt.error = None
            try:
                attempt.state = device.power_state(self._left(deadline))
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
        say(f"{self.host}: level {level.number} try {number}: {_name(attempt.method)}: {attempt.error}")

    def _record(self, level: Level, number: int, attempt: Attempt) -> Evidence:
        return {
            "level": level.number,
            "try": number,
            "method": attempt.method.NAME,
            "address": attempt.method.address,
            "tried": attempt.tried,
            "identity": attempt.check,
            "reported": attempt.identity,
            "answer": attempt.answer,
            "error": attempt.error,
            "observed_state": attempt.state,
            "seconds": round(attempt.ended - attempt.started, 3),
        }

    def _alive(self, level: int | None, probes: t.Sequence[str], timeout: float, refuses: bool = False) -> bool:
        if not probes:
            return False
        started = self.world.clock()
        results = self.world.probe(probes, timeout)
        living = signs_of_life(results, refuses)
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
            self.hooks.warn(f"{self.host}: counts as dead, but {', '.join(living)} shows life: this is no proof.")
        return bool(living)

    def _succeeded(self, level: Level) -> None:
        methods = level.methods
        self.outcome.off = not level.alone and self.outcome.after == OFF
        self.outcome.level = level.number
        self.outcome.methods = sorted({method.NAME for method in methods})
        self.outcome.proof = level.alone.PROOF if level.alone else self.outcome.after
        self.outcome.switches = not level.alone
        names = ", ".join(_name(method) for method in methods)
        self.hooks.progress(f"{self.host}: level {level.number}: {names} reports {self.outcome.proof}")


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


def _asked(level: Level) -> list[Method]:
    """Those that can be looked at without bothering anybody."""
    return [method for method in level.methods if not isinstance(method, Person)]


def _name(method: Method) -> str:
    return method.address if method.address.startswith(method.NAME) else f"{method.NAME} {method.address}"


def _in_parallel(work: t.Callable[[t.Any], None], items: t.Sequence[t.Any]) -> None:
    with concurrent.futures.ThreadPoolExecutor(len(items) or 1) as pool:
        for done in [pool.submit(work, item) for item in items]:
            done.result()
