# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``timeline.yml``: what happens to machines, networks and Nova. PRIVATE: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator import nova
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.bmc import KINDS
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.log import names
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.stage import Stage
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.words import (
    listed,
    mapping,
    one_of,
    seconds,
)

Act = t.Callable[[], None]
Event = t.Callable[[Stage, t.Any, str], Act]

_FATES = {
    "no_host": nova.NO_HOST,
    "breaks": nova.BREAKS,
    "lost": nova.LOST,
    "slow": nova.Fate(takes=40.0),
    "very_slow": nova.Fate(takes=100.0),
}
_ENDLESS = {"never": nova.Fate(takes=1e9)}
_SILENT_FATES = {"times_out": nova.Fate(answer=None, obeyed=True, late=5.0), "is_lost": nova.Fate(None, obeyed=False)}
_OBJECTIONS = {
    "is_refused": nova.refuses(400, "The requested host does not support the server."),
    "errs": nova.Fate(answer=500, obeyed=True, said="Unexpected API Error."),
    "is_unavailable": nova.refuses(503, "Service unavailable."),
}
FATES = {**_FATES, **_SILENT_FATES, **_ENDLESS, **_OBJECTIONS}


def die(stage: Stage, what: t.Any, path: str) -> Act:
    """Hosts lose their power supply or mainboard."""
    hosts = stage.hosts(what, path)
    return stage.told(f"{names(hosts)}: dies", lambda: stage.plant.die(hosts))


def hang(stage: Stage, what: t.Any, path: str) -> Act:
    """Hosts fall silent on all networks; their guests are in memory and may go on."""
    hosts = stage.hosts(what, path)
    return stage.told(f"{names(hosts)}: hangs", lambda: stage.plant.set_system(hosts, "hung"))


def go_on(stage: Stage, what: t.Any, path: str) -> Act:
    """Hosts that hung go on as if nothing had been."""
    hosts = stage.hosts(what, path)
    return stage.told(f"{names(hosts)}: goes on", lambda: stage.plant.set_system(hosts, "running"))


def crash(stage: Stage, what: t.Any, path: str) -> Act:
    """The kernel of hosts crashes, and a crash kernel writes a dump for a time, 1 min unless told."""
    given = what if isinstance(what, dict) and "dump" in what else {"hosts": what}
    given = mapping(given, {"hosts": "", "dump": ""}, path)
    hosts, dump = stage.hosts(given.get("hosts"), path), seconds(given.get("dump", 60), f"{path}.dump")

    def act() -> None:
        for host in hosts:
            stage.plant.hosts[host].dumping_until = stage.site.clock.time + dump
        stage.plant.set_system(hosts, "crashed")

    return stage.told(f"{names(hosts)}: kernel crashes", act)


def boot(stage: Stage, what: t.Any, path: str) -> Act:
    """Hosts are switched on and start."""
    hosts = stage.hosts(what, path)

    def act() -> None:
        stage.plant.boot(hosts)
        stage.site.booted.update(dict.fromkeys(hosts, stage.site.clock.time))

    return stage.told(f"{names(hosts)}: boots", act)


def power_loss(stage: Stage, what: t.Any, path: str) -> Act:
    """A failure domain loses its power, BMCs and all."""
    domain = one_of(what, stage.domains(), path)

    def act() -> None:
        stage.plant.dark.add(domain)
        stage.plant.die(stage.in_domain(domain))

    return stage.told(f"power of {domain} is lost", act)


def power_back(stage: Stage, what: t.Any, path: str) -> Act:
    """A failure domain has power again and its hosts start."""
    domain = one_of(what, stage.domains(), path)
    start = boot(stage, {"domain": domain}, path)

    def act() -> None:
        stage.plant.dark.discard(domain)
        start()

    return stage.told(f"power of {domain} is back", act)


def agent_stops(stage: Stage, what: t.Any, path: str) -> Act:
    """The process nova-compute ends on hosts; their guests run on."""
    return _flag(stage, what, path, "agent", False, "nova-compute stops")


def agent_starts(stage: Stage, what: t.Any, path: str) -> Act:
    """The process nova-compute starts."""
    return _flag(stage, what, path, "agent", True, "nova-compute starts")


def monitor_stops(stage: Stage, what: t.Any, path: str) -> Act:
    """Our monitor ends on hosts."""
    return _flag(stage, what, path, "monitor", False, "monitor stops")


def monitor_starts(stage: Stage, what: t.Any, path: str) -> Act:
    """Our monitor starts on hosts."""
    return _flag(stage, what, path, "monitor", True, "monitor starts")


def cut(stage: Stage, what: t.Any, path: str) -> Act:
    """Hosts or controllers are cut off networks (all unless named), each alone unless ``together``."""
    machines, networks, together = _links(stage, what, path)
    told = f"{names(machines)}: cut off {', '.join(networks)}"
    return stage.told(told, lambda: stage.site.links.split(machines, networks, together))


def heal(stage: Stage, what: t.Any, path: str) -> Act:
    """The opposite of ``cut``."""
    machines, networks, _together = _links(stage, what, path)
    told = f"{names(machines)}: back on {', '.join(networks)}"
    return stage.told(told, lambda: stage.site.links.heal(machines, networks))


def bus_fails(stage: Stage, what: t.Any, path: str) -> Act:
    """The message bus loses the heartbeats of hosts."""
    hosts = stage.hosts(what, path)
    return stage.told(f"the message bus loses {names(hosts)}", lambda: stage.site.beats.silent_bus.update(hosts))


