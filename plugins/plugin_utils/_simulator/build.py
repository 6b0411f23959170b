# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds the site of a story. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _policy_file, _replay
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.beats import Beats
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.bmc import Bmc
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.given import Given, HostGiven
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.links import Links
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.log import Log
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Nova
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.plant import Host, Plant
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.processes import Processes
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.site import Json, MachineClock, Site

RESERVED = "reserved for failover"
_MEMORY_MB = 1024


def build(given: Given, policy: Json | None = None) -> Site:
    """The site as it is before anything happens.

    :param policy: Contents of a policy file to use instead of the story's own.
    """
    clock = Clock()
    log = Log(lambda: clock.time)
    links = _links(given)
    plant = _plant(given, clock, links, log)
    nova = Nova(clock, given.hosts, [])
    cloud = FakeCloud(nova, {name: _room(host) for name, host in given.hosts.items()}, _groups(given))
    beats = Beats(plant, nova, given.networks[0], given.service_down_time)
    site = Site(
        clock=clock, processes=Processes(clock), log=log, links=links, plant=plant, nova=nova, cloud=cloud,
        beats=beats, topology=_topology(given), policy=_policy(given, policy), admin=given.networks[0],
        bmc_network="bmc", bmcs=_bmcs(given),
        levels={name: host.levels for name, host in given.hosts.items()}, limits=given.limits,
        watchdogs={name: host.watchdog == "armed" for name, host in given.hosts.items() if ["watchdog"] in host.levels},
        monitored=given.monitors, controllers=given.controllers,
        meant={name: host.means for name, host in given.hosts.items() if host.means},
    )  # fmt: skip
    for number, name in enumerate(given.controllers, 1):
        site.clocks[name] = MachineClock(since=clock.time - 10_000.0 * number)
    _servers(site, given)
    cloud.projects = {server["tenant_id"]: "tenant" for server in nova.servers.values()}
    cloud.hypervisors = {name: host.hypervisor for name, host in given.hosts.items() if host.hypervisor}
    nova.on_start, nova.works = plant.start_guest, plant.works
    plant.ours = lambda vm, host: _is_at(nova, vm, host)
    plant.on_boot = nova.host_returns
    plant.resumes = lambda vm: nova.servers[vm]["OS-EXT-STS:vm_state"] == "active"
    return site


def _links(given: Given) -> Links:
    """The network of the BMCs is always there: a host's name on it is the BMC."""
    links = Links([*given.networks, "bmc"])
    for name in given.hosts:
        links.attach(name, links.networks)
    for name in given.controllers:
        links.attach(name, [network for network in links.networks if network != "tenant"])
    return links


def _plant(given: Given, clock: Clock, links: Links, log: Log) -> Plant:
    plant = Plant(clock, links, log)
    for name, host in given.hosts.items():
        shared = given.segments[host.segment]["shared_storage"] if host.segment else True
        plant.hosts[name] = Host(name, host.segment, host.domain, shared)
    return plant


def _room(host: HostGiven) -> dict[str, int]:
    return {"VCPU": host.room, "MEMORY_MB": host.room * _MEMORY_MB}


def _groups(given: Given) -> list[Json]:
    return [{"id": f"group-{number}", **group} for number, group in enumerate(given.groups, 1)]


def _topology(given: Given) -> Json:
    return {
        "segments": given.segments,
        "hosts": {
            name: {
                "segment": host.segment,
                "role": host.role,
                "zone": "nova",
                "failure_domain": host.domain,
                "hypervisor_hostname": host.hypervisor or name,
                "hypervisor_id": f"rp-{name}",
                "fencing_levels": len(host.levels),
                "probe": [f"tcp://{name}:22"] if host.probe else [],
            }
            for name, host in given.hosts.items()
            if not host.stranger
        },
    }


def _policy(given: Given, policy: Json | None) -> Json:
    """A foreign policy may name what the story has not."""
    domains = {host.domain for host in given.hosts.values() if host.domain}
    if policy is not None:
        return _replay.complete(policy, given.segments, domains)
    return dict(_policy_file.parse(given.policy, given.segments, domains).values)


def _bmcs(given: Given) -> dict[str, Bmc]:
    found = {}
    for name, host in given.hosts.items():
        found[f"bmc-{name}"] = Bmc(f"bmc-{name}", name, host.bmc, host.switches)
        found[f"pdu-{name}"] = Bmc(f"pdu-{name}", name, host.pdu)
    return found


def _is_at(nova: Nova, vm: str, host: str) -> bool:
    return bool(nova.servers[vm]["OS-EXT-SRV-ATTR:host"] == host) and not nova.is_leaving(vm, host)


def _servers(site: Site, given: Given) -> None:
    for name, host in given.hosts.items():
        if host.role == "reserved":
            site.nova.services[name].update(status="disabled", disabled_reason=RESERVED)
        for number in range(1, host.vms + 1):
            _server(site, f"{name}-vm{number}", {"host": name})
    for name, vm in given.vms.items():
        _server(site, name, vm)


def _server(site: Site, name: str, vm: t.Mapping[str, t.Any]) -> None:
    host, state, size = vm["host"], vm.get("state", "active"), vm.get("size", 1)
    local = bool(vm.get("local_disk"))
    flavor = {"vcpus": size, "ram": size * _MEMORY_MB, "disk": 10 * local, "ephemeral": 0, "swap": 0, "extra_specs": {}}
    image = {"id": "image"} if local else ""
    site.nova.add(
        name, host, state, vm.get("task"), name=name, flavor=flavor, image=image, metadata=vm.get("metadata") or {}
    )
    if local:
        site.plant.local_disks.add(name)
    runs = state in ("active", "paused", "rescued", "resized")
    site.plant.hosts[host].guests[name] = runs
    site.homes[name] = host
    if runs:
        site.running.add(name)
