# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one controller hears, and the snapshot it makes of it. PRIVATE to this collection: may change at any time.

Everything is dated by the controller's own monotonic clock, at the moment of hearing; a restart forgets it all.
"""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute, _snapshot
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.api import Api
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.plant import Host
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.site import Json, Site

#: Seconds of silence after which a monitor counts as not heard.
SILENCE = 30.0
_PEERS = 3
_UNKNOWN: Json = dict.fromkeys(("in_flight", "fences", "orders", "storm"))


class _Remembered:
    """What Nova told last: which services there are and how people have set them is still known."""

    def __init__(self, services: t.Mapping[str, Json]) -> None:
        self._services = services

    def get(self, *_what: t.Any, **_more: t.Any) -> Json:
        """The services."""
        return {"services": list(self._services.values())}


def _forget_nova(facts: Json) -> None:
    """Whether its service lives is what is not known any more."""
    facts["state"] = None
    if "nova" in facts.get("witnesses", {}):
        facts["witnesses"]["nova"] = "unknown"


class Hearing:
    """The memory of one controller."""

    def __init__(self, site: Site, machine: str) -> None:
        self.site, self.machine = site, machine
        self.api = Api(machine, site.cloud, site.beats, site.processes)
        self.started = site.clock.time
        #: Where hosts send signs of life; behind the other one are only BMCs.
        self.networks = [name for name in site.links.networks if name != site.bmc_network]
        #: By host and network: when each reporter heard it last, and since when each has listened.
        self._heard: dict[tuple[str, str], dict[str, float]] = {}
        self._listening: dict[tuple[str, str], dict[str, float]] = {}
        self._reporting: dict[str | None, list[str]] = {}
        self._kdump: dict[str, tuple[float, float]] = {}
        self._late: list[tuple[float, tuple[str, str], str]] = []
        self._suspected: dict[str, float] = {}
        self.services: dict[str, Json] = {}
        self.api_answers = False

    # -- listening ----------------------------------------------------------------------------------------------

    def listen(self) -> None:
        """Take in what there is to hear now."""
        now = self.site.clock.time
        self._reporting = self._those_who_report()
        for name, host in self.site.plant.hosts.items():
            for network in self.networks:
                self._listen_to(name, network, now)
            self._listen_to_kdump(host, now)
        self._take_in(now)
        self._sight()
        self._read_nova()
        if self.api_answers:
            self.site.board[self.machine] = (now, {name: self._word(name) for name in self.site.plant.hosts})

    def _sight(self) -> None:
        """Agents that would reset their host are journaled when they are heard."""
        if not (self.site.watchdogs and self.reaches_journal()):
            return
        for name, armed in self.site.watchdogs.items():
            if any(self.site.plant.hears(self.machine, name, network) for network in self.networks):
                self.site.journal.sight(self.site.region, name, self.machine, armed)

    def _listen_to(self, host: str, network: str, now: float) -> None:
        plant, links = self.site.plant, self.site.links
        reporters = [self.machine] if network in links.of(self.machine) else []
        reporters += self._peers(host)
        before = self._listening.get((host, network), {})
        self._listening[host, network] = {reporter: before.get(reporter, now) for reporter in reporters}
        due = now + self.site.late.get(self.machine, 0.0)
        if plant.hosts[host].monitor:
            heard = [reporter for reporter in reporters if plant.hears(reporter, host, network)]
            self._late += [(due, (host, network), reporter) for reporter in heard]

    def _take_in(self, now: float) -> None:
        """What was sent counts from when it is heard, however late, and as often as it is."""
        for due, where, reporter in self._late:
            if due <= now:
                self._heard.setdefault(where, {})[reporter] = now
        self._late = [signal for signal in self._late if signal[0] > now]

    def _peers(self, host: str) -> list[str]:
        """Some hosts of the same segment whose reports arrive here."""
        near = self._reporting.get(self.site.plant.hosts[host].segment, [])
        return [other for other in near[: _PEERS + 1] if other != host][:_PEERS]

    def _those_who_report(self) -> dict[str | None, list[str]]:
        """By segment."""
        found: dict[str | None, list[str]] = {}
        for host in self.site.plant.hosts.values():
            if host.monitor and any(self.site.plant.hears(self.machine, host.name, name) for name in self.networks):
                found.setdefault(host.segment, []).append(host.name)
        return found

    def _listen_to_kdump(self, host: Host, now: float) -> None:
        dumping = host.power and host.system == "crashed" and now < host.dumping_until
        if dumping and self.site.links.reach(self.machine, host.name, self.site.admin):
            first, _last = self._kdump.get(host.name, (now, now))
            self._kdump[host.name] = (first, now)

    def _read_nova(self) -> None:
        try:
            found = _compute.services(self.api)  # type: ignore[arg-type]  # a simulated cloud
        except CloudError:
            self.api_answers = False
            return
        self.api_answers = True
        self.services = {service["host"]: service for service in found if service["binary"] == "nova-compute"}

    # -- telling ------------------------------------------------------------------------------------------------

    def reaches_journal(self) -> bool:
        """One controller has it in a file of its own; several share a database that is where the API is."""
        return len(self.site.controllers) < 2 or self.api.reachable()

    def suspects(self, but: t.Container[str]) -> list[str]:
        """Hosts that are silent, or lost on some network."""
        found = []
        for host in self.site.plant.hosts:
            lost = any(report["state"] == "lost" for report in self._networks(host).values())
            if host not in but and (lost or self._silent(host) or host in self._kdump):
                found.append(host)
        now = self.site.clock.time
        self._suspected = {host: self._suspected.get(host, now) for host in found}
        return sorted(found)

    def snapshot(self, suspects: t.Sequence[str], caller: str, journal: Json) -> Json:
        """One JSON document for the gates.

        :param journal: What the journal knows.
        """
        taken = _snapshot.take(self._cloud(), self.site.topology, suspects, caller, 0.5, self.site.policy)
        taken["observer"].update(name=self.machine, up_for=self._up_for_itself(), api=self.api_answers)
        for host, facts in taken["hosts"].items():
            if not self.api_answers:
                _forget_nova(facts)
            facts.update(self._heard_of(host, facts, host in suspects))
        return _snapshot.merge({**_UNKNOWN, **taken, "responders": len(self.site.controllers)}, journal)

    def by_hand(self, suspects: t.Sequence[str], journal: Json) -> Json:
        """What recovery_run looks at: Nova, probes and the journal, but nothing that was heard from monitors."""
        taken = _snapshot.take(self.api, self.site.topology, suspects, _snapshot.OPERATOR, 0.5, self.site.policy)  # type: ignore[arg-type]
        taken["observer"]["name"] = self.machine
        for host, facts in taken["hosts"].items():
            facts["names"] = self.site.meant.get(host, facts["names"])
        return _snapshot.merge({**_UNKNOWN, **taken}, journal)

    def _cloud(self) -> t.Any:
        return self.api if self.api_answers else _Remembered(self.services)

    def _up_for_itself(self) -> float:
        return self.site.clock.time - self.started

    def _heard_of(self, host: str, facts: Json, suspected: bool) -> Json:
        """What this controller and the others add to what Nova says."""
        found: Json = {
            "names": self.site.meant.get(host, facts["names"]),
            "up_for": self._up_for(host),
            "networks": self._networks(host),
            "kdump": self._dump(host),
            "silent": facts["silent"] or self._word(host) == "down",
        }
        if suspected:
            found["suspected_for"] = self._suspected_for(host)
            found["witnesses"] = {**facts["witnesses"], **self._witnesses(host)}
        return found

    def _silent(self, host: str) -> bool:
        service = self.services.get(host)
        down = bool(self.api_answers and service and service["state"] == "down" and not service["forced_down"])
        return down or self._word(host) == "down"

    def _word(self, host: str) -> str:
        """What this controller says as a witness."""
        if not self.site.monitored:
            return "unknown"
        words = set(self._of_networks(host).values())
        return "up" if "alive" in words else "down" if "lost" in words else "unknown"

    def _networks(self, host: str) -> Json:
        states = self._of_networks(host) if self.site.policy.get("networks") else {}
        return {network: {"state": state, **self._reports(host, network)} for network, state in states.items()}

    def _reports(self, host: str, network: str) -> Json:
        """Who hears it there, and who has listened for long enough to say that it is lost."""
        now, heard = self.site.clock.time, self._heard.get((host, network), {})
        alive = sorted(reporter for reporter, last in heard.items() if now - last < SILENCE)
        listening = self._listening.get((host, network), {})
        lost = sorted(name for name, since in listening.items() if name not in alive and now - since >= SILENCE)
        return {"lost": lost, "alive": alive}

    def _of_networks(self, host: str) -> dict[str, str]:
        if not self.site.monitored:
            return {}
        return {network: self._of_network(host, network) for network in self.networks}

    def _of_network(self, host: str, network: str) -> str:
        where = (host, network)
        heard = max(self._heard.get(where, {}).values(), default=self.started)
        if self.site.clock.time - heard < SILENCE:
            return "alive" if where in self._heard else "unknown"
        return "lost" if self._listening.get(where) else "unknown"

    def _witnesses(self, host: str) -> dict[str, str]:
        if not self.site.monitored:
            return {}
        return {self.machine: self._word(host), **{other: self._said_by(other, host) for other in self._others()}}

    def _others(self) -> list[str]:
        return sorted(name for name in self.site.board if name != self.machine)

    def _said_by(self, other: str, host: str) -> str:
        at, words = self.site.board[other]
        return words.get(host, "unknown") if self.site.clock.time - at < SILENCE else "unknown"

    def _up_for(self, host: str) -> float | None:
        """Monitors tell since when their host is up."""
        booted = self.site.booted.get(host)
        heard = self._word(host) == "up" and booted is not None
        return self.site.clock.time - t.cast(float, booted) if heard else None

    def _suspected_for(self, host: str) -> float:
        return self.site.clock.time - self._suspected.get(host, self.site.clock.time)

    def _dump(self, host: str) -> Json | None:
        if host not in self._kdump:
            return None
        first, last = self._kdump[host]
        return {"last": self.site.clock.time - last, "for": self.site.clock.time - first}
