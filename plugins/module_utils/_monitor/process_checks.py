# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds services that run and do not work. PRIVATE to this collection: may change at any time.

A check is a command in a child process, so that what hangs is the child.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import typing as t

from .process_units import LIBVIRT_CHECK

Json = t.Dict[str, t.Any]

#: The end of its output is what a failed check is told with.
_LAST = 300


class Check:
    """The check of one unit.

    :param run: ``run(argv, timeout)`` returns what is wrong, or "". For tests.
    """

    def __init__(self, options: Json, uri: str, run: t.Callable[[list[str], float], str] | None = None) -> None:
        self._options, self._run = options, run or run_command
        self._argv = command(options["check"], uri)
        self._lock = threading.Lock()
        self._busy = False
        self._generation = 0
        self._failures = 0
        self._passed = False
        self._text = ""
        self._next = 0.0

    def wrong(self) -> str:
        """What is wrong; "" if nothing is, or it is not sure yet."""
        with self._lock:
            return self._text if self._failures >= self._options["check_failures"] else ""

    @property
    def busy(self) -> bool:
        """Whether it is being done."""
        with self._lock:
            return self._busy

    def passed(self) -> bool:
        """Whether it has passed since it was restarted."""
        with self._lock:
            return self._passed

    def due(self, now: float) -> float:
        """In how many seconds it is time for it."""
        return max(0.0, self._next - now)

    def start(self, now: float, done: t.Callable[[], None]) -> None:
        """Check in a thread, if it is time; ``done`` is called when something new is known."""
        with self._lock:
            if self._busy or now < self._next:
                return
            self._busy, self._next = True, now + self._options["check_interval"]
            generation = self._generation
        threading.Thread(target=self._check, args=(generation, done), name="check", daemon=True).start()

    def forget(self, now: float) -> None:
        """The unit was restarted, or does not run: what was known of it counts no more."""
        with self._lock:
            self._generation += 1
            self._failures, self._passed, self._text = 0, False, ""
            self._next = now + self._options["check_interval"]

    def _check(self, generation: int, done: t.Callable[[], None]) -> None:
        text = self._run(self._argv, self._options["check_timeout"])
        with self._lock:
            self._busy = False
            if generation != self._generation:
                return
            self._failures = self._failures + 1 if text else 0
            self._passed = self._passed or not text
            self._text = text
        done()


def command(check: t.Sequence[str], uri: str) -> list[str]:
    """The command of a check; that of libvirt is built in."""
    if list(check) == [LIBVIRT_CHECK]:
        return [sys.executable, "-s", os.path.join(os.path.dirname(os.path.abspath(__file__)), "check_libvirt.py"), uri]
    return list(check)


def run_command(argv: list[str], timeout: float) -> str:
    """Run it, and all that it starts is gone afterwards; what is wrong, or ""."""
    shown = f"check {os.path.basename(argv[2] if argv[0] == sys.executable else argv[0])}"
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return f"{shown} cannot be started: {error}"
    try:
        output, _none = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        return f"{shown} had no answer within {timeout:g} s"
    finally:
        _kill(process)
    return "" if process.returncode == 0 else f"{shown} ended with {process.returncode}: {output.strip()[-_LAST:]}"


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    # One that is stuck in the kernel is not waited for.
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1)
    if process.stdout is not None:
        process.stdout.close()
