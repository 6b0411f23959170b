# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keeps signals until a responder has accepted them. PRIVATE to this collection: may change at any time.

What is in memory is what counts; a file follows it, replaced as a whole by a thread of its own. So a full disk, or one
that hangs, delays no signal, and whatever moment the program is killed at, the file is a complete one. A kind finds
what was not written yet when it looks around at its next start.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import logging
import math
import os
import threading
import time
import typing as t
import uuid

from .errors import MonitorError
from .state import Key, State

Json = t.Dict[str, t.Any]

_log = logging.getLogger(__name__)
_VERSION = 1
#: Numbers that a file promises not to be used again, though it does not yet know of them.
_STRIDE = 10000
#: Refused signals that are kept, the newest ones.
_REFUSED = 100


def boot_id() -> str:
    """Which start of the machine this is."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as opened:
            return opened.read().strip()
    except OSError:
        return ""


def clock() -> float:
    """Seconds since the machine was started; unlike the monotonic clock it goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclasses.dataclass
class _Item:
    """A signal that no responder has accepted yet.

    :param since: When what it says began. :param said: When it was said; None: before this boot.
    """

    key: Key
    news: bool
    since: float | None
    said: float | None
    event: Json
    size: int


class Spool:
    """The signals of one kind, oldest first, and the states that are not ok. Any thread may call it.

    :param directory: Of the kind; one process at a time may have the spool in it. None: nothing is written.
    :param limit: Bytes of signals to keep. The last word about an object is kept whatever its size.
    :param patience: Seconds to wait for another process that has it.
    """

    #: The last number that the file says may have been used.
    _promised: float

    def __init__(
        self,
        directory: str | None,
        limit: int,
        clock: t.Callable[[], float] = clock,
        boot: str = "",
        patience: float = 0.0,
    ) -> None:
        self._directory, self._limit, self._clock, self._patience = directory, limit, clock, patience
        self._boot = boot or boot_id()
        self._changed = threading.Condition()
        self._items: dict[str, _Item] = {}
        self._states: dict[Key, State] = {}
        self._begin_epoch()
        self._unwritten = self._failing = self._ending = False
        self._lock: t.Any = self._open() if directory else None

    @property
    def epoch(self) -> str:
        """Sequences of signals can be compared within one epoch."""
        return self._epoch

    def __len__(self) -> int:
        return len(self._items)

    def states(self) -> list[State]:
        """The states that were not ok."""
        with self._changed:
            return [dataclasses.replace(it) for it in self._states.values()]

    def add(self, state: State, event: Json, news: bool) -> None:
        """Keep a signal until it is accepted; a repeat of what still waits is left out."""
        with self._changed:
            if not news and any(it.key == state.key for it in self._items.values()):
                return
            event["data"].update(epoch=self._epoch_now(), sequence=self._sequence)
            item = _Item(state.key, news, state.since, self._clock(), event, len(json.dumps(event)))
            self._items[event["id"]] = item
            self._keep(state)
            self._trim()
            self._touch()

    def forget(self, state: State) -> None:
        """Remember a state no longer. What was said about it is still delivered."""
        with self._changed:
            self._states.pop(state.key, None)
            self._touch()

    def batch(self, count: int, size: int) -> list[Json]:
        """The oldest signals, with how old they and what they say are by now; at least one if there is any."""
        with self._changed:
            now, total = self._clock(), 0
            found: list[Json] = []
            for item in self._items.values():
                total += item.size + 32
                if found and (len(found) >= count or total > size):
                    break
                ages = {"age": _age(now, item.since), "said_age": _age(now, item.said)}
                found.append({**item.event, "data": {**item.event["data"], **ages}})
            return found

    def drop(self, ids: t.Iterable[str]) -> int:
        """These have been accepted; how many of them were here."""
        with self._changed:
            gone = [self._items.pop(it) for it in list(ids) if it in self._items]
            if gone:
                self._touch()
            return len(gone)

    def refuse(self, event_id: str, why: str) -> None:
        """No responder will ever accept this one: it is put aside for people."""
        with self._changed:
            item = self._items.get(event_id)
            self.drop([event_id])
        if item is None:
            return
        _log.error("signal refused for good: %s: %s", why, json.dumps(item.event))
        if self._directory:
            with contextlib.suppress(OSError):
                self._put_aside(os.path.join(self._directory, "refused"), event_id, {"why": why, "signal": item.event})

    def wait(self, timeout: float) -> bool:
        """Wait until there is something to deliver; whether there is."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._ending, timeout)
            return bool(self._items)

    def end(self) -> None:
        """From now on nobody waits for anything."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()

    def wait_unwritten(self, timeout: float) -> bool:
        """Wait until the file is behind; whether it is."""
        with self._changed:
            self._changed.wait_for(lambda: self._unwritten or self._ending, timeout)
            return self._unwritten

    def save(self) -> bool:
        """Bring the file up to date; whether it could be done. Only one thread may do so."""
        if not self._directory:
            return True
        with self._changed:
            self._unwritten = False
            promised = self._sequence + _STRIDE
            content = json.dumps(self._content(promised))
        try:
            _replace(self._path("spool.json"), content)
        except OSError as error:
            with self._changed:
                self._unwritten = True
            self._complain(f"cannot be written, so its signals are kept in memory only: {error}")
            return False
        with self._changed:
            self._promised = promised
        if self._failing:
            _log.warning("spool %s: written again", self._path("spool.json"))
        self._failing = False
        return True

    def close(self) -> None:
        """Write what is not written yet, and let others have the spool."""
        self.save()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _touch(self) -> None:
        self._unwritten = self._directory is not None
        self._changed.notify_all()

    def _keep(self, state: State) -> None:
        if state.state == "ok":
            self._states.pop(state.key, None)
        else:
            self._states[state.key] = dataclasses.replace(state)

    def _epoch_now(self) -> str:
        """Count. A number that the file does not promise would be used again by who starts from that file."""
        if self._sequence >= self._promised:
            self._begin_epoch()
        self._sequence += 1
        return self._epoch

    def _begin_epoch(self) -> None:
        self._epoch, self._sequence = str(uuid.uuid4()), 0
        self._promised = math.inf

    def _trim(self) -> None:
        """Leave out the oldest repeats, then the oldest words, but never the last word about an object."""
        total = sum(it.size for it in self._items.values())
        if total <= self._limit:
            return
        last = {it.key: event_id for event_id, it in self._items.items()}
        older = [event_id for event_id, it in self._items.items() if last[it.key] != event_id]
        for event_id in sorted(older, key=lambda it: self._items[it].news):
            total -= self._items.pop(event_id).size
            if total <= self._limit:
                break
        _log.warning("more than %d bytes of signals wait: older words were dropped", self._limit)

    def _open(self) -> t.Any:
        """Take the lock and read the file; without a directory that can be used, all is kept in memory.

        :raises MonitorError: Another process has the spool.
        """
        try:
            os.makedirs(t.cast(str, self._directory), mode=0o700, exist_ok=True)
            lock = open(self._path("spool.lock"), "a", encoding="ascii")  # noqa: SIM115  # held until close()
        except OSError as error:
            self._complain(f"cannot be used, so its signals are kept in memory only: {error}")
            return None
        if not self._locked(lock):
            lock.close()
            raise MonitorError(f"{self._path('spool.json')}: another monitor of this kind has it. Stop that first")
        self._read()
        self.save()
        return lock

    def _locked(self, lock: t.Any) -> bool:
        end = time.monotonic() + self._patience
        while True:
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            if time.monotonic() >= end:
                return False
            time.sleep(0.05)

    def _read(self) -> None:
        path = self._path("spool.json")
        try:
            with open(path, encoding="utf-8") as opened:
                self._take_over(json.load(opened))
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _log.error("spool %s: cannot be read, begun anew; the old one is kept beside it: %r", path, error)
            self._items, self._states = {}, {}
            self._begin_epoch()
            with contextlib.suppress(OSError):
                os.replace(path, f"{path}.broken")

    def _take_over(self, content: Json) -> None:
        if content["version"] != _VERSION:
            raise ValueError(f"version {content['version']}, not {_VERSION}")
        here = content["boot"] == self._boot
        for it in content["states"]:
            state = State(**{**it, "since": it["since"] if here else None, "said": self._clock()})
            self._states[state.key] = state
        for it in content["queue"]:
            event = it["event"]
            since, said = (it["since"], it.get("said")) if here else (None, None)
            self._items[event["id"]] = _Item(tuple(it["key"]), it["news"], since, said, event, len(json.dumps(event)))
        self._epoch, self._sequence = content["epoch"], content["sequence"]
        self._promised = self._sequence

    def _content(self, promised: int) -> Json:
        return {
            "version": _VERSION,
            "boot": self._boot,
            "epoch": self._epoch,
            "sequence": promised,
            "states": [dataclasses.asdict(it) for it in self._states.values()],
            "queue": [
                {"key": it.key, "news": it.news, "since": it.since, "said": it.said, "event": it.event}
                for it in self._items.values()
            ],
        }

    def _path(self, name: str) -> str:
        return os.path.join(t.cast(str, self._directory), name)

    def _complain(self, what: str) -> None:
        """Once, until it works again."""
        if not self._failing:
            _log.error("spool %s: %s", self._path("spool.json"), what)
        self._failing = True

    def _put_aside(self, folder: str, event_id: str, content: Json) -> None:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        name = "".join(it if it.isalnum() or it == "-" else "_" for it in event_id)
        _replace(os.path.join(folder, f"{name}.json"), json.dumps(content))
        kept = sorted((os.path.join(folder, it) for it in os.listdir(folder)), key=os.path.getmtime)
        for path in kept[:-_REFUSED]:
            os.unlink(path)


def _age(now: float, then: float | None) -> float | None:
    return None if then is None else round(max(0.0, now - then), 3)


def _replace(path: str, content: str) -> None:
    """Write a file so that whoever reads it sees the old one or the new one, even after a loss of power."""
    new = f"{path}.new"
    try:
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(new, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
