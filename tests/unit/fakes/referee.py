"""Watches a story of the simulator and says what must never happen: the invariants of the recovery.

Independent of the code under test. What is true is read from the simulated machines, cables and Nova; what was done is
seen where it arrives (Nova, BMCs); of the software, only what stands in the journal counts, read from its file.
"""

from __future__ import annotations

import math
import re
import typing as t

from unit.fakes.book import Book
from unit.fakes.truth import Life, Orders

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.bmc import Bmc
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.links import CORE
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.stage import Stage
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.story import Story

Json = t.Dict[str, t.Any]

#: Seconds until a sign of life is noticed while VMs are moved: two looks, and a probe that tells its last answer.
NOTICED = 4.0
#: Seconds in which a host that is well must be heard: 30 s of silence, a look, a claim that is watched.
HEARD = 45.0
#: What a BMC of these kinds tells is not true.
_LIARS = ("lying", "wrong_mute")
#: Seconds after which somebody who watches must have written down that a host is dead.
CERTAIN = 100.0
_HOUR = 3600.0


class Referee:
    """Shown a stage before anything happens."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.fouls: list[str] = []
        self.seen: set[str] = set()
        self.over = False

    def watch(self, stage: Stage) -> None:
        """Sit down where everything passes by."""
        self.stage, self.site, self.plant, self.nova = stage, stage.site, stage.plant, stage.site.nova
        self.start = self.site.clock.time
        self.book = Book(str(self.site.journal.database.url.database))
        self.orders = Orders(self.story, self.start)
        self.life = Life(stage)
        self.moved: dict[str, str] = {}
        self.excused: set[str] = set()
        self.wanted: set[str] = set()
        #: By hand nobody listens to crash kernels.
        self.by_hand: set[str] = set()
        self.commanded: dict[str, float] = {}
        self._dirty = False
        self._fenced: set[str] = set()
        self._settled: set[str] = set()
        self._listen()
        self.site.clock.at(self.start + (self.story.given.lasts or 0.0) - 0.01, self._end)

    def _listen(self) -> None:
        """Stand in front of Nova, the BMCs, the power switches, the guests and the journal."""
        self._in_front_of(self.site.cloud, "request", self._on_request)
        self._in_front_of(self.plant, "harmed", self._on_harm)
        self._in_front_of(self.plant, "boot", self._on_boot)
        self._in_front_of(self.nova, "on_start", self._on_guest)
        self._in_front_of(self.site.journal.database, "write", self._on_write)
        for bmc in self.site.bmcs.values():
            bmc.on_command = self._on_command
        self.plant.on_change.append(self.life.look)

    def _in_front_of(self, thing: t.Any, name: str, seen: t.Callable[..., None]) -> None:
        behind = getattr(thing, name)

        def both(*args: t.Any, **more: t.Any) -> t.Any:
            if not self.over:
                seen(*args, **more)
            return behind(*args, **more)

        setattr(thing, name, both)

    def foul(self, rule: str, what: str) -> None:
        """Write one down."""
        at = self.site.clock.time - self.start
        self.fouls.append(f"{rule} at {at:g} s: {what}")

    # -- what passes by -------------------------------------------------------------------------------------------

    def _on_request(self, method: str, service: str, path: str, *_rest: t.Any, **more: t.Any) -> None:
        if method == "GET":
            return
        body, parts = more.get("json") or {}, path.strip("/").split("/")
        if parts[0] == "os-services":
            self._on_service(parts[1].replace("service-", ""), body)
        elif parts[0] == "servers":
            self._on_action(parts[1], next(iter(body)))

    def _on_service(self, host: str, body: Json) -> None:
        acting = self._acting()
        if body.get("forced_down"):
            self.seen.add("forced down")
            self._may_act(acting, host, "forced down")
            self._may_fence(acting, host)
        elif self.story.given.hosts[host].role == "reserved":
            if not self.book.holds_any(acting):
                self.foul("I3", f"reserved host {host} was touched by a run that holds no claim")
        else:
            self.foul("I9", f"{host} was changed to {body} by {self._who()}")

    def _on_action(self, vm: str, action: str) -> None:
        source = self.nova.servers[vm]["OS-EXT-SRV-ATTR:host"] if vm in self.nova.servers else None
        if source is None:
            return
        acting = self._acting()
        if action == "evacuate":
            self._on_evacuate(acting, vm, source)
        elif action == "os-start":
            self._on_start(acting, vm)
        elif action == "os-resetState" and vm in self.nova._busy:
            self.foul("I5", f"{vm} was reset while Nova was rebuilding it")

    def _on_evacuate(self, run: str | None, vm: str, source: str) -> None:
        self.seen.add("evacuated")
        self.moved[vm] = source
        self._may_act(run, source, f"{vm} evacuated")
        if not self.book.certified(run, source):
            self.foul("I1", f"{vm} was evacuated from {source} without a valid certificate of {self._who()}")
        if self.book.line(vm, run) not in ("requesting",):
            self.foul("I5", f"{vm} was evacuated, and its ledger line says {self.book.line(vm, run)!r}")
        if vm in self.nova._busy:
            self.foul("I5", f"{vm} was evacuated a second time while it was under way")
        order = self.orders.against(source, self._region_of(source), self._now() - 2.0)
        if order and self.orders.by_hand(self._who()) is None:
            self.foul("I6", f"{vm} was evacuated although {source} is under the order {order}")
        self._is_dead(vm, source)

    def _on_start(self, run: str | None, vm: str) -> None:
        """What waits for others is started later, and by then all must be as it was when it was moved."""
        self.seen.add("started in its turn")
        source = self.moved.get(vm)
        if source is None:
            self.foul("I1", f"{vm} was started, and nobody has moved it")
            return
        self._may_act(run, source, f"{vm} started")
        if not self.book.certified(run, source):
            self.foul("I1", f"{vm} was started without a valid certificate of {source} of {self._who()}")
        order = self.orders.against(source, self._region_of(source), self._now() - 2.0)
        if order and self.orders.by_hand(self._who()) is None:
            self.foul("I6", f"{vm} was started although {source} is under the order {order}")
        self._is_dead(vm, source)

    def _is_dead(self, vm: str, source: str) -> None:
        """I2, and the one blind spot: a BMC that lies about a host that shows no life."""
        machine = self.site.here()
        if self.life.shown(source, machine) > NOTICED:
            self.foul(
                "I2", f"{vm} was evacuated although {source} shows life for {self.life.shown(source, machine):g} s"
            )
        if vm in self.plant.hosts[source].running():
            if self._lied_about(source):
                self.excused.add(vm)
                self.seen.add("blind spot")
            else:
                self.foul("I1", f"{vm} was evacuated although it runs on {source}, and no BMC lied")

    def _on_command(self, bmc: Bmc) -> None:
        if self.over:
            return
        self.seen.add("switched off")
        host, run = bmc.host, self._acting()
        self._may_act(run, host, "switched off")
        if not self.nova.services[host]["forced_down"]:
            self.foul("I5", f"{host} was switched off before it was forced down")
        self._may_fence(run, host)
        heard = min(self.life.healthy_for(bmc.switches), self.life.audible_for(bmc.switches))
        self.commanded[bmc.switches] = heard

    def _on_boot(self, hosts: t.Iterable[str]) -> None:
        self.seen.add("boot")

    def _on_harm(self, what: str) -> None:
        if what in self.plant.harm:
            return
        vm, host = what.split(" ")[0], what.split(" ")[0]
        if "runs twice" in what:
            if vm not in self.excused:
                self.foul("NEVER TWICE", what)
        elif "was healthy" in what:
            self._was_healthy(host, what)
        elif "crash dump" in what:
            self._dump_cut(what.split("crash dump of ")[1].split(" ")[0], what)
        else:
            self.foul("HARM", what)

    def _was_healthy(self, host: str, what: str) -> None:
        if any(bmc.kind == "wrong_mute" and bmc.switches == host for bmc in self.site.bmcs.values()):
            return
        heard = self.commanded.get(host, math.inf)
        if heard > HEARD and host not in self.wanted:
            self.foul("I6", f"{what}; it was heard for {heard:g} s when that was commanded")

    def _dump_cut(self, host: str, what: str) -> None:
        heard = self.life.audible_dump(host)
        if heard > 12.0 and host not in self.wanted | self.by_hand:
            self.foul("I6", f"{what}; its dump was announced for {heard:g} s")

    def _on_guest(self, vm: str, host: str) -> None:
        self.seen.add("guest started")
        home, here = self.site.homes[vm], self.story.given.hosts[host].segment
        if self.story.given.hosts[home].segment != here:
            self.foul("I7", f"{vm} of {home} was started on {host} in {here}")

    def _on_write(self, *_work: t.Any, **_more: t.Any) -> None:
        if not self._dirty:
            self._dirty = True
            self.site.clock.soon(self._look_at_journal)

    # -- what may be done ---------------------------------------------------------------------------------------------

    def _may_act(self, run: str | None, host: str, what: str) -> None:
        """I3, I4: only the holder of the claim acts, and only after a verdict that is written down."""
        if run is None:
            self.foul("I3", f"{host}: {what} by {self._who()}, which has no run")
            return
        owner = self.book.claim(host)
        if owner != run:
            self.foul("I3", f"{host}: {what} by run {run}, while run {owner} has the claim")
        if self.book.verdict(run, host) != "recover":
            self.foul("I4", f"{host}: {what} by run {run}, whose journaled verdict is {self.book.verdict(run, host)}")

    def _may_fence(self, run: str | None, host: str) -> None:
        """I6, from the truth at the moment when a run first acts on a host."""
        key = f"{run} {host}"
        if key in self._settled or run is None:
            return
        self._settled.add(key)
        self._observer_may(host)
        if self.orders.by_hand(self._who()) is not None:
            self.by_hand.add(host)
        if self._asked_for(host):
            self.wanted.add(host)
            return
        order = self.orders.against(host, self._region_of(host), self._now())
        if order:
            self.foul("I6", f"{host} is fenced under the order {order}")
        if self.orders.disabled(host, self._now()):
            self.foul("I6", f"{host} is fenced although an operator had disabled it")
        self._budget_may(run, host)
        self._silence_may(host)
        if self.life.healthy_for(host) > HEARD and self.life.audible_for(host) > HEARD:
            self.foul("I6", f"{host} is fenced although it is well and heard for {self.life.audible_for(host):g} s")

    def _observer_may(self, host: str) -> None:
        machine, links = self.site.here(), self.site.links
        if not links.reach(machine, CORE, self.site.admin) or not self.site.cloud.answers:
            self.foul("I6", f"{host} is fenced by {machine}, which does not reach the API")
        for network, settings in self.site.policy["networks"].items():
            mine = network in links.of(machine) and settings["isolation_addresses"]
            if mine and not links.reach(machine, CORE, network):
                self.foul("I6", f"{host} is fenced by {machine}, which is cut off {network}")
        if "down" in self.site.cloud.control.values():
            self.foul("I6", f"{host} is fenced while Nova's control plane is down")

    def _budget_may(self, run: str, host: str) -> None:
        away = {name for name, service in self.nova.services.items() if service["forced_down"]}
        away |= self.book.recovering()
        fenced = self.book.fenced_since(_HOUR)
        for kind, name, members in self._scopes(host):
            at_once, per_hour = self._caps(kind, name, members)
            if len((away & members) | {host}) > at_once:
                self.foul(
                    "I6", f"{host} is fenced over the budget: {sorted(away & members)} of {kind} {name}: {at_once}"
                )
            if len((fenced & members) | {host}) > per_hour:
                self.foul("I6", f"{host} is fenced over the hourly budget of {kind} {name}: {sorted(fenced & members)}")

    def _scopes(self, host: str) -> list[tuple[str, str, set[str]]]:
        hosts = self.story.given.hosts
        me = hosts[host]
        found = [
            ("cloud", "", set(hosts)),
            ("segment", str(me.segment), {n for n, h in hosts.items() if h.segment == me.segment}),
        ]
        if me.domain:
            found.append(("failure_domain", me.domain, {n for n, h in hosts.items() if h.domain == me.domain}))
        return found

    def _caps(self, kind: str, name: str, members: set[str]) -> tuple[int, int]:
        caps = self.site.policy["budgets"][kind]
        at_once = max(1, min(caps["at_once"], len(members) * caps["at_once_percent"] // 100))
        raised = self.orders.raised(kind, name, self._now())
        return max(at_once, raised), max(1, caps["per_hour"], raised)

    def _silence_may(self, host: str) -> None:
        """Hosts that nobody could hear for a long time, and that nobody has taken out of service."""
        rules = self.site.policy["gates"]["mass_silence"]
        services = {name: it for name, it in self.nova.services.items() if not it["forced_down"]}
        noticed = 36.0 if self.site.monitored else self.site.beats.service_down_time + 20.0
        silent = {name for name in services if self.life.silent_for(name) > noticed}
        silent = {name for name in silent if not self.orders.disabled(name, self._now())}
        silent |= {host}
        if len(silent) >= rules["hosts"] and len(silent) * 100 >= rules["percent"] * len({*services, host}):
            self.foul("I6", f"{host} is fenced in a storm: {sorted(silent)} are silent")

    def _asked_for(self, host: str) -> bool:
        """Whether a person wanted it: by hand, or by an answer."""
        by_hand = self.orders.by_hand(self._who())
        return by_hand == "recover" or self.orders.answered(host, self._now())

    def _lied_about(self, host: str) -> bool:
        devices = {name for level in self.site.levels[host] for name in level}
        lied = any(self.site.bmcs[f"{name}-{host}"].kind in _LIARS for name in devices if name != "operator")
        return lied or self.book.vouched(host)

    # -- what must be so at any time ----------------------------------------------------------------------------------

    def _look_at_journal(self) -> None:
        self._dirty = False
        if self.over:
            return
        self._fenced |= self.book.certified_hosts()
        for incident, host in self.book.recovered():
            if incident not in self._settled:
                self._settled.add(incident)
                self._is_recovered(incident, host)
        for host in self._fenced:
            self._stays_out(host)

    def _stays_out(self, host: str) -> None:
        service = self.nova.services[host]
        enabled = self.orders.enabled(host, self._now())
        if not enabled and not (service["forced_down"] and service["status"] == "disabled"):
            self.foul("I9", f"{host} was fenced and is {service['status']}, forced_down={service['forced_down']}")

    def _is_recovered(self, incident: str, host: str) -> None:
        """I8."""
        self.seen.add("recovered")
        lines = self.book.lines(incident)
        for vm, line in lines.items():
            if line["state"] not in ("verified", "skipped"):
                self.foul("I8", f"{host} is called recovered, and {vm} is {line['state']}")
            elif line["state"] == "skipped" and not line["reason"]:
                self.foul("I8", f"{vm} is skipped, and nobody says why")
            elif line["state"] == "verified":
                self._is_verified(vm, line)
        for vm, server in self.nova.servers.items():
            if server["OS-EXT-SRV-ATTR:host"] == host and lines.get(vm, {}).get("state") != "skipped":
                self.foul("I8", f"{host} is called recovered, and {vm} is still there")

    def _is_verified(self, vm: str, line: Json) -> None:
        server = self.nova.servers.get(vm)
        if server is None:
            return
        host = server["OS-EXT-SRV-ATTR:host"]
        wanted = {"running": "active", "stopped": "stopped"}[line["former_state"]]
        if host != line["target"] or server["OS-EXT-STS:vm_state"] != wanted or self.nova.bindings[vm] != host:
            self.foul(
                "I8", f"{vm} is called verified on {line['target']}, and is {server['OS-EXT-STS:vm_state']} on {host}"
            )
        if wanted == "active" and vm not in self.plant.hosts[host].running() and self.life.dead_for(host) < 1.0:
            self.foul("I8", f"{vm} is called verified on {host} and does not run there")

    def _end(self) -> None:
        """When all is over."""
        self._look_at_journal()
        for vm in self.nova.ruined:
            self.foul("I5", f"{vm} was ruined by a second request")
        self._reserves_are_back()
        self._nothing_is_lost()
        self.over = True
        self.book.close()

    def _reserves_are_back(self) -> None:
        if self.book.open_runs() or not self.site.cloud.answers:
            return
        for name, host in self.story.given.hosts.items():
            service = self.nova.services[name]
            used = self.nova.held_on(name)
            touched = (
                self.orders.enabled(name, self._now()) or name in self.plant.dark or not self.plant.hosts[name].lives
            )
            if host.role == "reserved" and service["status"] == "enabled" and not used and not touched:
                self.foul("I7", f"reserved host {name} is enabled and empty at the end")

    def _nothing_is_lost(self) -> None:
        """I4: a host that was dead for long stands in the journal, if anybody could see it and write it down."""
        watching = [
            name
            for name, controller in self.stage.controllers.items()
            if controller.on
            and not self.orders.froze(name, self._now() - CERTAIN)
            and self.life.connected_for(name) > CERTAIN
            and self._now() - controller.hearing.started > CERTAIN
        ]
        if not watching or not self.site.cloud.answers:
            return
        known = self.book.hosts()
        for name in self.plant.hosts:
            silent = self.life.silent_for(name) > CERTAIN and self.life.dead_for(name) > CERTAIN
            if silent and name not in known and not self.nova.services[name]["forced_down"]:
                self.foul("I4", f"{name} is dead for {self.life.dead_for(name):g} s, and no incident says so")

    # -- who and when -------------------------------------------------------------------------------------------------

    def _now(self) -> float:
        return self.site.clock.time

    def _who(self) -> str:
        process = self.site.processes.current
        return process.name if process else "nobody"

    def _acting(self) -> str | None:
        """The run whose process works at this moment."""
        name = re.sub(r"(\.\d+| lease)*$", "", self._who())
        return self.book.run_of(name, self.site.here())

    def _region_of(self, host: str) -> str | None:
        return self.story.given.hosts[host].segment
