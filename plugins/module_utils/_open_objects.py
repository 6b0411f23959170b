# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Opens a run about VMs, units or networks of hosts by hand. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute, _objects, _recovery
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates_scene import OPERATOR
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import (
    INSTANCE,
    PROCESS,
    host_of,
    object_of,
    place,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal

Json = t.Dict[str, t.Any]


def places(cloud: Cloud, journal: Journal, kind: str, hosts: t.Sequence[str], objects: t.Sequence[str]) -> list[str]:
    """What a person has named: VMs by id or name, units of hosts, or hosts.

    A VM that a run was moving when it died is still about the host that it has failed on.

    :raises ConfigError: It is not certain what is meant.
    """
    if kind == INSTANCE:
        _need(bool(objects), "objects: which VMs? Give their ids or names.")
        begun = _objects.begun_at(journal, cloud.region)
        return sorted({_vm(cloud, name, hosts, begun) for name in objects})
    _need(bool(hosts), "hosts: on which hosts?")
    if kind == PROCESS:
        _need(bool(objects), "objects: which units?")
        return sorted({place(host, unit) for host in hosts for unit in objects})
    _need(not objects, "objects: a run about networks is about hosts as a whole.")
    return sorted(set(hosts))


def _need(given: bool, otherwise: str) -> None:
    if not given:
        raise ConfigError(otherwise)


def _vm(cloud: Cloud, name: str, hosts: t.Sequence[str], begun: t.Mapping[str, str]) -> str:
    server = _compute.server(cloud, name) or _named(cloud, name)
    host = begun.get(server["id"]) or server.get("OS-EXT-SRV-ATTR:host")
    _need(bool(host), f"objects: {name} is on no host: its status is {server.get('status')}.")
    _need(not hosts or host in hosts, f"objects: {name} is on {host}, not on {', '.join(hosts)}.")
    return place(str(host), server["id"])


def _named(cloud: Cloud, name: str) -> Json:
    found = _compute.servers_named(cloud, name)
    _need(bool(found), f"objects: Nova knows no server {name!r}.")
    ids = ", ".join(it["id"] for it in found)
    _need(len(found) == 1, f"objects: {name!r} is the name of {len(found)} servers; give one of these ids: {ids}.")
    return found[0]


def look(
    cloud: Cloud,
    journal: Journal,
    kind: str,
    wanted: t.Sequence[str],
    topology: Json,
    policy: Json,
    answer: Json | None,
) -> Json:
    """The snapshot for a decision that a person wants. :param answer: What that person says to what is asked."""
    hosts = _objects.host_facts(_compute.services(cloud), topology)
    snapshot = _objects.journal_facts(journal, cloud.region, kind, wanted, policy, hosts, topology)
    snapshot = {**snapshot, "caller": OPERATOR, **({"answer": answer} if answer else {})}
    return _objects.with_servers(cloud, snapshot, wanted, policy) if kind == INSTANCE else snapshot


def decide(snapshot: Json, wanted: t.Sequence[str], policy: Json) -> dict[str, Json]:
    """The verdicts on what was asked for; what else is wrong is a fact."""
    verdicts = _objects.DECIDERS[snapshot["kind"]](snapshot, policy)
    return {it: verdicts[it] for it in wanted}


def journaled(
    journal: Journal, run_id: str, snapshot: Json, wanted: t.Sequence[str], policy: Json, hashes: t.Sequence[str | None]
) -> dict[str, Json]:
    """Decide and journal it."""
    verdicts = decide(snapshot, wanted, policy)
    going = _recovery.decide_objects(journal, run_id, verdicts, snapshot, policy, *hashes)
    if not going:
        _recovery.finish(journal, run_id)
    return verdicts


def shown(found: t.Iterable[str], verdicts: t.Mapping[str, Json]) -> list[Json]:
    """Places, for a playbook."""
    return [
        {"host": host_of(it), "object": object_of(it), **{key: verdicts[it].get(key) for key in ("reaction", "reason")}}
        for it in found
    ]
