# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``given.yml``: the site of a story as it is before anything happens. PRIVATE: may change at any time."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.bmc import KINDS
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.words import (
    Json,
    listed,
    mapping,
    one_of,
    seconds,
    whole,
)

KEYS = {
    "segments": "failover segments by name",
    "unassigned": "how many hosts are in no segment",
    "strangers": "how many hosts that Nova knows stand in no segments file",
    "hosts": "what is special about single hosts, by name",
    "vms": "further VMs by name",
    "groups": "server groups",
    "networks": "names of the networks; the first carries nova-compute and probes",
    "monitors": "whether hosts send signs of life to the controllers",
    "policy": "what stands in ha_policy.yml",
    "controllers": "how many controllers",
    "limits": "options of host_evacuate",
    "service_down_time": "Nova's option",
    "lasts": "when the story ends",
    "harm": "why harm cannot be avoided in this story",
}
SEGMENT_KEYS = {
    "hosts": "how many, or their names",
    "reserved": "how many of them are reserved (the last ones), or their names",
    "domain": "failure domain of its hosts",
    "vms": "VMs on each active host",
    "fencing": "levels of its hosts",
    "bmc": "kind of its BMCs",
    "room": "VMs that fit on a host",
    "recovery_method": "as in the segments file",
    "shared_storage": "as in the segments file",
    "allow_local_disk_loss": "as in the segments file",
    "protect": "as in the segments file",
    "priority": "as in the segments file",
}
HOST_KEYS = {
    "domain": "failure domain",
    "vms": "VMs on it",
    "fencing": "levels: lists of bmc and pdu, or kdump, kdump_proof, watchdog, operator",
    "watchdog": "whether its agent is armed, where it has a level watchdog",
    "bmc": "kind of its BMC",
    "pdu": "kind of its PDU outlet",
    "switches": "the host that its BMC really switches",
    "room": "VMs that fit",
    "probe": "whether it has a probe",
    "hypervisor": "the name that its hypervisor reports, if that is another one",
    "means": "the hosts that its reported name may mean",
}
VM_KEYS = {
    "host": "where it is",
    "state": "vm_state in Nova",
    "task": "task_state in Nova",
    "local_disk": "whether it has a disk on the host",
    "metadata": "its metadata",
    "size": "how much room it takes, 1 by default",
}
GROUP_KEYS = {"policy": "affinity, anti-affinity, soft-affinity or soft-anti-affinity", "members": "VMs"}

_SEGMENT_DEFAULTS: Json = {
    "recovery_method": "auto",
    "shared_storage": True,
    "allow_local_disk_loss": False,
    "protect": True,
    "priority": 500,
}
_NETWORKS = ["admin", "storage", "tenant"]
#: Words of levels; those that are no device stand alone in their level.
_LEVELS = ("bmc", "pdu", "kdump", "kdump_proof", "watchdog", "operator")
_WATCHDOG = ("armed", "unarmed")


@dataclasses.dataclass
class HostGiven:
    """One host before the story begins."""

    name: str
    segment: str | None
    role: str = "active"
    domain: str | None = None
    vms: int = 0
    levels: list[list[str]] = dataclasses.field(default_factory=lambda: [["bmc"]])
    bmc: str = "normal"
    pdu: str = "normal"
    switches: str | None = None
    room: int = 20
    probe: bool = True
    watchdog: str = "armed"
    means: list[str] | None = None
    hypervisor: str | None = None
    stranger: bool = False


@dataclasses.dataclass
class Given:
    """All of ``given.yml``, checked and with defaults."""

    hosts: dict[str, HostGiven]
    segments: dict[str, Json]
    vms: dict[str, Json]
    groups: list[Json]
    networks: list[str]
    monitors: bool
    policy: Json
    controllers: list[str]
    limits: Json
    service_down_time: float
    lasts: float | None
    harm: str | None


