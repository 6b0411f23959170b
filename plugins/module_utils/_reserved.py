# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reserved hosts: found, taken into service, given back. PRIVATE: may change at any time."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute, _placement
from ansible_collections.openstack_ha.recovery.plugins.module_utils._capacity import Room
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud, Json
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._run import Run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._vmstate import UNDER_WAY

#: Written by the operator (or by us when a host is given back) so that people know why it is disabled.
DEFAULT_REASON = "reserved for failover"


def survey(cloud: Cloud, topology: Json, segment: str | None = None) -> list[Json]:
    """The reserved hosts of a segment, or of all, best first: usable ones by free memory, then the others."""
    services = {service["host"]: service for service in _compute.services(cloud, binary="nova-compute")}
    names = [
        name
        for name, host in topology["hosts"].items()
        if host.get("role") == "reserved" and host.get("segment") and segment in (None, host["segment"])
    ]
    ids = {name: topology["hosts"][name].get("hypervisor_id") for name in names}
    rooms = _placement.room_on(cloud, [provider for provider in ids.values() if provider])
    free = Room({name: rooms[ids[name]] for name in names if ids[name] in rooms}).as_data()
    found = [_entry(name, topology["hosts"][name], services.get(name), free.get(name, {})) for name in names]
    return sorted(found, key=lambda entry: (not entry["usable"], -entry["free"].get("MEMORY_MB", 0), entry["host"]))


def _entry(name: str, host: Json, service: Json | None, free: dict[str, int]) -> Json:
    why_not = unusable(service)
    return {
        "host": name,
        "segment": host["segment"],
        "usable": why_not is None,
        "why_not": why_not,
        "disabled_reason": (service or {}).get("disabled_reason"),
        "free": free,
    }


def unusable(service: Json | None) -> str | None:
    """Why a reserved host cannot be taken; None when it can."""
    if not service:
        return "Nova knows no nova-compute there"
    if service["state"] != "up" or service.get("forced_down"):
        return "its nova-compute is down"
    if service["status"] == "enabled":
        return "it is in service already"
    if "maintenance" in (service["disabled_reason"] or "").lower():
        return f"it is in maintenance ({service['disabled_reason']})"
    return None


def pick(cloud: Cloud, topology: Json, segment: str) -> str:
    """The best usable reserved host of a segment.

    :raises RecoveryError: none is usable; the message names each with its reason.
    """
    found = survey(cloud, topology, segment)
    if found and found[0]["usable"]:
        return str(found[0]["host"])
    reasons = "; ".join(f"{entry['host']}: {entry['why_not']}" for entry in found) or "it has none"
    raise RecoveryError(f"Segment {segment} has no reserved host that can be taken: {reasons}.", hosts=found)


@dataclasses.dataclass(frozen=True)
class Taking:
    """What must change to have a reserved host in service."""

    service: Json
    change: Json
    aggregates: list[Json]

    def carry_out(self, cloud: Cloud, recovery: Run | None) -> Json:
        """Do it; returns the service as it is then."""
        host = self.service["host"]
        if recovery:
            recovery.check()
            _note_use(recovery.journal, recovery.id, self.service)
        for aggregate in self.aggregates:
            join(cloud, aggregate, host)
        return _compute.update_service(cloud, self.service["id"], self.change) if self.change else self.service


def taking(cloud: Cloud, service: Json, like: str | None) -> Taking:
    """What taking a reserved host means.

    :param like: A host whose aggregates it is to join.
    :raises RecoveryError: It cannot be taken.
    """
    host, enabled = service["host"], service["status"] == "enabled"
    if not enabled and unusable(service):
        raise RecoveryError(f"Reserved host {host} cannot be taken: {unusable(service)}.")
    aggregates = missing_aggregates(cloud, host, like) if like else []
    return Taking(service, {} if enabled else {"status": "enabled"}, aggregates)


def _note_use(journal: Journal, run_id: str, service: Json) -> None:
    """Journal the former reason before it is gone; from a run that has taken the host already, if need be."""
    reason = service["disabled_reason"]
    if service["status"] == "enabled":
        earlier = journal.reserved_uses(host=service["host"], state="taken")
        if not earlier:
            return  # in ordinary service: nothing to give back
        reason = earlier[-1]["reason_before"]
    journal.use_reserved(run_id, service["host"], None, reason)


def missing_aggregates(cloud: Cloud, host: str, like: str) -> list[Json]:
    """Aggregates that one host is in and the other is not."""
    return [entry for entry in _compute.aggregates(cloud) if like in entry["hosts"] and host not in entry["hosts"]]


def join(cloud: Cloud, aggregate: Json, host: str) -> None:
    """Add a host to an aggregate; being in it already is fine."""
    try:
        cloud.request(
            "POST",
            "compute",
            f"/os-aggregates/{aggregate['id']}/action",
            _compute.OLDEST,
            json={"add_host": {"host": host}},
        )
    except CloudError as error:
        if error.facts.get("status") != 409:
            raise


def used_by(cloud: Cloud, host: str) -> list[str]:
    """What keeps a host from being given back: servers on it, and evacuations on their way to it."""
    servers = [f"server {server['id']}" for server in _compute.servers_on(cloud, host)]
    coming = [
        f"evacuation of {record['instance_uuid']}"
        for record in _compute.evacuations_to(cloud, host)
        if record["status"] in UNDER_WAY
    ]
    return servers + coming


def shown(service: t.Mapping[str, t.Any]) -> Json:
    """The part of a service that taking and returning changes."""
    return {name: service.get(name) for name in ("host", "status", "disabled_reason")}
