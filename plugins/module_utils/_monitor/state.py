# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a monitor knows to be wrong, and what it says about it. PRIVATE to this collection: may change at any time.

Level-triggered: a state that is not ok is said when it begins and again every ``repeat`` seconds until it is ok, so a
word that was lost heals itself.
"""

from __future__ import annotations

import dataclasses
import threading
import time
import typing as t

from . import event
from .errors import EventError

if t.TYPE_CHECKING:
    from .spool import Spool

Json = t.Dict[str, t.Any]
Key = t.Tuple[str, str, str]  # host, kind, object


@dataclasses.dataclass
class State:
    """The last word about one object."""

    host: str
    kind: str
    object: str
    state: str
    type: str
    reason: str
    details: Json
    since: float | None  # when it began, on the clock; None: before this boot
    said: float  # when it was said last

    @property
    def key(self) -> Key:
        """What it is about."""
        return self.host, self.kind, self.object


class Board:
    """The last state of each object. What changes is spooled at once; any thread may call it.

    :param source: ``source`` of the signals. :param host: The one that is meant when none is named.
    :param clock: Seconds since the machine was started, sleep included.
    :param events: All that is said is news: who says it learns of events and does not go on looking.
    """

    def __init__(
        self,
        spool: Spool,
        source: str,
        host: str,
        repeat: float,
        clock: t.Callable[[], float] = time.monotonic,
        events: bool = False,
    ) -> None:
        self._events = events
        self._spool, self._source, self._host, self._repeat, self._clock = spool, source, host, repeat, clock
        self._lock = threading.RLock()
        self._states: dict[Key, State] = {it.key: it for it in spool.states()}
        self._alive: dict[str, float] = {}

    def set(self, kind: str, object: str, state: str, type: str, reason: str, host: str = "", **details: t.Any) -> bool:
        """Say in which state an object is; whether that is news.

        :param kind: ``instance``, ``process``, ``network``, ``watchdog`` or ``host``.
        :param object: UUID of the VM, name of the unit or of the network, or "".
        :param state: ``failed`` or ``ok``.
        :param type: The whole of it, or its last word: ``crashed``.
        :param host: The host that it is about, if it is another one.
        :param details: What else the responder should know; plain JSON.
        """
        whole = type if type.startswith(event.PREFIX) else f"{event.PREFIX}{kind}.{type}"
        if event.kind_of(whole) != kind or event.state_of(whole) != state:
            raise EventError(f"type: {whole} is not of kind {kind} and state {state}")
        with self._lock:
            return self._set(State(host or self._host, kind, object, state, whole, reason, details, None, 0.0))

    def get(self, kind: str, object: str, host: str = "") -> State | None:
        """The last word about an object; one that was ok when the monitor was stopped is not known any more."""
        with self._lock:
            found = self._states.get((host or self._host, kind, object))
            return dataclasses.replace(found) if found else None

    def states(self, kind: str) -> list[State]:
        """The last words about all objects of a kind."""
        with self._lock:
            return [dataclasses.replace(it) for it in self._states.values() if it.kind == kind]

    def forget(self, kind: str, object: str, host: str = "") -> None:
        """Say nothing more about an object, not even that it is ok."""
        with self._lock:
            found = self._states.pop((host or self._host, kind, object), None)
            if found:
                self._spool.forget(found)

    def repeat(self) -> float:
        """Say again what is due; return in how many seconds the next is."""
        with self._lock:
            now = self._clock()
            for it in [it for it in self._states.values() if it.state != "ok" and it.said + self._repeat <= now]:
                it.said = now
                self._say(it, news=False)
            rest = [it.said + self._repeat - now for it in self._states.values() if it.state != "ok"]
            return min(rest, default=self._repeat)

    def again(self, kind: str, object: str) -> bool:
        """Say the last word about an object once more, also that it is ok, if it is due; whether it was."""
        with self._lock:
            found, now = self._states.get((self._host, kind, object)), self._clock()
            if found is None or found.said + self._repeat > now:
                return False
            found.said = now
            self._say(found, news=False)
            return True

    def alive(self, name: str) -> None:
        """A kind says that it is at work. One that has said so once has to go on, or systemd restarts the program."""
        self._alive[name] = self._clock()

    @property
    def at_work(self) -> bool:
        """Whether a kind has said so."""
        return bool(self._alive)

    def oldest_sign(self) -> float:
        """How long ago the kind that has been quiet longest was at work; 0: none has ever said so."""
        return max((self._clock() - at for at in self._alive.values()), default=0.0)

    def _set(self, new: State) -> bool:
        old, now = self._states.get(new.key), self._clock()
        if old and not self._events and (old.state, old.type) == (new.state, new.type):
            old.reason, old.details = new.reason, new.details  # for its next repeat
            return False
        new.since = new.said = now
        self._states[new.key] = new
        self._say(new, news=True)
        return True

    def _say(self, it: State, news: bool) -> None:
        data = {
            **it.details, "host": it.host, "object": it.object, "state": it.state, "reason": it.reason,
        }  # fmt: skip
        self._spool.add(it, event.make(self._source, it.type, data), news)
