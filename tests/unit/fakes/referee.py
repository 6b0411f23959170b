"""Watches a story of the simulator and says what must never happen: the invariants of the recovery.

Independent of the code under test. What is true is read from the simulated machines, cables and Nova; what was done is
seen where it arrives (Nova, BMCs); of the software, only what stands in the journal counts, read from its file.
"""

from __future__ import annotations

import json
import re
import sqlite3
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.bmc import Bmc
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.links import CORE
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.stage import Stage
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.story import Story

Json = t.Dict[str, t.Any]

#: Seconds in which a sign of life must be noticed while VMs are moved: two looks, and a probe that tells the last answer.
NOTICED = 4.0
#: Seconds in which a host that is well must be heard: 30 s of silence, a look, a claim that is watched.
HEARD = 45.0
#: What a BMC of these kinds tells is not true.
_LIARS = ("lying", "wrong_mute")
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
        self._dirty = False
        self._fenced: set[str] = set()
        self._settled: set[str] = set()
        self._listen()
        self.site.clock.at(self.start + (self.story.given.lasts or 0.0) - 0.01, self._end)

    def _listen(self) -> None:
        """Stand in front of Nova, the BMCs, the power switches, the guests and the journal."""
        self._in_front_of(self.site.cloud, "request", self._on_request)
        self._in_front_of(self.plant, "cut_power", self._on_cut)
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
        elif action == "os-resetState" and vm in self.nova._busy:
            self.foul("I5", f"{vm} was reset while Nova was rebuilding it")

    def _on_evacuate(self, run: str | None, vm: str, source: str) -> None:
        self.seen.add("evacuated")
        self._may_act(run, source, f"{vm} evacuated")
        if not self.book.certified(run, source):
            self.foul("I1", f"{vm} was evacuated from {source} without a valid certificate of {self._who()}")
        if self.book.line(vm, run) not in ("requesting",):
            self.foul("I5", f"{vm} was evacuated, and its ledger line says {self.book.line(vm, run)!r}")
        if vm in self.nova._busy:
            self.foul("I5", f"{vm} was evacuated a second time while it was under way")
        order = self.orders.against(source, self._region_of(source), self._now() - 2.0, self._limits_known())
        if order and self.orders.by_hand(self._who()) is None:
            self.foul("I6", f"{vm} was evacuated although {source} is under the order {order}")
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

    def _on_cut(self, name: str) -> None:
        """Power is cut some time after the command; what is cut must be what was meant."""

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
        if self.life.healthy_for(host) > HEARD and self.life.audible_for(host) > HEARD and host not in self.wanted:
            self.foul("I6", f"{what}; it was heard for {self.life.audible_for(host):g} s")

    def _dump_cut(self, host: str, what: str) -> None:
        heard = self.life.audible_dump(host)
        if heard > 12.0 and host not in self.wanted:
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
        if self._asked_for(host):
            self.wanted.add(host)
            return
        order = self.orders.against(host, self._region_of(host), self._now(), self._limits_known())
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
        silent = {name for name in services if self.life.silent_for(name) > HEARD + self.site.beats.service_down_time}
        silent = {name for name in silent if not self.orders.disabled(name, self._now())}
        silent |= {host}
        if len(silent) >= rules["hosts"] and len(silent) * 100 >= rules["percent"] * len({*services, host}):
            self.foul("I6", f"{host} is fenced in a storm: {sorted(silent)} are silent")

    def _asked_for(self, host: str) -> bool:
        """Whether a person wanted it: by hand, or by an answer."""
        by_hand = self.orders.by_hand(self._who())
        return by_hand == "recover" or self.orders.answered(host, self._now())

    def _limits_known(self) -> bool:
        """Orders of other machines end by this one's wall clock: not known when that is wrong."""
        return all(not clock.ahead for clock in self.site.clocks.values())

    def _lied_about(self, host: str) -> bool:
        devices = {name for level in self.site.levels[host] for name in level}
        lied = any(self.site.bmcs[f"{name}-{host}"].kind in _LIARS for name in devices if name != "operator")
        return lied or self.book.vouched(host)

    # -- what must be so at any time --------------------------------------------------------------------------------------

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
        if self.book.open_runs():
            return
        for name, host in self.story.given.hosts.items():
            service = self.nova.services[name]
            used = any(it["OS-EXT-SRV-ATTR:host"] == name for it in self.nova.servers.values())
            touched = (
                self.orders.enabled(name, self._now()) or name in self.plant.dark or not self.plant.hosts[name].lives
            )
            if host.role == "reserved" and service["status"] == "enabled" and not used and not touched:
                if self._controllers_well() and not self.book.unfinished_use(name):
                    self.foul("I7", f"reserved host {name} is enabled and empty at the end")

    def _controllers_well(self) -> bool:
        """Whether one of them could work undisturbed in the last minutes."""
        return self.site.cloud.answers

    def _nothing_is_lost(self) -> None:
        """I4: a host that was dead for long stands in the journal, if anybody could see it and write it down."""
        watching = [
            name
            for name, controller in self.stage.controllers.items()
            if controller.on
            and not self.orders.froze(name, self._now() - 180.0)
            and self.life.connected_for(name) > 180.0
            and self._now() - controller.hearing.started > 180.0
        ]
        if not watching or not self.site.cloud.answers:
            return
        known = self.book.hosts()
        for name, host in self.plant.hosts.items():
            silent = self.life.silent_for(name) > 180.0 and self.life.dead_for(name) > 180.0
            if silent and name not in known and not self.nova.services[name]["forced_down"]:
                self.foul("I4", f"{name} is dead for {self.life.dead_for(name):g} s, and no incident says so")

    # -- who and when -------------------------------------------------------------------------------------------------------

    def _now(self) -> float:
        return self.site.clock.time

    def _who(self) -> str:
        process = self.site.processes.current
        return process.name if process else "nobody"

    def _acting(self) -> str | None:
        """The run whose process works at this moment."""
        name = re.sub(r"(\.\d+| lease)*$", "", self._who())
        return self.book.run_of(name)

    def _region_of(self, host: str) -> str | None:
        return self.story.given.hosts[host].segment


