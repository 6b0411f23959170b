# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Moves the VMs of a host that lives. PRIVATE to this collection: may change at any time.

As with evacuations one thread owns all state, and only single API calls run in other threads. That a VM runs twice is
for Nova to prevent, which ends it here before it goes on there; so nothing is asked of Nova but what it does by itself
for an operator: no state is reset, nothing is forced, and what is not certain stays where it is and is told. A second
request while one is under way does no harm, because Nova sets ``task_state`` by compare-and-swap.
"""

from __future__ import annotations

import collections
import concurrent.futures
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _drain_states as states
from ansible_collections.openstack_ha.recovery.plugins.module_utils._capacity import Room
from ansible_collections.openstack_ha.recovery.plugins.module_utils._drain_contract import Json, Limits, Line, World
from ansible_collections.openstack_ha.recovery.plugins.module_utils._drain_states import COLD, LIVE
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError, RecoveryError

_WAITING = ("planned", "retry", "unknown")
_ON_ITS_WAY = ("requesting", "requested")
_LANDED = ("landed", "confirming")
_UNFINISHED = (*_WAITING, *_ON_ITS_WAY, *_LANDED)

#: How long Nova may be unreachable in the middle of a run before the run gives up, in seconds.
_OUTAGE = 120.0

#: Requests without any answer after which Nova is not asked again.
_MOST_TRIES = 5

_Seen = t.Tuple[t.Optional[Json], t.Optional[Json]]
_Future = concurrent.futures.Future


class Drain:
    """Carries out the lines of a plan; :meth:`run` returns when each has its final state."""

    def __init__(self, world: World, lines: t.Iterable[Line], room: Room, limits: Limits) -> None:
        self._world = world
        self._lines = {line.id: line for line in lines}
        self._room = room
        self._limits = limits
        self._calls: dict[_Future[t.Any], tuple[Line, t.Callable[..., None]]] = {}
        self._next_poll = 0.0
        self._answered = world.now()
        self._over = False
        self._told = ""

    def run(self) -> list[Line]:
        """Work until every line is verified, skipped, pending or failed.

        :raises LeaseLost: Another run took over. :raises RecoveryError: The host does not live any more.
        """
        self._world.check()
        self._adopt()
        try:
            while True:
                self._collect()
                now = self._world.now()
                if now >= self._next_poll and self._any(_UNFINISHED):
                    self._poll(now)
                self._dispatch(now)
                self._tell()
                if not self._calls and not self._any(_UNFINISHED):
                    return list(self._lines.values())
                self._pause()
        finally:
            self._over = True
            for call in self._calls:
                call.cancel()

    # -- what an earlier run or somebody else left -----------------------------------------------------------------

    def _adopt(self) -> None:
        now = self._world.now()
        for line in self._lines.values():
            line.deadline = now + self._limits.vm_timeout
            if line.state == "planned":
                line.booked = line.target
                if line.noted in ("requesting", "requested", "landed", "verified"):
                    line.state = "retry"  # what became of that is read before anything is asked
            elif line.state != "requested" and line.noted != line.state:
                self._world.record(line)

    # -- one step --------------------------------------------------------------------------------------------------

    def _collect(self) -> None:
        """Take in the answers of finished calls."""
        for future in [future for future in self._calls if future.done()]:
            line, handle = self._calls.pop(future)
            try:
                handle(line, future)
                line.trouble_since = None
            except CloudError as error:
                self._postpone(line, error)

    def _postpone(self, line: Line, error: CloudError) -> None:
        """A call failed after its own retries: look again later, unless the answer is final or it has been long."""
        now = self._world.now()
        since = line.trouble_since = line.trouble_since or now
        if _is_final(error) or now - since > _OUTAGE:
            self._finish(line, "failed", error.message)
        else:
            line.not_before = now + 2 * self._limits.poll

    def _poll(self, now: float) -> None:
        """Look whether the hosts live, and how far Nova is; bear an outage for a while."""
        try:
            self._world.check()
            self._look(now)
            self._answered = self._world.now()
        except CloudError:
            if self._world.now() - self._answered > _OUTAGE:
                raise
        self._next_poll = self._world.now() + self._limits.poll

    def _look(self, now: float) -> None:
        called = self._called()
        requested = [line for line in self._lines.values() if line.state == "requested" and line.id not in called]
        for host in sorted({line.host for line in requested}):
            newest = _newest(self._world.migrations(host))
            on_their_way = [line for line in requested if line.host == host]
            running = any((newest.get(line.id) or {}).get("status") == "running" for line in on_their_way)
            for line in on_their_way:
                self._follow(line, newest.get(line.id), now, running)
        for line in self._lines.values():
            if line.state in _LANDED and now >= line.not_before and line.id not in called:
                self._call(line, self._on_landed, self._world.server, line.id)

    def _dispatch(self, now: float) -> None:
        """Start what may start, in the order of the plan."""
        called = self._called()
        busy = collections.Counter(line.target for line in self._lines.values() if _is_busy(line, called))
        slots = self._limits.parallel - sum(busy.values())
        for line in self._lines.values():
            if line.state not in _WAITING or now < line.not_before or line.id in called:
                continue
            if line.state == "unknown":
                self._call(line, self._on_reread, self._reread, line)
            elif slots > 0 and busy[line.target] < self._limits.per_target:
                self._start(line)
                busy[line.target] += 1
                slots -= 1

    def _start(self, line: Line) -> None:
        stopped = self._world.paused(line.host)
        if stopped:
            self._book(line, None)
            self._finish(line, "pending", stopped)
        elif line.state == "planned":
            self._request(line)
        else:
            self._call(line, self._on_reread, self._reread, line)

    # -- requesting ------------------------------------------------------------------------------------------------

    def _request(self, line: Line) -> None:
        line.attempts += 1
        line.state, line.aborted = "requesting", ""
        self._call(line, self._on_request, self._post, line)

    def _post(self, line: Line) -> str:
        """In a worker thread: intent first, then the lease, then the call."""
        self._world.record(line)
        self._permit(line)
        return self._world.migrate(line.id, str(line.target), line.way)

    def _permit(self, line: Line) -> None:
        """In a worker thread, before each call that changes something."""
        self._world.before_call(line.host)
        if self._over:
            raise RecoveryError(f"Nothing more is changed for {line.host}: the run has stopped.")

    def _on_request(self, line: Line, future: _Future[str]) -> None:
        now = self._world.now()
        try:
            line.request_id = future.result()
        except CloudError as error:
            line.reason = str(error.facts.get("answer") or error.message)
            line.turned_down = _is_final(error)
            line.state, line.not_before = "unknown", now + (0.0 if line.turned_down else self._limits.settle)
            self._world.record(line)
            return
        line.state, line.deadline = "requested", now + self._limits.vm_timeout
        line.not_before = now + self._limits.abort_timeout  # by when Nova must have begun
        self._world.record(line)

    def _reread(self, line: Line) -> _Seen:
        """In a worker thread: the server and its newest record."""
        records = [record for record in self._world.migrations(line.host) if record["instance_uuid"] == line.id]
        return self._world.server(line.id), (records[0] if records else None)

    def _on_reread(self, line: Line, future: _Future[_Seen]) -> None:
        """Before another request, and when one has ended: where the server is now decides."""
        server, record = future.result()
        if self._already_settled(line, server, record):
            return
        if record:
            line.floor = max(line.floor, record["id"])
        if line.turned_down:
            line.turned_down = False
            self._not_moved(line, line.reason)
        elif line.attempts >= _MOST_TRIES and line.state == "unknown":
            self._finish(line, "failed", f"Nova did not answer {line.attempts} requests: {line.reason}")
        else:
            self._request(line)

    def _already_settled(self, line: Line, server: Json | None, record: Json | None) -> bool:
        """Deal with a server that is gone, moved, on its way, or that Nova moves no more."""
        if server is None:
            self._finish(line, "skipped", "was deleted meanwhile")
            return True
        vm_state, task = states.states(server)
        if server["OS-EXT-SRV-ATTR:host"] != line.host:
            self._landed(line, server["OS-EXT-SRV-ATTR:host"], bool(task))
        elif task or (record and record["id"] > line.floor and record["status"] in states.UNDER_WAY):
            self._wait_for(line, record, task)
        elif vm_state == "error":
            said = str((server.get("fault") or {}).get("message") or "Nova reports no reason")
            where = f"look at {line.host} and at {line.target} for where it runs before anything else is done to it"
            self._finish(line, "failed", f"its migration to {line.target} failed half way ({said}): {where}")
        elif not states.is_as_before(server, line.former):
            self._finish(line, "pending", f"vm_state became {vm_state} meanwhile; its owner is at work on it")
        else:
            return False
        return True

    def _wait_for(self, line: Line, record: Json | None, task: str) -> None:
        """Something is under way with it. If that is a migration it is followed, whoever has asked for it."""
        now = self._world.now()
        if record and record["id"] > line.floor and record["status"] in states.UNDER_WAY:
            line.state, line.deadline = "requested", now + self._limits.vm_timeout
            line.target = record.get("dest_compute") or line.target
            self._world.record(line)
        elif now > line.deadline:
            self._finish(line, "pending", f"task_state is {task or 'none'}: Nova has been at work on it for too long")
        else:
            line.turned_down = False  # not its target was the reason
            line.not_before = now + 2 * self._limits.poll

    # -- following -------------------------------------------------------------------------------------------------

    def _follow(self, line: Line, record: Json | None, now: float, others_run: bool) -> None:
        status = record["status"] if record and record["id"] > line.floor else None
        if status in states.QUEUED and others_run:
            line.deadline = now + self._limits.vm_timeout  # Nova moves only so many at once from a host
        if status is None:
            if now > line.not_before:
                self._call(line, self._on_ended, self._reread, line)
        elif status not in states.UNDER_WAY:
            self._call(line, self._on_ended, self._reread, line)
        elif now > line.deadline:
            self._overdue(line, t.cast(Json, record), now)

    def _overdue(self, line: Line, record: Json, now: float) -> None:
        if line.aborted or line.way != LIVE or record["status"] not in states.ABORTABLE:
            words = f"{line.aborted}; not asked for twice" if line.aborted else "it cannot be aborted any more"
            told = f"Nova has not ended its migration to {line.target} ({record['status']}): {words}"
            self._finish(line, "pending", f"{told}. Run again to follow it")
            return
        line.aborted = f"aborted, because it took longer than {self._limits.vm_timeout:g} s"
        line.deadline = now + self._limits.abort_timeout
        self._call(line, self._on_abort, self._abort, line, record["id"])

    def _abort(self, line: Line, migration_id: int) -> None:
        self._permit(line)
        self._world.abort(line.id, migration_id)

    def _on_abort(self, line: Line, future: _Future[None]) -> None:
        """A refusal says that it has just ended, or goes on; its record will tell."""
        try:
            future.result()
        except CloudError as error:
            if not _is_final(error):
                line.aborted = ""

    def _on_ended(self, line: Line, future: _Future[_Seen]) -> None:
        server, record = future.result()
        if self._already_settled(line, server, record):
            return
        if record:
            line.floor = max(line.floor, record["id"])
        self._call(line, self._on_why, self._why, line)

    def _why(self, line: Line) -> str:
        """In a worker thread."""
        try:
            return self._world.why(line.id, line.request_id) if line.request_id else ""
        except CloudError:
            return ""

    def _on_why(self, line: Line, future: _Future[str]) -> None:
        self._not_moved(line, line.aborted or future.result() or line.reason or "Nova reports no reason")

    def _not_moved(self, line: Line, why: str) -> None:
        """It is where it was, and runs: try the next target, then the other way, or leave it."""
        line.reason = why
        line.refused.append(str(line.target))
        target = None if line.aborted else self._choice(line)
        if target is None and line.way == LIVE and self._limits.fallback == COLD and line.former == "running":
            line.way = COLD
            line.refused.clear()
            target = self._choice(line)
        self._book(line, target)
        if target is None:
            self._finish(line, "pending", f"stays on {line.host}; no target took it: {why}")
            return
        line.target, line.state, line.not_before = target, "retry", 0.0
        self._world.record(line)

    def _choice(self, line: Line) -> str | None:
        """The best target that has not refused it and has room."""
        for host in [line.booked, *line.alternates]:
            if host and host not in line.refused and (host == line.booked or self._room.fits(host, line.need)):
                return host
        return None

    def _book(self, line: Line, host: str | None) -> None:
        if line.booked is not None:
            self._room.give(line.booked, line.need)
        if host is not None:
            self._room.take(host, line.need)
        line.booked = host

    # -- verifying -------------------------------------------------------------------------------------------------

    def _landed(self, line: Line, host: str, at_work: bool) -> None:
        """Nova may be at work on it for as long as on any other: a cold migration starts there."""
        now = self._world.now()
        patience = self._limits.vm_timeout if at_work else self._limits.verify_timeout
        line.target, line.state, line.not_before = host, "landed", now + self._limits.verify_pause
        line.deadline = now + patience
        self._world.record(line)

    def _on_landed(self, line: Line, future: _Future[t.Optional[Json]]) -> None:
        server = future.result()
        if server is None:
            self._finish(line, "skipped", "was deleted after it had moved")
            return
        vm_state, task = states.states(server)
        if vm_state == "resized" and line.way == COLD and not task and line.state != "confirming":
            line.state = "confirming"
            self._call(line, self._on_confirm, self._confirm, line)
        elif server["OS-EXT-SRV-ATTR:host"] != line.target:
            self._look_again(line, f"Nova shows it on {server['OS-EXT-SRV-ATTR:host']} instead of {line.target}")
        elif task:
            self._look_again(line, f"task_state is {task}")
        elif not states.is_as_before(server, line.former):
            self._look_again(line, f"vm_state is {vm_state}, and it was {line.former}")
        else:
            self._call(line, self._on_problems, self._world.problems, server)

    def _confirm(self, line: Line) -> None:
        self._permit(line)
        self._world.confirm(line.id)

    def _on_confirm(self, line: Line, future: _Future[None]) -> None:
        """Confirming twice does no harm: Nova refuses what is confirmed."""
        try:
            future.result()
        except CloudError as error:
            line.state, line.reason = "landed", str(error.facts.get("answer") or error.message)
        line.not_before = self._world.now() + self._limits.verify_pause

    def _on_problems(self, line: Line, future: _Future[list[str]]) -> None:
        problems = future.result()
        if problems:
            self._look_again(line, "; ".join(problems))
        else:
            self._finish(line, "verified", "")

    def _look_again(self, line: Line, problem: str) -> None:
        now = self._world.now()
        line.reason, line.not_before = problem, now + self._limits.verify_pause
        if now > line.deadline:
            self._finish(line, "failed", f"moved to {line.target}, but {problem}")

    # -- helpers ---------------------------------------------------------------------------------------------------

    def _finish(self, line: Line, state: str, reason: str) -> None:
        line.state, line.reason = state, reason
        self._world.record(line)

    def _call(self, line: Line, handle: t.Callable[..., None], function: t.Callable[..., t.Any], *args: t.Any) -> None:
        self._calls[self._world.submit(function, *args)] = (line, handle)

    def _called(self) -> set[str]:
        return {line.id for line, _handle in self._calls.values()}

    def _any(self, wanted: tuple[str, ...]) -> bool:
        return any(line.state in wanted for line in self._lines.values())

    def _pause(self) -> None:
        """Wait for a call to end or for the next look."""
        self._world.wait(max(0.01, self._next_poll - self._world.now()), self._calls)

    def _tell(self) -> None:
        counts = collections.Counter(line.ledger_state() for line in self._lines.values())
        message = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        if message != self._told:
            self._told = message
            self._world.progress(message)


def _newest(records: t.Iterable[Json]) -> dict[str, Json]:
    newest: dict[str, Json] = {}
    for record in records:
        newest.setdefault(record["instance_uuid"], record)
    return newest


def _is_final(error: CloudError) -> bool:
    """Whether Nova said no; anything else says "later", or nothing at all about what was done."""
    status = error.facts.get("status")
    return status is not None and 400 <= status < 500 and status != 429


def _is_busy(line: Line, called: t.Container[str]) -> bool:
    """Whether Nova is at work on it, may be, or is about to be asked."""
    return line.state in (*_ON_ITS_WAY, "unknown") or (line.state in _WAITING and line.id in called)
