# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads what an evacuation plan needs and has it planned. PRIVATE: may change at any time.

The reading is here and in :mod:`_vm_facts`, the reasoning in :mod:`_ha_policy`, :mod:`_vmstate` and :mod:`_planner`.
"""

from __future__ import annotations

import concurrent.futures
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute, _placement, _vm_facts
from ansible_collections.openstack_ha.recovery.plugins.module_utils._capacity import Amounts, Room
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud, Json
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._ha_policy import Protection, protection
from ansible_collections.openstack_ha.recovery.plugins.module_utils._healing import LEFT_TO_HEAT
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.states import LINE_UNDER_WAY
from ansible_collections.openstack_ha.recovery.plugins.module_utils._owners import LEFT_TO_OWNER
from ansible_collections.openstack_ha.recovery.plugins.module_utils._planner import Group, Host, Vm, plan
from ansible_collections.openstack_ha.recovery.plugins.module_utils._vmstate import UNDER_WAY, Step, next_step

#: Ledger states of VMs that are not seen to their end yet, wherever they are.
_NOT_FINAL = ("planned", "requesting", "requested", "landed", "started", "pending", "failed")


class Way(t.NamedTuple):
    """How VMs leave a host.

    :param records: Nova's records of such moves from a host, newest first. :param under_way: Their status meanwhile.
    :param next_step: Of a server, its segment, and its newest record; ``evacuate`` stands for any such move.
    :param roles: Recovery method instead of those that the segments have: the roles of hosts that may be targets.
    :param protected_only: VMs that the policy does not protect stay.
    :param rescues: It is the rescue of VMs, and each has its method; otherwise they all go.
    """

    records: t.Callable[[Cloud, str], list[Json]] = _compute.evacuations_from
    under_way: tuple[str, ...] = UNDER_WAY
    next_step: t.Callable[[Json, Json, t.Optional[Json]], Step] = next_step
    roles: str | None = None
    protected_only: bool = True
    rescues: bool = False


EVACUATION = Way(rescues=True)
#: Methods by which a VM is evacuated.
_EVACUATING = ("evacuate", "rebuild")


def make_plan(
    cloud: Cloud,
    topology: Json,
    failed: t.Sequence[str],
    ledger: t.Iterable[Json] = (),
    join_aggregates: bool = False,
    silent: t.Container[str] = (),
    way: Way = EVACUATION,
    policy: t.Mapping[str, t.Any] | None = None,
    overdue: t.Container[str] = (),
) -> Json:
    """Plan the recovery of all VMs of the failed hosts, as one plan.

    :param topology: The variable ``ha_topology`` of the inventory plugin.
    :param ledger: Lines that an earlier run of the same incident wrote.
    :param join_aggregates: Reserved hosts that are taken will join the aggregates of the host that they help.
    :param silent: Hosts that nobody hears; Nova may take them for up for a while yet, and what is sent there stays
        under way for ever.
    :param way: How the VMs leave their hosts; they are dead, or drained alive.
    :param policy: The complete policy; without one, its defaults.
    :param overdue: VMs whose owners have had the time to rescue them (method notify).
    :returns: ``lines`` in order, ``room`` left on targets, ``reserved_hosts`` that the plan uses, and
        ``reserved_for``: the failed host that each of them helps first. The ``reserves`` of a line are reserved
        hosts that are taken only when all its ``alternates`` have refused it.
    """
    for host in failed:
        if host not in topology["hosts"] or not topology["hosts"][host].get("segment"):
            raise ConfigError(f"{host} is in no failover segment, so no plan can be made for it.")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return _Planning(
            cloud, topology, list(failed), ledger, join_aggregates, silent, way, pool, policy or {}, overdue
        ).result()


class _Planning:
    def __init__(
        self,
        cloud: Cloud,
        topology: Json,
        failed: list[str],
        ledger: t.Iterable[Json],
        join_aggregates: bool,
        silent: t.Container[str],
        way: Way,
        pool: concurrent.futures.ThreadPoolExecutor,
        policy: t.Mapping[str, t.Any],
        overdue: t.Container[str],
    ) -> None:
        self._cloud = cloud
        self._hosts = topology["hosts"]
        self._segments = topology["segments"]
        self._failed = failed
        self._join_aggregates = join_aggregates
        self._silent = silent
        self._way = way
        self._policy = policy
        self._overdue = overdue
        self._ledger = {line["server_id"]: line for line in ledger}
        services = pool.submit(_compute.services, cloud, binary="nova-compute")
        groups = pool.submit(_compute.server_groups, cloud)
        servers = pool.map(lambda host: _compute.servers_on(cloud, host), failed)
        aggregates = pool.submit(_compute.aggregates, cloud)
        records = pool.map(lambda host: _newest(way.records(cloud, host)), failed)
        needs = pool.map(self._read_needs, failed)
        room = pool.submit(self._read_room)
        self._servers = dict(zip(failed, servers))
        self._gone = self._moved_servers(pool)
        self._facts = self._read_facts(aggregates.result(), pool)
        self._records, self._needs = dict(zip(failed, records)), dict(zip(failed, needs))
        self._services = {service["host"]: service for service in services.result()}
        self._room = room.result()
        self._groups = self._relevant(groups.result())

    def result(self) -> Json:
        vms = [vm for host in self._failed for vm in self._vms(host)]
        vms += [self._moved_vm(self._ledger[server_id], server) for server_id, server in self._gone.items()]
        roles = self._way.roles
        methods = {name: roles or segment["recovery_method"] for name, segment in self._segments.items()}
        targets = [target for target in self._targets() if self._usable(target)]
        for target in targets:
            target.joins = self._join_aggregates and not self._in_service(target.name)
        lines = plan(vms, targets, methods, self._room, self._groups, self._policy.get("restart"))
        used = self._reserved_used(lines)
        helped = {line["target"]: line["host"] for line in reversed(lines) if line["target"] in used}
        for line in lines:
            ranked = line["alternates"]
            line["alternates"] = [host for host in ranked if host in used or self._in_service(host)]
            line["reserves"] = [host for host in ranked if host not in line["alternates"]]
        return {"lines": lines, "room": self._room.as_data(), "reserved_hosts": used, "reserved_for": helped}

    # -- targets --------------------------------------------------------------------------------------

    def _targets(self) -> list[Host]:
        """All other hosts of the segments concerned."""
        concerned = {self._hosts[host]["segment"] for host in self._failed}
        return [
            Host(name, host["segment"], host["role"], host.get("zone") or "")
            for name, host in self._hosts.items()
            if host.get("segment") in concerned and name not in self._failed
        ]

    def _usable(self, target: Host) -> bool:
        """Heard, up, and enabled; or reserved, which is disabled until it is needed."""
        service = self._services.get(target.name)
        if target.name in self._silent or not service or service["state"] != "up" or service.get("forced_down"):
            return False
        kept_free = target.role == "reserved" and "maintenance" not in (service["disabled_reason"] or "").lower()
        return service["status"] == "enabled" or kept_free

    def _in_service(self, host: str) -> bool:
        """Nova would answer that it finds no valid host, and hide what the other targets lacked."""
        return bool(self._services[host]["status"] == "enabled")

    def _reserved_used(self, lines: list[Json]) -> list[str]:
        used = {line["target"] for line in lines if line["step"] == "evacuate"}
        return sorted(host for host in used if self._hosts[host]["role"] == "reserved")

    def _read_room(self) -> Room:
        providers = {target.name: self._hosts[target.name]["hypervisor_id"] for target in self._targets()}
        found = _placement.room_on(self._cloud, [provider for provider in providers.values() if provider])
        return Room({host: found[provider] for host, provider in providers.items() if provider in found})

    # -- VMs --------------------------------------------------------------------------------------------

    def _read_facts(self, aggregates: list[Json], pool: concurrent.futures.ThreadPoolExecutor) -> dict[str, Json]:
        servers = [server for host in self._failed for server in self._servers[host]]
        for server_id, server in self._gone.items():
            host = self._ledger[server_id]["host"]  # the policy is about them as they were
            servers += [{**server, "OS-EXT-SRV-ATTR:host": host}] if server else []
        segments = {name: host.get("segment") or "" for name, host in self._hosts.items()}
        return _vm_facts.read(self._cloud, servers, segments, self._policy, aggregates, pool.map)

    def _read_needs(self, host: str) -> dict[str, Amounts]:
        return _placement.allocations_on(self._cloud, self._hosts[host]["hypervisor_id"])

    def _vms(self, host: str) -> list[Vm]:
        """The VMs that Nova still believes on a failed host."""
        return [self._vm(server, host) for server in self._servers[host]]

    def _vm(self, server: Json, host: str) -> Vm:
        segment_name = self._hosts[host]["segment"]
        segment = self._segments[segment_name]
        earlier = self._ledger.get(server["id"], {})
        policy = self._protection(server["id"], host)
        record = self._records[host].get(server["id"])
        step = self._step(server, segment, record, policy)
        return Vm(
            id=server["id"],
            name=server["name"],
            project=server["tenant_id"],
            host=host,
            segment=segment_name,
            step=step.action,
            reason=step.reason,
            former=_former(server, earlier, step),
            reset=step.reset,
            note=earlier.get("facts", {}).get("note") or step.note,
            need=self._needs[host].get(server["id"]) or _flavor_need(server),
            zone=server.get("pinned_availability_zone") or server.get("OS-EXT-AZ:availability_zone") or "",
            zone_is_pinned=bool(server.get("pinned_availability_zone")),
            target=record.get("dest_compute") if record and step.action == "follow" else None,
            floor=_floor(record, following=step.action == "follow"),
            method=policy.method,
            **_said(policy),
        )

    def _protection(self, server_id: str, host: str) -> Protection:
        found = protection(self._facts[server_id], self._policy, self._segments[self._hosts[host]["segment"]])
        return found.after_deadline() if found.method == "notify" and server_id in self._overdue else found

    def _step(self, server: Json, segment: Json, record: Json | None, policy: Protection) -> Step:
        # Who is not evacuated loses nothing by it.
        lossy = policy.local_disk_loss or (self._way.rescues and policy.method not in _EVACUATING)
        step = self._way.next_step(server, {**segment, "allow_local_disk_loss": lossy}, record)
        if step.action != "evacuate":
            return step
        if self._way.protected_only and not policy.protected:
            return _unprotected(policy)
        return _by_method(policy) or step if self._way.rescues else step

    def _moved_servers(self, pool: concurrent.futures.ThreadPoolExecutor) -> dict[str, Json]:
        """VMs that an earlier run of this incident has moved but not verified, or for which others wait still."""
        here = {server["id"] for servers in self._servers.values() for server in servers}
        going_on = [it for it in self._ledger.values() if it["state"] in _NOT_FINAL]
        wanted = [it for it in [*going_on, *self._awaited(going_on)] if it["server_id"] not in here]
        found = zip(wanted, pool.map(lambda line: _compute.server(self._cloud, line["server_id"]), wanted))
        return {line["server_id"]: server or {} for line, server in found if server or line["state"] != "verified"}

    def _awaited(self, going_on: list[Json]) -> list[Json]:
        """Those that an earlier run has verified, and that may not be ready for those that wait for them."""
        awaited = {key for line in going_on for key in _facts(line).get("waits", ())}
        done = [line for line in self._ledger.values() if line["state"] == "verified"]
        return [line for line in done if self._way.rescues and awaited & {*_facts(line).get("keys", ())}]

    def _moved_vm(self, line: Json, server: Json) -> Vm:
        policy = self._protection(line["server_id"], line["host"]) if server else None
        return Vm(
            id=line["server_id"],
            name=line["name"],
            project=line["facts"]["project"],
            host=line["host"],
            segment=self._hosts[line["host"]]["segment"],
            step="done" if line["state"] == "verified" else "follow" if server else "skip",
            reason="was moved by an earlier run" if server else "was deleted meanwhile",
            note=line["facts"]["note"],
            former=line["former_state"],
            method=line["method"] or "evacuate",
            target=server.get("OS-EXT-SRV-ATTR:host"),
            **{**(_said(policy) if policy else {}), "priority": line["priority"]},
        )

    # -- server groups ----------------------------------------------------------------------------------

    def _relevant(self, groups: list[Json]) -> list[Group]:
        """Groups with a VM to move, with the living hosts of their other members."""
        moving = {server["id"] for servers in self._servers.values() for server in servers}
        return [self._group(group, moving) for group in groups if moving.intersection(group["members"])]

    def _group(self, group: Json, moving: set[str]) -> Group:
        hosts: dict[str, int] = {}
        for member in set(group["members"]):
            host = self._whereabouts(member, moving)
            if host:
                hosts[host] = hosts.get(host, 0) + 1
        policy = group.get("policy") or (group.get("policies") or [""])[0]
        limit = int((group.get("rules") or {}).get("max_server_per_host", 1))
        return Group(policy, set(group["members"]), hosts, limit)

    def _whereabouts(self, member: str, moving: set[str]) -> str | None:
        """The living host that a member of a group is on, or on its way to."""
        if member not in moving:
            return (_compute.server(self._cloud, member) or {}).get("OS-EXT-SRV-ATTR:host")
        for records in self._records.values():
            if member in records and records[member]["status"] in self._way.under_way:
                host: str | None = records[member]["dest_compute"]  # none before the scheduler has chosen
                return host
        return None


def _unprotected(policy: Protection) -> Step:
    if policy.unread:
        return Step("pending", f"may be protected, but {'; '.join(policy.unread)}; run again when that can be read")
    return Step("skip", f"is not protected: {policy.because}")


def _by_method(policy: Protection) -> Step | None:
    """What is done instead of an evacuation."""
    method, who = policy.method, policy.said_by.get("method", {}).get("source", "")
    if method == "restart":
        return Step("pending", f"comes back with its host: {who}")
    if method == "notify" and policy.deadline is not None and policy.otherwise not in (None, "none"):
        return Step("pending", f"{LEFT_TO_OWNER} for {policy.deadline:g} s, then {policy.otherwise}: {who}")
    if method == "heat":
        return Step("pending", f"{LEFT_TO_HEAT}: {who}")
    if method in ("notify", "none"):
        left_to = {"notify": LEFT_TO_OWNER, "none": "is left as it is"}
        return Step("skip", f"{left_to[method]}: {who}")
    return None


def _said(policy: Protection) -> Json:
    """What a line has of the policy, besides the method."""
    keys = ("priority", "otherwise", "deadline", "group", "after", "ready", "because", "local_disk_loss")
    return {**{key: getattr(policy, key) for key in keys}, "policy_notes": list(policy.notes)}


def _facts(line: Json) -> Json:
    """What the ledger says of a VM besides."""
    return line.get("facts") or {}


def _newest(records: t.Iterable[Json]) -> dict[str, Json]:
    """Of records, newest first, the newest of each server."""
    newest: dict[str, Json] = {}
    for record in records:
        newest.setdefault(record["instance_uuid"], record)
    return newest


def _former(server: Json, earlier: Json, step: Step) -> str:
    """Once we have reset a server, or an evacuation of it has failed, only the ledger knows how it was before."""
    ours = earlier.get("state") in LINE_UNDER_WAY or bool(earlier.get("attempts"))
    if earlier.get("former_state") and (ours or server.get("OS-EXT-STS:vm_state") == "error"):
        return str(earlier["former_state"])
    return step.former


def _floor(record: Json | None, following: bool) -> int:
    """Records up to this id are history; the one that is followed is not."""
    return record["id"] - following if record else 0


def _flavor_need(server: Json) -> Amounts:
    """What a server needs by its flavor, where Placement has no allocation of it."""
    flavor = server.get("flavor") or {}
    root = flavor.get("disk", 0) if server.get("image") else 0
    return {
        "VCPU": flavor.get("vcpus", 0),
        "MEMORY_MB": flavor.get("ram", 0),
        "DISK_GB": root + flavor.get("ephemeral", 0),
    }
