# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind ``watchdog``: resets this host when nobody hears it. PRIVATE to this collection: may change at any time.

It sends the heartbeats, too, and feeds the watchdog in the same thread: a program that hangs neither beats nor feeds.
It takes the place of kind ``host``.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
import typing as t

from .beats import Beats
from .config import Config
from .errors import ConfigError, MonitorError
from .keeper import STATES, Facts, Keeper, Step
from .options import Json
from .safe_time import computed, patience
from .state import Board
from .watchdog_device import Device, Sbd

_log = logging.getLogger(__name__)
_OFTEN = 5.0  # at most so many seconds between two feedings
_AGAIN = 10.0  # between two attempts to open what could not be opened


class Watchdog:
    """Brings together who hears this host, and what resets it.

    :param wanted: Whether nobody has paused it.
    """

    def __init__(
        self, beats: Beats, board: Board, device: Device | Sbd, options: Json, wanted: t.Callable[[], bool]
    ) -> None:
        self._beats, self._board, self._device, self._wanted = beats, board, device, wanted
        self._keeper = Keeper(patience(options))
        self._often = min(_OFTEN, options["device_timeout"] / 4)
        self._fed = self._again = -math.inf
        self._running = False

    @property
    def off(self) -> bool:
        """Whether nothing resets this host any more."""
        return not self._running

    def step(self, now: float, stopping: bool = False) -> None:
        """One round: after it, beats say what is true."""
        self._board.alive("watchdog")
        wanted = not stopping and self._wanted()
        if self._keeper.state == "broken" and wanted and now < self._again:
            return
        before = self._keeper.state
        heard, disarmed = self._beats.majority_since(), self._beats.majority_disarmed_since()
        step = self._keeper.step(Facts(now, heard, disarmed, wanted, self._running))
        reason = STATES[step.state]
        try:
            self._do(step, now)
        except MonitorError as error:
            self._keeper.failed()
            self._again = now + (_OFTEN if self._running else _AGAIN)
            reason = str(error)
        self._beats.armed = self._keeper.armed
        if self._keeper.state != before:
            self._say(before, reason)

    def _do(self, step: Step, now: float) -> None:
        if step.release:
            self._running = False
            self._device.release()
        elif step.feed and (not self._running or now - self._fed >= self._often):
            self._device.open()
            self._running = True
            self._device.feed()
            self._fed = now

    def _say(self, before: str, reason: str) -> None:
        state, armed = self._keeper.state, self._keeper.armed
        level = logging.WARNING if state in ("starving", "broken") else logging.INFO
        _log.log(level, "%s => %s: %s", before, state, reason)
        self._board.set("watchdog", "", "ok" if armed else "failed", "armed" if armed else "disarmed", reason)


def run(config: Config, board: Board, stop: threading.Event) -> None:
    """Beat and feed until told to stop, and until the watchdog has been released in order."""
    options = config.section("watchdog")
    check(options, config.interval)
    beats = Beats(config)
    sbd = options["mode"] == "sbd"
    device = Sbd(options["sbd_pid_file"]) if sbd else Device(options["device"], options["device_timeout"])
    watchdog = Watchdog(beats, board, device, options, lambda: not os.path.exists(options["pause_file"]))
    with contextlib.closing(beats):
        while not (stop.is_set() and watchdog.off):
            watchdog.step(beats.step(), stop.is_set())


def check(options: Json, interval: float) -> None:
    """The same rule as that of the fencing level: a safe time that is too short starts VMs twice.

    :raises ConfigError: The options do not fit together.
    """
    given, least = options["safe_time"], computed(options)
    if given is not None and given < least:
        raise ConfigError(
            f"watchdog.safe_time: {given:g} s is too short: the other options need at least {least:g} s. Make it "
            "longer, or leave it out"
        )
    if patience(options) < 4 * interval:
        raise ConfigError(
            f"watchdog.threshold: {patience(options):g} s without a majority is too short with a heartbeat every "
            f"{interval:g} s"
        )
