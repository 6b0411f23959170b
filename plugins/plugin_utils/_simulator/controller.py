# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One controller of a story: looks, decides, claims, runs. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import functools
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute, _gates, _recovery
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.modules import recovery_run
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import core
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator import facts
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.executor import SimulatedRun
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.hearing import Hearing
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.log import names
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.recovery import Kept, Recovery
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.site import Json, Site

LEASE = 60.0


class Controller:
    """The program on one machine; a restart begins with an empty memory."""

    def __init__(self, site: Site, name: str) -> None:
        self.site, self.name = site, name
        self.on = False

    def start(self, delay: float = 0.0) -> None:
        """Begin to watch."""
        self.on = True
        self.memory, self.hearing = core.Memory(), Hearing(self.site, self.name)
        self.busy: set[str] = set()
        self._recording: set[str] = set()
        self._away: set[str] = set()
        self._looked_back = False
        self.site.processes.spawn(self.name, self.name, functools.partial(self._loop, delay))

    def stop(self) -> None:
        """End the program and all its runs at once."""
        self.on = False
        self.site.processes.kill_machine(self.name)

    def say(self, text: str) -> None:
        """Write a line of the log."""
        self.site.log.say(f"{self.name}: {self.site.readable(text)}")

    def _loop(self, delay: float) -> None:
        self.site.processes.sleep(delay)
        while True:
            self.hearing.listen()
            self._look()
            self.site.processes.sleep(core.next_look(self.memory))

    def _look(self) -> None:
        """One step of the loop."""
        snapshot = self._snapshot()
        verdicts = core.due(self.memory, self._decide(snapshot), self.site.clock.time)
        self._close(core.heard_again(self.memory, verdicts, snapshot["suspects"]))
        self._close(self._left_open(snapshot["suspects"]))
        changed = core.news(self.memory, verdicts, snapshot["suspects"])
        self._tell(changed, verdicts)
        hosts = [host for host, verdict in verdicts.items() if verdict["verdict"] == "recover"]
        other = [host for host in changed if verdicts[host]["verdict"] != "recover"]
        hosts, other = ([host for host in some if host not in self._recording] for some in (hosts, other))
        if hosts and self.hearing.reaches_journal():
            self._run(hosts)
        if other and self.hearing.reaches_journal():
            self._recording.update(other)
            work = functools.partial(self._record, other, snapshot["suspects"])
            self.site.processes.spawn(f"{self.name} writes of {' '.join(other)}", self.name, work)

    def _decide(self, snapshot: Json) -> dict[str, Json]:
        return _gates.decide(snapshot, self.site.policy) if snapshot["suspects"] else {}

    def _snapshot(self) -> Json:
        self._away = facts.settled(self.site) if self.hearing.reaches_journal() else self._away
        suspects = self.hearing.suspects(self.busy | self._away)
        if not suspects and not self.busy:  # nothing that could be a storm either
            core.calm(self.memory, self.site.clock.time)
            self._note_storm(False)
            return {"suspects": []}
        known = facts.of_journal(self.site, suspects) if suspects and self.hearing.reaches_journal() else {}
        return self._with_storm(self.hearing.snapshot(suspects, "responder", known))

    def _with_storm(self, snapshot: Json) -> Json:
        mine = core.storm(self.memory, snapshot, self.site.policy, self.site.clock.time)
        if not self.hearing.reaches_journal():
            return {**snapshot, "storm": mine}
        self._note_storm(mine["silent_for"] is not None)
        return {**snapshot, "storm": core.later(mine, self.site.journal.storm(self.site.region))}

    def _note_storm(self, blowing: bool) -> None:
        """For those who have not watched all the time: other controllers, this one after a restart, people."""
        if not (blowing or (self.memory.storm_noted and self._watched())) or not self.hearing.reaches_journal():
            return
        self.site.journal.note_storm(self.site.region, blowing)
        self.memory.storm_noted = blowing

    def _tell(self, changed: list[str], verdicts: dict[str, Json]) -> None:
        together: dict[tuple[str, ...], list[str]] = {}
        for host in changed:
            verdict = verdicts[host]
            gate = f" ({verdict['gate']})" if verdict["gate"] else ""
            together.setdefault((f"{verdict['verdict']}{gate}", verdict["reason"]), []).append(host)
        for (what, reason), hosts in together.items():
            self.say(f"{names(hosts)}: {what}: {reason}")

    def _close(self, hosts: list[str]) -> None:
        """False alarms end, unless the host was taken out of service meanwhile."""
        away = {name for name, service in self.hearing.services.items() if service["forced_down"]}
        back = [host for host in hosts if host not in self.busy | away]
        if not back or not self.hearing.reaches_journal():
            return
        open_ = self.site.journal.incidents(host=back, state=["open", "held"])
        for incident in open_:
            self.site.journal.set_incident(incident["id"], "closed", "it is heard again")
        if open_:
            self.say(f"{names(incident['host'] for incident in open_)}: heard again, closed")

    def _left_open(self, suspects: t.Container[str]) -> list[str]:
        """Once: hosts that are well, but about which a former program had left an incident open."""
        if self._looked_back or not self._watched() or not self.hearing.reaches_journal():
            return []
        self._looked_back = True
        open_ = self.site.journal.incidents(state=["open", "held"])
        return [incident["host"] for incident in open_ if incident["host"] not in suspects]

    def _watched(self) -> bool:
        return self.site.clock.time - self.hearing.started >= float(self.site.policy["gates"]["start_grace"])

    # -- runs ----------------------------------------------------------------------------------------------------

    def _run(self, hosts: list[str]) -> None:
        """Open a run; what the gates say to the journal's own snapshot counts."""
        self.busy.update(hosts)
        name = f"{self.name} run on {' '.join(hosts)}"
        self.site.processes.spawn(name, self.name, functools.partial(self._work, name, hosts))

    def _work(self, process: str, hosts: list[str]) -> None:
        try:
            going = self.open(hosts, process)
            if going:
                self._go_on(*going)
        except RecoveryError as error:
            self.say(f"{names(hosts)}: {error.message.split('. ')[0]}")
            for host in hosts:
                core.ended(self.memory, host, "refused", self.site.clock.time)
        finally:
            self.busy.difference_update(hosts)

    def open(
        self,
        hosts: t.Sequence[str],
        process: str,
        caller: str = "responder",
        answer: Json | None = None,
        among: t.Sequence[str] = (),
    ) -> tuple[str, list[str]] | None:
        """Claim, look, decide, as recovery_run does; the run and the hosts that it may recover.

        :param among: All suspects, where the verdict that was made about all of them is only to be written down.
        """
        site = self.site
        if caller == "operator":
            _compute.services(t.cast(t.Any, self.hearing.api))  # as logging in does, it fails before anything is begun
        segments = {host: site.topology["hosts"].get(host, {}).get("segment") for host in hosts}
        run = _recovery.begin(site.journal, site.region, segments, self._holder(process), LEASE, self.say)
        wait = float(site.policy["ask"]["wait"]) if caller == "operator" and not answer else 0.0
        verdicts = self._verdicts(run["id"], among or hosts, caller, wait, answer)
        if wait > 0 and _recovery.awaited(verdicts):
            self._tell(_recovery.awaited(verdicts), verdicts)
            verdicts = {**verdicts, **self._awaited(run["id"], caller, wait)}
        going = [host for host in hosts if verdicts[host]["verdict"] == "recover"]
        if not going:
            _recovery.finish(site.journal, run["id"])
            self._tell([host for host in hosts if caller == "operator"], verdicts)
            return None
        resumes = f", resumes {site.run_name(run['resumes'])}" if run["resumes"] else ""
        self.say(f"{site.run_name(run['id'])} on {names(going)}{resumes}")
        return run["id"], going

    def _verdicts(
        self, run_id: str, hosts: t.Sequence[str], caller: str, wait: float, answer: Json | None, assumed: t.Any = ()
    ) -> dict[str, Json]:
        site, known = self.site, facts.of_journal(self.site, hosts)
        known["answers"] = [*known["answers"], *assumed]
        if caller == "operator":
            snapshot = self.hearing.by_hand(hosts, known)
        else:
            snapshot = self._with_storm(self.hearing.snapshot(hosts, caller, known))
        if answer:
            snapshot["answer"] = answer
        verdicts = _recovery.decide(site.journal, run_id, snapshot, site.policy, wait=wait)
        _recovery.ask(site.journal, run_id, verdicts, self._count_vms, wait, site.policy["ask"]["default"])
        return verdicts

    def _awaited(self, run_id: str, caller: str, wait: float) -> dict[str, Json]:
        """Until each question is answered or its time is over, as recovery_run does with ``state=awaiting``."""
        site, assumed = self.site, list[Json]()
        with Kept(site, self.name, SimulatedRun(site, run_id)):
            while True:
                self._until_answered(run_id)
                for assumption in recovery_run._expire(site.journal, run_id):
                    self.say(f"{assumption['host']}: {assumption['why']}: {assumption['verdict']}")
                    assumed.append(assumption)
                hosts = [entry["host"] for entry in site.journal.run(run_id)["hosts"] if entry["outcome"] is None]
                verdicts = self._verdicts(run_id, hosts, caller, wait, None, assumed)
                if not _recovery.awaited(verdicts):
                    return verdicts

    def _until_answered(self, run_id: str) -> None:
        while True:
            waiting = self.site.journal.questions(run_id=run_id, state="open")
            left = max((question["wait"] - question["age"] for question in waiting), default=0.0)
            if left <= 0:
                return
            self.site.processes.sleep(min(core.LOOK, left))

    def _count_vms(self, host: str) -> int:
        return len(_compute.servers_on(t.cast(t.Any, self.hearing.api), host)) if self.hearing.api_answers else 0

    def _record(self, hosts: list[str], suspects: list[str]) -> None:
        """Journal a verdict that is not ``recover``, with its question if it asks one.

        While a claim is watched for that the controller goes on listening, or all would seem silent to it.
        """
        try:
            going = self.open(hosts, self.name, among=suspects)
        except RecoveryError as error:
            self.say(f"{names(hosts)}: {error.message.split('. ')[0]}")
            return
        finally:
            self._recording.difference_update(hosts)
        if going:  # an answer or the end of an order came in between
            self.busy.update(going[1])
            name = f"{self.name} run on {' '.join(going[1])}"
            self.site.processes.spawn(name, self.name, functools.partial(self._go_on, *going))

    def _go_on(self, run_id: str, hosts: list[str]) -> None:
        try:
            Recovery(self.site, self.name, run_id, hosts).work()
            for entry in self.site.journal.run(run_id)["hosts"]:
                core.ended(self.memory, entry["host"], str(entry["outcome"]), self.site.clock.time)
        finally:
            self.busy.difference_update(hosts)

    def _holder(self, process: str) -> Json:
        site = self.site
        return {
            "user": "ha", "hostname": self.name, "boot_id": site.boot_id(), "pid_namespace": None,
            "pid": None, "process": process, "monotonic": site.monotonic(),
        }  # fmt: skip
