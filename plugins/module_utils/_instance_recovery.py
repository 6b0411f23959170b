# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings one VM back whose host lives. PRIVATE to this collection: may change at any time.

What to do next is read from Nova each time, never from what was asked before: so a run that was killed is continued
wherever it was. Nova refuses to start what runs, and to begin something while it is at something else; so a request
that got no answer is followed, and made again only when Nova shows that it was not obeyed.

On its host nothing can go wrong twice: one libvirt does not run a VM twice. To let it run on another host, it must be
proven off, see :meth:`Recovery._prove_off`.
"""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._instance_contract import (
    OFF,
    Ended,
    Failed,
    Halted,
    Json,
    Limits,
    Line,
    View,
    World,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._instances_gates import EITHER, ELSEWHERE, MOVING
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.states import LINE_UNDER_WAY

#: What Nova is asked for, by our word: the body of the server action.
STEPS: dict[str, t.Callable[[t.Optional[str]], Json]] = {
    "stop": lambda _target: {"os-stop": None},
    "start": lambda _target: {"os-start": None},
    "hard_reboot": lambda _target: {"reboot": {"type": "HARD"}},
    "reset_state": lambda _target: {"os-resetState": {"state": "active"}},
    "migrate": lambda target: {"migrate": {"host": target}},
    "confirm": lambda _target: {"confirmResize": None},
    "shelve": lambda _target: {"shelve": None},
    "offload": lambda _target: {"shelveOffload": None},
    "unshelve": lambda target: {"unshelve": {"host": target}},
}
_STARTING = ("start", "hard_reboot", "unshelve")
#: Troubles of VMs that would not hear that they are to shut down.
_HANG = ("panicked", "watchdog", "guest_silent", "io_error")
_RUNNING, _PAUSED = 1, 3  # nova.compute.power_state
#: Its hypervisor has it shut down, or does not have it: a start that fails leaves no domain behind.
_OFF = (4, 0)
_DELETED = ("deleted", "soft-delete")
_PERMIT_EACH = 5.0  # seconds between looks at the host while Nova is at work


class Recovery:
    """One VM; :meth:`run` returns when its line has its final state."""

    def __init__(self, world: World, line: Line, limits: Limits) -> None:
        self._world, self._line, self._limits = world, line, limits
        self._acting = line.host
        self._next_permit = 0.0

    def run(self) -> Line:
        """Do what its reaction says.

        :raises LeaseLost: This run must not change anything any more.
        """
        try:
            self._work()
        except Ended as end:
            self._end(end.state, end.outcome, end.message)
        except Halted as halt:
            self._end("pending", "held", halt.message)
        except Failed as failed:
            self._end("failed", "partial", failed.message)
        except CloudError as error:
            self._end("pending", "partial", error.message)
        return self._line

    def _work(self) -> None:
        server = self._idle()
        if self._is_moved(server):
            self._go_on_moving(server)
        elif self._interrupted and self._step in _STARTING and _is_up(server):
            self._verify(self._line.host)
        else:
            self._begin(server)

    def _begin(self, server: Json) -> None:
        self._leave_to_owner(server)
        if self._line.reaction == ELSEWHERE:
            self._elsewhere()
            return
        try:
            self._here(server)
        except Failed as failed:
            if self._line.reaction != EITHER:
                raise
            self._world.progress(f"{self._line.name}: {failed.message}; it goes elsewhere")
            self._elsewhere()

    # -- on its host ----------------------------------------------------------------------------------

    def _here(self, server: Json) -> None:
        host, view = self._line.host, self._world.view(self._line, self._line.host)
        self._line.facts.pop("off_since", None)
        if self._line.word and view and view.state == "ok" and _is_up(server):
            self._line.method = "resume"
        elif server["OS-EXT-STS:vm_state"] == "error" or self._hangs(server):
            self._hard_reboot()
        else:
            self._stop_and_start(server)
        self._verify(host)

    def _hangs(self, server: Json) -> bool:
        paused = server["OS-EXT-STS:power_state"] == _PAUSED
        running = server["OS-EXT-STS:vm_state"] == "active"
        return running and self._limits.hang and (paused or self._line.word in _HANG)

    def _stop_and_start(self, server: Json) -> None:
        try:
            if server["OS-EXT-STS:vm_state"] != "stopped":
                self._stop()
        except Failed:
            # Nova begins nothing with a VM whose stop hangs, unless its task is cleared.
            self._act("reset_state")
            self._hard_reboot()
        else:
            self._start(self._line.host)

    def _stop(self) -> None:
        self._act("stop")
        self._follow("stop", _is_off, self._limits.stop_timeout)

    def _start(self, host: str) -> None:
        self._mark("floor", self._world.view(self._line, host))
        self._act("start", host=host)
        self._follow("start", _is_up, self._limits.start_timeout)

    def _hard_reboot(self) -> None:
        self._line.method = "hard_reboot"
        self._mark("floor", self._world.view(self._line, self._line.host))
        self._act("hard_reboot")
        self._follow("hard reboot", _is_up, self._limits.start_timeout)

    # -- elsewhere ------------------------------------------------------------------------------------

    def _elsewhere(self) -> None:
        self._line.method = self._limits.how
        server = self._idle()
        known = self._step == "stop" and "off_since" in self._line.facts
        if not known or server["OS-EXT-STS:vm_state"] != "stopped":
            self._mark("off_floor", self._world.view(self._line, self._line.host))
            self._line.facts["off_since"] = self._world.moment()
        if server["OS-EXT-STS:vm_state"] != "stopped":
            self._try_to_stop()
        self._prove_off()
        targets = self._world.targets(self._line)
        if self._limits.how == "shelve":
            self._shelve(targets)
        else:
            self._migrate(targets)

    def _try_to_stop(self) -> None:
        try:
            self._stop()
        except Failed as failed:
            why = f"not moved, it could not be stopped on {self._line.host}: {failed.message}"
            raise Ended("pending", "partial", why) from failed

    def _prove_off(self) -> None:
        """Both Nova and libvirt must say that it is off, and libvirt after it was stopped.

        A person may stand in for the latter, by name.

        It is Nova that moves it: the way that it goes begins with another power-off on its old host. What is excluded
        here is that somebody or something else has it running there.
        """
        end = self._world.now() + self._limits.view_timeout
        self._check_nova()
        while True:
            lacks = self._lacking(self._world.view(self._line, self._line.host))
            if not lacks:
                return self._check_nova()
            if self._world.now() >= end:
                raise Ended("pending", "partial", f"not moved: {lacks}. {_VOUCH}")
            self._pause()

    def _lacking(self, view: View | None) -> str:
        if self._line.vouched_by:
            return ""
        if view is None:
            return f"no monitor on {self._line.host} has said anything about it"
        if not self._is_newer(view):
            return f"the monitor of {self._line.host} has said nothing since it was stopped"
        if view.domain not in OFF:
            return f"its domain on {self._line.host} is {view.domain or 'not told'}"
        return ""

    def _is_newer(self, view: View) -> bool:
        """Said after the stop was asked for: neither known before, nor under way since then."""
        since = self._world.since(self._line.facts["off_since"])
        in_time = view.ago is not None and since is not None and view.ago < since
        return in_time and view.newer(self._line.facts.get("off_floor"))

    def _check_nova(self) -> None:
        server = self._look()
        state, task = server["OS-EXT-STS:vm_state"], server["OS-EXT-STS:task_state"]
        if not _is_off(server) or server["OS-EXT-SRV-ATTR:host"] != self._line.host:
            shown = f"vm_state {state}, power_state {server['OS-EXT-STS:power_state']}, task {task}"
            raise Ended("pending", "partial", f"not moved: Nova does not show it off on {self._line.host} ({shown})")

    def _migrate(self, targets: list[str]) -> None:
        for number, target in enumerate(targets):
            if number:
                self._check_nova()
            if self._took(target, self._cold_migrate):
                self._confirm(target)
                return
        self._nobody()

    def _cold_migrate(self, target: str) -> None:
        self._act("migrate", target)
        self._follow("cold migration", _is_resized, self._limits.move_timeout)

    def _confirm(self, target: str) -> None:
        """It starts only after its old host has cleared it away."""
        self._landed(target)
        self._act("confirm")
        self._follow("confirmation", _is_confirmed, self._limits.move_timeout, patient=True)
        self._start(target)
        self._verify(target)

    def _shelve(self, targets: list[str]) -> None:
        # On no host there is no way to plan for it any more, and another run may have to go on.
        self._line.facts = {**self._line.facts, "targets": targets}
        self._act("shelve", targets[0])
        self._offload(self._follow("shelving", _is_shelved, self._limits.move_timeout))
        self._unshelve(targets)

    def _offload(self, server: Json) -> None:
        if server["OS-EXT-STS:vm_state"] == "shelved":
            self._act("offload")
            self._follow("offloading", _is_offloaded, self._limits.move_timeout)

    def _unshelve(self, targets: list[str]) -> None:
        for target in targets:
            if self._took(target, self._unshelve_to):
                self._verify(target)
                return
        self._nobody()

    def _unshelve_to(self, target: str) -> None:
        self._act("unshelve", target, host=target)
        self._follow("unshelving", _is_up, self._limits.move_timeout)

    def _took(self, target: str, move: t.Callable[[str], None]) -> bool:
        self._line.target = target
        try:
            move(target)
        except Failed as failed:
            self._line.reason = f"{target}: {failed.message}"
            self._world.progress(f"{self._line.name}: {self._line.reason}")
            return False
        return True

    def _nobody(self) -> t.NoReturn:
        raise Ended("pending", "partial", f"no target took it; last {self._line.reason}")

    def _landed(self, target: str) -> None:
        self._line.target, self._line.state = target, "landed"
        self._world.record(self._line)

    def _is_moved(self, server: Json) -> bool:
        """Whether an earlier run has it on its way; what somebody else has moved is theirs."""
        host, state = server["OS-EXT-SRV-ATTR:host"], server["OS-EXT-STS:vm_state"]
        if host == self._line.host and state in ("active", "stopped", "error"):
            return False
        if self._step not in (*MOVING, "start") or not self._line.facts.get("target"):
            where = state if host in (None, self._line.host) else f"on {host}"
            raise Ended("skipped", "recovered", f"somebody else is at it: it is {where} now")
        return True

    def _go_on_moving(self, server: Json) -> None:
        target = str(server["OS-EXT-SRV-ATTR:host"] or self._line.facts["target"])
        state = server["OS-EXT-STS:vm_state"]
        self._line.method, self._line.target = self._limits.how, target
        if state == "resized":
            self._confirm(target)
        elif state in ("shelved", "shelved_offloaded"):
            self._offload(server)
            self._unshelve(self._line.facts.get("targets") or [self._line.facts["target"]])
        else:
            if not _is_up(server):
                self._start(target)
            self._verify(target)

    # -- seeing that it is well -----------------------------------------------------------------------

    def _verify(self, host: str) -> None:
        """It runs, its monitor says so, too, if there is one, and it stays up."""
        line = self._line
        line.target, line.state, line.reason = host, "started", ""
        self._world.record(line)
        note = self._until_well(host)
        end = self._world.now() + self._limits.stable
        while self._world.now() < end:
            self._pause()
            self._check_up(host)
        self._end("verified", "recovered", note)

    def _until_well(self, host: str) -> str:
        """Wait for the word of its monitor; what there is to be noted if it does not come."""
        end, floor = self._world.now() + self._limits.view_timeout, self._line.facts.get("floor")
        while True:
            view = self._check_up(host)
            if view is None or view.state != "failed" or host != self._line.host:
                return ""
            if self._world.now() >= end:
                if view.newer(floor):
                    raise Failed(f"it runs, says Nova, but its monitor still says: {view.reason}")
                return f"the monitor of {host} has said nothing since it was started"
            self._pause()

    def _check_up(self, host: str) -> View | None:
        server, view = self._look(), self._world.view(self._line, host)
        floor = self._line.facts.get("floor")
        if view and view.state == "failed" and view.newer(floor) and (not floor or view.row != floor["row"]):
            if host != self._line.host:
                where = f"it is on {host} now, and has failed there: that is an incident of its own"
                raise Ended("failed", "recovered", f"{where}: {view.reason}")
            raise Failed(f"it has failed again: {view.reason}")
        if server["OS-EXT-STS:task_state"] or _is_up(server):
            return view
        if self._by_owner():
            raise Ended("verified", "recovered", "its owner has stopped it since")
        state = f"vm_state {server['OS-EXT-STS:vm_state']}, power_state {server['OS-EXT-STS:power_state']}"
        raise Failed(f"it has not stayed up: {state}{_fault(server)}")

    # -- asking Nova ----------------------------------------------------------------------------------

    def _act(self, step: str, target: str | None = None, host: str | None = None) -> None:
        """Write what is intended, then ask for it.

        :param host: The one on which it happens.
        """
        line, self._acting = self._line, host or self._line.host
        self._world.permit(line, self._acting, begin=True)
        line.facts = {**line.facts, "step": step, **({"target": target} if target else {})}
        if step == "stop":
            line.facts["stopping"] = True
        line.state = "requesting"
        self._world.record(line)
        try:
            line.request_id = self._world.act(line.id, step, target)
        except CloudError as error:
            self._refused(error)
            return
        line.attempts += 1
        line.facts["requests"] = [*line.facts.get("requests", []), line.request_id]
        line.state = "requested"
        self._world.record(line)

    def _refused(self, error: CloudError) -> None:
        """A conflict means that somebody was faster, no answer may mean that it was obeyed: the next look tells."""
        status = error.facts.get("status")
        if status is not None and 400 <= status < 500 and status not in (409, 429):
            raise Failed(error.message) from error
        self._line.reason = error.message
        self._world.wait(self._limits.poll if status == 409 else self._limits.settle)

    def _follow(self, what: str, done: t.Callable[[Json], bool], timeout: float, patient: bool = False) -> Json:
        """Until it is done, or Nova has given up.

        :param patient: Nova shows no task meanwhile.
        """
        end = self._world.now() + timeout
        while True:
            server = self._look()
            if done(server):
                return server
            broken = server["OS-EXT-STS:vm_state"] == "error"
            if not server["OS-EXT-STS:task_state"] and (broken or not patient):
                said = self._line.reason or f"vm_state is {server['OS-EXT-STS:vm_state']}"
                raise Failed(f"{what} failed: {said}{_fault(server)}")
            if self._world.now() >= end:
                raise Failed(f"{what} has not ended within {timeout:g} s (task {server['OS-EXT-STS:task_state']})")
            self._permit_now_and_then()
            self._pause()

    def _permit_now_and_then(self) -> None:
        """Nobody waits for what a host without life was asked for."""
        if self._world.now() >= self._next_permit:
            self._next_permit = self._world.now() + _PERMIT_EACH
            self._world.permit(self._line, self._acting, begin=False)

    def _look(self) -> Json:
        server = self._world.server(self._line.id)
        if server is None or server["OS-EXT-STS:vm_state"] in _DELETED:
            raise Ended("skipped", "recovered", "its owner has deleted it")
        return server

    def _idle(self) -> Json:
        """As soon as Nova is at nothing, if that was begun for us; what others have begun is theirs."""
        server, end = self._look(), self._world.now() + self._limits.start_timeout
        while server["OS-EXT-STS:task_state"]:
            task = server["OS-EXT-STS:task_state"]
            if not self._continued or self._world.now() >= end:
                raise Halted(f"Nova is at it: task_state {task}")
            self._permit_now_and_then()
            self._pause()
            server = self._look()
        return server

    def _leave_to_owner(self, server: Json) -> None:
        if server["OS-EXT-STS:vm_state"] == "stopped" and self._by_owner():
            raise Ended("skipped", "recovered", "its owner has stopped it")

    def _by_owner(self) -> bool:
        """Whether a person or program other than this collection has stopped it; Nova itself has no user."""
        stop = self._world.stopped_by(self._line.id)
        if stop is None or stop["user_id"] is None or stop["request_id"] in self._line.facts.get("requests", []):
            return False
        # The answer to a stop may have been lost, or who had asked died before it came.
        ours = "stopping" in self._line.facts and self._world.is_me(stop["user_id"])
        return not ours

    # -- helpers --------------------------------------------------------------------------------------

    @property
    def _step(self) -> str:
        return str(self._line.facts.get("step") or "")

    @property
    def _interrupted(self) -> bool:
        """Whether the run before has died at work. One that has ended in vain has told so, and the VM is begun anew:
        Nova may take it for running for a while after its hypervisor has lost it.
        """
        return self._line.noted in LINE_UNDER_WAY

    @property
    def _continued(self) -> bool:
        return self._interrupted or self._line.attempts > 0

    def _mark(self, name: str, view: View | None) -> None:
        self._line.facts = {**self._line.facts, name: view.mark if view else None}

    def _pause(self) -> None:
        self._world.wait(self._limits.poll)

    def _end(self, state: str, outcome: str, reason: str) -> None:
        self._line.state, self._line.outcome, self._line.reason = state, outcome, reason
        self._world.record(self._line)
        self._world.progress(f"{self._line.name or self._line.id}: {state}{': ' if reason else ''}{reason}")


_VOUCH = "Look yourself, and vouch for it with -e vouched_by=NAME -e vouched_reason=WHY"


def _is_up(server: Json) -> bool:
    return (
        server["OS-EXT-STS:vm_state"] == "active"
        and not server["OS-EXT-STS:task_state"]
        and server["OS-EXT-STS:power_state"] == _RUNNING
    )


def _is_off(server: Json) -> bool:
    return (
        server["OS-EXT-STS:vm_state"] == "stopped"
        and not server["OS-EXT-STS:task_state"]
        and server["OS-EXT-STS:power_state"] in _OFF
    )


def _is_resized(server: Json) -> bool:
    return server["OS-EXT-STS:vm_state"] == "resized" and not server["OS-EXT-STS:task_state"]


def _is_confirmed(server: Json) -> bool:
    return server["OS-EXT-STS:vm_state"] in ("stopped", "active") and not server["OS-EXT-STS:task_state"]


def _is_shelved(server: Json) -> bool:
    return server["OS-EXT-STS:vm_state"] in ("shelved", "shelved_offloaded") and not server["OS-EXT-STS:task_state"]


def _is_offloaded(server: Json) -> bool:
    return server["OS-EXT-STS:vm_state"] == "shelved_offloaded" and not server["OS-EXT-STS:task_state"]


def _fault(server: Json) -> str:
    said = (server.get("fault") or {}).get("message")
    return f": {said}" if said else ""
