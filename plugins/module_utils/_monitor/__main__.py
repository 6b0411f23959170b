# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program: ``python3 -m openstack_ha_monitor KIND``. PRIVATE to this collection: may change at any time.

KIND may name several, with commas or colons between them (an instance name of a systemd unit cannot have a comma).
Each kind runs in a thread of its own, with a spool of its own. When one of them fails, the program ends, for systemd
to start it anew.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib
import logging
import os
import signal
import sys
import threading
import typing as t

from .config import Config, load
from .errors import ConfigError, MonitorError
from .notify import Notifier
from .report import Reporter
from .spool import Spool
from .spool import clock as boot_clock
from .state import Board

#: Module of each kind: it has ``run(config, board, stop)``, which returns when ``stop`` is set.
KINDS = {
    "etcd": "kind_etcd",
    "host": "kind_host",
    "instance": "kind_instance",
    "network": "kind_network",
    "process": "kind_process",
    "watchdog": "kind_watchdog",
}
#: What does one thing and ends, in its own time; what it could not deliver waits for the next one.
ONCE = {"pacemaker-alert": "pacemaker"}
#: Kinds that send no signals.
_SILENT = {"host"}
#: A kind that does the work of another one, too.
_INCLUDES = {"watchdog": "host"}
CHECK = "check-config"

_FLUSH, _QUEUE = 10.0, 10.0  # Pacemaker gives an alert 30 s, and runs several at a time
_BEGIN = 2.0
_PATIENCE = 20.0
_FOR_DISKS = 1.0

_log = logging.getLogger(__name__)


class Station:
    """What a kind needs to be heard: a spool, a board, and threads that write and deliver."""

    def __init__(self, config: Config, kind: str) -> None:
        speaks, once = kind not in _SILENT, kind in ONCE
        self.kind = kind
        # A directory for each kind, as each may run as another user.
        config = dataclasses.replace(config, spool_directory=os.path.join(config.spool_directory, kind))
        self.config = config
        directory = config.spool_directory if speaks else None
        self.spool = Spool(directory, config.spool_limit, patience=_QUEUE if once else 0.0)
        who, _colon, name = config.principal.partition(":")
        source = f"/{who}s/{name}/monitors/{kind}"
        self.board = Board(self.spool, source, config.host, config.repeat, boot_clock, events=once)
        self.reporter = Reporter(config, self.spool, self.board) if speaks else None

    def start(self, stop: threading.Event, failed: t.Callable[[str], None]) -> list[threading.Thread]:
        """Start the threads that write and deliver."""
        if self.reporter is None:
            return []
        works = {"deliver": self.reporter.run, "write": self._write}
        return [_thread(f"{self.kind} {name}", work, stop, failed) for name, work in works.items()]

    def _write(self, stop: threading.Event) -> None:
        while not stop.is_set():
            if self.spool.wait_unwritten(60.0) and not stop.is_set() and not self.spool.save():
                stop.wait(_FOR_DISKS)


def main(argv: t.Sequence[str] | None = None) -> int:
    """Run the kinds that are named; return the exit code."""
    given = _arguments(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        config = load(given.config)
        if given.kind == CHECK:
            return 0
        return _once(config, given.kind) if given.kind in ONCE else _serve(config, _kinds(given.kind))
    except MonitorError as error:
        _log.error("%s", error)
        return 2 if isinstance(error, ConfigError) else 1


def _arguments(argv: t.Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="openstack_ha_monitor", description="Tells responders what fails here.")
    parser.add_argument("kind", help=f"some of {', '.join(KINDS)}; or {', '.join(ONCE)}; or {CHECK}")
    parser.add_argument("--config", default="/etc/openstack_ha/monitor.json")
    return parser.parse_args(argv)


def _kinds(text: str) -> list[str]:
    kinds = list(dict.fromkeys(text.replace(":", ",").split(",")))
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ConfigError(f"no such kind: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    return [kind for kind in kinds if kind not in {_INCLUDES.get(other) for other in kinds}]


def _serve(config: Config, kinds: t.Sequence[str]) -> int:
    """Run until a signal comes or something fails."""
    stop, failures, notifier = threading.Event(), t.cast("list[str]", []), Notifier()

    def failed(name: str) -> None:
        failures.append(name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    runs = [_load(KINDS[kind]) for kind in kinds]
    stations = [Station(config, kind) for kind in kinds]
    done = threading.Event()  # after the kinds: what they say at their end is delivered, too
    helpers = [thread for station in stations for thread in station.start(done, failed)]
    works = [functools.partial(run, station.config, station.board) for run, station in zip(runs, stations)]
    threads = [_thread(station.kind, work, stop, failed) for station, work in zip(stations, works)]
    if _begun(stop, stations):
        notifier.ready()
    _watch(stop, stations, notifier)
    notifier.stopping()
    for thread in threads:
        while thread.is_alive():
            notifier.extend(_PATIENCE)  # a watchdog is released only when responders know of it
            thread.join(1.0)
    _end(stations, done, helpers)
    return 1 if failures else 0


def _begun(stop: threading.Event, stations: t.Sequence[Station]) -> bool:
    """Wait a moment until the kinds are at work: where one cannot work at all, systemd is not told that it is ready."""
    end = boot_clock() + _BEGIN
    while not all(station.board.at_work for station in stations) and boot_clock() < end:
        if stop.wait(0.02):
            break
    return not stop.is_set()


def _watch(stop: threading.Event, stations: t.Sequence[Station], notifier: Notifier) -> None:
    """Tell systemd that the kinds are at work, as long as they are."""
    while not stop.wait(notifier.patience / 3 or None):
        if all(station.board.oldest_sign() < notifier.patience for station in stations):
            notifier.alive()


def _end(stations: t.Sequence[Station], done: threading.Event, helpers: t.Sequence[threading.Thread]) -> None:
    done.set()
    for station in stations:
        station.spool.end()
    for thread in helpers:
        thread.join()
    for station in stations:
        if station.reporter is not None:
            station.reporter.flush(0.0)
            station.spool.close()


def _once(config: Config, name: str) -> int:
    """Do one thing, and deliver it for a short time; what is left is in the file."""
    run = _load(ONCE[name])
    station = Station(config, name)
    try:
        run(station.config, station.board, threading.Event())
        station.spool.save()
        delivered = t.cast(Reporter, station.reporter).flush(_FLUSH)
    finally:
        station.spool.close()
    return 0 if delivered else 1


def _load(module: str) -> t.Callable[[Config, Board, threading.Event], None]:
    return t.cast("t.Callable[..., None]", importlib.import_module(f".{module}", __package__).run)


def _thread(
    name: str, work: t.Callable[[threading.Event], None], stop: threading.Event, failed: t.Callable[[str], None]
) -> threading.Thread:
    def run() -> None:
        try:
            work(stop)
        except Exception:
            _log.exception("%s failed", name)
            failed(name)
        else:
            if not stop.is_set():
                _log.error("%s ended by itself", name)
                failed(name)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


if __name__ == "__main__":
    raise SystemExit(main())
