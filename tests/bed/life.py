# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the program that a thread belongs to is still alive.

All services of the bed share one process, so a nova-compute can not be killed with a signal. Instead each
of its threads carries the :class:`Life` of its host, and everything that leaves a mark on the world (a
database write, a guest started or stopped, a message taken from a queue) asks that life first. A thread
of a dead host ends at its next such step, which is as near to ``kill -9`` as one process can come.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import typing as t

_thread = threading.local()


class ProcessIsDead(BaseException):
    """Unwinds a thread of a dead host; not an Exception, so that no error handling of Nova runs."""


class Life:
    """The life of one host's services, or of the control plane."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._dead = threading.Event()
        self._generation = 0

    @property
    def alive(self) -> bool:
        return not self._dead.is_set()

    def kill(self) -> None:
        """End it for ever: its threads stop at their next step."""
        self._dead.set()

    def renew(self) -> None:
        """End the work under way, but not the program."""
        self._generation += 1

    def wait(self, seconds: float) -> None:
        """Let time pass as a program does that can be killed meanwhile."""
        if self._dead.wait(seconds):
            raise ProcessIsDead(self.name)

    @contextlib.contextmanager
    def lived(self) -> t.Iterator[None]:
        """Make the current thread a thread of this life."""
        before = getattr(_thread, "current", None)
        _thread.current = (self, self._generation)
        try:
            check()
            yield
        finally:
            _thread.current = before

    def bind(self, function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
        """The same function, run as part of this life."""

        @functools.wraps(function)
        def bound(*args: t.Any, **kwargs: t.Any) -> t.Any:
            with self.lived():
                return function(*args, **kwargs)

        return bound


def current() -> Life | None:
    """The life that the current thread belongs to."""
    mark = getattr(_thread, "current", None)
    return mark[0] if mark else None


def check() -> None:
    """End the current thread if what it belongs to is dead."""
    mark = getattr(_thread, "current", None)
    if mark and not (mark[0].alive and mark[0]._generation == mark[1]):
        raise ProcessIsDead(mark[0].name)


def inherited(function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
    """The same function for another thread, which then belongs to what the current one belongs to."""
    mark = getattr(_thread, "current", None)

    @functools.wraps(function)
    def carried(*args: t.Any, **kwargs: t.Any) -> t.Any:
        _thread.current = mark
        try:
            check()
            return function(*args, **kwargs)
        finally:
            _thread.current = None

    return carried
