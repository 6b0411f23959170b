# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cloud as a test sees it: servers made fast, looked at, acted on. Standard library only.

These calls carry a mark: they are neither counted nor made to fail, and may use any microversion even
where the cloud pretends to be older.
"""

from __future__ import annotations

import time
import typing as t
import uuid

from bed.rest import BedError, call

IMAGE_ID = "11111111-1111-4111-8111-111111111111"
NETWORK_ID = "22222222-2222-4222-8222-222222222222"
NEWEST = "2.96"
_PAGE = 1000
_VOLUME = {
    "block_device_mapping_v2": [
        {
            "boot_index": 0,
            "uuid": IMAGE_ID,
            "source_type": "image",
            "destination_type": "volume",
            "volume_size": 1,
            "delete_on_termination": True,
        }
    ]
}


class Cloud:
    """REST calls as the admin of the bed's cloud."""

    def __init__(self, ports: t.Mapping[str, t.Any]) -> None:
        self._auth_url = ports["auth_url"]
        self._base = {name: f"http://{ports['address']}:{ports[name]}" for name in ("compute", "placement", "others")}
        self._token = ""

    def request(
        self, method: str, path: str, body: t.Any = None, *, microversion: str = NEWEST, service: str = "compute"
    ) -> t.Any:
        """One call; ``path`` begins behind ``/v2.1`` for compute, behind the port for the others."""
        prefix = self._base[service] + ("/v2.1" if service == "compute" else "")
        headers = {"X-Bed": "1", "X-Auth-Token": self._authenticated()}
        headers["OpenStack-API-Version"] = f"{service} {'1.39' if service == 'placement' else microversion}"
        return call(method, prefix + path, body, headers)[0]

    def _authenticated(self) -> str:
        if not self._token:
            user = {"name": "nova", "domain": {"name": "Default"}, "password": "nova-secret"}
            scope = {"project": {"name": "admin", "domain": {"name": "Default"}}}
            body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
            _answer, headers = call("POST", f"{self._auth_url}/auth/tokens", body, {"X-Bed": "1"})
            self._token = headers["X-Subject-Token"]
        return self._token

    def fill(
        self,
        host: str | None,
        count: int = 1,
        *,
        vcpus: int = 1,
        ram: int = 64,
        disk: int = 1,
        ephemeral: int = 0,
        extra_specs: t.Mapping[str, str] | None = None,
        volume: bool = False,
        network: bool = False,
        group: str | None = None,
        timeout: float = 600,
        **server: t.Any,
    ) -> list[str]:
        """Make ACTIVE servers on a host in one request; returns their uuids.

        :param host: None lets the scheduler choose.
        :param volume: Boot from volume, one volume each.
        :param network: With a port on the network of the bed.
        :param group: Uuid of a server group.
        :param server: Further fields of the server: ``metadata``, ``name``, ``availability_zone``, …
        """
        flavor = self.flavor(vcpus, ram, 0 if volume else disk, ephemeral, extra_specs)
        wanted: dict[str, t.Any] = {
            "name": f"fill-{uuid.uuid4().hex[:8]}",
            "flavorRef": flavor,
            "min_count": count,
            "max_count": count,
            "networks": [{"uuid": NETWORK_ID}] if network else "none",
            "return_reservation_id": True,
            **({"host": host} if host else {}),
            **(_VOLUME if volume else {"imageRef": IMAGE_ID}),
            **server,
        }
        hints = {"group": group} if group else {}
        answer = self.request("POST", "/servers", {"server": wanted, "os:scheduler_hints": hints})
        return self._await_active(answer["reservation_id"], count, timeout)

    def _await_active(self, reservation: str, count: int, timeout: float) -> list[str]:
        deadline = time.monotonic() + timeout
        while True:
            states = self.server_states(reservation)
            done = [key for key, vm_state, task_state in states if vm_state == "active" and task_state is None]
            if len(done) == count:
                return done
            broken = [key for key, vm_state, _task_state in states if vm_state == "error"]
            if broken or time.monotonic() > deadline:
                fault = self.server(broken[0]).get("fault") if broken else "timeout"
                raise BedError(0, f"{len(done)} of {count} servers became ACTIVE; {len(broken)} failed: {fault}")
            time.sleep(0.05)

    def server_states(self, reservation: str) -> list[tuple[str, str, str | None]]:
        """(uuid, vm_state, task_state) of the servers of a reservation that have left the queue."""
        raise NotImplementedError

    def flavor(
        self,
        vcpus: int = 1,
        ram: int = 64,
        disk: int = 1,
        ephemeral: int = 0,
        extra_specs: t.Mapping[str, str] | None = None,
    ) -> str:
        """The id of a flavor of this size, made when it does not exist."""
        specs = dict(extra_specs or {})
        size = f"{vcpus}-{ram}-{disk}-{ephemeral}"
        key = f"{size}-{uuid.uuid5(uuid.NAMESPACE_OID, repr(sorted(specs.items()))).hex[:6]}" if specs else size
        wanted = {"id": key, "name": key, "vcpus": vcpus, "ram": ram, "disk": disk}
        try:
            self.request("POST", "/flavors", {"flavor": {**wanted, "OS-FLV-EXT-DATA:ephemeral": ephemeral}})
        except BedError as error:
            if error.status != 409:
                raise
            return key
        if specs:
            self.request("POST", f"/flavors/{key}/os-extra_specs", {"extra_specs": specs})
        return key

    def server(self, uuid: str) -> dict[str, t.Any]:
        """One server in full."""
        server: dict[str, t.Any] = self.request("GET", f"/servers/{uuid}")["server"]
        return server

    def servers(self, **query: str) -> list[dict[str, t.Any]]:
        """All servers of all projects in full."""
        found: list[dict[str, t.Any]] = []
        marker = ""
        while True:
            asked = {"all_tenants": "1", "limit": str(_PAGE), **query, **({"marker": marker} if marker else {})}
            text = "&".join(f"{key}={value}" for key, value in asked.items())
            page = self.request("GET", f"/servers/detail?{text}")["servers"]
            found += page
            if len(page) < _PAGE:
                return found
            marker = page[-1]["id"]

    def action(self, uuid: str, body: t.Mapping[str, t.Any], microversion: str = NEWEST) -> t.Any:
        """``POST /servers/{uuid}/action``."""
        return self.request("POST", f"/servers/{uuid}/action", body, microversion=microversion)

    def migrations(self, **query: str) -> list[dict[str, t.Any]]:
        """``GET /os-migrations``, newest first."""
        text = "&".join(f"{key}={value}" for key, value in query.items())
        found: list[dict[str, t.Any]] = self.request("GET", f"/os-migrations?{text}", microversion="2.80")["migrations"]
        return found

    def services(self) -> dict[str, dict[str, t.Any]]:
        """The nova-compute services by host."""
        found = self.request("GET", "/os-services?binary=nova-compute")["services"]
        return {one["host"]: one for one in found}

    def update_service(self, host: str, **fields: t.Any) -> dict[str, t.Any]:
        """``PUT /os-services/{id}``."""
        key = self.services()[host]["id"]
        service: dict[str, t.Any] = self.request("PUT", f"/os-services/{key}", fields)["service"]
        return service

    def aggregate(self, name: str, hosts: t.Iterable[str], zone: str | None = None, **metadata: str) -> int:
        """Make a host aggregate, with a zone and metadata; returns its id."""
        body = {"aggregate": {"name": name, **({"availability_zone": zone} if zone else {})}}
        key = int(self.request("POST", "/os-aggregates", body)["aggregate"]["id"])
        if metadata:
            self.request("POST", f"/os-aggregates/{key}/action", {"set_metadata": {"metadata": metadata}})
        for host in hosts:
            self.request("POST", f"/os-aggregates/{key}/action", {"add_host": {"host": host}})
        return key

    def server_group(self, policy: str, name: str = "group") -> str:
        """Make a server group; returns its uuid."""
        body = {"server_group": {"name": name, "policy": policy}}
        return str(self.request("POST", "/os-server-groups", body)["server_group"]["id"])

    def application_credential(
        self, name: str, access_rules: t.Sequence[t.Mapping[str, str]] | None
    ) -> dict[str, t.Any]:
        """Make one for the admin; returns ``id`` and ``secret``. Its access rules are enforced as Keystone's are."""
        path = "/identity/v3/users/admin/application_credentials"
        body = {"application_credential": {"name": name, "access_rules": access_rules}}
        made: dict[str, t.Any] = self.request("POST", path, body, service="others")["application_credential"]
        return made

    def await_server(
        self, uuid: str, accept: t.Callable[[dict[str, t.Any]], bool], timeout: float = 60
    ) -> dict[str, t.Any]:
        """The server as soon as it is as wanted."""
        deadline = time.monotonic() + timeout
        while True:
            server = self.server(uuid)
            if accept(server):
                return server
            if time.monotonic() > deadline:
                shown = {
                    key: server.get(key) for key in ("status", "OS-EXT-STS:task_state", "OS-EXT-SRV-ATTR:host", "fault")
                }
                raise BedError(0, f"server {uuid} did not get there within {timeout} s: {shown}")
            time.sleep(0.05)
