# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Nova calls of this collection, as plain data. PRIVATE to it: may change at any time."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Answer, Cloud, Json
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError

#: Oldest API that can be used: services are addressed by UUID (OpenStack Pike, 2017).
OLDEST = "2.53"
_PAGE = 1000


def services(cloud: Cloud, **filters: t.Any) -> list[Json]:
    """All services, or those of one ``binary`` or ``host``."""
    return list(cloud.get("compute", "/os-services", OLDEST, **filters)["services"])


def compute_service(cloud: Cloud, host: str) -> Json:
    """The nova-compute service of a host.

    :raises CloudError: Nova knows no nova-compute on that host.
    """
    found = services(cloud, binary="nova-compute", host=host)
    if len(found) != 1:
        raise CloudError(
            f"Nova has {len(found) or 'no'} nova-compute service{'s' * (len(found) != 1)} on host '{host}'. "
            "Use the name that `openstack compute service list` shows in the column Host."
        )
    return found[0]


def update_service(cloud: Cloud, service_id: str, change: Json) -> Json:
    """Change status, reason and forced_down of a service in one PUT; returns the service after it."""
    return dict(cloud.request("PUT", "compute", f"/os-services/{service_id}", OLDEST, json=change).body["service"])


def hypervisors(cloud: Cloud) -> list[Json]:
    """All hypervisors with their capacity figures, which 2.88 and newer no longer tell."""
    return _pages(cloud, "/os-hypervisors/detail", "hypervisors", cloud.best_microversion("2.87"))


def aggregates(cloud: Cloud) -> list[Json]:
    """All host aggregates with hosts and metadata."""
    return list(cloud.get("compute", "/os-aggregates", OLDEST)["aggregates"])


def servers_on(cloud: Cloud, host: str) -> list[Json]:
    """All servers, of all projects, that Nova believes to be on a host."""
    microversion = cloud.best_microversion("2.96")  # embedded flavor, lock, tags; 2.96 adds the pinned zone
    return _pages(cloud, "/servers/detail", "servers", microversion, all_tenants="1", host=host)


def newest_servers_on(cloud: Cloud, host: str, count: int) -> list[Json]:
    """The servers on a host that were started last; an evacuation starts a server anew."""
    newest = {"sort_key": "launched_at", "sort_dir": "desc", "limit": count}
    microversion = cloud.best_microversion("2.96")
    return list(cloud.get("compute", "/servers/detail", microversion, all_tenants="1", host=host, **newest)["servers"])


def server(cloud: Cloud, server_id: str) -> Json | None:
    """One server, or None when it is gone."""
    try:
        return dict(cloud.get("compute", f"/servers/{server_id}", cloud.best_microversion("2.96"))["server"])
    except CloudError as error:
        if error.facts.get("status") == 404:
            return None
        raise


def servers_named(cloud: Cloud, name: str) -> list[Json]:
    """All servers, of all projects, with exactly this name."""
    microversion = cloud.best_microversion("2.96")
    found = _pages(cloud, "/servers/detail", "servers", microversion, all_tenants="1", name=f"^{re.escape(name)}$")
    return [it for it in found if it["name"] == name]


def server_groups(cloud: Cloud) -> list[Json]:
    """All server groups of all projects, with policy and members."""
    groups: list[Json] = []
    microversion = cloud.best_microversion("2.64")  # 2.64: one policy with rules instead of a list
    while True:
        page = cloud.get(
            "compute", "/os-server-groups", microversion, all_projects="1", limit=_PAGE, offset=len(groups)
        )["server_groups"]
        groups += page
        if not page:
            return groups


def evacuations_from(cloud: Cloud, host: str) -> list[Json]:
    """Evacuation records whose source is this host, newest first. Nova keeps them until the host returns."""
    return _evacuations(cloud, {"source_compute": host, "migration_type": "evacuation"})


def evacuations_to(cloud: Cloud, host: str) -> list[Json]:
    """Evacuation records whose target is this host, newest first."""
    found = _evacuations(cloud, {"host": host, "migration_type": "evacuation"})
    return [record for record in found if record["dest_compute"] == host]


def _evacuations(cloud: Cloud, filters: Json) -> list[Json]:
    """Newest first by id: Nova sorts by its wall clock, which may have jumped."""
    if cloud.supports("2.59"):
        found = _pages(cloud, "/os-migrations", "migrations", "2.59", key="uuid", **filters)
    else:
        found = cloud.get("compute", "/os-migrations", OLDEST, **filters)["migrations"]
    return sorted(found, key=lambda migration: migration["id"], reverse=True)


