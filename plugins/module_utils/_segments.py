# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which compute host is in which failover segment. PRIVATE to this collection: may change at any time.

Pure functions from the segments file and Nova's answers to inventory variables (docs/architecture.md).
"""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._names import HostNames
from ansible_collections.openstack_ha.recovery.plugins.module_utils._segments_file import (
    HostSettings,
    Segment,
    SegmentsFile,
)

try:
    import netaddr
except ImportError:
    netaddr = None  # reported by default_probe()

Json = t.Dict[str, t.Any]

CAPACITY = ("vcpus", "vcpus_used", "memory_mb", "memory_mb_used", "local_gb", "local_gb_used", "running_vms")
_SSH = 22
_STANDING_GROUPS = ("failover_segments", "ha_reserved", "ha_down", "ha_forced_down", "ha_maintenance", "ha_unassigned")


@dataclasses.dataclass(frozen=True)
class ComputeHost:
    """One nova-compute service with its hypervisor, as Nova tells. Plain values: it is cached as JSON."""

    name: str
    service_id: str
    zone: str
    state: str
    status: str
    disabled_reason: str | None
    forced_down: bool
    hypervisor_id: str | None
    hypervisor_hostname: str | None
    host_ip: str | None
    capacity: dict[str, int | None]


@dataclasses.dataclass(frozen=True)
class Member:
    """One compute host with all that the file says about it; ``segment`` is None when it is in none."""

    host: ComputeHost
    segment: Segment | None
    role: str | None
    settings: HostSettings
    default_fencing: list[Json]

    @property
    def failure_domain(self) -> str | None:
        """Its own failure domain, or that of its segment."""
        return self.settings.failure_domain or (self.segment.failure_domain if self.segment else None)

    @property
    def fencing(self) -> list[Json]:
        """Its fencing levels: its own, or its segment's, or the file's; never a mixture."""
        for levels in (self.settings.fencing, self.segment.fencing if self.segment else None):
            if levels is not None:
                return levels
        return self.default_fencing

    @property
    def probe(self) -> list[str]:
        """What answers while the host lives."""
        return default_probe(self.host.host_ip) if self.settings.probe is None else self.settings.probe


def compute_hosts(services: t.Iterable[Json], hypervisors: t.Iterable[Json]) -> list[ComputeHost]:
    """Join Nova's services and hypervisors, ordered by name.

    A service with several hypervisors drives bare metal nodes, whose instances cannot be evacuated; it is left out.
    """
    of_host: dict[str, list[Json]] = collections.defaultdict(list)
    for hypervisor in hypervisors:
        of_host[hypervisor["service"]["host"]].append(hypervisor)
    return [
        _compute_host(service, next(iter(of_host[service["host"]]), {}))
        for service in sorted(services, key=lambda service: service["host"])
        if service["binary"] == "nova-compute" and len(of_host[service["host"]]) <= 1
    ]


def _compute_host(service: Json, hypervisor: Json) -> ComputeHost:
    return ComputeHost(
        name=service["host"],
        service_id=str(service["id"]),
        zone=service["zone"],
        state=service["state"],
        status=service["status"],
        disabled_reason=service.get("disabled_reason"),
        forced_down=bool(service.get("forced_down")),
        hypervisor_id=str(hypervisor["id"]) if hypervisor else None,
        hypervisor_hostname=hypervisor.get("hypervisor_hostname"),
        host_ip=hypervisor.get("host_ip"),
        capacity={key: hypervisor.get(key) for key in CAPACITY},
    )


def aggregate_facts(aggregates: t.Iterable[Json]) -> list[Json]:
    """What is needed, and therefore cached, of Nova's aggregates."""
    return [{key: aggregate[key] for key in ("name", "hosts", "metadata")} for aggregate in aggregates]


def assign(file: SegmentsFile, hosts: list[ComputeHost], aggregates: list[Json]) -> list[Member]:
    """Give every compute host its segment, role and settings.

    :raises ConfigError: A host is unknown, ambiguous or in two segments, or a segment has no host.
    """
    world = _World(hosts, aggregates)
    settings = _settings_by_host(file.hosts, world.names)
    places = _places(file.segments, world)
    members = []
    for host in hosts:
        segment, role = places.get(host.name) or (None, None)
        own = settings.get(host.name, HostSettings(host.name))
        members.append(Member(host, segment, role, own, file.fencing))
    return members


def _places(segments: list[Segment], world: _World) -> dict[str, tuple[Segment, str]]:
    places: dict[str, tuple[Segment, str]] = {}
    for segment in segments:
        for name, role in _roles(segment, world).items():
            other, _role = places.setdefault(name, (segment, role))
            if other is not segment:
                raise ConfigError(_in_two(name, other, segment))
    return places


class _World:
    """Nova's hosts and aggregates, ready to be asked."""

    def __init__(self, hosts: list[ComputeHost], aggregates: list[Json]) -> None:
        self.names = HostNames({host.name: host.hypervisor_hostname for host in hosts})
        self._zones = {host.name: host.zone for host in hosts}
        self._aggregates = aggregates

    def named(self, names: list[str], path: str) -> set[str]:
        return {self.names.resolve(name, f"{path}[{number}]") for number, name in enumerate(names)}

    def in_zone(self, zone: str, path: str) -> set[str]:
        if zone not in self._zones.values():
            there_are = _there_are(self._zones.values())
            raise ConfigError(f"{path}: no compute host is in availability zone '{zone}'. {there_are}")
        return {name for name, its_zone in self._zones.items() if its_zone == zone}

    def in_aggregate(self, name: str, path: str) -> set[str]:
        found = [aggregate for aggregate in self._aggregates if aggregate["name"] == name]
        if not found:
            raise ConfigError(
                f"{path}: Nova has no host aggregate '{name}'. {_there_are(a['name'] for a in self._aggregates)}"
            )
        return self._hosts_of(found)

    def with_metadata(self, pairs: dict[str, str]) -> set[str]:
        return self._hosts_of(
            [aggregate for aggregate in self._aggregates if pairs.items() <= (aggregate["metadata"] or {}).items()]
        )

    def _hosts_of(self, aggregates: list[Json]) -> set[str]:
        return {host for aggregate in aggregates for host in aggregate["hosts"] if host in self._zones}


