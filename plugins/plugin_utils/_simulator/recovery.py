# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One recovery run, step by step as recover_host.yml takes them. PRIVATE: may change at any time."""

from __future__ import annotations

import collections
import types
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute, _recovery, _reserved
from ansible_collections.openstack_ha.recovery.plugins.module_utils._capacity import Room
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._evacuation import Evacuation
from ansible_collections.openstack_ha.recovery.plugins.module_utils._evacuation_contract import Limits
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing import agent, certificate, report
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import FencingError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.levels import Fencing, Hooks
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.record import Record
from ansible_collections.openstack_ha.recovery.plugins.module_utils._planning import make_plan
from ansible_collections.openstack_ha.recovery.plugins.modules import host_evacuate, reserved_host
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.api import Api
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.executor import (
    SimulatedRun,
    SimulatedWorld,
    fencing_levels,
    fencing_world,
)
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.log import names
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.site import Json, Site

_RENEW = 10.0
#: How the module is called: not in check mode.
_ACTING = t.cast(t.Any, types.SimpleNamespace(check_mode=False))


class Recovery:
    """A run that has the verdict ``recover`` for some hosts.

    :param machine: The controller it runs on. :param confirmed: A person and how that person knows that it is off.
    """

    def __init__(
        self, site: Site, machine: str, run_id: str, hosts: t.Sequence[str], confirmed: tuple[str, str] | None = None
    ) -> None:
        self.site, self.machine, self.id = site, machine, run_id
        self.hosts, self.confirmed = sorted(hosts), confirmed
        self.name = site.run_name(run_id)
        self.api = t.cast(t.Any, Api(machine, site.cloud, site.beats, site.processes))

    def say(self, text: str) -> None:
        """Write a line of the log."""
        self.site.log.say(f"{self.machine}: {self.name}: {self.site.readable(text)}")

    def work(self) -> None:
        """Do it all; what fails is written down and the run closed, as the playbook does."""
        try:
            self._steps()
        except RecoveryError as error:
            self.say(f"stops: {_short(error.message)}")
        try:
            self._close()
        except RecoveryError as error:
            self.say(f"is not closed: {_short(error.message)}")

    def _steps(self) -> None:
        self.site.processes.parallel(self._secure, self.hosts)
        run = SimulatedRun(self.site, self.id)
        going = [host for host in self.hosts if not run.is_held(host)]
        if going:
            plan = self._plan(run, going)
            self._take_reserved(run, plan)
            self._evacuate(run, going, plan)

    # -- out of service, and off -------------------------------------------------------------------------------

    def _secure(self, host: str) -> None:
        try:
            run = SimulatedRun(self.site, self.id, [host])
            run.check()
            self._take_out(run, host)
            self._fence(run, host)
        except RecoveryError as error:
            self.say(f"{host} is held: {_short(error.message)}")
            _recovery.hold(self.site.journal, self.id, host, error.message)

    def _take_out(self, run: SimulatedRun, host: str) -> None:
        service = _compute.compute_service(self.api, host)
        change = {"status": "disabled", "disabled_reason": f"openstack_ha: failed, {self.name}", "forced_down": True}
        run.lease.renew(host)
        if not (service["forced_down"] and service["status"] == "disabled"):
            _compute.update_service(self.api, service["id"], change)
            self.say(f"{host} disabled and forced down")
        run.step("forced_down", host)

    def _fence(self, run: SimulatedRun, host: str) -> None:
        world = fencing_world(self.site, self.machine)
        record = Record(run, host)
        hooks = Hooks(record.before_power_off, record.while_waiting, self.say)
        fencing = Fencing(host, {"serial": host}, world, hooks, agent=agent.of_run(run, host))
        try:
            with self._kept(run):
                probes = self.site.topology["hosts"][host]["probe"]
                fencing.run(fencing_levels(self.site, self.machine, host, world), probes, 1.0)
                proof = self._proof(host, fencing)
        except RecoveryError:
            record.not_fenced()
            raise
        record.fenced(proof)
        level = f", level {proof['level']}" if proof["level"] else ""
        by_time = proof["kind"] in ("kdump", "watchdog")
        proven = f"is dead: {proof['observed_state']}" if by_time else "is off"
        self.say(f"{host} {proven} ({proof['kind']}{level}, identity {proof['identity'].replace('_', ' ')})")

    def _proof(self, host: str, fencing: Fencing) -> Json:
        outcome, now = fencing.outcome, self.site.wall_text()
        if outcome.level:
            return certificate.by_level(host, outcome, now)
        if self.confirmed and not outcome.alive:
            fencing.confirm_silence(self.site.topology["hosts"][host]["probe"], 1.0)
            if not outcome.alive:
                return certificate.by_operator(host, outcome, now, *self.confirmed)
        raise FencingError(report.failure(host, outcome))

    # -- the VMs ---------------------------------------------------------------------------------------------------

    def _plan(self, run: SimulatedRun, hosts: list[str]) -> Json:
        run.check()
        known, silent = run.ledger(hosts), run.silent()
        return make_plan(self.api, self.site.topology, hosts, known, silent=silent, policy=self.site.policy)

    def _take_reserved(self, run: SimulatedRun, plan: Json) -> None:
        for host in plan["reserved_hosts"]:
            service = _compute.compute_service(self.api, host)
            _reserved.taking(self.api, service, None).carry_out(self.api, run)
            if service["status"] == "disabled":
                self.say(f"reserved host {host} taken")
                self.site.reached("reserved_taken")

    def _evacuate(self, run: SimulatedRun, hosts: list[str], plan: Json) -> None:
        lines = [host_evacuate._ledger_line(entry, run) for entry in plan["lines"]]
        run.journal.plan_lines(self.id, lines)
        self.site.reached("planned")
        work = host_evacuate._lines(plan["lines"], self.site.topology, run.ledger(hosts))
        self.say(f"evacuates {_moves(plan)}")
        probes = host_evacuate._probes(work, self.site.topology)
        world = SimulatedWorld(self.site, self.machine, run, probes, lambda text: None)
        with self._kept(run):
            limits = Limits(**self.site.limits, tier_timeout=float(self.site.policy["restart"]["tier_timeout"]))
            Evacuation(world, work, Room.of_free(plan["room"]), limits).run()
        for host in hosts:
            run.step(_recovery.EVACUATED, host)

    def _kept(self, run: SimulatedRun) -> t.Any:
        return Kept(self.site, self.machine, run)

    # -- the end -----------------------------------------------------------------------------------------------------

    def _close(self) -> None:
        run = SimulatedRun(self.site, self.id)
        self._give_back(run)
        run.check(orders=False)
        found = _recovery.finish(self.site.journal, self.id)
        outcomes = "; ".join(_outcome(entry) for entry in found["hosts"])
        for line in _remarks(found["ledger"]):
            self.say(line)
        counts = collections.Counter(line["state"] for line in found["ledger"])
        told = ", ".join(f"{number} {state}" for state, number in sorted(counts.items())) or "none"
        self.say(f"ends: {outcomes}; VMs: {told}")

    def _give_back(self, run: SimulatedRun) -> None:
        for host in sorted({use["host"] for use in run.journal.reserved_uses(state="taken")}):
            if reserved_host._give_back(_ACTING, self.api, host, run)["changed"]:
                self.say(f"reserved host {host} given back")


