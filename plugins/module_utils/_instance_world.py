# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connects the recovery of single VMs with Nova, the journal and the clock. PRIVATE: may change at any time."""

from __future__ import annotations

import threading
import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud, Json
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._instance_contract import Ended, Halted, Line, View
from ansible_collections.openstack_ha.recovery.plugins.module_utils._instance_recovery import STEPS
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import ages, claims
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import INSTANCE
from ansible_collections.openstack_ha.recovery.plugins.module_utils._planning import Way, make_plan
from ansible_collections.openstack_ha.recovery.plugins.module_utils._run import Run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._vmstate import Step

#: Seconds for which an answer is good enough for all VMs of a run.
_FRESH = 0.5
#: A responder that was seen longer ago says nothing about now.
_SEEN = 15.0
_MICROVERSIONS = {"migrate": "2.56", "unshelve": "2.91"}
#: What a server action log calls things that change whether a VM runs.
_POWER = (
    "create", "start", "stop", "reboot", "rebuild", "evacuate", "migrate", "resize", "confirmResize", "revertResize",
    "shelve", "unshelve", "suspend", "resume", "pause", "unpause", "rescue", "unrescue", "restore",
)  # fmt: skip

Asked = t.TypeVar("Asked")


class RealWorld:
    """See :class:`_instance_contract.World`. Used by one thread for each VM."""

    def __init__(self, cloud: Cloud, run: Run, topology: Json, say: t.Callable[[str], None]) -> None:
        self._cloud, self._run, self._topology = cloud, run, topology
        self._answers: dict[tuple[str, str], tuple[float, t.Any]] = {}
        self._lock = threading.Lock()
        self._planning = threading.Lock()
        self._promised: dict[str, str] = {}
        self.progress = say

    def now(self) -> float:
        """Seconds on a clock that nobody sets."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def moment(self) -> Json:
        """See the contract."""
        return ages.mark(self._run.journal.database)

    def since(self, moment: Json) -> float | None:
        """See the contract."""
        return ages.age(self._run.journal.database, moment)

    def permit(self, line: Line, host: str, begin: bool) -> None:
        """See the contract; the claim of the VM is renewed with each line that is recorded."""
        self._run.lease.check()
        if begin:
            stopped = self._asked("orders", "", self._run.stopped).get(line.place)
            if stopped:
                raise Halted(stopped)
        at_work = [it for it in claims.taken(self._run.journal, self._cloud.region) if it["host"] == host]
        if at_work:
            raise Halted(f"run {at_work[0]['run_id']} is at work on {host}, and decides about this VM, too")
        service = self._asked("service", host, lambda: _compute.compute_service(self._cloud, host))
        if service["state"] != "up" or service.get("forced_down"):
            shown = "forced down" if service.get("forced_down") else service["state"]
            raise Halted(f"{host} does not answer, nova-compute is {shown}: this becomes an incident of the host")
        if host in self._asked("silent", "", self._silent):
            raise Halted(f"{host} is not heard any more: this becomes an incident of the host")

    def _silent(self) -> set[str]:
        """The hosts of which a responder that hears others hears nothing on any network."""
        found: set[str] = set()
        for row in self._run.journal.observers(self._cloud.region):
            networks = ((row["view"] or {}).get("networks") or {}).values()
            told = [set(it["lost"]) for it in networks if it.get("hears")]
            if row["age"] is not None and row["age"] < _SEEN and told:
                found |= set.intersection(*told)
        return found

    def server(self, server_id: str) -> Json | None:
        """Nova's document of it."""
        return _compute.server(self._cloud, server_id)

    def stopped_by(self, server_id: str) -> Json | None:
        """See the contract."""
        actions = self._cloud.get("compute", f"/servers/{server_id}/os-instance-actions", _compute.OLDEST)
        last = next((it for it in actions["instanceActions"] if it["action"] in _POWER), None)
        return last if last and last["action"] == "stop" else None

    def is_me(self, user_id: str | None) -> bool:
        """See the contract."""
        return user_id is not None and user_id == self._cloud.user_id

    def act(self, server_id: str, step: str, target: str | None) -> str:
        """See the contract."""
        microversion = _MICROVERSIONS.get(step, _compute.OLDEST)
        return _compute.action(self._cloud, server_id, STEPS[step](target), microversion).request_id

    def view(self, line: Line, host: str) -> View | None:
        """The last word of who counts what it says: others tell events, and never that all is well again."""
        words = self._asked("words", host, lambda: self._words(host))
        mine = [it for it in words if it["object"] == line.id and it["sequence"] is not None]
        if not mine:
            return None
        last = min(mine, key=lambda it: it["repeat_age"] or 0.0)
        data = last["data"] or {}
        domain = (data.get("domain") or {}).get("state") or ""
        said = data.get("said_age")
        ago = None if said is None or last["repeat_age"] is None else said + last["repeat_age"]
        return View(last["id"], last["epoch"], last["sequence"], last["state"], data.get("reason") or "", domain, ago)

    def _words(self, host: str) -> list[Json]:
        return self._run.journal.last_states(self._cloud.region, [INSTANCE], [host])

    def targets(self, line: Line) -> list[str]:
        """By the same plan as for hosts that have failed; what others of this run were promised is spoken for."""
        with self._planning:
            way = Way(
                records=lambda _cloud, _host: [],
                next_step=lambda server, _segment, _record: _step(server, line.id, self._promised),
                roles="auto",
                protected_only=False,
            )
            try:
                plan = make_plan(self._cloud, self._topology, [line.host], silent=self._silent(), way=way)
            except ConfigError as error:
                raise Ended("pending", "partial", f"not moved: {error.message}") from error
            planned = next((it for it in plan["lines"] if it["id"] == line.id), None)
            if planned is None or planned["step"] != "evacuate":
                why = planned["reason"] if planned else "Nova does not show it there"
                raise Ended("pending", "partial", f"not moved: {why}")
            self._promised[line.id] = planned["target"]
            return [planned["target"], *planned["alternates"]]

    def record(self, line: Line) -> None:
        """See the contract."""
        change = self._run.journal.line_change(
            self._run.incident(line.place), line.id, line.state, run_id=self._run.id, method=line.method,
            target=line.target, reason=line.reason, attempts=line.attempts, request_id=line.request_id or None,
            facts=line.facts,
        )  # fmt: skip
        self._run.lease.renew(line.place, also=change)
        if line.outcome in ("recovered", "partial"):
            self._run.journal.set_run_host(self._run.id, line.place, line.outcome, line.reason or None)

    def _asked(self, what: str, about: str, ask: t.Callable[[], Asked]) -> Asked:
        """The answer for all threads that ask within a moment."""
        with self._lock:
            at, answer = self._answers.get((what, about), (0.0, None))
            if not at or self.now() - at > _FRESH:
                at, answer = self.now(), ask()
                self._answers[what, about] = (at, answer)
            return t.cast(Asked, answer)


def _step(server: Json, wanted: str, promised: t.Container[str]) -> Step:
    """In a plan for one VM the others stay where they are; those that are on their way take room."""
    going = server["id"] == wanted or (server["id"] in promised and server["OS-EXT-STS:vm_state"] == "stopped")
    return Step("evacuate", former="stopped") if going else Step("skip", "stays where it is")
