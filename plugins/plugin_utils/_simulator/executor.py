# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The outside of a recovery run: clock, lease, watch, devices. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import concurrent.futures
import functools
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute
from ansible_collections.openstack_ha.recovery.plugins.module_utils._evacuation_contract import Line
from ansible_collections.openstack_ha.recovery.plugins.module_utils._evacuation_world import RealWorld
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing import kdump
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import (
    Device,
    Level,
    Method,
    World,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.kdump import Kdump
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.operator import Operator
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.watchdog import Watchdog
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.lease import Lease
from ansible_collections.openstack_ha.recovery.plugins.module_utils._probe import ANSWERS, SILENT
from ansible_collections.openstack_ha.recovery.plugins.module_utils._run import Run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._watch import Watch
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.api import Api
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.bmc import SimulatedBmc
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.links import CORE
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.plant import Host
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.site import Json, Site

SILENT_FOR = 15.0
_KDUMP_INTERVAL = 10.0


class SimulatedRun(Run):
    """A run on one controller of a story."""

    def __init__(self, site: Site, run_id: str, hosts: t.Sequence[str] | None = None) -> None:
        super().__init__(site.journal, run_id, hosts)
        self.site = site

    @functools.cached_property
    def lease(self) -> Lease:
        """The same, on the simulated clock."""
        site = self.site
        return Lease.of_run(self.journal, self.id, self._working_on, clock=site.monotonic, sleep=site.processes.sleep)

    def step(self, name: str, host: str | None = None, at: float | None = None) -> None:
        """The same, on the simulated clock."""
        super().step(name, host, at if at is not None else self.site.monotonic())
        self.site.reached(name)


class SimulatedWatch(Watch):
    """Looks for signs of life without threads of its own."""

    def __init__(self, site: Site, machine: str, *args: t.Any) -> None:
        super().__init__(*args)
        self._ask = functools.partial(probe, site, machine)

    def _answers(self, urls: list[str]) -> dict[str, str]:
        return self._ask(urls, 0.5)


class SimulatedWorld(RealWorld):
    """See :class:`_evacuation_contract.World`: only clock, threads and endpoints are simulated."""

    def __init__(self, site: Site, machine: str, run: Run, probes: t.Mapping[str, list[str]], say: t.Any) -> None:
        self.site, self._machine = site, machine
        api = t.cast(t.Any, Api(machine, site.cloud, site.beats, site.processes))
        super().__init__(api, run, probes, SILENT_FOR, t.cast(t.Any, None), say)
        service = functools.partial(_compute.compute_service, api)
        self._watch = SimulatedWatch(site, machine, run, probes, service, SILENT_FOR, self.now, self.wait, say)

    def submit(self, function: t.Callable[..., t.Any], /, *args: t.Any) -> concurrent.futures.Future[t.Any]:
        """At once."""
        future: concurrent.futures.Future[t.Any] = concurrent.futures.Future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def now(self) -> float:
        """On the machine's simulated clock."""
        return self.site.monotonic()

    def wait(self, seconds: float, calls: t.Collection[concurrent.futures.Future[t.Any]] = ()) -> None:
        """All calls have ended when they are made."""
        self.site.processes.sleep(seconds)

    def record(self, line: Line) -> None:
        """The same."""
        super().record(line)
        self.site.reached(line.ledger_state())

    def take_reserved(self, host: str, instead_of: str) -> str:
        """The same, and it is logged."""
        why_not = super().take_reserved(host, instead_of)
        if not why_not:
            self.site.log.say(f"{self._machine}: {self.site.run_name(self._run.id)}: reserved host {host} taken")
            self.site.reached("reserved_taken")
        return why_not

    def start(self, server_id: str) -> None:
        """The same, and it is logged."""
        super().start(server_id)
        name = self.site.nova.servers[server_id]["name"]
        self.site.log.say(f"{self._machine}: {self.site.run_name(self._run.id)}: starts {name}")

    def ready(self, how: Json, server: Json) -> str:
        """What probes and tasks would say."""
        return "nobody answers" if server["id"] in self.site.unready else ""

    def problems(self, server: Json) -> list[str]:
        """Ports and volumes."""
        return self.site.nova.problems(server)


def probe(site: Site, machine: str, urls: t.Sequence[str], timeout: float) -> dict[str, str]:
    """Try to reach hosts over the admin network, and isolation addresses over theirs."""
    return {url: ANSWERS if _answers(site, machine, url) else SILENT for url in urls}


def _answers(site: Site, machine: str, url: str) -> bool:
    for network, settings in site.policy["networks"].items():
        if url in settings["isolation_addresses"]:
            return site.links.reach(machine, CORE, network)
    return site.plant.hears(machine, url.partition("//")[2].rpartition(":")[0], site.admin)


def fencing_world(site: Site, machine: str) -> World:
    """What fencing methods get from outside."""

    def nothing(*_args: t.Any, **_more: t.Any) -> t.NoReturn:
        raise ValueError("simulated devices run no commands and ask no web servers")

    ask = functools.partial(probe, site, machine)
    listen = functools.partial(SimulatedEar, site, machine)
    return World(nothing, nothing, ask, site.monotonic, site.processes.sleep, site.wall_text, listen)


class SimulatedEar:
    """Hears the messages of a crash kernel; see :class:`contract.Ear`."""

    def __init__(self, site: Site, machine: str, sources: t.Sequence[str], port: int, here: t.Sequence[str]) -> None:
        self._site, self._machine, self._source = site, machine, sources[0]
        self._next = 0.0

    def __enter__(self) -> SimulatedEar:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def hear(self, timeout: float) -> tuple[str, bytes] | None:
        """A message each ten seconds while the dump is written."""
        site, host = self._site, self._site.plant.hosts[_host_at(self._site, self._source)]
        if self._speaks(host) and site.clock.time >= self._next:
            self._next = site.clock.time + _KDUMP_INTERVAL
            return self._source, next(iter(kdump._MESSAGES))
        site.processes.sleep(timeout)
        return None

    def _speaks(self, host: Host) -> bool:
        dumping = host.power and host.system == "crashed" and self._site.clock.time < host.dumping_until
        return dumping and self._site.links.reach(self._machine, host.name, self._site.admin)


def _address(site: Site, host: str) -> str:
    """Documentation addresses, one for each host."""
    return f"2001:db8::{list(site.plant.hosts).index(host) + 1:x}"


def _host_at(site: Site, address: str) -> str:
    return list(site.plant.hosts)[int(address.rpartition(":")[2], 16) - 1]


def fencing_levels(site: Site, machine: str, host: str, world: World) -> list[Level]:
    """The levels of a host, as its controller would use them."""
    return [_level(site, machine, host, number, names, world) for number, names in enumerate(site.levels[host], 1)]


def _level(site: Site, machine: str, host: str, number: int, names: list[str], world: World) -> Level:
    if names == ["operator"]:
        return Level(number, [], alone=Operator({}, world))
    if names == ["watchdog"]:
        return Level(number, [], alone=Watchdog(_defaults(Watchdog), world))
    if names in (["kdump"], ["kdump_proof"]):
        options = {"from": [_address(site, host)], "accept": names == ["kdump_proof"]}
        wait = Kdump({**_defaults(Kdump), **options}, world)
        return Level(number, [], Kdump.LEVEL["timeout"]["default"], alone=wait)
    return Level(number, [_device(site, machine, f"{name}-{host}", world) for name in names])


def _defaults(method: type[Method]) -> Json:
    return {name: option["default"] for name, option in method.OPTIONS.items() if "default" in option}


def _device(site: Site, machine: str, name: str, world: World) -> Device:
    options = {
        "bmc": site.bmcs[name],
        "plant": site.plant,
        "processes": site.processes,
        "machine": machine,
        "network": site.bmc_network,
    }
    return SimulatedBmc(options, world)
