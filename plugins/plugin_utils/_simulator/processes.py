# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes on the simulated clock: threads of which one runs at a time. PRIVATE: may change at any time.

The code under test waits where it stands (a BMC, an evacuation, a claim), so each controller and each run needs a
stack of its own. The order is fixed by the clock alone: the same story always runs in the same way.
"""

from __future__ import annotations

import functools
import threading
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock

_STACK = 1 << 20


class Killed(BaseException):
    """kill -9: nothing that the process could catch or clean up after."""


class Process:
    """One of them.

    :param machine: The name of the machine it runs on.
    """

    def __init__(self, name: str, machine: str, work: t.Callable[[], None]) -> None:
        self.name, self.machine, self.work = name, machine, work
        self.killed = self.done = False
        self.error: BaseException | None = None
        self.ticket = 0
        self.waiting: list[t.Callable[[], None]] = []
        self.turn, self.back = threading.Semaphore(0), threading.Semaphore(0)
        self.thread: threading.Thread | None = None


class Processes:
    """All of them; ``current`` is the one whose turn it is, None for the story itself."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.current: Process | None = None
        self._living: list[Process] = []
        self._frozen: dict[str, list[t.Callable[[], None]]] = {}

    def spawn(self, name: str, machine: str, work: t.Callable[[], None]) -> Process:
        """Start one as soon as what is going on is done."""
        process = Process(name, machine, work)
        self._living.append(process)
        self.clock.soon(functools.partial(self._start, process))
        return process

    def sleep(self, seconds: float) -> None:
        """Let time pass for the current process."""
        process = self.current
        if process is None:
            self.clock.advance(seconds)
            return
        self.clock.at(self.clock.time + seconds, functools.partial(self._resume, process, process.ticket + 1))
        self._yield(process)

    def parallel(self, work: t.Callable[[t.Any], None], items: t.Sequence[t.Any]) -> None:
        """Do it for all items at the same time, and return when the last is done."""
        if self.current is None or len(items) < 2:
            for item in items:
                work(item)
            return
        me = self.current
        children = [
            self.spawn(f"{me.name}.{place}", me.machine, functools.partial(work, item))
            for place, item in enumerate(items)
        ]
        try:
            self._join(me, children)
        except Killed:
            for child in children:
                self.kill(child)
            raise
        failed = [child.error for child in children if child.error]
        for child in children:
            child.error = None
        if failed:
            raise failed[0]

    def kill(self, process: Process) -> None:
        """End it where it stands."""
        if process.done or process.killed:
            return
        process.killed = True
        if process.thread is None:
            process.done = True
        elif process is not self.current:
            self._resume(process, process.ticket)

    def kill_machine(self, machine: str) -> None:
        """End all of a machine."""
        for process in [it for it in self._living if it.machine == machine]:
            self.kill(process)

    def freeze(self, machines: t.Iterable[str]) -> None:
        """Stop all of some machines where they stand, as SIGSTOP or a hypervisor does; their clocks go on."""
        for machine in machines:
            self._frozen.setdefault(machine, [])

    def thaw(self, machines: t.Iterable[str]) -> None:
        """Let them go on: they have not noticed anything."""
        for machine in machines:
            for wake in self._frozen.pop(machine, []):
                self.clock.soon(wake)

    def end(self) -> None:
        """End all; raise what one of them did not expect."""
        for process in list(self._living):
            self.kill(process)
        self._raise()

    def alive(self, name: str) -> bool:
        """Whether there is a process of that name at work."""
        return any(it.name == name and not it.done and not it.killed for it in self._living)

    def check(self) -> None:
        """To be called by whatever a process can touch: a killed one touches nothing more."""
        if self.current and self.current.killed:
            raise Killed

    def _join(self, me: Process, children: list[Process]) -> None:
        while not all(child.done for child in children):
            wake = functools.partial(self._resume, me, me.ticket + 1)
            for child in children:
                child.waiting.append(wake)
            self._yield(me)

    def _start(self, process: Process) -> None:
        if process.killed or self._kept(process, functools.partial(self._start, process)):
            return
        process.thread = threading.Thread(target=self._body, args=(process,), name=process.name, daemon=True)
        process.thread.start()
        self._give_turn(process)

    def _body(self, process: Process) -> None:
        process.turn.acquire()
        try:
            self.check()
            process.work()
        except Killed:
            pass
        except BaseException as error:  # raised by _raise() in the story's own thread
            process.error = error
        process.done = True
        self._living.remove(process)
        for wake in process.waiting:
            self.clock.soon(wake)
        process.back.release()

    def _resume(self, process: Process, ticket: int) -> None:
        if process.done or process.ticket != ticket:
            return
        if process.killed or not self._kept(process, functools.partial(self._resume, process, ticket)):
            self._give_turn(process)

    def _kept(self, process: Process, wake: t.Callable[[], None]) -> bool:
        """Whether it is frozen, and wakes up later."""
        kept = self._frozen.get(process.machine)
        if kept is not None:
            kept.append(wake)
        return kept is not None

    def _give_turn(self, process: Process) -> None:
        before, self.current = self.current, process
        process.turn.release()
        process.back.acquire()
        self.current = before
        if process.error and not process.waiting:
            self._failed(process)

    def _yield(self, process: Process) -> None:
        process.ticket += 1
        process.back.release()
        process.turn.acquire()
        if process.killed:
            raise Killed

    def _failed(self, process: Process) -> None:
        error, process.error = t.cast(BaseException, process.error), None
        raise error

    def _raise(self) -> None:
        for process in self._living:
            if process.error:
                self._failed(process)
