# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Has Heat replace VMs of failed hosts. PRIVATE to this collection: may change at any time.

Marked unhealthy, a server is replaced by the next update of its stack: Heat makes a new one and deletes the old. That
is two servers where there was one, so it is begun only while the host of the old one is proven off, like an evacuation.
One thread, in steps; what is under way is told by the ledger and by Heat, so a run that was killed can be repeated.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._heat import Resource

Json = t.Dict[str, t.Any]

#: Of VMs that the plan leaves to this; see ``_planning``.
LEFT_TO_HEAT = "is left to its Heat stack"

_UNDER_WAY = "_IN_PROGRESS"
#: After these an update with what the stack has does nothing but replace what is unhealthy.
_SOUND = (
    *("CREATE_COMPLETE", "UPDATE_COMPLETE", "RESUME_COMPLETE", "CHECK_COMPLETE", "CHECK_FAILED"),
    *("SNAPSHOT_COMPLETE", "RESTORE_COMPLETE", "ADOPT_COMPLETE"),
)


@dataclasses.dataclass
class Line:
    """One VM. :param resource: What it is in a stack. :param begun: An earlier run has marked it."""

    id: str
    name: str
    host: str
    project: str
    state: str = "pending"
    reason: str = ""
    target: str | None = None
    request_id: str = ""
    resource: Resource | None = None
    begun: bool = False


@dataclasses.dataclass(frozen=True)
class Limits:
    """Seconds. :param stack_timeout: How long one update is followed; so long, too, one of others is waited for."""

    stack_timeout: float = 1800.0
    poll: float = 2.0


class Heat(t.Protocol):
    """See :class:`_heat.Heat`."""

    def find(self, server_ids: t.Collection[str]) -> dict[str, Resource]: ...

    def server_of(self, resource: Resource) -> str | None: ...

    def status(self, root: str) -> tuple[str, str]: ...

    def mark_unhealthy(self, resource: Resource, reason: str) -> None: ...

    def update(self, root: str) -> str: ...


class World(t.Protocol):
    """What this needs of the outside."""

    def now(self) -> float: ...

    def wait(self, seconds: float) -> None: ...

    def permit(self, host: str) -> None:
        """Raise unless this run may still change things for the host, and that is proven off."""

    def paused(self, host: str) -> str:
        """Why nothing more may be begun for it; nothing if it may."""

    def heat(self, project: str) -> Heat:
        """Its stacks."""

    def server(self, server_id: str) -> Json | None: ...

    def let_go(self, line: Line) -> None:
        """See to it that Heat can replace a server of a dead host."""

    def record(self, line: Line) -> None:
        """Write the line to the ledger."""

    def progress(self, message: str) -> None: ...


@dataclasses.dataclass
class _Stack:
    """A stack, and the VMs of it that are to be replaced."""

    heat: Heat
    root: str
    lines: list[Line]
    updated: bool = False
    deadline: float = 0.0


def heal(world: World, lines: t.Sequence[Line], limits: Limits) -> None:
    """Work until each line is verified, pending or failed.

    :raises CertificateError: a failed host shows life. :raises LeaseLost: another run took over.
    """
    stacks = _stacks(world, lines)
    for stack in stacks:
        stack.deadline = world.now() + limits.stack_timeout
    while stacks:
        stacks = [stack for stack in stacks if not _ended(world, stack, limits)]
        if stacks:
            world.wait(limits.poll)


# -- which stacks ------------------------------------------------------------------------------------------------


def _stacks(world: World, lines: t.Sequence[Line]) -> list[_Stack]:
    found: list[_Stack] = []
    for project in dict.fromkeys(line.project for line in lines):
        theirs = [line for line in lines if line.project == project]
        try:
            found += _of_project(world, project, theirs)
        except CloudError as error:
            _finish(world, theirs, "pending", f"Heat has not told which stack it belongs to: {error.message}")
    return found


def _of_project(world: World, project: str, lines: list[Line]) -> list[_Stack]:
    heat = world.heat(project)
    known = heat.find({line.id for line in lines})
    roots: dict[str, list[Line]] = {}
    for line in lines:
        line.resource = known.get(line.id) or line.resource
        if line.resource:
            roots.setdefault(line.resource.root, []).append(line)
        else:
            _finish(world, [line], "pending", "belongs to no Heat stack of its project; change its rescue method")
    return [_Stack(heat, root, found) for root, found in roots.items()]