def evacuate(cloud: Cloud, server_id: str, target: str, land_stopped: bool) -> Answer:
    """Ask Nova to evacuate a server to a host that its scheduler checks first. Never repeated blindly.

    2.95 leaves the server stopped on the target; 2.94 and older bring it up in its former power state.
    2.68 and newer always check the named host; 2.29 does unless ``force`` is true.
    """
    body: Json
    if land_stopped and cloud.supports("2.95"):
        microversion, body = "2.95", {"host": target}
    elif cloud.supports("2.68"):
        microversion, body = cloud.best_microversion("2.94"), {"host": target}
    else:
        microversion, body = "2.29", {"host": target, "force": False}
    return action(cloud, server_id, {"evacuate": body}, microversion)


def migrations_from(cloud: Cloud, host: str, *types: str) -> list[Json]:
    """The newest thousand records of moves of these types from a host that was alive, newest first."""
    microversion = cloud.best_microversion("2.59")  # before, all that there are; 2.23 tells types
    paged = {"limit": _PAGE} if cloud.supports("2.59") else {}
    found = cloud.get("compute", "/os-migrations", microversion, source_compute=host, **paged)["migrations"]
    wanted = [record for record in found if record["migration_type"] in types]
    return sorted(wanted, key=lambda migration: migration["id"], reverse=True)


def live_migrate(cloud: Cloud, server_id: str, target: str) -> Answer:
    """Ask Nova to move a server alive to a host that its scheduler checks first; how its disks go, Nova finds out."""
    body: Json = {"host": target, "block_migration": "auto"}
    if cloud.supports("2.68"):
        return action(cloud, server_id, {"os-migrateLive": body}, cloud.best_microversion("2.96"))
    return action(cloud, server_id, {"os-migrateLive": {**body, "force": False}}, cloud.best_microversion("2.67"))


def cold_migrate(cloud: Cloud, server_id: str, target: str) -> Answer:
    """Ask Nova to power a server off and move it to a host that its scheduler checks first (2.56)."""
    return action(cloud, server_id, {"migrate": {"host": target}}, cloud.best_microversion("2.96"))


def confirm_resize(cloud: Cloud, server_id: str) -> Answer:
    """What a cold migration has left on its source may go."""
    return action(cloud, server_id, {"confirmResize": None}, OLDEST)


def abort_live_migration(cloud: Cloud, server_id: str, migration_id: int) -> Answer:
    """Ask Nova to leave a server where it is; 2.65 and newer also while that waits for its turn."""
    path = f"/servers/{server_id}/migrations/{migration_id}"
    return cloud.request("DELETE", "compute", path, cloud.best_microversion("2.65"))


def action_message(cloud: Cloud, server_id: str, request_id: str) -> str:
    """What went wrong with a request, in Nova's words; empty if Nova says nothing."""
    path = f"/servers/{server_id}/os-instance-actions/{request_id}"
    found = cloud.get("compute", path, cloud.best_microversion("2.84"))["instanceAction"]
    said = [event.get("details") for event in found.get("events") or [] if event.get("result") == "Error"]
    return str(next((words for words in said if words), "") or found.get("message") or "").strip()


def reset_state(cloud: Cloud, server_id: str) -> Answer:
    """Set vm_state to active and clear task_state, in Nova's database only."""
    return action(cloud, server_id, {"os-resetState": {"state": "active"}}, OLDEST)


def stop(cloud: Cloud, server_id: str) -> Answer:
    """Power a server off."""
    return action(cloud, server_id, {"os-stop": None}, OLDEST)


def start(cloud: Cloud, server_id: str) -> Answer:
    """Power a server on. Nova refuses while it is on, or on its way."""
    return action(cloud, server_id, {"os-start": None}, OLDEST)


def action(cloud: Cloud, server_id: str, body: Json, microversion: str) -> Answer:
    """POST a server action."""
    return cloud.request("POST", "compute", f"/servers/{server_id}/action", microversion, json=body)


def _pages(cloud: Cloud, path: str, kind: str, microversion: str, /, key: str = "id", **params: t.Any) -> list[Json]:
    """Follow the paging links: Nova may give fewer items a page than asked for (``osapi_max_limit``)."""
    items: list[Json] = []
    marker: Json = {}
    while True:
        body = cloud.get("compute", path, microversion, limit=_PAGE, **params, **marker)
        items += body[kind]
        if not body.get(f"{kind}_links"):
            return items
        marker = {"marker": items[-1][key]}
