"""What the tests of the monitor share: a configuration, a clock, and a board that remembers."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.config import Config, parse
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.spool import Spool
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.state import Board

Json = t.Dict[str, t.Any]


class Clock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def configuration(**more: t.Any) -> Json:
    return {
        "host": "cmp01",
        "token_file": "/etc/openstack_ha/monitor.token",
        "responders": [{"name": f"ctl{n}", "url": f"http://192.0.2.{n}:7411"} for n in (1, 2, 3)],
        **more,
    }


def config(**more: t.Any) -> Config:
    return parse(configuration(**more))


def board(clock: Clock, directory: Path | None = None, repeat: float = 30.0) -> tuple[Board, Spool]:
    spool = Spool(str(directory) if directory else None, 1024 * 1024, clock, boot="boot-1")
    return Board(spool, "/hosts/cmp01/monitors/instance", "cmp01", repeat, clock), spool


def said(spool: Spool) -> list[tuple[str, str, int]]:
    """Object, last word of the type, and sequence of what waits."""
    found = [(it["data"], it["type"].rpartition(".")[2]) for it in spool.batch(1000, 10**9)]
    return [(data["object"], word, data["sequence"]) for data, word in found]