def _there_are(names: t.Iterable[str]) -> str:
    return f"There are: {', '.join(sorted(set(names))) or 'none'}."


def _roles(segment: Segment, world: _World) -> dict[str, str]:
    reserved = world.named(segment.reserved_hosts, f"{segment.path}.reserved_hosts")
    members = _selected(segment, world) | reserved
    if segment.reserved_aggregate is not None:
        reserved |= members & world.in_aggregate(segment.reserved_aggregate, f"{segment.path}.reserved_aggregate")
    if not members:
        raise ConfigError(
            f"{segment.path}: has no compute host; correct what selects its hosts, or remove the segment."
        )
    return {name: "reserved" if name in reserved else "active" for name in sorted(members)}


def _selected(segment: Segment, world: _World) -> set[str]:
    if segment.hosts is not None:
        return world.named(segment.hosts, f"{segment.path}.hosts")
    if segment.aggregate is not None:
        return world.in_aggregate(segment.aggregate, f"{segment.path}.aggregate")
    if segment.availability_zone is not None:
        return world.in_zone(segment.availability_zone, f"{segment.path}.availability_zone")
    return world.with_metadata(segment.aggregate_metadata or {})


def _in_two(host: str, first: Segment, second: Segment) -> str:
    return (
        f"{second.path}: host '{host}' is in this segment and in {first.path}. A host can be in one segment only: "
        "take it out of one of them (or out of one of the overlapping aggregates)."
    )


def _settings_by_host(hosts: list[HostSettings], names: HostNames) -> dict[str, HostSettings]:
    found: dict[str, HostSettings] = {}
    for settings in hosts:
        path = f"hosts.{settings.name}"
        host = names.resolve(settings.name, path)
        if host in found:
            raise ConfigError(f"{path}: is the same host as hosts.{found[host].name}; merge the two.")
        found[host] = settings
    return found


def default_probe(host_ip: str | None) -> list[str]:
    """SSH of the address that the hypervisor reports, unless that says nothing about the machine."""
    if netaddr is None:
        raise RecoveryError("The Python package netaddr is not installed where the inventory is read.")
    try:
        address = netaddr.IPAddress(host_ip or "")
    except (netaddr.AddrFormatError, ValueError):
        return []
    if address.is_loopback() or not int(address):
        return []
    return [f"tcp://[{address}]:{_SSH}" if address.version == 6 else f"tcp://{address}:{_SSH}"]


def all_groups(file: SegmentsFile) -> list[str]:
    """All groups that exist even when no host is in them, so that playbooks can name them."""
    return [*_STANDING_GROUPS, *(segment.group for segment in file.segments)]


def groups_of(member: Member) -> list[str]:
    """The groups of one host, apart from those that the user composes."""
    host = member.host
    in_maintenance = host.status == "disabled" and "maintenance" in (host.disabled_reason or "").lower()
    wanted = {
        member.segment.group if member.segment else "ha_unassigned": True,
        "ha_reserved": member.role == "reserved",
        "ha_down": host.state == "down",
        "ha_forced_down": host.forced_down,
        "ha_maintenance": in_maintenance,
    }
    return [group for group, applies in wanted.items() if applies]


def host_variables(member: Member) -> Json:
    """The inventory variables of one host."""
    host = member.host
    return {
        "ha_segment": member.segment.name if member.segment else None,
        "ha_role": member.role,
        "ha_service_id": host.service_id,
        "ha_service_host": host.name,
        "ha_service_state": host.state,
        "ha_service_status": host.status,
        "ha_disabled_reason": host.disabled_reason,
        "ha_forced_down": host.forced_down,
        "ha_hypervisor_hostname": host.hypervisor_hostname,
        "ha_hypervisor_id": host.hypervisor_id,
        "ha_host_ip": host.host_ip,
        "ha_zone": host.zone,
        "ha_failure_domain": member.failure_domain,
        "ha_capacity": host.capacity,
        "ha_fencing": member.fencing,
        "ha_identity": member.settings.identity,
        "ha_probe": member.probe,
    }


def topology(file: SegmentsFile, members: t.Iterable[Member]) -> Json:
    """The variable ``ha_topology``: all segments and their hosts. Hosts in no segment are not part of it."""
    return {
        "segments": {segment.name: _segment_facts(segment) for segment in file.segments},
        "hosts": {member.host.name: _host_facts(member, member.segment) for member in members if member.segment},
    }


def _segment_facts(segment: Segment) -> Json:
    return {
        "recovery_method": segment.recovery_method,
        "shared_storage": segment.shared_storage,
        "allow_local_disk_loss": segment.allow_local_disk_loss,
        "protect": segment.protect,
        "priority": segment.priority,
    }


def _host_facts(member: Member, segment: Segment) -> Json:
    host = member.host
    return {
        "segment": segment.name,
        "role": member.role,
        "zone": host.zone,
        "failure_domain": member.failure_domain,
        "hypervisor_hostname": host.hypervisor_hostname,
        "hypervisor_id": host.hypervisor_id,
        "host_ip": host.host_ip,
        "probe": member.probe,
        "fencing_levels": len(member.fencing),
    }
