# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one responder hears of hosts, on each network. PRIVATE to this collection: may change at any time.

Pure: who listens says what time it is. Silence is measured in time in which this process has really listened: while it
was stopped, starved or busy, nothing could be heard, and that is no fault of the hosts.
"""

from __future__ import annotations

import collections
import dataclasses
import threading
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._networks import ALIVE, LOST, UNKNOWN

Json = dict[str, t.Any]
#: A host on a network.
Place = tuple[str, str]

UP, DOWN = "up", "down"

#: Two looks at the clock that are further apart than that: nobody has listened in between.
GAP = 0.5
#: A host is lost after so many times the silence, though there are always others that are late.
_TOGETHER = 2
#: For so many times the silence after one has come back, those that have not are given time to come back, too.
_RETURN = 2
#: A crash kernel says every ten seconds that it is at work; after an hour none is.
_DUMP_FORGOTTEN = 3600.0


@dataclasses.dataclass
class _Agent:
    """What a host said of itself with its last beat, and when."""

    armed: bool
    up_for: float
    at: float


class Changes(t.NamedTuple):
    """What a tick has brought: hosts silent for half the time, places lost, places heard again."""

    late: list[str]
    lost: list[Place]
    back: list[Place]

    def __bool__(self) -> bool:
        return bool(self.late or self.lost or self.back)


@dataclasses.dataclass(frozen=True)
class Heard:
    """What has been heard until now, for one decision.

    :param states: ``alive`` or ``lost`` by network and host; what is in none is not known.
    :param isolated: The networks on which nobody is heard: nothing is said about hosts there.
    :param returning: The networks that hosts have just come back on: nobody is said to be lost there.
    :param armed: Hosts whose agents were heard since the last sighting was journaled, and whether these were armed.
    """

    networks: tuple[str, ...]
    states: dict[str, dict[str, str]]
    isolated: frozenset[str]
    armed: dict[str, bool]
    up_for: dict[str, float]
    kdump: dict[str, Json]
    watching_for: float
    returning: frozenset[str] = frozenset()

    def raw(self, host: str) -> str:
        """What it looks like from here, though it may be this responder that hears nothing."""
        return _word(self.states[network].get(host, UNKNOWN) for network in self.networks)

    def on(self, host: str, network: str) -> str:
        """What may be said of a host on a network: nothing, where nobody at all is heard."""
        state = self.states[network].get(host, UNKNOWN)
        return UNKNOWN if state == LOST and network in self.isolated | self.returning else state

    def seems_lost(self, host: str, network: str) -> bool:
        """Whether there is something to decide about, though it may only be late in coming back."""
        return self.states[network].get(host) == LOST and network not in self.isolated

    def word(self, host: str) -> str:
        """What this responder says as a witness."""
        return _word(self.on(host, network) for network in self.networks)

    def view(self, hosts: t.Collection[str]) -> Json:
        """The same of all these hosts, for the other responders: what is not listed is heard."""
        known = sorted(hosts)
        return {"networks": {network: self._view_of(network, known) for network in self.networks}}

    def _view_of(self, network: str, hosts: list[str]) -> Json:
        states = self.states[network]
        if network in self.isolated:
            return {"hears": 0}
        silent = [host for host in hosts if states.get(host) == LOST]
        unknown = [host for host in hosts if host not in states]
        hears = len(hosts) - len(silent) - len(unknown)
        if network in self.returning:
            return {"hears": hears, "lost": [], "unknown": sorted(unknown + silent)}
        return {"hears": hears, "lost": silent, "unknown": unknown}


def said(view: Json, host: str) -> dict[str, str]:
    """What another responder says of a host, by network; see :meth:`Heard.view`."""
    return {network: _said_on(told, host) for network, told in (view.get("networks") or {}).items()}


def _said_on(told: Json, host: str) -> str:
    if not told.get("hears") or host in told["unknown"]:
        return UNKNOWN
    return LOST if host in told["lost"] else ALIVE


def expected(view: Json, hosts: t.Iterable[str]) -> list[Place]:
    """Whom a responder with this view had heard, on which network."""
    return [
        (host, network)
        for host in hosts
        for network, told in (view.get("networks") or {}).items()
        if told.get("hears") and host not in told["unknown"]
    ]


def word(states: t.Mapping[str, str]) -> str:
    """What a witness says that hears a host like this on its networks."""
    return _word(states.values())


def _word(states: t.Iterable[str]) -> str:
    found = set(states)
    return UP if ALIVE in found else DOWN if LOST in found else UNKNOWN


class Hearing:
    """The memory of one responder. Safe to use from several threads.

    :param networks: Where it listens. :param silence: Seconds after which a host is lost on a network.
    :param now: The time, on the clock that :meth:`tick` is told.
    """

    def __init__(self, networks: t.Collection[str], silence: float, now: float) -> None:
        self.networks = tuple(sorted(networks))
        self.silence = silence
        self._began = self._now = now
        #: Seconds in which this process has listened.
        self._listened = 0.0
        # In the order in which they were last heard, so that only the first have to be looked at.
        self._fresh: collections.OrderedDict[Place, float] = collections.OrderedDict()
        self._late: collections.OrderedDict[Place, float] = collections.OrderedDict()
        self._lost: dict[Place, float] = {}
        self._alive: collections.Counter[str] = collections.Counter()
        #: When a lost host was last heard again, by network.
        self._returned: dict[str, float] = {}
        self._agents: dict[str, _Agent] = {}
        self._sighted: set[str] = set()
        self._dumps: dict[str, tuple[float, float]] = {}
        self._back: list[Place] = []
        self._lock = threading.Lock()

    def expect(self, places: t.Iterable[Place]) -> None:
        """Hosts that were heard before this process began: those that have died meanwhile are missed, too."""
        with self._lock:
            for place in places:
                if place[1] in self.networks and not self._knows(place):
                    self._fresh[place] = self._listened
                    self._alive[place[1]] += 1

    def beat(self, host: str, network: str, armed: bool, up_for: float) -> None:
        """A host was heard."""
        if network not in self.networks:
            return
        place = (host, network)
        with self._lock:
            if self._lost.pop(place, None) is not None:
                self._returned[network] = self._listened
            silent = self._fresh.pop(place, None) is None and self._late.pop(place, None) is None
            if silent:
                self._back.append(place)
                self._alive[network] += 1
            self._fresh[place] = self._listened
            self._agents[host] = _Agent(armed, up_for, self._now)
            self._sighted.add(host)
            self._dumps.pop(host, None)

    def dump(self, host: str) -> bool:
        """A crash kernel of the host was heard; tell whether for the first time."""
        with self._lock:
            first, _last = self._dumps.get(host, (self._now, self._now))
            new = host not in self._dumps
            self._dumps[host] = (first, self._now)
            return new

    def tick(self, now: float) -> Changes:
        """Time has passed, in which this process has listened; call it often.

        :returns: What has changed since the last time.
        """
        with self._lock:
            self._listened += min(max(now - self._now, 0.0), GAP)
            self._now = max(now, self._now)
            late = self._turn_late()
            lost = self._due()
            for place in lost:
                self._lost[place] = self._late.pop(place)
                self._alive[place[1]] -= 1
            back, self._back = self._back, []
            return Changes(sorted({host for host, _network in late}), lost, back)

    def look(self) -> Heard:
        """All that is known at this moment."""
        with self._lock:
            # When a switch returns, hosts are heard again one after the other: the last ones are not the dead ones.
            settle = _RETURN * self.silence
            states: dict[str, dict[str, str]] = {network: {} for network in self.networks}
            for places, state in ((self._fresh, ALIVE), (self._late, ALIVE), (self._lost, LOST)):
                for host, network in places:
                    states[network][host] = state
            return Heard(
                networks=self.networks,
                states=states,
                isolated=frozenset(network for network in self.networks if self._alive[network] <= 0),
                returning=frozenset(network for network, at in self._returned.items() if self._listened - at < settle),
                armed={host: self._agents[host].armed for host in self._sighted},
                up_for={host: it.up_for + self._now - it.at for host, it in self._agents.items()},
                kdump=self._kdump(),
                watching_for=self._now - self._began,
            )

    def sighted(self, hosts: t.Iterable[str]) -> None:
        """The sightings of these hosts are in the journal."""
        with self._lock:
            self._sighted.difference_update(hosts)

    def _knows(self, place: Place) -> bool:
        return place in self._fresh or place in self._late or place in self._lost

    def _turn_late(self) -> list[Place]:
        """Those that have been silent for half the time."""
        moved = []
        while self._fresh:
            place, last = next(iter(self._fresh.items()))
            if self._listened - last < self.silence / 2:
                break
            self._late[place] = self._fresh.pop(place)
            moved.append(place)
        return moved

    def _due(self) -> list[Place]:
        """Those that have been silent for long enough.

        Hosts that fail together, or all hosts of a network that fails, fall silent one after the other, as their beats
        come. So nobody is lost on a network while others are late there: what has failed is seen as what it is.
        """
        silent = {place: self._listened - last for place, last in self._late.items()}
        awaited = {network for (_host, network), seconds in silent.items() if seconds < self.silence}
        return [
            place
            for place, seconds in silent.items()
            if seconds >= self.silence and (place[1] not in awaited or seconds >= _TOGETHER * self.silence)
        ]

    def _kdump(self) -> dict[str, Json]:
        now = self._now
        return {
            host: {"last": now - last, "for": now - first}
            for host, (first, last) in self._dumps.items()
            if now - last < _DUMP_FORGOTTEN
        }
