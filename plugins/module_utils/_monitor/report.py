# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Delivers what is spooled. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import dataclasses
import json
import logging
import random
import threading
import time
import typing as t
import urllib.parse

from .config import Config, Responder
from .spool import Spool
from .state import Board

if t.TYPE_CHECKING:
    import http.client

Json = t.Dict[str, t.Any]

_log = logging.getLogger(__name__)
_BATCH, _BYTES = 50, 48 * 1024  # a responder takes 64 KiB at once
_PATIENCE = 5.0
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 10.0
_LONGEST_RETRY_AFTER = 300.0
_ANSWER = 1024 * 1024
_ONE, _MANY = "application/cloudevents+json", "application/cloudevents-batch+json"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a responder said; status 0: nothing."""

    status: int
    text: str = ""
    accepted: tuple[str, ...] = ()
    retry_after: float = 0.0


Post = t.Callable[[Responder, t.Sequence[Json]], Answer]


class Reporter:
    """Delivers the signals of a spool to whichever responder takes them; a thread runs it.

    :param post: How a batch gets to a responder. :param jitter: A number from 0 to 1.
    """

    def __init__(
        self,
        config: Config,
        spool: Spool,
        board: Board | None = None,
        post: Post | None = None,
        clock: t.Callable[[], float] = time.monotonic,
        jitter: t.Callable[[], float] = random.random,
    ) -> None:
        self._responders = list(config.responders)
        self._spool, self._board, self._post = spool, board, post or Http(config)
        self._clock, self._jitter = clock, jitter
        self._failures = 0
        self._count = _BATCH
        self._not_before: dict[str, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Deliver until told to stop. Who stops it also ends the waiting of the spool."""
        while not stop.is_set():
            rest = self._board.repeat() if self._board else 60.0
            if self._spool.wait(rest) and not stop.is_set():
                stop.wait(self.step())

    def flush(self, seconds: float) -> bool:
        """Deliver what is there; whether all of it was accepted within this time."""
        end = self._clock() + seconds
        while len(self._spool):
            delay = self.step()
            if len(self._spool) and self._clock() + delay > end:
                return False
            if delay:
                time.sleep(delay)
        return True

    def step(self) -> float:
        """Offer the oldest signals to one responder after the other; return how long to wait then."""
        for _each in range(len(self._responders)):
            events = self._spool.batch(self._count, _BYTES)
            if not events:
                return 0.0
            responder = self._responders[0]
            if self._not_before.get(responder.name, 0.0) <= self._clock():
                answer = self._post(responder, events)
                if self._settled(answer, events):
                    self._failures = 0
                    return 0.0
                self._note(responder, answer)
            self._responders.append(self._responders.pop(0))
        return self._delay()

    def _settled(self, answer: Answer, events: t.Sequence[Json]) -> bool:
        """Whether these signals have had their answer, or should be offered again at once in smaller portions."""
        if answer.status == 202:
            self._count = _BATCH
            return self._spool.drop(set(answer.accepted) & {it["id"] for it in events}) > 0
        if answer.status not in (400, 413):
            return False
        if len(events) > 1:
            self._count = 1 if answer.status == 400 else max(1, len(events) // 2)
        else:
            self._spool.refuse(events[0]["id"], f"{answer.status} {answer.text}")
        return True

    def _note(self, responder: Responder, answer: Answer) -> None:
        loud = logging.ERROR if answer.status in (401, 403) else logging.WARNING
        what = f"answered {answer.status}: {answer.text}" if answer.status else answer.text
        _log.log(loud, "%d signals wait: responder %s at %s: %s", len(self._spool), responder.name, responder.url, what)
        if answer.retry_after:
            until = min(answer.retry_after, _LONGEST_RETRY_AFTER)
            self._not_before[responder.name] = self._clock() + until

    def _delay(self) -> float:
        """Longer each time, and not the same for all hosts, or they would all come back together."""
        delay = min(_LONGEST_DELAY, _FIRST_DELAY * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        free = min(self._not_before.get(it.name, 0.0) for it in self._responders) - self._clock()
        return max(delay * (0.5 + self._jitter() / 2), free)


class Http:
    """Posts over HTTPS, and keeps the connection for the next batch."""

    def __init__(self, config: Config, timeout: float = _PATIENCE) -> None:
        self._config, self._timeout = config, timeout
        self._connection: http.client.HTTPConnection | None = None
        self._to = ""

    def __call__(self, responder: Responder, events: t.Sequence[Json]) -> Answer:
        """Post a batch; a connection that was kept may have been closed meanwhile, which is no failure."""
        kept = self._connection is not None and self._to == responder.name
        try:
            return self._attempt(responder, events)
        except _errors() as error:
            self.close()
            if not kept:
                return Answer(0, f"{type(error).__name__}: {error}")
        try:
            return self._attempt(responder, events)
        except _errors() as error:
            self.close()
            return Answer(0, f"{type(error).__name__}: {error}")

    def close(self) -> None:
        """Keep no connection."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _attempt(self, responder: Responder, events: t.Sequence[Json]) -> Answer:
        if self._to != responder.name:
            self.close()
        if self._connection is None:
            self._connection, self._to = _connection(responder, self._timeout), responder.name
        one = len(events) == 1
        body = json.dumps(events[0] if one else list(events)).encode()
        path = urllib.parse.urlsplit(responder.url).path + "/v1/signals"
        headers = {"Content-Type": _ONE if one else _MANY, "Authorization": f"Bearer {self._credential()}"}
        self._connection.request("POST", path, body, headers)
        response = self._connection.getresponse()
        content = response.read(_ANSWER)
        if response.will_close or not response.isclosed():
            self.close()
        return _answer(response.status, content, response.getheader("Retry-After"))

    def _credential(self) -> str:
        """Read anew each time, so that a new one needs no restart."""
        with open(self._config.token_file, encoding="ascii") as opened:
            return f"{self._config.principal}.{opened.read().strip()}"


def _connection(responder: Responder, timeout: float) -> http.client.HTTPConnection:
    """Imported only here: a monitor that has nothing to say needs no TLS."""
    import http.client

    parts = urllib.parse.urlsplit(responder.url)
    host = t.cast(str, parts.hostname)
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port or 80, timeout=timeout)
    import ssl

    context = ssl.create_default_context(cafile=responder.ca_file)
    return http.client.HTTPSConnection(host, parts.port or 443, timeout=timeout, context=context)


def _errors() -> tuple[type[Exception], ...]:
    import http.client

    return (OSError, http.client.HTTPException, ValueError)


def _answer(status: int, content: bytes, retry_after: str | None) -> Answer:
    text = content[:300].decode(errors="replace")
    accepted: tuple[str, ...] = ()
    if status == 202:
        found = json.loads(content)
        ids = found.get("accepted") if isinstance(found, dict) else None
        accepted = tuple(it for it in ids if isinstance(it, str)) if isinstance(ids, list) else ()
    later = float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else 0.0
    return Answer(status, text, accepted, later)
