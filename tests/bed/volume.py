# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stand-in for Cinder: volumes and attachments, enough to boot from volume and to evacuate."""

from __future__ import annotations

import re
import typing as t
import uuid

from bed.fakes import IMAGE_ID, LONG_AGO, PROJECT, StandIn
from bed.web import Answer, Request


class Volume(StandIn):
    """Volumes are available at once; an attachment says which host it was made for."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.state = {"volumes": {}, "attachments": {}}

    def handle(self, request: Request) -> Answer:
        parts = request.parts[1:]
        if not parts or parts == ["v3"]:
            return Answer(300 if not parts else 200, {"versions": [self._version()]})
        parts = parts[1:]
        if re.fullmatch("[0-9a-f]{32}", parts[0]):
            parts = parts[1:]
        if parts[0] == "volumes":
            return self._volumes(request, parts)
        if parts[0] == "attachments":
            return self._attachments(request, parts)
        raise KeyError("/".join(parts))

    def _version(self) -> dict[str, t.Any]:
        return {
            "id": "v3.0",
            "status": "CURRENT",
            "version": "3.71",
            "min_version": "3.0",
            "updated": LONG_AGO,
            "links": [{"rel": "self", "href": self._url + "/volume/v3/"}],
        }

    def _volumes(self, request: Request, parts: list[str]) -> Answer:
        volumes = self.state["volumes"]
        if len(parts) == 1 and request.method == "POST":
            volume = _new_volume(request.body["volume"])
            volumes[volume["id"]] = volume
            return Answer(202, {"volume": volume})
        if len(parts) == 1 or parts[1] == "detail":
            return Answer(200, {"volumes": list(volumes.values())})
        volume = volumes[parts[1]]
        if len(parts) == 3:
            return Answer(202)
        if request.method == "DELETE":
            volumes.pop(parts[1])
            return Answer(202)
        return Answer(200, {"volume": volume})

    def _attachments(self, request: Request, parts: list[str]) -> Answer:
        attachments = self.state["attachments"]
        if len(parts) == 1 and request.method == "POST":
            return Answer(200, {"attachment": self._attach(request.body["attachment"])})
        if len(parts) == 1 or parts[1] == "detail":
            wanted = request.query.get("instance_id")
            found = [one for one in attachments.values() if not wanted or one["instance"] in wanted]
            return Answer(200, {"attachments": found})
        attachment = attachments[parts[1]]
        if request.method == "DELETE":
            attachments.pop(parts[1])
            self._settle(attachment["volume_id"])
            rest = [one for one in attachments.values() if one["volume_id"] == attachment["volume_id"]]
            return Answer(200, {"attachments": rest})
        if request.method == "PUT":
            _connect(attachment, request.body["attachment"].get("connector") or {})
        elif len(parts) == 3:
            attachment["status"] = "attached"
        self._settle(attachment["volume_id"])
        return Answer(204) if len(parts) == 3 else Answer(200, {"attachment": attachment})

    def _attach(self, asked: dict[str, t.Any]) -> dict[str, t.Any]:
        volume = self.state["volumes"][asked["volume_uuid"]]
        attachment: dict[str, t.Any] = {
            "id": str(uuid.uuid4()),
            "volume_id": volume["id"],
            "instance": asked.get("instance_uuid"),
            "status": "reserved",
            "attach_mode": "rw",
            "attached_at": "",
            "detached_at": "",
            "connection_info": {},
        }
        self.state["attachments"][attachment["id"]] = attachment
        if asked.get("connector"):
            _connect(attachment, asked["connector"])
        self._settle(volume["id"])
        return attachment

    def _settle(self, key: str) -> None:
        """The status of a volume follows from its attachments."""
        volume = self.state["volumes"][key]
        mine = [one for one in self.state["attachments"].values() if one["volume_id"] == key]
        volume["attachments"] = [
            {
                "id": key,
                "attachment_id": one["id"],
                "volume_id": key,
                "server_id": one["instance"],
                "host_name": (one.get("connector") or {}).get("host"),
                "device": "/dev/vda",
                "attached_at": LONG_AGO,
            }
            for one in mine
        ]
        states = {one["status"] for one in mine}
        volume["status"] = "available" if not mine else "in-use" if "attached" in states else "attaching"


def _connect(attachment: dict[str, t.Any], connector: dict[str, t.Any]) -> None:
    attachment.update(
        connector=connector,
        status="attaching",
        connection_info={
            "driver_volume_type": "rbd",
            "volume_id": attachment["volume_id"],
            "attachment_id": attachment["id"],
            "target_lun": 0,
            "name": "volumes/" + attachment["volume_id"],
        },
    )


def _new_volume(asked: dict[str, t.Any]) -> dict[str, t.Any]:
    return {
        "id": str(uuid.uuid4()),
        "name": asked.get("name"),
        "size": asked.get("size") or 1,
        "status": "available",
        "bootable": "true",
        "attachments": [],
        "availability_zone": "nova",
        "multiattach": False,
        "metadata": {},
        "encrypted": False,
        "description": None,
        "volume_type": "shared",
        "snapshot_id": None,
        "source_volid": None,
        "os-vol-tenant-attr:tenant_id": PROJECT,
        "created_at": LONG_AGO,
        "volume_image_metadata": {"image_id": IMAGE_ID, "min_disk": "0", "min_ram": "0"},
        "shared_targets": False,
        "service_uuid": None,
    }
