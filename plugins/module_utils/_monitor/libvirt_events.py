# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What libvirt says of a VM, and what it means. PRIVATE to this collection: may change at any time.

Tables only; the numbers are libvirt's (they never change), so they can be read where its binding is not installed.
https://libvirt.org/html/libvirt-libvirt-domain.html#virDomainEventType
"""

from __future__ import annotations

import dataclasses
import typing as t

# What an event does to what is known of a VM, besides the types of signals.
RUNS = "runs"  # it runs here now: whatever was wrong is over
ENDS = "ends"  # it was stopped by someone who wanted that: nothing is wrong
GONE = "gone"  # it is not of this host any more
NOTHING = ""

Effect = t.Tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Event:
    """One event. ``what`` is ``lifecycle``, ``io_error``, ``watchdog`` or ``reboot``."""

    what: str
    uuid: str
    name: str
    event: int = 0  # of lifecycle: the event; else: the action
    detail: int = 0
    path: str = ""
    device: str = ""
    cause: str = ""


@dataclasses.dataclass(frozen=True)
class Look:
    """A VM as it is found."""

    uuid: str
    name: str
    state: int
    reason: int
    disks: t.Mapping[str, str] = dataclasses.field(default_factory=dict)  # those with errors


DEFINED, UNDEFINED, STARTED, SUSPENDED, RESUMED, STOPPED, SHUTDOWN, PMSUSPENDED, CRASHED = range(9)
_ANY = -1

#: (event, detail): what it means, and the reason that a signal gives. Detail -1: any other.
LIFECYCLE: dict[tuple[int, int], Effect] = {
    (DEFINED, _ANY): (NOTHING, ""),
    (UNDEFINED, _ANY): (GONE, "it was undefined"),
    (STARTED, 1): (NOTHING, "it is being migrated to here, and may still run there"),
    (STARTED, _ANY): (RUNS, "it was started"),
    (SUSPENDED, 0): (NOTHING, "somebody paused it; or it panicked, which is said next"),
    (SUSPENDED, 1): (NOTHING, "paused by its migration"),
    (SUSPENDED, 2): ("io_error", "paused because of an I/O error"),
    (SUSPENDED, 3): ("watchdog", "paused because its watchdog fired"),
    (SUSPENDED, 4): (NOTHING, "restored from a file as paused"),
    (SUSPENDED, 5): (NOTHING, "restored from a snapshot as paused"),
    (SUSPENDED, 6): ("paused", "left paused by a command to libvirt that failed"),
    (SUSPENDED, 7): (NOTHING, "paused here by its post-copy migration"),
    (SUSPENDED, 8): ("paused", "paused because its post-copy migration failed: its memory is on two hosts"),
    (SUSPENDED, _ANY): (NOTHING, "paused for a reason that is not known here"),
    (RESUMED, _ANY): (RUNS, "it runs again"),
    (STOPPED, 0): (ENDS, "it was shut down"),
    (STOPPED, 1): (ENDS, "it was powered off by a command"),
    (STOPPED, 2): ("panicked", "its operating system crashed, and it was stopped"),
    (STOPPED, 3): (ENDS, "it was migrated away"),
    (STOPPED, 4): (ENDS, "it was saved to a file"),
    (STOPPED, 5): ("crashed", "its QEMU process ended unexpectedly"),
    (STOPPED, 6): (ENDS, "it was put back to a snapshot of a stopped VM"),
    (STOPPED, _ANY): (NOTHING, "stopped for a reason that is not known here"),
    (SHUTDOWN, _ANY): (NOTHING, "it is being shut down"),
    (PMSUSPENDED, _ANY): (NOTHING, "its operating system suspended itself"),
    (CRASHED, 1): ("panicked", "its operating system crashed and writes a crash dump"),
    (CRASHED, _ANY): ("panicked", "its operating system crashed"),
}

#: Actions of a watchdog.
WATCHDOG = ("none", "pause", "reset", "poweroff", "shutdown", "debug", "inject-nmi")
#: Actions of an I/O error.
IO_ERROR = ("none", "pause", "report")
#: By action of its watchdog, that a VM is off afterwards is the watchdog's doing.
WATCHDOG_STOPS = ("poweroff", "shutdown")

RUNNING, BLOCKED, PAUSED, SHUTTING, SHUTOFF, STATE_CRASHED, STATE_PMSUSPENDED = range(1, 8)
#: (state, reason) of a VM that is found: what it means. A word with ``?``: only if it ran when it was seen last.
STATES: dict[tuple[int, int], Effect] = {
    (RUNNING, _ANY): (RUNS, "it runs"),
    (BLOCKED, _ANY): (RUNS, "it runs"),
    (PAUSED, 5): ("io_error", "paused because of an I/O error"),
    (PAUSED, 6): ("watchdog", "paused because its watchdog fired"),
    (PAUSED, 10): ("panicked", "its operating system crashed, and it is paused"),
    (PAUSED, 13): ("paused", "paused because its post-copy migration failed: its memory is on two hosts"),
    (PAUSED, 14): ("paused", "left paused by a command to libvirt that failed"),
    (PAUSED, 0): ("paused?", "paused, and libvirt does not know why"),
    (PAUSED, _ANY): (NOTHING, "paused by a command, a migration or a snapshot"),
    (SHUTTING, _ANY): (NOTHING, "it is being shut down"),
    (SHUTOFF, 0): ("stopped?", "it ran when it was seen last, is shut off now, and libvirt does not know why"),
    (SHUTOFF, 3): ("crashed", "its QEMU process ended unexpectedly, or its operating system crashed"),
    (SHUTOFF, 6): ("crashed", "its QEMU process ended unexpectedly"),
    (SHUTOFF, _ANY): (ENDS, "it was stopped by a command, by itself, or by its migration"),
    (STATE_CRASHED, _ANY): ("panicked", "its operating system crashed"),
    (STATE_PMSUSPENDED, _ANY): (NOTHING, "its operating system suspended itself"),
}


#: What a VM is now, by the event that was the last, or by the state in which it is found. That it is undefined does not
#: mean that it is off: what runs goes on running.
_NOW = {STARTED: "running", SUSPENDED: "paused", RESUMED: "running", STOPPED: "shutoff", PMSUSPENDED: "pmsuspended",
        CRASHED: "crashed"}  # fmt: skip
_FOUND = {RUNNING: "running", BLOCKED: "running", PAUSED: "paused", SHUTTING: "running", SHUTOFF: "shutoff",
          STATE_CRASHED: "crashed", STATE_PMSUSPENDED: "pmsuspended"}  # fmt: skip
#: It is not defined any more. Until libvirt was asked nothing is known.
ABSENT, UNKNOWN = "gone", "unknown"


def domain_after(event: int) -> str | None:
    """What a VM is after a lifecycle event; None: that event does not tell."""
    return _NOW.get(event)


def domain_in(state_: int) -> str:
    """What a VM is that is found in a state."""
    return _FOUND.get(state_, UNKNOWN)


def lifecycle(event: int, detail: int) -> Effect:
    """What a lifecycle event means; nothing, if it is not known."""
    return _found(LIFECYCLE, event, detail)


def state(state_: int, reason: int) -> Effect:
    """What a state means in which a VM is found."""
    return _found(STATES, state_, reason)


def word(words: t.Sequence[str], number: int) -> str:
    """The name of an action; its number, if it is newer than this table."""
    return words[number] if 0 <= number < len(words) else str(number)


def _found(table: t.Mapping[tuple[int, int], Effect], first: int, second: int) -> Effect:
    return table.get((first, second)) or table.get((first, _ANY)) or (NOTHING, "")
