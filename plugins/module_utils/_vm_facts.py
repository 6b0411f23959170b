# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the facts that the HA policy is about. PRIVATE to this collection: may change at any time.

The facts of a VM are plain data: ``id``, ``name``, ``project`` (``id``, ``name``), ``user_id``, ``region``, ``cell``,
``zone``, ``aggregates`` (each ``name`` and ``metadata``), ``flavor`` (``name``, ``extra_specs``), ``image`` (``id``,
``name``, ``properties``, ``tags``; None where it was booted from a volume), ``metadata``, ``tags``,
``boot_from_volume``, ``local_disk`` and ``segment``. Its host is not among them. Where its project or image could not
be read, that has the reason as ``unread``, or as ``forbidden`` where this account may not read it.

However many VMs there are, aggregates are asked for once, each image once, and projects only where a rule is about
their names.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute, _ha_policy, _selectors
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud, Json
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._vmstate import has_local_disk

Facts = t.Dict[str, t.Any]
#: ``map``, or the same of a pool of threads.
Map = t.Callable[..., t.Iterable[t.Any]]

_PATIENCE = 10.0  # seconds; an image or a project that cannot be read must not hold up a recovery
_ID = re.compile(r"[0-9a-f]{32}")
#: Of an image's document, what is no property that somebody has set.
_OF_GLANCE = ("id", "name", "tags", "file", "schema", "self", "locations", "direct_url")


def read(
    cloud: Cloud,
    servers: t.Iterable[Json],
    segments: t.Mapping[str, str],
    policy: t.Mapping[str, t.Any],
    aggregates: t.Sequence[Json] | None = None,
    each: Map = map,
) -> dict[str, Facts]:
    """The facts of servers, by their ids.

    :param servers: As Nova shows them (2.47 or newer). :param segments: The failover segment of each host.
    :param policy: The complete policy. :param aggregates: As Nova shows them, if they have been read already.
    """
    found = list(servers)
    if aggregates is None:
        aggregates = _compute.aggregates(cloud) if found else []
    images = _by_id(lambda it: _image(cloud, it), (_image_id(server) for server in found), each)
    projects = _by_id(lambda it: _project(cloud, it), _unnamed(found, policy), each)
    reader = _Reader(cloud.region, segments, policy, aggregates, images, projects)
    return {server["id"]: reader.facts(server) for server in found}


class _Reader:
    def __init__(
        self,
        region: str,
        segments: t.Mapping[str, str],
        policy: t.Mapping[str, t.Any],
        aggregates: t.Sequence[Json],
        images: dict[str, Json],
        projects: dict[str, Json],
    ) -> None:
        self._region, self._segments, self._policy = region, segments, policy
        self._aggregates, self._images, self._projects = aggregates, images, projects

    def facts(self, server: Json) -> Facts:
        flavor, host = server.get("flavor") or {}, server.get("OS-EXT-SRV-ATTR:host") or ""
        zone = server.get("OS-EXT-AZ:availability_zone") or server.get("pinned_availability_zone") or ""
        project = server.get("tenant_id") or ""
        facts: Facts = {
            "id": server["id"],
            "name": server.get("name") or "",
            "project": self._projects.get(project) or {"id": project, "name": ""},
            "user_id": server.get("user_id") or "",
            "region": self._region,
            "cell": None,
            "zone": zone,
            "aggregates": self._of_host(host),
            "flavor": {"name": flavor.get("original_name") or "", "extra_specs": flavor.get("extra_specs") or {}},
            "image": self._images.get(_image_id(server)),
            "metadata": server.get("metadata") or {},
            "tags": server.get("tags") or [],
            "boot_from_volume": not server.get("image"),
            "local_disk": has_local_disk(server),
            "segment": self._segments.get(host) or "",
        }
        cells = _ha_policy.cells_of(facts, self._policy)
        return {**facts, "cell": cells[0] if len(cells) == 1 else None}

    def _of_host(self, host: str) -> list[Json]:
        mine = [aggregate for aggregate in self._aggregates if host and host in aggregate["hosts"]]
        named = ({"name": it["name"], "metadata": it.get("metadata") or {}} for it in mine)
        return sorted(named, key=lambda it: str(it["name"]))


def _by_id(ask: t.Callable[[str], t.Any], ids: t.Iterable[str], each: Map) -> dict[str, t.Any]:
    wanted = sorted({it for it in ids if it})
    return dict(zip(wanted, each(ask, wanted)))


def _image_id(server: Json) -> str:
    return str((server.get("image") or {}).get("id") or "")


def _image(cloud: Cloud, image_id: str) -> Json:
    """What Glance has of an image now; one that was deleted says nothing any more."""
    nothing = {"id": image_id, "name": "", "properties": {}, "tags": []}
    try:
        image = cloud.ask_once("image", "v2", f"/images/{image_id}", _PATIENCE)
    except CloudError as error:
        return nothing if error.facts.get("status") == 404 else {**nothing, **_not_read(error)}
    properties = {key: value for key, value in image.items() if key not in _OF_GLANCE}
    return {"id": image_id, "name": image.get("name") or "", "properties": properties, "tags": image.get("tags") or []}


def _unnamed(servers: list[Json], policy: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """Projects whose names somebody may ask for."""
    if _asks_for_names(policy):
        yield from (server.get("tenant_id") or "" for server in servers)


def _asks_for_names(policy: t.Mapping[str, t.Any]) -> bool:
    ha = policy.get("ha") or {}
    selectors = [rule["when"] for rule in ha.get("vms", [])]
    selectors += [rule["when"] for rule in ha.get("exclude", {}).values() if rule["enabled"]]
    by_name = any(not _ID.fullmatch(name) for name in ha.get("projects", {}))
    return by_name or any(_selectors.mentions(selector, "project") for selector in selectors)


def _project(cloud: Cloud, project: str) -> Json:
    try:
        name = cloud.ask_once("identity", "v3", f"/projects/{project}", _PATIENCE)["project"]["name"]
    except CloudError as error:
        return {"id": project, "name": "", **_not_read(error)}
    return {"id": project, "name": str(name)}


def _not_read(error: CloudError) -> Json:
    """What may be known on the next try is told apart from what this account may not read."""
    return {"forbidden" if error.facts.get("status") in (401, 403) else "unread": error.message}