class Book:
    """The journal's file, as anybody can read it."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)

    def close(self) -> None:
        self._connection.close()

    def _all(self, sql: str, *values: t.Any) -> list[tuple[t.Any, ...]]:
        return self._connection.execute(sql, values).fetchall()

    def _one(self, sql: str, *values: t.Any) -> t.Any:
        rows = self._all(sql, *values)
        return rows[0][0] if rows else None

    def run_of(self, process: str) -> str | None:
        """The newest run of a process."""
        sql = "SELECT id FROM runs WHERE json_extract(holder, '$.process') = ? ORDER BY id DESC LIMIT 1"
        return t.cast(t.Optional[str], self._one(sql, process))

    def open_runs(self) -> int:
        return int(self._one("SELECT count(*) FROM runs WHERE state = 'open'"))

    def claim(self, host: str) -> str | None:
        return t.cast(t.Optional[str], self._one("SELECT run_id FROM claims WHERE host = ?", host))

    def holds_any(self, run: str | None) -> bool:
        return bool(self._one("SELECT count(*) FROM claims WHERE run_id = ?", run))

    def verdict(self, run: str, host: str) -> str | None:
        result = self._one("SELECT result FROM verdicts WHERE run_id = ? ORDER BY number DESC LIMIT 1", run)
        return json.loads(result).get(host, {}).get("verdict") if result else None

    def certified(self, run: str | None, host: str) -> bool:
        """Whether this very run has a valid certificate."""
        sql = "SELECT state FROM certificates WHERE run_id = ? AND host = ? ORDER BY number DESC LIMIT 1"
        return self._one(sql, run, host) == "valid"

    def certified_hosts(self) -> set[str]:
        return {row[0] for row in self._all("SELECT host FROM certificates WHERE state = 'valid'")}

    def vouched(self, host: str) -> bool:
        """Whether a person says that it is off."""
        rows = self._all("SELECT certificate FROM certificates WHERE host = ? AND state = 'valid'", host)
        return any(json.loads(row[0])["kind"] == "operator" for row in rows)

    def fenced_since(self, _seconds: float) -> set[str]:
        """Stories are shorter than an hour."""
        return {row[0] for row in self._all("SELECT host FROM certificates")}

    def recovering(self) -> set[str]:
        return {row[0] for row in self._all("SELECT host FROM incidents WHERE state = 'recovering'")}

    def recovered(self) -> list[tuple[str, str]]:
        return t.cast(t.Any, self._all("SELECT id, host FROM incidents WHERE state = 'recovered'"))

    def hosts(self) -> set[str]:
        return {row[0] for row in self._all("SELECT host FROM incidents")}

    def line(self, vm: str, run: str | None) -> str | None:
        sql = "SELECT state FROM ledger WHERE server_id = ? AND run_id = ? ORDER BY incident_id DESC LIMIT 1"
        return t.cast(t.Optional[str], self._one(sql, vm, run))

    def lines(self, incident: str) -> dict[str, Json]:
        columns = ("server_id", "state", "target", "former_state", "reason")
        sql = f"SELECT {', '.join(columns)} FROM ledger WHERE incident_id = ?"
        return {row[0]: dict(zip(columns, row)) for row in self._all(sql, incident)}

    def unfinished_use(self, host: str) -> bool:
        return bool(self._one("SELECT count(*) FROM reserved_uses WHERE host = ? AND state = 'taken'", host))


class Orders:
    """What operators did, by the timeline."""

    def __init__(self, story: Story, start: float) -> None:
        self._events = [(start + moment.at, moment.event, moment.what) for moment in story.timeline]
        self._hosts = story.given.hosts

    def against(self, host: str, segment: str | None, now: float, limits_known: bool) -> str | None:
        """A pause or disarm that covers a host."""
        found = []
        for at, event, what in self._events:
            if at >= now:
                break
            if event == "resume":
                kind = what.get("kind") if isinstance(what, dict) else None
                found = [order for order in found if kind not in (None, order[0])]
            elif event in ("pause", "disarm"):
                covered = {"cloud": True, "segment": what.get("name") == segment, "host": what.get("name") == host}
                lasts = what.get("for")
                ended = lasts is not None and (at + lasts <= now + 1.0 or not limits_known)
                if covered[what.get("scope", "cloud")] and not ended:
                    found.append((event, what))
        return f"{found[0][0]} {found[0][1]}" if found else None

    def raised(self, kind: str, name: str, now: float) -> int:
        """The highest number that a budget order allows."""
        found = [0]
        for at, event, what in self._events:
            if at <= now and event == "resume" and not isinstance(what, dict):
                found = [0]
            if at <= now and event == "budget":
                found.append(int(what.get("at_once", 0)))
        return max(found)

    def disabled(self, host: str, now: float) -> bool:
        """Whether an operator disabled it, and nobody enabled it since."""
        state = False
        for at, event, what in self._events:
            if at < now and event in ("disable", "enable") and host in self._named(what):
                state = event == "disable"
        return state

    def froze(self, controller: str, since: float) -> bool:
        """Whether a controller stood still at any time since."""
        frozen = False
        for at, event, what in self._events:
            if what == controller and event in ("controller_freezes", "controller_thaws"):
                if at >= since:
                    return True
                frozen = event == "controller_freezes"
        return frozen

    def enabled(self, host: str, now: float) -> bool:
        """Whether an operator has ever taken it into service again."""
        return any(at <= now and event == "enable" and host in self._named(what) for at, event, what in self._events)

    def by_hand(self, process: str) -> str | None:
        """The answer that a person gave with a run by hand; empty without one; None when nobody did."""
        if not process.startswith("ada on "):
            return None
        hosts = re.sub(r"(\.\d+| lease)*$", "", process).split(" ")[2:]
        given = [what for _at, event, what in self._events if event == "recover" and hosts == [what["hosts"]]]
        return "recover" if any(what.get("answer") == "recover" for what in given) else ""

    def answered(self, host: str, now: float) -> bool:
        """Whether a question about it was answered with ``recover``."""
        return any(
            at <= now and event == "answer" and what["verdict"] == "recover" and host in self._named(what["hosts"])
            for at, event, what in self._events
        )

    def _named(self, what: t.Any) -> list[str]:
        if what == "all":
            return list(self._hosts)
        if isinstance(what, dict):
            hosts = [n for n, h in self._hosts.items() if what.get("segment") in (None, h.segment)]
            return hosts[: max(1, len(hosts) * int(what.get("percent", 100)) // 100)]
        return list(what) if isinstance(what, list) else [what]


class Life:
    """Since when each host is what it is, by its own truth and by who could hear it."""

    def __init__(self, stage: Stage) -> None:
        self.site, self.plant = stage.site, stage.plant
        self.controllers = list(stage.controllers)
        self._since: dict[tuple[str, ...], float] = {}
        self.look()

    def look(self) -> None:
        """Something has changed."""
        now = self.site.clock.time
        for key, holds in self._states():
            if holds:
                self._since.setdefault(key, now)
            else:
                self._since.pop(key, None)

    def _states(self) -> t.Iterator[tuple[tuple[str, ...], bool]]:
        for controller in self.controllers:
            yield ("connected", controller), self._connected(controller)
        for name, host in self.plant.hosts.items():
            beats = self.site.beats._beats(host)
            shown = {controller: self._probed(controller, name) for controller in self.controllers}
            heard = host.monitor and self.site.monitored and self._monitored(name)
            yield ("healthy", name), self.plant.is_healthy(host)
            yield ("dead", name), not host.lives
            yield ("audible", name), beats or heard or any(shown.values())
            yield ("silent", name), not (beats or heard or any(shown.values()))
            yield ("dumping", name), host.power and host.system == "crashed"
            for controller in self.controllers:
                yield ("shown", name, controller), host.lives and (beats or shown[controller])

    def _connected(self, machine: str) -> bool:
        return all(self.site.links.reach(machine, CORE, network) for network in self.site.links.of(machine))

    def _probed(self, machine: str, host: str) -> bool:
        probe = self.site.topology["hosts"][host]["probe"]
        return bool(probe) and self.plant.hears(machine, host, self.site.admin)

    def _monitored(self, host: str) -> bool:
        networks = [name for name in self.site.links.networks if name != self.site.bmc_network]
        return any(self.plant.hears(name, host, network) for name in self.controllers for network in networks)

    def _for(self, *key: str) -> float:
        since = self._since.get(key)
        return 0.0 if since is None else self.site.clock.time - since

    def shown(self, host: str, machine: str) -> float:
        """Seconds since a run on this machine can see that it lives."""
        return self._for("shown", host, machine)

    def healthy_for(self, host: str) -> float:
        return self._for("healthy", host)

    def audible_for(self, host: str) -> float:
        return self._for("audible", host)

    def silent_for(self, host: str) -> float:
        return self._for("silent", host)

    def dead_for(self, host: str) -> float:
        return self._for("dead", host)

    def connected_for(self, machine: str) -> float:
        return self._for("connected", machine)

    def audible_dump(self, host: str) -> float:
        """Seconds since its crash kernel speaks, if a controller hears it."""
        links, admin = self.site.links, self.site.admin
        heard = any(links.reach(controller, host, admin) for controller in self.controllers)
        return self._for("dumping", host) if heard else 0.0