class Kept:
    """The lease is renewed while something takes long."""

    def __init__(self, site: Site, machine: str, run: SimulatedRun) -> None:
        self._site, self._machine, self._run = site, machine, run

    def __enter__(self) -> None:
        me = self._site.processes.current
        name = f"{me.name if me else 'desk'} lease"
        self._process = self._site.processes.spawn(name, self._machine, self._renew)

    def __exit__(self, *error: object) -> None:
        self._site.processes.kill(self._process)

    def _renew(self) -> None:
        while True:
            self._site.processes.sleep(_RENEW)
            try:
                self._run.lease.renew()
            except RecoveryError:
                return


def _moves(plan: Json) -> str:
    """``3 VMs: 2 to cmp02, 1 to cmp03; 1 pending``."""
    going = collections.Counter(line["target"] for line in plan["lines"] if line["step"] == "evacuate")
    other = collections.Counter(line["step"] for line in plan["lines"] if line["step"] != "evacuate")
    to = ", ".join(f"{number} to {target}" for target, number in sorted(going.items()))
    rest = "".join(f"; {number} {step}" for step, number in sorted(other.items()))
    return f"{sum(going.values())} VMs" + (f": {to}" if to else "") + rest


def _remarks(ledger: t.Sequence[Json]) -> list[str]:
    """``pending cmp01-vm1, cmp01-vm2: no room …``: VMs that share state and reason share a line."""
    vms: dict[tuple[str, str], list[str]] = {}
    for line in ledger:
        if line["state"] != "verified" or line["reason"]:
            vms.setdefault((line["state"], _short(line["reason"] or "no reason")), []).append(line["name"])
    return [f"{state} {names(found)}: {reason}" for (state, reason), found in sorted(vms.items())]


def _outcome(entry: Json) -> str:
    """What was held has been told when it was held."""
    told = entry["reason"] and entry["outcome"] != "held"
    reason = f" ({_short(entry['reason'])})" if told else ""
    return f"{entry['host']} {entry['outcome']}{reason}"


def _short(message: str) -> str:
    """The first sentence; the whole is in the journal."""
    first = message.split(". ")[0].rstrip(".")
    return first if len(first) <= 160 else f"{first[:157]}…"
