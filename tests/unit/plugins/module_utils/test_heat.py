# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Answer
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._heat import Heat, Resource

Json = t.Dict[str, t.Any]
WEB, NESTED = "/stacks/web/b9fe", "/stacks/web-group-ahkl/1dd5"


def resource(server: str, name: str, stack: str) -> Json:
    """As Heat 27 answers; shortened by what is not used."""
    here = f"http://127.0.0.1:8004/v1/0123456789abcdef{stack}"
    return {
        "resource_name": name, "logical_resource_id": name, "physical_resource_id": server,
        "resource_type": "OS::Nova::Server", "resource_status": "CREATE_COMPLETE",
        "links": [{"href": f"{here}/resources/{name}", "rel": "self"}, {"href": here, "rel": "stack"}],
    }  # fmt: skip


class Api:
    """Answers of a recorded Heat, and what it was asked."""

    def __init__(self) -> None:
        self.stacks = [{"stack_name": "web", "id": "b9fe"}, {"stack_name": "a/b", "id": "6aaf"}]
        self.resources = {
            WEB: [resource("vm1", "1", NESTED), resource("vm0", "0", NESTED)],
            "/stacks/a%2Fb/6aaf": [resource("vm9", "server", "/stacks/a%2Fb/6aaf")],
        }
        self.calls: list[tuple[str, str, t.Any]] = []
        self.refused: dict[str, int] = {}

    def get(self, service: str, path: str, microversion: str | None = None, **params: t.Any) -> Json:
        self.calls.append(("GET", path, params))
        if path in self.refused:
            raise CloudError("no", status=self.refused[path])
        if path == "/stacks":
            begin = [it["id"] for it in self.stacks].index(params["marker"]) + 1 if "marker" in params else 0
            return {"stacks": self.stacks[begin : begin + params["limit"]]}
        if path.endswith("/resources"):
            return {"resources": self.resources[path.removesuffix("/resources")]}
        if "/resources/" in path:
            return {"resource": {"physical_resource_id": ""}}
        return {"stack": {"stack_status": "UPDATE_COMPLETE", "stack_status_reason": "completed successfully"}}

    def request(self, method: str, service: str, path: str, **given: t.Any) -> Answer:
        self.calls.append((method, path, given))
        return Answer(202, {}, "req-1")


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def heat(api: Api) -> Heat:
    return Heat(t.cast(t.Any, api))


def test_servers_are_found_in_nested_stacks_with_one_call_for_each_stack(api: Api, heat: Heat) -> None:
    found = heat.find({"vm0", "vm9", "other"})
    assert found == {
        "vm0": Resource(WEB, NESTED, "0"), "vm9": Resource("/stacks/a%2Fb/6aaf", "/stacks/a%2Fb/6aaf", "server"),
    }  # fmt: skip
    assert [path for _method, path, _params in api.calls] == [
        "/stacks",
        f"{WEB}/resources",
        "/stacks/a%2Fb/6aaf/resources",
    ]
    assert api.calls[1][2] == {"nested_depth": 10, "type": "OS::Nova::Server"}
    assert found["vm0"].words == "0 of stack web"


def test_nobody_looks_on_when_all_are_found(api: Api, heat: Heat) -> None:
    heat.find({"vm0"})
    assert len(api.calls) == 2


def test_many_stacks_come_page_by_page(api: Api, heat: Heat) -> None:
    api.stacks = [{"stack_name": f"s{number}", "id": str(number)} for number in range(401)]
    api.resources = {f"/stacks/s{number}/{number}": [] for number in range(401)}
    heat.find({"vm"})
    pages = [params for _method, path, params in api.calls if path == "/stacks"]
    assert pages == [{"limit": 200}, {"limit": 200, "marker": "199"}, {"limit": 200, "marker": "399"}]
    assert len(api.calls) == 404


def test_a_stack_that_is_deleted_meanwhile_is_left_out_and_other_errors_are_not(api: Api, heat: Heat) -> None:
    api.refused[f"{WEB}/resources"] = 404
    assert set(heat.find({"vm0", "vm9"})) == {"vm9"}
    api.refused[f"{WEB}/resources"] = 403
    with pytest.raises(CloudError):
        heat.find({"vm0", "vm9"})


def test_a_server_is_marked_by_the_name_of_its_resource_and_the_whole_stack_is_updated_with_what_it_has(
    api: Api, heat: Heat
) -> None:
    heat.mark_unhealthy(Resource(WEB, NESTED, "a b"), "host cmp01 failed")
    assert heat.update(WEB) == "req-1"
    marked, updated = api.calls
    assert marked[:2] == ("PATCH", f"{NESTED}/resources/a%20b")
    assert json.loads(json.dumps(marked[2]["json"])) == {
        "mark_unhealthy": True, "resource_status_reason": "host cmp01 failed",
    }  # fmt: skip
    assert updated == ("PATCH", WEB, {"json": {}, "retry": False})


def test_a_resource_without_a_server_has_none(heat: Heat) -> None:
    assert heat.server_of(Resource(WEB, NESTED, "0")) is None
    assert heat.status(WEB) == ("UPDATE_COMPLETE", "completed successfully")
