# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kind ``etcd``: hosts whose lease in etcd has ended. PRIVATE to this collection: may change at any time.

What keeps the leases alive is the site's own; here is read which of the keys are there.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import ssl
import threading
import time
import typing as t
import urllib.parse

from .errors import ConfigError
from .etcd_gateway import Change, Gateway, GatewayError

if t.TYPE_CHECKING:
    from .config import Config
    from .state import Board

LOG = logging.getLogger(__name__)

KIND = "host"
#: The hosts that ever had a key, beside the spool.
FILE = "etcd_hosts.json"
TICK = 0.5
#: Between two attempts, when no member answers.
PAUSE = 1.0


def run(config: Config, board: Board, stop: threading.Event) -> None:
    """Follow the keys until it is told to stop."""
    options = config.section("etcd")
    gateways = members(options)
    hosts = Hosts(board, options["prefix"], os.path.join(config.spool_directory, FILE), config.principal)
    turn = 0
    while not stop.is_set():
        board.alive("etcd")
        gateway = gateways[turn % len(gateways)]
        try:
            Session(gateway, hosts, options).run(board, stop)
        except GatewayError as error:
            LOG.warning("no answer from etcd, the next member is tried: %s", error)
        turn += 1
        if turn % len(gateways) == 0:
            stop.wait(PAUSE)


def members(options: dict[str, t.Any]) -> list[Gateway]:
    """The members that are configured."""
    if not options["endpoints"]:
        raise ConfigError("etcd.endpoints: is missing")
    for number, url in enumerate(options["endpoints"]):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"etcd.endpoints[{number}]: must be like https://192.0.2.1:2379, not {url!r}")
    return [Gateway(url.rstrip("/"), options["timeout"], _context(url, options)) for url in options["endpoints"]]


class Hosts:
    """Which hosts have a key."""

    def __init__(self, board: Board, prefix: str, path: str, reporter: str) -> None:
        self._board, self._prefix, self._path, self._reporter = board, prefix, path, reporter.partition(":")[2]
        self._known = set(_read(path))
        self._revision = 0

    def begin(self) -> None:
        """Another member is asked from now on; after a restore its revisions may be lower."""
        self._revision = 0

    def all(self, revision: int, keys: t.Iterable[str]) -> None:
        """All keys that are there at a revision. A host that never had one is not known."""
        if revision < self._revision:
            return
        self._revision = revision
        there = {host for host in map(self._host, keys) if host}
        if not there <= self._known:
            self._know(there)
        for host in sorted(there):
            self._say(host, True)
        for host in sorted(self._known - there):
            self._say(host, False)

    def take(self, change: Change) -> None:
        """One change."""
        host = self._host(change.key)
        if not host or change.revision <= self._revision or (self._prefix + host) != change.key.rstrip("/"):
            return
        self._know({host})
        self._say(host, change.there)

    def _host(self, key: str) -> str:
        return key[len(self._prefix) :].partition("/")[0] if key.startswith(self._prefix) else ""

    def _know(self, hosts: set[str]) -> None:
        if not hosts <= self._known:
            self._known |= hosts
            _write(self._path, sorted(self._known))

    def _say(self, host: str, there: bool) -> None:
        old = self._board.get(KIND, "", host=host)
        if there and (old is None or old.state == "ok"):
            return
        state, word = ("ok", "reachable") if there else ("failed", "unreachable")
        reason = "its lease in etcd is there" if there else "its lease in etcd has ended"
        if self._board.set(KIND, "", state, word, reason, host=host, reporter=self._reporter):
            LOG.warning("%s: %s: %s", host, word, reason)


class Session:
    """One member, as long as it answers."""

    def __init__(
        self, gateway: Gateway, hosts: Hosts, options: dict[str, t.Any], clock: t.Callable[[], float] = time.monotonic
    ) -> None:
        self._gateway, self._hosts, self._options, self._clock = gateway, hosts, options, clock
        self._inbox: queue.Queue[Change | None] = queue.Queue()

    def run(self, board: Board, stop: threading.Event) -> None:
        """Until it is told to stop or the watch ends.

        :raises GatewayError: The member does not answer.
        """
        self._hosts.begin()
        revision = self._read()
        LOG.info("following %s at %s", self._options["prefix"], self._gateway.url)
        threading.Thread(target=self._watch, args=(revision + 1,), name="etcd-watch", daemon=True).start()
        due = self._clock() + self._options["poll"]
        try:
            while not stop.is_set():
                board.alive("etcd")
                if not self._take_one():
                    return
                if self._clock() >= due:
                    self._read()
                    due = self._clock() + self._options["poll"]
        finally:
            self._gateway.close()

    def _take_one(self) -> bool:
        """One change, if one comes soon; whether the watch goes on."""
        try:
            change = self._inbox.get(timeout=TICK)
        except queue.Empty:
            return True
        if change is not None:
            self._hosts.take(change)
        return change is not None

    def _read(self) -> int:
        revision, keys = self._gateway.keys(self._options["prefix"])
        self._hosts.all(revision, keys)
        return revision

    def _watch(self, revision: int) -> None:
        try:
            for change in self._gateway.changes(self._options["prefix"], revision):
                self._inbox.put(change)
        except GatewayError as error:
            LOG.debug("%s", error)
        self._inbox.put(None)


def _context(url: str, options: dict[str, t.Any]) -> ssl.SSLContext | None:
    if not url.startswith("https:"):
        return None
    try:
        context = ssl.create_default_context(cafile=options["ca_file"])
        if options["certificate"]:
            context.load_cert_chain(options["certificate"], options["key"])
    except OSError as error:
        raise ConfigError(f"etcd: its certificates cannot be read: {error}") from error
    return context


def _read(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as opened:
            found = json.load(opened)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        LOG.warning("%s cannot be read, hosts whose keys are gone are not known: %s", path, error)
        return []
    return [it for it in found if isinstance(it, str)] if isinstance(found, list) else []


def _write(path: str, hosts: list[str]) -> None:
    try:
        with open(f"{path}.new", "w", encoding="utf-8") as opened:
            json.dump(hosts, opened)
        os.replace(f"{path}.new", path)
    except OSError as error:
        LOG.warning("%s cannot be written: %s", path, error)
