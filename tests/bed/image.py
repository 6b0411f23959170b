# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stand-in for Glance with one image."""

from __future__ import annotations

import typing as t
import uuid

from bed.fakes import IMAGE_ID, LONG_AGO, PROJECT, StandIn
from bed.web import Answer, Request

_IMAGE: dict[str, t.Any] = {
    "id": IMAGE_ID,
    "name": "cirros",
    "status": "active",
    "visibility": "public",
    "protected": False,
    "min_disk": 0,
    "min_ram": 0,
    "size": 1024,
    "virtual_size": 1024,
    "disk_format": "raw",
    "container_format": "bare",
    "checksum": None,
    "tags": [],
    "owner": PROJECT,
    "created_at": LONG_AGO,
    "updated_at": LONG_AGO,
    "file": f"/v2/images/{IMAGE_ID}/file",
    "schema": "/v2/schemas/image",
    "self": f"/v2/images/{IMAGE_ID}",
    "os_hidden": False,
}


class Image(StandIn):
    """Images that can be listed, shown, made and deleted."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.state = {"images": {IMAGE_ID: dict(_IMAGE)}}

    def handle(self, request: Request) -> Answer:
        parts, images = request.parts[1:], self.state["images"]
        if not parts or parts == ["versions"]:
            links = [{"rel": "self", "href": self._url + "/image/v2/"}]
            return Answer(300, {"versions": [{"id": "v2.15", "status": "CURRENT", "links": links}]})
        parts = parts[1:]
        if parts[0] == "schemas":
            return _schema()
        if parts == ["images"] and request.method == "GET":
            wanted = {key: value[0] for key, value in request.query.items() if key in ("name", "id")}
            found = [one for one in images.values() if all(one[key] == value for key, value in wanted.items())]
            return Answer(200, {"images": found, "schema": "/v2/schemas/images", "first": "/v2/images"})
        if parts == ["images"]:
            image = {**_IMAGE, "id": str(uuid.uuid4()), **request.body}
            images[image["id"]] = image
            return Answer(201, image)
        if len(parts) == 3:
            return Answer(200, {"members": []})
        if request.method == "DELETE":
            images.pop(parts[1])
            return Answer(204)
        return Answer(200, images[parts[1]])


def _schema() -> Answer:
    # what is not marked as base is taken for a property of the image by Nova, which then fails on "id"
    kinds = ["null", "string", "boolean", "integer", "array"]
    names = [*_IMAGE, "locations", "direct_url"]
    return Answer(
        200,
        {
            "name": "image",
            "properties": {name: {"type": kinds, "is_base": True} for name in names},
            "additionalProperties": {"type": "string"},
            "links": [],
        },
    )
