"""Looks at processes of this machine, and kills those that a test has started."""

from __future__ import annotations

import contextlib
import os
import signal
import typing as t
from pathlib import Path


def children(pid: int) -> list[int]:
    """All living descendants. ansible-core puts its workers into sessions of their own, so no group has them all."""
    parents = _parents()
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def kill(pids: t.Iterable[int]) -> None:
    """``kill -9``; all are stopped first, so that none of them sees another one die."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def alive(pid: int) -> bool:
    """Whether it exists and is no zombie."""
    return pid in _parents()


def _parents() -> dict[int, int]:
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(stat.parent.name)] = int(parent)
    return parents
