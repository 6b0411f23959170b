# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stand-in for Neutron: one network, and ports that are bound to hosts."""

from __future__ import annotations

import itertools
import typing as t
import uuid

from bed.fakes import PROJECT, StandIn
from bed.web import Answer, Request

NETWORK_ID = "22222222-2222-4222-8222-222222222222"
SUBNET_ID = "33333333-3333-4333-8333-333333333333"
GROUP_ID = "44444444-4444-4444-8444-444444444444"
_OWNER = {"tenant_id": PROJECT, "project_id": PROJECT}
_NO_FILTERS = frozenset({"fields", "limit", "marker", "sort_key", "sort_dir"})

_NETWORK: dict[str, t.Any] = {
    "id": NETWORK_ID,
    "name": "private",
    "status": "ACTIVE",
    "admin_state_up": True,
    "shared": True,
    "subnets": [SUBNET_ID],
    "mtu": 1450,
    "router:external": False,
    "port_security_enabled": True,
    "provider:network_type": "vxlan",
    "provider:physical_network": None,
    "provider:segmentation_id": 7,
    **_OWNER,
}
_SUBNET: dict[str, t.Any] = {
    "id": SUBNET_ID,
    "name": "private-subnet",
    "network_id": NETWORK_ID,
    "cidr": "10.0.0.0/16",
    "ip_version": 4,
    "gateway_ip": "10.0.0.1",
    "enable_dhcp": False,
    "dns_nameservers": [],
    "host_routes": [],
    **_OWNER,
}
_GROUP: dict[str, t.Any] = {"id": GROUP_ID, "name": "default", "description": "", "security_group_rules": [], **_OWNER}


class Network(StandIn):
    """Networks, subnets, security groups and ports, as plain objects."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._numbers = itertools.count(10)
        self.state = {
            "networks": {NETWORK_ID: dict(_NETWORK)},
            "subnets": {SUBNET_ID: dict(_SUBNET)},
            "security-groups": {GROUP_ID: dict(_GROUP)},
            "ports": {},
            "floatingips": {},
            "routers": {},
            "agents": {},
        }

    def handle(self, request: Request) -> Answer:
        parts = request.parts[1:]
        if not parts:
            links = [{"rel": "self", "href": self._url + "/network/v2.0/"}]
            return Answer(200, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]})
        parts = parts[1:]
        if not parts:
            return Answer(200, {"resources": []})
        collection = parts[0].removesuffix(".json")
        if collection == "extensions":
            return Answer(200, {"extensions": []})
        if collection == "quotas":
            kinds = ("port", "network", "subnet", "security_group", "floatingip")
            return Answer(200, {"quota": dict.fromkeys(kinds, -1)})
        if len(parts) == 1:
            return self._list(collection, request) if request.method == "GET" else self._create(collection, request)
        return self._one(collection, parts[1].removesuffix(".json"), request)

    def _list(self, collection: str, request: Request) -> Answer:
        wanted = {
            key: {one.lower() for one in values} for key, values in request.query.items() if key not in _NO_FILTERS
        }
        found = [
            one
            for one in self.state[collection].values()
            if all(str(one[key]).lower() in values for key, values in wanted.items() if key in one)
        ]
        return Answer(200, {collection.replace("-", "_"): found})

    def _create(self, collection: str, request: Request) -> Answer:
        name = collection.replace("-", "_")[:-1]
        one = {"id": str(uuid.uuid4()), **_OWNER, **request.body[name]}
        if collection == "ports":
            one = {**self._port(), **one}
        self.state[collection][one["id"]] = one
        return Answer(201, {name: one})

    def _one(self, collection: str, key: str, request: Request) -> Answer:
        if len(request.parts) > 4:  # ports/<id>/bindings
            return Answer(200, {"bindings": []})
        objects, name = self.state[collection], collection.replace("-", "_")[:-1]
        if request.method == "DELETE":
            objects.pop(key)
            return Answer(204)
        if request.method == "PUT":
            objects[key].update(request.body[name])
        return Answer(200, {name: objects[key]})

    def _port(self) -> dict[str, t.Any]:
        high, low = divmod(next(self._numbers), 256)
        return {
            "mac_address": f"fa:16:3e:00:{high:02x}:{low:02x}",
            "fixed_ips": [{"subnet_id": SUBNET_ID, "ip_address": f"10.0.{high}.{low}"}],
            "name": "",
            "status": "ACTIVE",
            "admin_state_up": True,
            "device_id": "",
            "device_owner": "",
            "security_groups": [GROUP_ID],
            "allowed_address_pairs": [],
            "binding:host_id": "",
            "binding:vif_type": "ovs",
            "binding:vif_details": {},
            "binding:vnic_type": "normal",
            "binding:profile": {},
            "dns_name": "",
        }