def read(data: t.Any, path: str = "given.yml") -> Given:
    """Check it.

    :raises ConfigError: Names the path of what is wrong.
    """
    data = mapping(data, KEYS, path)
    segments = {
        name: mapping(segment, SEGMENT_KEYS, f"{path}.segments.{name}")
        for name, segment in mapping(data.get("segments"), None, f"{path}.segments").items()
    }
    if not segments:
        raise ConfigError(f"{path}.segments: must name at least one segment, as in: rack1: {{hosts: 4}}.")
    hosts = _hosts(segments, whole(data.get("unassigned", 0), f"{path}.unassigned"), path)
    for host in _names(data.get("strangers", 0), len(hosts), f"{path}.strangers"):
        hosts[host] = HostGiven(host, None, vms=2, stranger=True)
    _special(hosts, mapping(data.get("hosts"), None, f"{path}.hosts"), f"{path}.hosts")
    networks = listed(data.get("networks", _NETWORKS))
    return Given(
        hosts=hosts,
        segments={name: _settings(segment) for name, segment in segments.items()},
        vms=_vms(data.get("vms"), hosts, f"{path}.vms"),
        groups=[mapping(group, GROUP_KEYS, f"{path}.groups") for group in listed(data.get("groups"))],
        networks=networks,
        monitors=bool(data.get("monitors", True)),
        policy=mapping(data.get("policy"), None, f"{path}.policy"),
        controllers=[f"ctl{n + 1}" for n in range(whole(data.get("controllers", 1), f"{path}.controllers"))],
        limits=mapping(data.get("limits"), None, f"{path}.limits"),
        service_down_time=seconds(data.get("service_down_time", 60), f"{path}.service_down_time"),
        lasts=seconds(data["lasts"], f"{path}.lasts") if "lasts" in data else None,
        harm=data.get("harm"),
    )


def _settings(segment: Json) -> Json:
    return {name: segment.get(name, default) for name, default in _SEGMENT_DEFAULTS.items()}


def _hosts(segments: dict[str, Json], unassigned: int, path: str) -> dict[str, HostGiven]:
    """Hosts are called cmp01, cmp02 … over all segments, unless they are named."""
    found: dict[str, HostGiven] = {}
    for name, segment in segments.items():
        here = f"{path}.segments.{name}"
        names = _names(segment.get("hosts", 3), len(found), f"{here}.hosts")
        reserved = _reserved(segment.get("reserved", 0), names, f"{here}.reserved")
        for host in names:
            found[host] = _host(host, name, segment, host in reserved, here)
    for host in _names(unassigned, len(found), path):
        found[host] = HostGiven(host, None, vms=2)
    return found


def _host(host: str, segment: str, given: Json, reserved: bool, path: str) -> HostGiven:
    return HostGiven(
        name=host,
        segment=segment,
        role="reserved" if reserved else "active",
        domain=given.get("domain"),
        vms=0 if reserved else whole(given.get("vms", 2), f"{path}.vms"),
        levels=_levels(given.get("fencing", [["bmc"]]), f"{path}.fencing"),
        bmc=one_of(given.get("bmc", "normal"), KINDS, f"{path}.bmc"),
        room=whole(given.get("room", 20), f"{path}.room"),
    )


def _names(given: t.Any, so_far: int, path: str) -> list[str]:
    if isinstance(given, list):
        return [str(name) for name in given]
    return [f"cmp{so_far + number:02}" for number in range(1, whole(given, path) + 1)]


def _reserved(given: t.Any, names: list[str], path: str) -> list[str]:
    if isinstance(given, list):
        return [one_of(name, names, path) for name in given]
    count = whole(given, path)
    return names[len(names) - count :] if count else []


def _special(hosts: dict[str, HostGiven], given: Json, path: str) -> None:
    for name, settings in given.items():
        host = hosts[one_of(name, hosts, path)]
        here = f"{path}.{name}"
        for key, value in mapping(settings, HOST_KEYS, here).items():
            if key == "fencing":
                host.levels = _levels(value, f"{here}.fencing")
            elif key in ("bmc", "pdu"):
                setattr(host, key, one_of(value, KINDS, f"{here}.{key}"))
            elif key == "watchdog":
                host.watchdog = one_of(value, _WATCHDOG, f"{here}.watchdog")
            elif key == "switches":
                host.switches = one_of(value, hosts, f"{here}.switches")
            elif key == "means":
                host.means = [one_of(other, hosts, f"{here}.means") for other in listed(value)]
            elif key in ("vms", "room"):
                setattr(host, key, whole(value, f"{here}.{key}"))
            else:
                setattr(host, key, value)


def _levels(given: t.Any, path: str) -> list[list[str]]:
    """A level may be written as one word."""
    found = [[one_of(name, _LEVELS, path) for name in listed(level)] for level in listed(given)]
    for level in found:
        if len(level) > 1 and not set(level) <= {"bmc", "pdu"}:
            raise ConfigError(f"{path}: only bmc and pdu can be together in a level, not {', '.join(level)}.")
    return found


def _vms(given: t.Any, hosts: t.Mapping[str, HostGiven], path: str) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for name, vm in mapping(given, None, path).items():
        settings = mapping(vm, VM_KEYS, f"{path}.{name}")
        one_of(settings.get("host"), hosts, f"{path}.{name}.host")
        found[name] = settings
    return found
