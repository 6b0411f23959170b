# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An authenticated cloud whose Nova and Placement are simulated. PRIVATE: may change at any time.

A call that it does not know is an error of who makes it.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Answer
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Json, Nova


class FakeCloud:
    """See :class:`_cloud.Cloud`.

    :param room: Capacity of each host by resource class; usage is what the servers on it need.
    """

    region = "RegionOne"

    def __init__(self, nova: Nova, room: t.Mapping[str, t.Mapping[str, int]], groups: t.Sequence[Json] = ()) -> None:
        self.nova, self.room, self.groups = nova, room, list(groups)
        nova.fits = self._fits
        self.aggregates: list[Json] = []
        #: By id, or why one cannot be read.
        self.images: dict[str, Json | Exception] = {}
        self.projects: dict[str, str] = {}
        self.changes: list[tuple[str, str, t.Any]] = []
        self.microversion: str | None = None
        self.answers = True
        #: Names that hypervisors report, where they are not those of the services.
        self.hypervisors: dict[str, str] = {}
        self.control = {"nova-conductor": "up", "nova-scheduler": "up"}

    def supports(self, microversion: str) -> bool:
        return _version(microversion) <= _version(self.nova.newest)

    def best_microversion(self, wanted: str) -> str:
        return wanted if self.supports(wanted) else self.nova.newest

    def has(self, service: str) -> bool:
        return False

    def ask_once(self, service: str, version: str, path: str, seconds: float) -> Json:
        return self.request("GET", service, f"/{version}{path}").body

    def get(self, service: str, path: str, microversion: str | None = None, **params: t.Any) -> Json:
        return self.request("GET", service, path, microversion, params=params).body

    def request(
        self,
        method: str,
        service: str,
        path: str,
        microversion: str | None = None,
        params: t.Any = None,
        json: t.Any = None,
        retry: bool | None = None,
    ) -> Answer:
        if method != "GET":
            self.changes.append((method, path, json))
        self.microversion = microversion
        parts = path.strip("/").split("/")
        handler = getattr(self, f"_{method}_{parts[0].replace('-', '_')}".lower())
        return Answer(200, handler(parts[1:], params or {}, json), "req-fake")

    # -- Nova -----------------------------------------------------------------------------------------------

    def _get_os_services(self, rest: list[str], params: Json, body: Json) -> Json:
        others = [
            {"id": binary, "binary": binary, "host": "ctl1", "state": state, "status": "enabled"}
            for binary, state in self.control.items()
        ]
        found = [*self.nova.services.values(), *others]
        wanted = {key: params[key] for key in ("binary", "host") if key in params}
        return {"services": [dict(it) for it in found if all(it[key] == wanted[key] for key in wanted)]}

    def _put_os_services(self, rest: list[str], params: Json, body: Json) -> Json:
        service = next(it for it in self.nova.services.values() if it["id"] == rest[0])
        service.update(body)
        if body.get("status") == "enabled":
            service["disabled_reason"] = None
        if body.get("forced_down"):
            service["state"] = "down"
        return {"service": dict(service)}

    def _get_servers(self, rest: list[str], params: Json, body: Json) -> Json:
        if rest != ["detail"]:
            server = self.nova.server(rest[0])
            return {"server": self._shown(server)} if server else _not_found(rest[0])
        found = [
            it
            for it in self.nova.servers.values()
            if it["OS-EXT-SRV-ATTR:host"] == params.get("host", it["OS-EXT-SRV-ATTR:host"])
            and re.search(params.get("name", ""), it["name"])
        ]
        return {"servers": [self._shown(server) for server in found]}

    def _shown(self, server: Json) -> Json:
        host = server["OS-EXT-SRV-ATTR:host"]
        return {**server, "OS-EXT-SRV-ATTR:hypervisor_hostname": self.hypervisors.get(host, host)}

    def _post_servers(self, rest: list[str], params: Json, body: Json) -> Json:
        [(action, options)] = body.items()
        if action == "evacuate":
            self.nova.evacuate(rest[0], options["host"], self.microversion == "2.95")
        elif action == "os-stop":
            self.nova.stop(rest[0])
        elif action == "os-start":
            self.nova.start(rest[0])
        else:
            self.nova.reset_state(rest[0])
        return {}

    def _get_os_server_groups(self, rest: list[str], params: Json, body: Json) -> Json:
        return {"server_groups": [] if params.get("offset") else self.groups}

    def _get_os_migrations(self, rest: list[str], params: Json, body: Json) -> Json:
        if "source_compute" in params:
            return {"migrations": self.nova.migrations(params["source_compute"])}
        return {"migrations": [dict(it) for it in self.nova.records if it["dest_compute"] == params["host"]]}

    def _get_os_aggregates(self, rest: list[str], params: Json, body: Json) -> Json:
        return {"aggregates": self.aggregates}

    def _post_os_aggregates(self, rest: list[str], params: Json, body: Json) -> Json:
        aggregate = next(it for it in self.aggregates if str(it["id"]) == rest[0])
        aggregate["hosts"].append(body["add_host"]["host"])
        return {"aggregate": aggregate}

    # -- Glance and Keystone -----------------------------------------------------------------------------------

    def _get_v2(self, rest: list[str], params: Json, body: Json) -> Json:
        image = self.images.get(rest[1])
        if isinstance(image, Exception):
            raise image
        return dict(image) if image else _not_found(f"image {rest[1]}")

    def _get_v3(self, rest: list[str], params: Json, body: Json) -> Json:
        project = rest[1]
        return {"project": {"name": self.projects[project]}} if project in self.projects else _not_found(project)

    def _fits(self, server: Json, host: str) -> bool:
        held = [need(other) for other in self.nova.held_on(host)]
        wanted = need(server)
        return all(
            sum(amounts.get(name, 0) for amounts in held) + wanted.get(name, 0) <= total
            for name, total in self.room.get(host, {}).items()
        )

    # -- Placement; the resource provider of host cmp01 is rp-cmp01 ------------------------------------------------

    def _get_resource_providers(self, rest: list[str], params: Json, body: Json) -> Json:
        host, what = rest[0].replace("rp-", ""), rest[1]
        there = {it["id"]: need(it) for it in self.nova.held_on(host)}
        if what == "allocations":
            return {"allocations": {server_id: {"resources": amounts} for server_id, amounts in there.items()}}
        if what == "usages":
            names = self.room[host]
            return {"usages": {name: sum(amounts.get(name, 0) for amounts in there.values()) for name in names}}
        return {
            "inventories": {
                name: {"total": total, "reserved": 0, "allocation_ratio": 1.0}
                for name, total in self.room[host].items()
            }
        }


def need(server: Json) -> dict[str, int]:
    """What a simulated server holds in Placement."""
    return {"VCPU": server["flavor"]["vcpus"], "MEMORY_MB": server["flavor"]["ram"]}


def topology(*hosts: str, segment: Json | None = None, reserved: t.Container[str] = ()) -> Json:
    """The variable ``ha_topology`` for one segment, ``rack1``."""
    defaults = {
        "recovery_method": "auto",
        "shared_storage": True,
        "allow_local_disk_loss": False,
        "protect": True,
        "priority": 500,
    }
    return {
        "segments": {"rack1": {**defaults, **(segment or {})}},
        "hosts": {
            host: {
                "segment": "rack1",
                "role": "reserved" if host in reserved else "active",
                "zone": "nova",
                "hypervisor_hostname": host,
                "hypervisor_id": f"rp-{host}",
                "probe": [],
                "fencing_levels": 1,
            }
            for host in hosts
        },
    }


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def _not_found(what: str) -> t.NoReturn:
    from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError

    raise CloudError(f"{what} not found", status=404, answer="not found")
