# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes of this machine by number and start, so that none is taken for another. PRIVATE: may change at any time."""

from __future__ import annotations

import contextlib
import os
import time
import typing as t

_PAUSE = 0.02


class Process(t.NamedTuple):
    """A process, told from a later one with its number."""

    pid: int
    start: int


def tree(pid: int) -> list[Process]:
    """A process and all that it and its children have started, the first one first; empty when it is gone."""
    children: dict[int, list[tuple[int, int]]] = {}
    starts: dict[int, int] = {}
    for number in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        fields = _stat(number)
        if fields:
            children.setdefault(fields[1], []).append((number, fields[2]))
            starts[number] = fields[2]
    if pid not in starts:
        return []
    found = [Process(pid, starts[pid])]
    for process in found:
        found.extend(Process(*child) for child in children.get(process.pid, []))
    return found


def lives(process: Process) -> bool:
    """Whether it has not ended."""
    fields = _stat(process.pid)
    return fields is not None and fields[0] not in "ZX" and fields[2] == process.start


def send(process: Process, signal: int) -> None:
    """Send a signal if it has not ended."""
    if lives(process):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal)


def wait(processes: t.Sequence[Process], seconds: float) -> None:
    """Wait until all have ended. :raises TimeoutError: One has not."""
    deadline = time.monotonic() + seconds
    while any(lives(process) for process in processes):
        if time.monotonic() >= deadline:
            raise TimeoutError(f"processes still there: {[it.pid for it in processes if lives(it)]}")
        time.sleep(_PAUSE)


def _stat(pid: int) -> tuple[str, int, int] | None:
    """State, parent and start of a process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return None
    # The command name may hold spaces and parentheses: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[1]), int(fields[19])