def bus_heals(stage: Stage, what: t.Any, path: str) -> Act:
    """The message bus carries the heartbeats of hosts again."""
    hosts = stage.hosts(what, path)
    told = f"the message bus carries {names(hosts)} again"
    return stage.told(told, lambda: stage.site.beats.silent_bus.difference_update(hosts))


def signals_late(stage: Stage, what: t.Any, path: str) -> Act:
    """Signs of life that are sent from now on reach a controller late, and after those that are sent later."""
    given = mapping(what, {"controller": "", "by": ""}, path)
    name = one_of(given.get("controller"), stage.controllers, f"{path}.controller")
    by = seconds(given.get("by"), f"{path}.by")
    return stage.told(f"signals reach {name} {by:g} s late", lambda: stage.site.late.update({name: by}))


def control_plane(stage: Stage, what: t.Any, path: str) -> Act:
    """nova-conductor or nova-scheduler go ``down`` or ``up``."""
    wanted = mapping(what, stage.site.cloud.control, path)
    for binary, state in wanted.items():
        one_of(state, ("up", "down"), f"{path}.{binary}")
    told = ", ".join(f"{binary} {state}" for binary, state in sorted(wanted.items()))
    return stage.told(told, lambda: stage.site.cloud.control.update(wanted))


def api(stage: Stage, what: t.Any, path: str) -> Act:
    """The OpenStack API goes ``down`` or ``up``."""
    up = one_of(what, ("up", "down"), path) == "up"
    return stage.told(f"the API is {what}", lambda: setattr(stage.site.cloud, "answers", up))


def nova_clock_jumps(stage: Stage, what: t.Any, path: str) -> Act:
    """The clock that Nova compares heartbeats with is set."""
    by = seconds(what, path)
    return stage.told(f"Nova's clock jumps by {by:g} s", lambda: stage.site.beats.jump(by))


def bmc(stage: Stage, what: t.Any, path: str) -> Act:
    """The BMC of hosts becomes another kind of BMC."""
    given = mapping(what, {"hosts": "", "is": "", "switches": ""}, path)
    hosts, kind = stage.hosts(given.get("hosts"), path), one_of(given.get("is", "normal"), KINDS, f"{path}.is")

    def act() -> None:
        for host in hosts:
            device = stage.site.bmcs[f"bmc-{host}"]
            device.kind, device.switches = kind, given.get("switches", device.switches)

    return stage.told(f"BMC of {names(hosts)} is {kind.replace('_', ' ')}", act)


def evacuations(stage: Stage, what: t.Any, path: str) -> Act:
    """The next evacuation requests of VMs come to an end of their own: see docs."""
    given = mapping(what, {"vms": "", "end": "", "times": ""}, path)
    fate = FATES[one_of(given.get("end"), FATES, f"{path}.end")]
    vms = [one_of(vm, stage.site.nova.servers, f"{path}.vms") for vm in listed(given.get("vms"))]

    def act() -> None:
        for vm in vms:
            stage.site.nova.fates.setdefault(vm, []).extend([fate] * int(given.get("times", 1)))

    return stage.told(f"evacuations of {names(vms)} will fail: {given['end']}", act)


def delete(stage: Stage, what: t.Any, path: str) -> Act:
    """The owner deletes VMs."""
    vms = [one_of(vm, stage.site.nova.servers, path) for vm in listed(what)]

    def act() -> None:
        for vm in vms:
            stage.site.nova.delete(vm)
            stage.site.homes.pop(vm, None)
            stage.site.running.discard(vm)
            for host in stage.plant.hosts.values():
                host.guests.pop(vm, None)

    return stage.told(f"{names(vms)}: deleted by its owner", act)


def _readiness(stage: Stage, what: t.Any, path: str, is_ready: bool) -> Act:
    vms = [one_of(vm, stage.site.nova.servers, path) for vm in listed(what)]

    def act() -> None:
        (stage.site.unready.difference_update if is_ready else stage.site.unready.update)(vms)

    return stage.told(f"{names(vms)}: {'' if is_ready else 'not '}ready for those that wait, once running", act)


def ready(stage: Stage, what: t.Any, path: str) -> Act:
    """VMs answer those that ask whether they are ready."""
    return _readiness(stage, what, path, True)


def unready(stage: Stage, what: t.Any, path: str) -> Act:
    """VMs do not answer those that ask whether they are ready."""
    return _readiness(stage, what, path, False)


def _flag(stage: Stage, what: t.Any, path: str, name: str, value: bool, told: str) -> Act:
    hosts = stage.hosts(what, path)

    def act() -> None:
        for host in hosts:
            setattr(stage.plant.hosts[host], name, value)

    return stage.told(f"{names(hosts)}: {told}", act)


def _links(stage: Stage, what: t.Any, path: str) -> tuple[list[str], list[str], bool]:
    given = mapping(what, {"hosts": "", "controllers": "", "networks": "", "together": ""}, path)
    machines = stage.hosts(given["hosts"], f"{path}.hosts") if "hosts" in given else []
    machines += [one_of(name, stage.controllers, f"{path}.controllers") for name in listed(given.get("controllers"))]
    if not machines:
        raise ConfigError(f"{path}: name hosts or controllers.")
    known = stage.site.links.networks
    networks = [one_of(name, known, f"{path}.networks") for name in listed(given.get("networks", known))]
    return machines, networks, bool(given.get("together", False))


EVENTS: dict[str, Event] = {
    function.__name__: function
    for function in (
        die, hang, go_on, crash, boot, power_loss, power_back, agent_stops, agent_starts, monitor_stops,
        monitor_starts, cut, heal, bus_fails, bus_heals, signals_late, control_plane, api, nova_clock_jumps, bmc,
        evacuations, delete, ready, unready,
    )
}  # fmt: skip
