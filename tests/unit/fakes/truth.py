"""What is true in a story, and since when: about hosts, and about what operators want."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.links import CORE
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.stage import Stage
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.story import Story


class Orders:
    """What operators did, by the timeline."""

    def __init__(self, story: Story, start: float) -> None:
        self._events = [(start + moment.at, moment.event, moment.what) for moment in story.timeline]
        self._hosts = story.given.hosts

    def against(self, host: str, segment: str | None, now: float) -> str | None:
        """A pause or disarm that covers a host."""
        found: list[tuple[str, t.Any]] = []
        for at, event, what in self._events:
            if at >= now:
                break
            if event == "resume":
                kind = what.get("kind") if isinstance(what, dict) else None
                found = [order for order in found if kind not in (None, order[0])]
            elif event in ("pause", "disarm"):
                covered = {"cloud": True, "segment": what.get("name") == segment, "host": what.get("name") == host}
                lasts = what.get("for")
                ended = lasts is not None and at + lasts <= now + 1.0
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
        """Whether its monitor is heard by a controller, or by a host of its segment that one hears."""
        return self._hears(self.controllers, host) or self._hears(self._reporters(host), host)

    def _reporters(self, host: str) -> list[str]:
        segment = self.plant.hosts[host].segment
        near = [it.name for it in self.plant.hosts.values() if it.segment == segment and it.monitor and it.name != host]
        return [name for name in near if self._hears(self.controllers, name)]

    def _hears(self, machines: list[str], host: str) -> bool:
        networks = [name for name in self.site.links.networks if name != self.site.bmc_network]
        return any(self.plant.hears(name, host, network) for name in machines for network in networks)

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
