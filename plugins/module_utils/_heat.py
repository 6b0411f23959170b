# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Heat calls of this collection, as plain data. PRIVATE to it: may change at any time.

Servers do not tell which stack they belong to; Heat tells which server each of its resources is. So the stacks of a
project are listed, and the servers in each, nested stacks included: one call more for each stack. Heat does what it is
asked in the name of who asks and in that project, so it is asked as in the project of the VM.

API: https://docs.openstack.org/api-ref/orchestration/v1/#resources
"""

from __future__ import annotations

import dataclasses
import typing as t
import urllib.parse

from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud, Json
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError

_SERVICE = "orchestration"
_PAGE = 200
_DEPTH = 10  # of nested stacks; Heat allows 5 unless max_nested_stack_depth says otherwise
_SERVER = "OS::Nova::Server"


@dataclasses.dataclass(frozen=True)
class Resource:
    """A server in a stack.

    :param root: Path of the stack that its owner made. :param stack: Path of the stack that it is in, the same unless
        that is nested. :param name: Its name there.
    """

    root: str
    stack: str
    name: str

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.name} of stack {self.root.split('/')[2]}"


class Heat:
    """The stacks of one project."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def find(self, server_ids: t.Collection[str]) -> dict[str, Resource]:
        """The resources that these servers are; servers of no stack are left out."""
        found: dict[str, Resource] = {}
        for stack in self._stacks():
            for resource in self._resources(stack, type=_SERVER):
                if resource["physical_resource_id"] in server_ids:
                    found[resource["physical_resource_id"]] = _resource(stack, resource)
            if len(found) == len(server_ids):
                break
        return found

    def server_of(self, resource: Resource) -> str | None:
        """The id of the server that a resource is now."""
        body = self._cloud.get(_SERVICE, f"{resource.stack}/resources/{_quoted(resource.name)}")
        return body["resource"]["physical_resource_id"] or None

    def status(self, root: str) -> tuple[str, str]:
        """What was done last with a stack and how it went, as ``UPDATE_COMPLETE``, and why."""
        stack = self._cloud.get(_SERVICE, root, resolve_outputs="false")["stack"]
        return str(stack["stack_status"]), str(stack["stack_status_reason"])

    def mark_unhealthy(self, resource: Resource, reason: str) -> None:
        """Have the next update of the stack replace it. Twice is the same as once."""
        body = {"mark_unhealthy": True, "resource_status_reason": reason}
        self._cloud.request(
            "PATCH", _SERVICE, f"{resource.stack}/resources/{_quoted(resource.name)}", json=body, retry=True
        )

    def update(self, root: str) -> str:
        """Update a stack with the template and the parameters that it has; Heat's id of the request.

        Not repeated: one that is asked for while another goes on starts that one anew.
        """
        return self._cloud.request("PATCH", _SERVICE, root, json={}, retry=False).request_id

    def _stacks(self) -> t.Iterator[str]:
        marker: Json = {}
        while True:
            page = self._cloud.get(_SERVICE, "/stacks", limit=_PAGE, **marker)["stacks"]
            yield from (_path(stack["stack_name"], stack["id"]) for stack in page)
            if len(page) < _PAGE:
                return
            marker = {"marker": page[-1]["id"]}

    def _resources(self, stack: str, **filters: t.Any) -> list[Json]:
        try:
            return list(self._cloud.get(_SERVICE, f"{stack}/resources", nested_depth=_DEPTH, **filters)["resources"])
        except CloudError as error:
            if error.facts.get("status") == 404:  # deleted meanwhile
                return []
            raise


def _resource(root: str, resource: Json) -> Resource:
    (link,) = [link["href"] for link in resource["links"] if link["rel"] == "stack"]
    return Resource(root, "/stacks/" + link.rpartition("/stacks/")[2], resource["resource_name"])


def _path(name: str, stack_id: str) -> str:
    return f"/stacks/{_quoted(name)}/{stack_id}"


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")
