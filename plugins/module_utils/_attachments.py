# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a VM's ports and volumes followed it to its new host. PRIVATE: may change at any time."""

from __future__ import annotations

import functools

from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud, Json
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError


class Attachments:
    """Reads Neutron and Cinder; a service that the catalog does not know is not asked."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._has = functools.lru_cache(maxsize=None)(cloud.has)

    def problems(self, server: Json) -> list[str]:
        """What is not attached as it should be, in sentences; empty when all is well."""
        host = server["OS-EXT-SRV-ATTR:host"]
        return self._ports(server, host) + self._volumes(server)

    def _ports(self, server: Json, host: str) -> list[str]:
        if not self._has("network") or not any((server.get("addresses") or {}).values()):
            return []
        try:
            ports = self._cloud.get("network", "/ports", device_id=server["id"])["ports"]
        except CloudError as error:
            return [f"ports could not be read: {error.message}"]
        return [
            f"port {port['id']} is bound to {port.get('binding:host_id') or 'no host'} instead of {host}"
            for port in ports
            if port.get("binding:host_id") != host
        ] + [
            f"port {port['id']} could not be bound"
            for port in ports
            if port.get("binding:vif_type") == "binding_failed"
        ]

    def _volumes(self, server: Json) -> list[str]:
        if not self._has("block-storage"):
            return []
        problems = []
        for volume in server.get("os-extended-volumes:volumes_attached") or []:
            problems += self._volume(volume["id"], server["id"])
        return problems

    def _volume(self, volume_id: str, server_id: str) -> list[str]:
        try:
            volume = self._cloud.get("block-storage", f"/volumes/{volume_id}")["volume"]
        except CloudError as error:
            return [f"volume {volume_id} could not be read: {error.message}"]
        if volume["status"] != "in-use":
            return [f"volume {volume_id} is {volume['status']} instead of in-use"]
        if server_id not in [attachment["server_id"] for attachment in volume["attachments"]]:
            return [f"volume {volume_id} is attached to another server"]
        return []
