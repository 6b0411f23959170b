"""A VM on a host that lives, as Nova, libvirt and a monitor show it, on a clock of its own."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._instance_contract import Ended, Halted, Line, View

Json = t.Dict[str, t.Any]

VM, HOME, OTHER, THIRD = "vm-1", "cmp01", "cmp02", "cmp03"
REPEAT, SYNC = 30.0, 15.0  # of a monitor; until Nova notices that a VM is off
ME = "me"


class Killed(BaseException):
    """The process that recovers is gone."""


class Fake:
    """See :class:`_instance_contract.World`.

    :param dies: By host how often the VM still dies a moment after it was started there.
    :param refuses: Targets that take no VM. :param lost: Numbers of requests whose answer is lost, by what is done with
        them all the same: True, it is obeyed. :param kill_at: The number of the call at which this process dies.
    """

    def __init__(
        self,
        dies: t.Mapping[str, int] | None = None,
        refuses: t.Container[str] = (),
        lost: t.Mapping[int, bool] | None = None,
        kill_at: int | None = None,
        monitor: bool = True,
        hangs: t.Container[str] = (),
    ) -> None:
        self.time = 1000.0
        self.dies, self.refuses, self.lost, self.kill_at = dict(dies or {}), refuses, dict(lost or {}), kill_at
        self.monitor, self.hangs = monitor, hangs
        self.vm = {"vm_state": "active", "task_state": None, "power_state": 1, "host": HOME}
        self.gone = False
        self.runs_on = {HOME}
        self.twice = False
        self.due: list[tuple[float, t.Callable[[], None]]] = []
        self.words: dict[str, View] = {}
        self.heard: dict[str, float] = {}
        self.sequence = 0
        self.said_at: dict[int, float] = {}
        self.stops: list[Json] = []
        self.asked: list[str] = []
        self.calls = 0
        self.halt: dict[str, str] = {}
        self.events: list[tuple[str, str]] = []  # what was written: state and step; and asked for
        self.said: list[str] = []

    # -- what happens -----------------------------------------------------------------------------------

    def crash(self) -> None:
        """Its QEMU is killed."""
        host = self.vm["host"]
        self.runs_on.discard(host)
        self.say(host, "failed", "crashed", "shutoff")
        self.later(SYNC, self._sync)

    def _sync(self) -> None:
        if self.vm["vm_state"] == "active" and not self.vm["task_state"] and self.vm["host"] not in self.runs_on:
            self.stops.append({"user_id": None, "request_id": "req-nova"})
            self.vm.update(vm_state="stopped", power_state=4)

    def say(self, host: str, state: str, reason: str, domain: str) -> None:
        """A new word of the monitor of a host."""
        if self.monitor:
            self.sequence += 1
            self.words[host] = View(f"row{self.sequence}", "e", self.sequence, state, reason, domain)
            self.said_at[self.sequence] = self.time
            self.heard[host] = self.time

    def later(self, seconds: float, do: t.Callable[[], None]) -> None:
        """Something will happen."""
        self.due.append((self.time + seconds, do))

    def start_on(self, host: str) -> None:
        """It runs there now."""
        self.runs_on.add(host)
        self.twice = self.twice or len(self.runs_on) > 1
        self.vm.update(vm_state="active", power_state=1, task_state=None)
        self.say(host, "ok", "it was started", "running")
        if self.dies.get(host, 0) > 0:
            self.dies[host] -= 1
            self.later(1.0, self.crash)

    # -- the world --------------------------------------------------------------------------------------

    def now(self) -> float:
        return self.time

    def wait(self, seconds: float) -> None:
        end = self.time + max(seconds, 0.1)
        while True:
            due = sorted((it for it in self.due if it[0] <= end), key=lambda it: it[0])
            if not due:
                break
            self.due.remove(due[0])
            self.time = max(self.time, due[0][0])
            due[0][1]()
        self.time = end
        for host, view in self.words.items():
            if view.state == "failed" and self.heard[host] + REPEAT <= self.time:
                self.sequence += 1
                domain = "running" if host in self.runs_on else "shutoff"
                self.words[host] = View(view.row, "e", self.sequence, "failed", view.reason, domain)
                self.said_at[self.sequence] = self.time
                self.heard[host] = self.time

    def permit(self, line: Line, host: str, begin: bool) -> None:
        self._count()
        if host in self.halt:
            raise Halted(self.halt[host])

    def server(self, server_id: str) -> Json | None:
        if self.gone:
            return None
        names = {"vm_state": "OS-EXT-STS", "task_state": "OS-EXT-STS", "power_state": "OS-EXT-STS"}
        found = {f"{names.get(name, 'OS-EXT-SRV-ATTR')}:{name}": it for name, it in self.vm.items()}
        return {"id": server_id, **found}

    def stopped_by(self, server_id: str) -> Json | None:
        return self.stops[-1] if self.stops and self.vm["vm_state"] == "stopped" else None

    def is_me(self, user_id: str | None) -> bool:
        return user_id == ME

    def act(self, server_id: str, step: str, target: str | None) -> str:
        self._count()
        number = len(self.asked)
        self.asked.append(step)
        self.events.append(("asked", step))
        if number in self.lost:
            if self.lost[number]:
                self._obey(step, target, f"req-{number}")
            raise CloudError("no answer", status=None)
        self._obey(step, target, f"req-{number}")
        self._count()
        return f"req-{number}"

    def view(self, line: Line, host: str) -> View | None:
        found = self.words.get(host)
        return dataclasses.replace(found, ago=self.time - self.said_at[found.sequence]) if found else None

    def moment(self) -> Json:
        return {"at": self.time}

    def since(self, moment: Json) -> float | None:
        return self.time - float(moment["at"])

    def targets(self, line: Line) -> list[str]:
        found = [host for host in (OTHER, THIRD) if host not in self.halt]
        if not found:
            raise Ended("pending", "partial", "not moved: no room")
        return found

    def record(self, line: Line) -> None:
        self._count()
        self.events.append((line.state, str(line.facts.get("step"))))

    def progress(self, message: str) -> None:
        self.said.append(message)

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self.kill_at:
            raise Killed

    # -- Nova -------------------------------------------------------------------------------------------

    def _obey(self, step: str, target: str | None, request_id: str) -> None:
        state, task, host = self.vm["vm_state"], self.vm["task_state"], str(self.vm["host"])
        fits = {
            "stop": state in ("active", "error"), "start": state == "stopped", "hard_reboot": state != "resized",
            "reset_state": True, "migrate": state in ("active", "stopped"), "confirm": state == "resized",
            "shelve": state in ("active", "stopped"), "offload": state == "shelved",
            "unshelve": state in ("shelved", "shelved_offloaded"),
        }[step]  # fmt: skip
        if (task and step != "reset_state") or not fits:
            raise CloudError(f"Cannot '{step}' while it is in vm_state {state}, task_state {task}", status=409)
        if step == "stop":
            self.stops.append({"user_id": ME, "request_id": request_id})
        getattr(self, f"_{step}")(host, target)

    def _stop(self, host: str, _target: str | None) -> None:
        self.vm["task_state"] = "powering-off"
        if "stop" not in self.hangs:
            self.later(2.0, lambda: self._off(host))

    def _off(self, host: str) -> None:
        if host in self.runs_on:
            self.runs_on.discard(host)
            self.say(host, "ok", "it was powered off by a command", "shutoff")
        self.vm.update(vm_state="stopped", task_state=None, power_state=4)

    def _start(self, host: str, _target: str | None) -> None:
        self.vm["task_state"] = "powering-on"
        self.later(2.0, lambda: self.start_on(host))

    def _hard_reboot(self, host: str, _target: str | None) -> None:
        self.vm["task_state"] = "rebooting_hard"
        self.later(1.0, lambda: self.runs_on.discard(host))
        self.later(2.0, lambda: self.start_on(host))

    def _reset_state(self, _host: str, _target: str | None) -> None:
        self.vm.update(vm_state="active", task_state=None)

    def _migrate(self, _host: str, target: str | None) -> None:
        self.vm["task_state"] = "resize_prep"
        self.later(3.0, lambda: self._migrated(str(target)))

    def _migrated(self, target: str) -> None:
        if target in self.refuses:
            self.vm["task_state"] = None
        else:
            self.vm.update(vm_state="resized", task_state=None, host=target)

    def _confirm(self, _host: str, _target: str | None) -> None:
        self.later(2.0, lambda: self.vm.update(vm_state="stopped", power_state=4))

    def _shelve(self, host: str, _target: str | None) -> None:
        self.vm["task_state"] = "shelving"

        def shelved() -> None:
            self.runs_on.discard(host)
            self.vm.update(vm_state="shelved_offloaded", task_state=None, power_state=4, host=None)

        self.later(3.0, shelved)

    def _offload(self, _host: str, _target: str | None) -> None:
        self.vm.update(vm_state="shelved_offloaded", host=None)

    def _unshelve(self, _host: str, target: str | None) -> None:
        self.vm["task_state"] = "unshelving"

        def unshelved() -> None:
            if target in self.refuses:
                self.vm["task_state"] = None
            else:
                self.vm["host"] = target
                self.start_on(str(target))

        self.later(3.0, unshelved)
