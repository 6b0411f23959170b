# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sends heartbeats over each network. PRIVATE to this collection: may change at any time.

One socket for each network, bound to this host's address there, so a beat leaves by the network that it speaks for or
not at all. Acks tell which responders count our beats, and thus who hears this host.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import os
import selectors
import socket
import threading
import typing as t

from .config import Config, Network, Responder
from .errors import MonitorError
from .heartbeat import LONGEST, Sender, key_of
from .spool import clock as boot_clock

_log = logging.getLogger(__name__)
#: Beats whose answer may still come.
_REMEMBERED = 64
#: Datagrams that are read before the next beat is looked at.
_AT_ONCE = 64
_REOPEN = 1.0
#: So long at most until a request to stop is seen.
_LONGEST_WAIT = 0.5

Clock = t.Callable[[], float]


@dataclasses.dataclass
class Lane:
    """The way to one responder over one network."""

    responder: str
    address: tuple[str, int]
    sender: Sender
    sent: dict[int, tuple[float, bool]] = dataclasses.field(default_factory=dict)  # when, and whether armed
    at_once: bool = True  # a new nonce may be shown before the next beat is due

    def beat(self, armed: bool, up_for: float, now: float) -> bytes:
        """The next datagram."""
        datagram = self.sender.beat(armed, up_for)
        self.sent[self.sender.sequence] = (now, armed)
        self.sent.pop(self.sender.sequence - _REMEMBERED, None)
        return datagram


class Line:
    """One network: its socket, and the lanes that lead over it."""

    def __init__(self, network: Network, lanes: t.Sequence[Lane]) -> None:
        self.network, self.lanes = network, lanes
        self.socket: socket.socket | None = None
        self._reopen_at = -math.inf
        self._trouble = ""

    def open(self, now: float) -> socket.socket | None:
        """Open the socket if it is time to; return it when it is new."""
        if self.socket is not None or now < self._reopen_at:
            return None
        self._reopen_at = now + _REOPEN
        family = socket.AF_INET6 if ":" in self.network.source else socket.AF_INET
        opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            opened.bind((self.network.source, 0))
        except OSError as error:
            opened.close()
            self._tell(f"cannot send from {self.network.source}: {error.strerror or error}")
            return None
        self.socket = opened
        return opened

    def send(self, lane: Lane, datagram: bytes) -> None:
        """Send it if possible; a socket goes on working when its address was away and has come back."""
        if self.socket is None:
            return
        try:
            self.socket.sendto(datagram, lane.address)
        except OSError as error:
            self._tell(f"cannot send to {lane.responder}: {error.strerror or error}")
            return
        if self._trouble:
            _log.info("network %s: beats leave again", self.network.name)
        self._trouble = ""

    def close(self) -> None:
        """Give the socket back."""
        if self.socket is not None:
            self.socket.close()
        self.socket = None

    def _tell(self, trouble: str) -> None:
        """Once, until something else is the matter."""
        if trouble != self._trouble:
            _log.warning("network %s: %s", self.network.name, trouble)
        self._trouble = trouble


class Beats:
    """All heartbeats of this host. One thread runs it, and the same one asks who has heard them.

    :param armed: Whether a watchdog resets this host when no majority hears it; said in each beat.
    """

    def __init__(self, config: Config, clock: Clock = boot_clock) -> None:
        self.armed = False
        self._interval, self._clock = config.interval, clock
        self._count = len(config.responders)
        key = key_of(_token(config.token_file))
        self._lines = [Line(it, _lanes(config.host, key, config.responders, it.name)) for it in config.networks]
        if not any(line.lanes for line in self._lines):
            raise MonitorError("responders: none has an address for heartbeats. Name some in beats, by network")
        self._counted: dict[tuple[str, bool], float] = {}
        self._selector = selectors.DefaultSelector()
        self._next = clock()
        self._booted = _started()

    def run(self, stop: threading.Event, each: t.Callable[[float], None]) -> None:
        """Send until told to stop; call ``each`` in every round with the time."""
        with contextlib.closing(self):
            while not stop.is_set():
                each(self.step())

    def step(self) -> float:
        """Send what is due, and take in what comes until the next is; return the time."""
        now = self._clock()
        if now >= self._next:
            self._send_all(now)
            # After a sleep of the machine the beats that were missed are not sent after it.
            self._next = self._next + self._interval if now < self._next + self._interval else now + self._interval
        for key, _events in self._selector.select(max(0.0, min(_LONGEST_WAIT, self._next - self._clock()))):
            self._take_in(key.data)
        return self._clock()

    def majority_since(self) -> float:
        """Since when a majority of responders has counted a beat: the time when the oldest of these was sent."""
        newest: dict[str, float] = {}
        for (responder, _armed), at in self._counted.items():
            newest[responder] = max(at, newest.get(responder, -math.inf))
        return self._of_majority(newest.values())

    def majority_disarmed_since(self) -> float:
        """The same, of beats that said that no watchdog is armed."""
        return self._of_majority(at for (_responder, armed), at in self._counted.items() if not armed)

    def close(self) -> None:
        """Close all sockets."""
        self._selector.close()
        for line in self._lines:
            line.close()

    def _of_majority(self, moments: t.Iterable[float]) -> float:
        found = sorted(moments, reverse=True)
        needed = self._count // 2 + 1
        return found[needed - 1] if len(found) >= needed else -math.inf

    def _send_all(self, now: float) -> None:
        for line in self._lines:
            opened = line.open(now)
            if opened is not None:
                self._selector.register(opened, selectors.EVENT_READ, line)
            for lane in line.lanes:
                lane.at_once = True
                self._send(line, lane, now)

    def _send(self, line: Line, lane: Lane, now: float) -> None:
        line.send(lane, lane.beat(self.armed, now - self._booted, now))

    def _take_in(self, line: Line) -> None:
        for _each in range(_AT_ONCE):
            if line.socket is None:
                return
            try:
                datagram = line.socket.recv(LONGEST + 1)
            except BlockingIOError:
                return
            except OSError:  # that a former beat was not wanted: nothing was heard
                continue
            for lane in line.lanes:
                if self._answered(line, lane, datagram):
                    break

    def _answered(self, line: Line, lane: Lane, datagram: bytes) -> bool:
        """Whether this was an answer to a beat of this lane."""
        ack = lane.sender.take(datagram)
        if ack is None:
            return False
        sent = lane.sent.get(ack.sequence)
        if ack.counted and sent is not None:
            key = (lane.responder, sent[1])
            self._counted[key] = max(sent[0], self._counted.get(key, -math.inf))
        if ack.fresh and not ack.counted and lane.at_once:
            lane.at_once = False
            self._send(line, lane, self._clock())
        return True


def _lanes(host: str, key: bytes, responders: t.Sequence[Responder], network: str) -> list[Lane]:
    return [Lane(it.name, it.beats[network], Sender(host, network, key)) for it in responders if network in it.beats]


def _token(path: str) -> str:
    try:
        with open(path, encoding="ascii") as opened:
            return opened.read().strip()
    except (OSError, ValueError) as error:
        raise MonitorError(f"token_file: {path}: cannot be read: {error}") from error


def _started() -> float:
    """When the first process began, on the clock: of a container that is later than the start of the machine."""
    try:
        with open("/proc/1/stat", encoding="ascii", errors="replace") as opened:
            fields = opened.read().rpartition(")")[2].split()
        return int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):  # hidden from who is not root
        return 0.0
