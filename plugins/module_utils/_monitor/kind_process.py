# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kind ``process``: services of this host. PRIVATE to this collection: may change at any time.

Units that fail are restarted here first; what does not come back is told.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import threading
import time
import typing as t

from . import systemd_bus
from .errors import ConfigError, MonitorError
from .options import check
from .options_process import UNIT
from .process_checks import Check
from .process_states import UP, Action, Facts, Unit, condition
from .process_units import DEFAULTS
from .systemd_poll import Systemctl

if t.TYPE_CHECKING:
    from .config import Config
    from .state import Board

Json = t.Dict[str, t.Any]

LOG = logging.getLogger(__name__)

KIND = "process"
_TYPES = {"failed": "failed", "hung": "hung", "ok": "ok"}
_RETRY = 2.0
TICK = 1.0


class Systemd(t.Protocol):
    """What both ways to systemd can do."""

    def facts(self, names: t.Sequence[str]) -> dict[str, Facts]:
        """The units with these names."""

    def restart(self, name: str) -> str:
        """Let it be restarted."""

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        """Until something has changed, which is returned, or this time is over."""


def run(config: Config, board: Board, stop: threading.Event) -> None:
    """Watch the units until it is told to stop."""
    options = config.section("process")
    systemd = way(options["bus"])
    watch = Watch(wanted(options), systemd, board, options)
    while not stop.is_set():
        end, changed = time.monotonic() + watch.step(), False
        while not stop.is_set() and not changed and time.monotonic() < end:
            board.alive(KIND)
            changed = systemd.wait(max(0.0, min(TICK, end - time.monotonic())), stop) or watch.changed.is_set()


def way(bus: str) -> Systemd:
    """D-Bus if it is wanted and its library is there."""
    if bus == "dbus":
        try:
            systemd_bus.need()
            return systemd_bus.Bus()
        except MonitorError as error:
            LOG.warning("units are polled with systemctl: %s", error)
    return Systemctl()


def wanted(options: Json) -> dict[str, Json]:
    """The entries that are watched, with all their options."""
    named = copy.deepcopy(DEFAULTS) if options["defaults"] else {}
    entries = {name: check(entry, UNIT, f"process_units.{name}") for name, entry in named.items()}
    entries.update(options["units"])
    for name, entry in entries.items():
        entry["names"] = entry["names"] or [name if "." in name else f"{name}.service"]
    return entries


class Watch:
    """All units, and what is done about them."""

    def __init__(
        self,
        entries: dict[str, Json],
        systemd: Systemd,
        board: Board,
        options: Json,
        clock: t.Callable[[], float] = time.monotonic,
    ) -> None:
        self._entries, self._systemd, self._board, self._clock = entries, systemd, board, clock
        self._poll, self._uri = options["poll"], options["libvirt_uri"]
        self._names = {unit: entry for entry, it in entries.items() for unit in it["names"]}
        if len(self._names) < sum(len(it["names"]) for it in entries.values()):
            raise ConfigError("process.units: a unit is named twice")
        self._units: dict[str, Unit] = {}
        self._checks: dict[str, Check] = {}
        #: Set by a check that has something new to tell.
        self.changed = threading.Event()
        self._down = ""

    def step(self) -> float:
        """Look at all units and do what they need; in how many seconds it is time to look again."""
        try:
            found = self._systemd.facts(list(self._names))
        except MonitorError as error:
            if str(error) != self._down:
                LOG.warning("no answer from systemd, it is tried again: %s", error)
            self._down = str(error)
            return _RETRY
        self._down = ""
        self.changed.clear()
        now = self._clock()
        for name, facts in self._existing(found).items():
            self._one(name, facts, now)
        self._end_others(found)
        rests = [self._poll, *(it for unit in self._units.values() for it in [unit.due(now)] if it is not None)]
        return min([*rests, *(it.due(now) for it in self._checks.values())])

    def _existing(self, found: t.Mapping[str, Facts]) -> dict[str, Facts]:
        """Units that are there, without second names; of an entry that must be there but is not, its first name."""
        there = {name: it for name, it in found.items() if it.exists and not (it.id != name and it.id in found)}
        have = {self._names[name] for name in there}
        for entry, options in self._entries.items():
            if options["required"] and entry not in have:
                there[options["names"][0]] = found[options["names"][0]]
        return there

    def _one(self, name: str, facts: Facts, now: float) -> None:
        options = self._entries[self._names[name]]
        if name not in self._units:
            self._add(name, facts, options, now)
        unit, checker = self._units[name], self._checks.get(name)
        if checker is not None:
            facts = self._checked(checker, facts, options, now)
        for action in unit.step(facts, now):
            self._do(unit, action, now)

    def _add(self, name: str, facts: Facts, options: Json, now: float) -> None:
        old = self._board.get(KIND, name)
        self._units[name] = Unit(name, options, known=old is not None and old.state != "ok")
        if options["check"]:
            self._checks[name] = Check(options, self._uri)
        LOG.info("watching %s, %s", name, facts)

    def _checked(self, checker: Check, facts: Facts, options: Json, now: float) -> Facts:
        wakes = facts.active == "inactive" and options["check"] == ["libvirt"] and facts.result == "success"
        if condition(facts, options["always"]) != UP and not wakes:
            checker.forget(now)
            return facts
        checker.start(now, self.changed.set)
        return facts if wakes else dataclasses.replace(facts, checked=checker.wrong(), unproven=not checker.passed())

    def _do(self, unit: Unit, action: Action, now: float) -> None:
        if action.what == "restart":
            error = self._restart(unit.name)
            LOG.warning("%s: %s; %s", unit.name, action.reason, error or "restarted")
            unit.restarted(error, now)
            if unit.name in self._checks:
                self._checks[unit.name].forget(now)
            return
        state = "ok" if action.what == "ok" else "failed"
        if self._board.set(KIND, unit.name, state, _TYPES[action.what], action.reason, **action.details):
            LOG.warning("%s: %s: %s", unit.name, action.what, action.reason)

    def _restart(self, name: str) -> str:
        try:
            return self._systemd.restart(name)
        except MonitorError as error:
            return str(error)

    def _end_others(self, found: t.Mapping[str, Facts]) -> None:
        """What was said of units that are not there any more is over."""
        for state in self._board.states(KIND):
            facts = found.get(state.object)
            if state.state != "ok" and state.object not in self._units and not (facts and facts.exists):
                self._board.set(KIND, state.object, "ok", "ok", "it is not watched here any more")
        for name in [name for name in self._units if name in found and not found[name].exists]:
            entry = self._entries[self._names[name]]
            if not entry["required"]:
                del self._units[name]
                self._checks.pop(name, None)
