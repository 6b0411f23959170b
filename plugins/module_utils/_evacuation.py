# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries out an evacuation plan. PRIVATE to this collection: may change at any time.

One thread owns all state and works in steps; only single API calls run in other threads. Nova's answers
are never trusted further than they reach: 200 means "noted", an error may mean "done anyway", and a
second request while one runs ruins the VM. So each attempt is journaled before it is made, followed in Nova's
migration records, and repeated only after those records were read again.
"""

from __future__ import annotations

import collections
import concurrent.futures
import functools
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _last_place
from ansible_collections.openstack_ha.recovery.plugins.module_utils._capacity import Room
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import (
    CertificateError,
    CloudError,
    RecoveryError,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._evacuation_contract import (
    Json,
    Limits,
    Line,
    World,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._turns import Turn, Turns
from ansible_collections.openstack_ha.recovery.plugins.module_utils._vmstate import UNDER_WAY, is_rebuilding, next_step

#: Line states that the executor still has work with.
_WAITING = ("planned", "retry", "unknown")
_IN_FLIGHT = ("requesting", "requested", "landed", "started")
_ENDED_BADLY = ("failed", "error")

#: So many landed servers on a host are looked at without waiting for more.
_MANY = 10

#: How long Nova may be unreachable in the middle of a run before the run gives up, in seconds.
_OUTAGE = 120.0


class Evacuation:
    """Carries out the lines of a plan; :meth:`run` returns when each has its final state."""

    def __init__(self, world: World, lines: t.Iterable[Line], room: Room, limits: Limits) -> None:
        self._world = world
        self._lines = {line.id: line for line in lines}
        self._room = room
        self._limits = limits
        # where all are equally important, nobody takes anything from a more important one
        self._ranked = list(self._lines.values()) if len({line.rank for line in self._lines.values()}) > 1 else []
        self._turns = Turns(self._lines.values(), limits.tier_timeout)
        self._calls: dict[concurrent.futures.Future[t.Any], tuple[list[Line], t.Callable[..., None]]] = {}
        self._next_poll = 0.0
        self._answered = world.now()
        self._over = False
        self._told = ""
        self._next_tell = 0.0

    def run(self) -> list[Line]:
        """Work until every line is verified, skipped, pending or failed.

        :raises CertificateError: a failed host shows life. :raises LeaseLost: another run took over.
        """
        self._world.check_dead()
        self._adopt()
        try:
            while True:
                self._collect()
                now = self._world.now()
                self._take_turns(now)
                if now >= self._next_poll and self._any(_WAITING + _IN_FLIGHT):
                    self._poll(now)
                self._dispatch(now)
                self._tell(now)
                if not self._calls and not self._any(_WAITING + _IN_FLIGHT):
                    return list(self._lines.values())
                self._pause()
        finally:
            self._end()

    def _end(self) -> None:
        """What is queued behind other calls must not begin any more."""
        self._over = True
        for call in self._calls:
            call.cancel()

    # -- what an earlier run or somebody else left ---------------------------------------------------

    def _adopt(self) -> None:
        """Compare the plan with Nova's records: much may have been asked for since it was made."""
        self._turns.begin(self._world.now())
        active = [line for line in self._lines.values() if line.state in ("planned", "requested")]
        records = self._newest_records({line.host for line in active})
        for line in self._lines.values():
            record = records.get(line.id)
            self._adopt_line(line, record if record and record["id"] > line.floor else None)

    def _adopt_line(self, line: Line, record: Json | None) -> None:
        now = self._world.now()
        line.choices = [host for host in [line.target, *line.alternates] if host]
        if line.state == "planned":
            line.booked = line.target
            if line.noted == "requesting" and not (record and record["status"] in UNDER_WAY):
                line.state, line.not_before = "unknown", now + self._limits.settle
            elif record or line.noted in (*_IN_FLIGHT, "verified"):
                line.state = "retry"
        elif line.state == "requested":
            line.deadline = now + self._limits.vm_timeout
            if not record:
                line.state = "retry"  # it moved in another way: look at the server itself
        elif line.noted != line.state:
            self._world.record(line)

    def _newest_records(self, hosts: t.Iterable[str]) -> dict[str, Json]:
        newest: dict[str, Json] = {}
        for host in sorted(hosts):
            for record in self._world.migrations(host):
                newest.setdefault(record["instance_uuid"], record)
        return newest

    # -- one step -----------------------------------------------------------------------------------

    def _collect(self) -> None:
        """Take in the answers of finished calls."""
        for future in [future for future in self._calls if future.done()]:
            lines, handle = self._calls.pop(future)
            for line in lines:
                self._handle(line, handle, future)

    def _handle(self, line: Line, handle: t.Callable[..., None], future: concurrent.futures.Future[t.Any]) -> None:
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
        """Look whether the failed hosts are still dead, and how far Nova is; bear an outage for a while."""
        try:
            self._look(now)
            self._answered = self._world.now()
        except CloudError:
            if self._world.now() - self._answered > _OUTAGE:
                raise
        self._next_poll = self._world.now() + self._limits.poll

    def _look(self, now: float) -> None:
        self._world.check_dead()
        requested = [line for line in self._lines.values() if line.state == "requested"]
        records = self._newest_records({line.host for line in requested})
        called = self._called()
        for line in requested:
            if line.id not in called:
                self._follow(line, records.get(line.id), now)
        self._verify(now, called)

    def _dispatch(self, now: float) -> None:
        """Start what may start, in the order of the plan."""
        called, places = self._called(), _last_place.Watch(self._ranked, self._room)
        busy = collections.Counter(line.target for line in self._lines.values() if _is_busy(line, called))
        slots = self._limits.parallel - sum(busy.values())
        for line in self._lines.values():
            if line.state not in _WAITING or now < line.not_before or line.id in called:
                continue
            if line.state == "unknown":
                self._start(line)  # it has held its place since its request
            elif self._moves_later(line) or places.keeps_back(line):
                continue
            elif slots > 0 and busy[line.target] < self._limits.per_target:
                self._start(line)
                busy[line.target] += 1
                slots -= 1

    def _start(self, line: Line) -> None:
        if line.state != "unknown" and self._is_paused(line):
            return
        if line.state == "planned" and not line.reset and not self._turns.holds(line):
            self._request(line)
        else:
            self._call(line, self._on_reread, self._reread, line)

    # -- requesting -----------------------------------------------------------------------------------

    def _is_paused(self, line: Line) -> bool:
        """Give up a line for which nothing more may be begun; what Nova was asked for is followed all the same."""
        stopped = self._world.paused(line.host)
        if stopped:
            self._book(line, None)
            self._finish(line, "pending", stopped)
        return bool(stopped)

    def _request(self, line: Line) -> None:
        if self._is_paused(line):
            return
        line.attempts += 1
        line.state, line.rebuilding = "requesting", None
        self._call(line, self._on_request, self._post, line)

    def _post(self, line: Line) -> str:
        """In a worker thread: intent first, then the lease, then the call."""
        self._world.record(line)
        self._permit(line)
        return self._world.evacuate(line.id, str(line.target), self._lands_off(line))

    def _permit(self, line: Line) -> None:
        """In a worker thread, before each call that changes something."""
        self._world.before_call(line.host)
        if self._over:
            raise CertificateError(f"Nothing more is changed for {line.host}: the run has stopped.")

    def _on_request(self, line: Line, future: concurrent.futures.Future[str]) -> None:
        try:
            line.request_id = future.result()
        except CloudError as error:
            self._not_accepted(line, error)
            return
        line.state, line.deadline = "requested", self._world.now() + self._limits.vm_timeout
        self._world.record(line)
        self._world.reached("first_evacuate")

    def _not_accepted(self, line: Line, error: CloudError) -> None:
        line.reason = str(error.facts.get("answer") or error.message)
        if not _is_final(error):
            line.state, line.not_before = "unknown", self._world.now() + self._limits.settle
            self._world.record(line)
        else:
            line.state, line.not_before = "retry", 0.0
            self._call(line, self._on_refusal, self._reread, line)

    def _reread(self, line: Line) -> tuple[Json | None, Json | None]:
        """In a worker thread: the server and its newest evacuation record."""
        records = [record for record in self._world.migrations(line.host) if record["instance_uuid"] == line.id]
        return self._world.server(line.id), (records[0] if records else None)

    def _on_refusal(self, line: Line, future: concurrent.futures.Future[tuple[Json | None, Json | None]]) -> None:
        """Nova said no. If the server is still where it was, no is final for this target."""
        server, record = future.result()
        if self._already_settled(line, server, record):
            return
        if "still in use" in line.reason:
            self._world.lives(line.host, f"Nova says that it is in use again ({line.reason})")
        if line.attempts > 1 and line.refused:
            self._next_target(line)
        elif "host" in line.reason.lower():
            line.refused.append(str(line.target))
            self._next_target(line)
        else:
            self._finish(line, "failed", f"Nova refuses: {line.reason}")

    def _on_reread(self, line: Line, future: concurrent.futures.Future[tuple[Json | None, Json | None]]) -> None:
        """Before a repeated or a resetting request: only if Nova's records show that nothing is under way."""
        server, record = future.result()
        if self._already_settled(line, server, record):
            return
        server = t.cast(Json, server)
        if line.attempts >= 5 and line.state == "unknown":
            self._finish(line, "failed", f"Nova did not answer {line.attempts} requests: {line.reason}")
        elif is_rebuilding(server):
            self._let_it_rebuild(line)
        elif self._lands_off(line) and server["OS-EXT-STS:vm_state"] not in ("active", "stopped"):
            # From ERROR, 2.95 would leave it running: nova.compute.manager keeps orig_vm_state then.
            self._begin_reset(line)
        elif line.reset and server["OS-EXT-STS:vm_state"] not in ("active", "stopped", "error"):
            self._begin_reset(line)
        else:
            line.floor = max(line.floor, record["id"] if record else 0)
            self._request(line)

    def _let_it_rebuild(self, line: Line) -> None:
        """Nova ends an evacuation in its record before the server, and begins one the other way round."""
        now = self._world.now()
        if line.rebuilding is None:
            line.rebuilding = now + self._limits.settle
        if now > line.rebuilding:
            self._finish(line, "pending", "is being rebuilt; it is not touched until Nova has ended that")
        else:
            line.not_before = now + self._limits.poll

    def _begin_reset(self, line: Line) -> None:
        """From here on Nova does not tell any more what the server was: the ledger must know that we acted."""
        line.state = "requesting"
        self._call(line, self._on_reset, self._reset, line)

    def _reset(self, line: Line) -> None:
        self._world.record(line)
        self._permit(line)
        self._world.reset_state(line.id)

    def _on_reset(self, line: Line, future: concurrent.futures.Future[None]) -> None:
        line.state = "retry"
        future.result()
        self._request(line)

    def _already_settled(self, line: Line, server: Json | None, record: Json | None) -> bool:
        """Deal with a server that is gone, moved, or under evacuation after all."""
        if server is None:
            self._finish(line, "skipped", "was deleted meanwhile")
        elif server["OS-EXT-SRV-ATTR:host"] != line.host:
            self._landed(line, server["OS-EXT-SRV-ATTR:host"])
        elif record and record["id"] > line.floor and record["status"] in UNDER_WAY:
            line.state, line.deadline = "requested", self._world.now() + self._limits.vm_timeout
            line.target = record["dest_compute"] or line.target
            self._world.record(line)
        elif next_step(server, line.segment, record).action in ("skip", "pending") and not is_rebuilding(server):
            step = next_step(server, line.segment, record)
            self._finish(line, {"skip": "skipped"}.get(step.action, step.action), step.reason)
        else:
            return False
        return True

    # -- following ------------------------------------------------------------------------------------

    def _follow(self, line: Line, record: Json | None, now: float) -> None:
        status = record["status"] if record and record["id"] > line.floor else None
        if status in ("done", "completed"):
            self._landed(line, t.cast(Json, record)["dest_compute"])
        elif now > line.deadline:
            self._finish(
                line,
                "pending",
                f"Nova has not ended its evacuation to {line.target} after {self._limits.vm_timeout:.0f} s; it is not "
                f"requested twice. It may run on {line.target} already: look there. Run again to follow it",
            )
        elif status in _ENDED_BADLY:
            self._call(line, self._on_failed, self._reread, line)

    def _on_failed(self, line: Line, future: concurrent.futures.Future[tuple[Json | None, Json | None]]) -> None:
        server, record = future.result()
        if server and server["OS-EXT-SRV-ATTR:host"] == line.host and is_rebuilding(server):
            self._let_it_rebuild(line)
            return
        if self._already_settled(line, server, record):
            return
        fault = t.cast(Json, server).get("fault") or {}
        line.reason = str(fault.get("message") or "").strip() or "Nova reported no reason"
        line.floor = max(line.floor, t.cast(Json, record)["id"])
        line.refused.append(str(line.target))
        self._next_target(line)

    def _next_target(self, line: Line) -> None:
        """Book the next target that has room; with none left, take a reserved host, wait for a round, or give up."""
        if self._is_paused(line):
            return
        self._book(line, None)
        self._give_place(line.rank)
        target, pause = self._choice(line), 0.0
        if target is None and self._displace(line):
            return
        if target is None and line.reserves:
            self._take_reserve(line, line.reserves.pop(0))
            return
        if target is None and line.rounds < self._limits.retries:
            line.rounds += 1
            line.refused.clear()
            target, pause = self._choice(line) or line.target, self._limits.retry_delay * line.rounds
        if target is None:
            self._finish(line, "pending", f"no target took it: {line.reason}")
            return
        self._move_to(line, target, pause)

    def _move_to(self, line: Line, target: str, pause: float = 0.0) -> None:
        self._book(line, target)
        line.target, line.state, line.not_before = target, "retry", self._world.now() + pause
        self._world.record(line)

    def _give_place(self, rank: int) -> None:
        """Somebody gives up a place: who is more important and had none in the plan comes first."""
        for line in self._lines.values():
            if line.no_room and line.rank > rank:
                target = self._choice(line)
                if target is not None:
                    line.no_room, line.reason = False, ""
                    self._move_to(line, target)

    def _displace(self, line: Line) -> bool:
        """Take a place that was meant for less important ones; they look for others."""
        found = _last_place.displaced(line, self._lines.values(), self._room, self._called())
        if found is None:
            return False
        host, others = found
        for other in others:
            self._book(other, None)
            other.reason = f"its place on {host} went to {line.name}, which is more important"
        self._move_to(line, host)
        for other in others:
            self._next_target(other)
        return True

    def _take_reserve(self, line: Line, host: str) -> None:
        line.state = "retry"
        if self._room.fits(host, line.need):
            self._book(line, host)
            self._call(line, functools.partial(self._on_reserve, host), self._reserve, line, host)
        else:
            self._next_target(line)

    def _reserve(self, line: Line, host: str) -> str:
        self._permit(line)
        return self._world.take_reserved(host, line.host)

    def _on_reserve(self, host: str, line: Line, future: concurrent.futures.Future[str]) -> None:
        try:
            why_not = future.result()
        except CloudError as error:
            why_not = error.message
        if why_not:
            line.reason = f"{line.reason}; reserved host {host}: {why_not}"
        else:
            line.choices.append(host)
        self._next_target(line)

    def _choice(self, line: Line) -> str | None:
        """The best target that has not refused it and has room."""
        for host in line.choices:
            if host not in line.refused and self._room.fits(host, line.need):
                return host
        return None

    def _book(self, line: Line, host: str | None) -> None:
        if line.booked is not None:
            self._room.give(line.booked, line.need)
        if host is not None:
            self._room.take(host, line.need)
        line.booked = host

    # -- verifying ------------------------------------------------------------------------------------

    def _landed(self, line: Line, host: str) -> None:
        """Look at the server a little later: Nova ends its record first, and each look costs the API some time."""
        now = self._world.now()
        line.target, line.state, line.not_before = host, "landed", now + self._limits.verify_pause
        line.deadline = now + self._limits.verify_timeout
        self._world.record(line)

    def _verify(self, now: float, called: t.Container[str]) -> None:
        """Look at what has landed, host by host: a look at ten servers costs Nova little more than one at two."""
        moving = (*_WAITING, "requesting", "requested")
        others_wait = any(line.state in moving and not self._moves_later(line) for line in self._lines.values())
        landed: dict[str, list[Line]] = collections.defaultdict(list)
        for line in self._lines.values():
            here = line.state in ("landed", "started") and not line.parked
            if here and now >= line.not_before and line.id not in called:
                landed[str(line.target)].append(line)
        for host, lines in landed.items():
            if len(lines) >= _MANY or not (others_wait and all(self._can_wait(line, now) for line in lines)):
                self._call_for(lines, self._on_server, self._world.servers, host, [line.id for line in lines])

    def _can_wait(self, line: Line, now: float) -> bool:
        """Whether to bring other guests up is more urgent; not than one that was off, or that others wait for."""
        in_order = line.awaited or line.waits
        return line.former == "running" and not in_order and now < line.not_before + self._limits.verify_within

    def _on_server(self, line: Line, future: concurrent.futures.Future[dict[str, Json | None]]) -> None:
        server = future.result()[line.id]
        if server is None:
            self._finish(line, "skipped", "was deleted after it had landed")
            return
        if self._is_off_in_order(line, server):
            self._bring_up(line)
            return
        if self._turns.holds(line) and not line.doubted:
            # Nova starts what is to land off, and powers it off again: between the two it looks as if it had come up
            line.doubted = True
            self._look_again(line, "runs although it is to wait for others")
            return
        problem = self._wrong_power(line, server)
        if problem:
            self._look_again(line, problem)
            return
        if line.state == "landed":
            line.state, line.server = "started", server
            self._world.record(line)
        self._call(line, self._on_problems, self._world.problems, server)

    def _wrong_power(self, line: Line, server: Json) -> str:
        state, task = server["OS-EXT-STS:vm_state"], server["OS-EXT-STS:task_state"]
        if server["OS-EXT-SRV-ATTR:host"] != line.target:
            return f"Nova shows it on {server['OS-EXT-SRV-ATTR:host']} instead of {line.target}"
        if task:
            return f"task_state is {task}"
        if line.former == "stopped" and state == "active":
            return self._power_off(line)
        wanted = {"running": "active", "stopped": "stopped"}[line.former]
        return "" if state == wanted else f"vm_state is {state} instead of {wanted}"

    def _power_off(self, line: Line) -> str:
        """Before 2.95 Nova starts whatever it evacuates; what was not running is stopped again."""
        if not line.stopping:
            line.stopping = True
            self._call(line, self._on_stop, self._stop, line)
        return "is being powered off again"

    def _stop(self, line: Line) -> None:
        self._permit(line)
        self._world.stop(line.id)

    def _on_stop(self, line: Line, future: concurrent.futures.Future[None]) -> None:
        """A refusal may be a matter of the moment, and powering off twice does no harm."""
        try:
            future.result()
        except CloudError:
            line.stopping = False

    def _on_problems(self, line: Line, future: concurrent.futures.Future[list[str]]) -> None:
        problems = future.result()
        if problems:
            self._look_again(line, "; ".join(problems))
        else:
            self._finish(line, "verified", line.note)

    def _look_again(self, line: Line, problem: str) -> None:
        now = self._world.now()
        line.reason, line.not_before = problem, now + self._limits.verify_pause
        if now > line.deadline:
            self._finish(line, "failed", f"landed on {line.target}, but {problem}")

    # -- restart order --------------------------------------------------------------------------------

    def _lands_off(self, line: Line) -> bool:
        """What was off stays off; what waits for others is started when these are ready."""
        return line.former == "stopped" or self._turns.holds(line)

    def _moves_later(self, line: Line) -> bool:
        """Where a VM cannot land off, it is moved when its turn comes. What an earlier run asked for had its turn."""
        if not self._turns.holds(line) or self._world.lands_stopped():
            return False
        return line.noted not in (*_IN_FLIGHT, "verified") and line.state != "unknown"

    def _take_turns(self, now: float) -> None:
        for turn in self._turns.come(now):
            self._on_turn(self._lines[turn.id], turn, now)
        called = self._called()
        for line in self._turns.awaited():
            if now >= line.next_question and line.id not in called:
                self._call(line, self._on_ready, self._ask_ready, line)

    def _on_turn(self, line: Line, turn: Turn, now: float) -> None:
        found = {"waited": turn.waited, "not_ready": turn.given_up, "more_not_ready": turn.more}
        line.note = "; ".join(filter(None, (line.note, turn.told() if turn.given_up else "")))
        line.facts = {**line.facts, "note": line.note, "turn": found}
        if line.parked:
            line.parked, line.deadline = False, now + self._limits.verify_timeout
            self._bring_up(line)

    def _ask_ready(self, line: Line) -> str:
        """In a worker thread. What an earlier run has verified was not looked at in this one."""
        line.server = line.server or self._world.server(line.id)
        return self._world.ready(line.awaited or {}, line.server) if line.server else "is gone"

    def _on_ready(self, line: Line, future: concurrent.futures.Future[str]) -> None:
        try:
            line.why_not_ready = future.result()
        except RecoveryError as error:
            line.why_not_ready = error.message
        line.is_ready = not line.why_not_ready
        line.next_question = self._world.now() + self._limits.ready_pause

    def _is_off_in_order(self, line: Line, server: Json) -> bool:
        """Whether it has landed off, and is to be started."""
        here = server["OS-EXT-SRV-ATTR:host"] == line.target
        off = server["OS-EXT-STS:vm_state"] == "stopped" and not server["OS-EXT-STS:task_state"]
        return line.landed_off and line.former == "running" and here and off

    def _bring_up(self, line: Line) -> None:
        """Start it, or note that its turn has not come."""
        stopped = self._world.paused(line.host)
        if self._turns.holds(line):
            waits_for = self._turns.blocking(line, self._world.now())
            line.parked, line.reason = True, f"is off on {line.target} until it is its turn; waits for {waits_for}"
            self._world.record(line)
        elif stopped:
            self._finish(line, "pending", f"{stopped}; it is on {line.target}, powered off")
        else:
            if not line.starting:
                line.starting = True
                self._call(line, self._on_power_on, self._power_on, line)
            self._look_again(line, line.why_not_started or "is being started")

    def _power_on(self, line: Line) -> None:
        """In a worker thread: intent first."""
        self._world.record(line)
        self._permit(line)
        self._world.start(line.id)

    def _on_power_on(self, line: Line, future: concurrent.futures.Future[None]) -> None:
        """A refusal may be a matter of the moment, and Nova starts nothing that it is starting or that runs."""
        try:
            future.result()
            line.why_not_started = ""
        except CloudError as error:
            line.starting, line.why_not_started = False, f"Nova does not start it: {error.message}"

    # -- helpers --------------------------------------------------------------------------------------

    def _finish(self, line: Line, state: str, reason: str) -> None:
        line.state, line.reason = state, reason
        self._world.record(line)

    def _call(self, line: Line, handle: t.Callable[..., None], function: t.Callable[..., t.Any], *args: t.Any) -> None:
        self._call_for([line], handle, function, *args)

    def _call_for(
        self, lines: list[Line], handle: t.Callable[..., None], function: t.Callable[..., t.Any], *args: t.Any
    ) -> None:
        self._calls[self._world.submit(function, *args)] = (lines, handle)

    def _called(self) -> set[str]:
        return {line.id for lines, _handle in self._calls.values() for line in lines}

    def _any(self, states: tuple[str, ...]) -> bool:
        return any(line.state in states for line in self._lines.values())

    def _pause(self) -> None:
        """Wait for a call to end or for the next moment at which something is due."""
        if self._calls:
            self._world.wait(self._limits.poll, self._calls)
            return
        now = self._world.now()
        due = [line.not_before for line in self._lines.values() if line.state in _WAITING and line.not_before > now]
        if self._any(_IN_FLIGHT) or not due:
            due.append(self._next_poll)
        self._world.wait(max(0.01, min(due) - now))

    def _tell(self, now: float) -> None:
        counts: dict[str, int] = {}
        for line in self._lines.values():
            counts[line.ledger_state()] = counts.get(line.ledger_state(), 0) + 1
        message = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        held = self._turns.waiting()
        message += f"; {held} wait for others" if held else ""
        if message != self._told and (now >= self._next_tell or not self._any(_WAITING + _IN_FLIGHT)):
            self._told, self._next_tell = message, now + 2.0
            self._world.progress(message)


def _is_final(error: CloudError) -> bool:
    """Whether Nova said no; anything else says "later", or nothing at all about what was done."""
    status = error.facts.get("status")
    return status is not None and 400 <= status < 500 and status != 429


def _is_busy(line: Line, called: t.Container[str]) -> bool:
    """Whether Nova is at work on it, may be, or is about to be asked."""
    return line.state in ("requesting", "requested", "unknown") or (line.state in _WAITING and line.id in called)