# -- one look ----------------------------------------------------------------------------------------------------


def _ended(world: World, stack: _Stack, limits: Limits) -> bool:
    """Take the next step with a stack; whether it was the last. An API that is away is borne until the deadline."""
    try:
        return _step(world, stack, limits)
    except CloudError as error:
        final = error.facts.get("status") in (400, 401, 403, 404, 405)
        if final or world.now() > stack.deadline:
            _finish(world, stack.lines, "failed" if final else "pending", error.message)
            return True
        return False


def _step(world: World, stack: _Stack, limits: Limits) -> bool:
    status, why = stack.heat.status(stack.root)
    if status.endswith(_UNDER_WAY):
        return _wait(world, stack, limits, status)
    if stack.updated:
        return _check(world, stack, status, why)
    if all(line.begun and stack.heat.server_of(t.cast(Resource, line.resource)) != line.id for line in stack.lines):
        stack.updated = True  # an earlier run has begun it, and Heat has ended it
        return _check(world, stack, status, why)
    if not _may_begin(world, stack, status, why):
        return True
    _begin(world, stack)
    stack.deadline = world.now() + limits.stack_timeout
    return False


def _wait(world: World, stack: _Stack, limits: Limits, status: str) -> bool:
    if world.now() <= stack.deadline:
        return False
    what = "has not ended" if stack.updated else f"is {status}, which has not ended"
    reason = f"its stack {what} after {limits.stack_timeout:g} s; nothing is asked twice. Run again to follow it"
    _finish(world, stack.lines, "pending", reason)
    return True


def _may_begin(world: World, stack: _Stack, status: str, why: str) -> bool:
    for line in list(stack.lines):
        stopped = world.paused(line.host)
        if stopped:
            _finish(world, [line], "pending", stopped)
            stack.lines.remove(line)
    if stack.lines and status not in _SOUND and not all(line.begun for line in stack.lines):
        reason = f"its stack is {status} ({why}); to update it would do more than replace VMs. Its owner must look"
        _finish(world, stack.lines, "pending", reason)
        return False
    return bool(stack.lines)


def _begin(world: World, stack: _Stack) -> None:
    """Intent first, then the lease and the proof, then the call; a call without an answer is looked after."""
    for line in stack.lines:
        line.state, line.reason = "requesting", ""
        world.record(line)
        world.permit(line.host)
        stack.heat.mark_unhealthy(t.cast(Resource, line.resource), f"openstack_ha: host {line.host} failed")
        world.permit(line.host)
        world.let_go(line)
    for host in dict.fromkeys(line.host for line in stack.lines):
        world.permit(host)
    stack.updated = True
    request_id = stack.heat.update(stack.root)
    world.progress(f"Heat replaces {', '.join(line.name for line in stack.lines)}")
    for line in stack.lines:
        line.state, line.request_id = "requested", request_id
        world.record(line)


# -- at the end --------------------------------------------------------------------------------------------------


def _check(world: World, stack: _Stack, status: str, why: str) -> bool:
    for line in list(stack.lines):
        resource = t.cast(Resource, line.resource)
        new = stack.heat.server_of(resource)
        if new and new != line.id:
            settled = _look(world, line, resource, new, world.now() > stack.deadline)
        else:
            said = f"its stack is {status}: {why}"
            settled = _finish(world, [line], "failed", f"was not replaced; {said}")
        if settled:
            stack.lines.remove(line)
    return not stack.lines


def _look(world: World, line: Line, resource: Resource, new: str, late: bool) -> bool:
    """Whether the new server is up elsewhere, or never will be."""
    server = world.server(new) or {}
    host, state = server.get("OS-EXT-SRV-ATTR:host"), server.get("OS-EXT-STS:vm_state")
    words = f"replaced by {server.get('name') or 'a server'} ({new}), {resource.words}"
    if line.target != host and host:
        line.target, line.state, line.reason = host, "landed", words
        world.record(line)
    if state == "active" and host and host != line.host:
        return _finish(world, [line], "verified", words)
    if state == "error" or late:
        return _finish(world, [line], "failed", f"{words}, which is {state or 'gone'} on {host or 'no host'}")
    return False


def _finish(world: World, lines: t.Iterable[Line], state: str, reason: str) -> bool:
    for line in lines:
        line.state, line.reason = state, reason
        world.record(line)
    return True
