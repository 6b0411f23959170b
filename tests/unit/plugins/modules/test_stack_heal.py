# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from unit.fakes.tasks import Tasks

from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Answer
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import (
    CertificateError,
    CloudError,
    ConfigError,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._healing import LEFT_TO_HEAT
from ansible_collections.openstack_ha.recovery.plugins.modules import compute_service, stack_heal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Nova

Json = t.Dict[str, t.Any]
STACK = "/stacks/web/1"


class Cloud(FakeCloud):
    """With a Neutron, and a Heat that replaces at once what is marked."""

    def __init__(self, nova: Nova) -> None:
        super().__init__(nova, {})
        self.projects_asked: list[str] = []
        self.server, self.ports, self.marked = "vm1", [{"id": "p1", "name": "server-port-0"}], False
        self.calls: list[tuple[str, str]] = []
        self.gone: set[str] = set()

    def of_project(self, project: str) -> Cloud:
        self.projects_asked.append(project)
        return self

    def has(self, service: str) -> bool:
        return service == "network"

    def request(self, method: str, service: str, path: str, microversion: str | None = None, **more: t.Any) -> Answer:
        if method != "GET":
            self.calls.append((method, path))
        if service == "orchestration":
            return Answer(200, self._heat(method, path), "req-heat")
        if service == "network":
            return Answer(200, {"ports": self.ports}, "")
        if "/vm1" in path and "vm1" in self.gone:
            raise CloudError("not found", status=404)
        if method == "DELETE":
            self.gone.add("vm1")
            return Answer(204, {}, "")
        if path == "/servers/vm2":
            return Answer(
                200, {"server": {"name": "db", "OS-EXT-SRV-ATTR:host": "cmp02", "OS-EXT-STS:vm_state": "active"}}, ""
            )
        return super().request(method, service, path, microversion, **more)

    def _heat(self, method: str, path: str) -> Json:
        links = [{"rel": "stack", "href": f"http://heat/v1/p{STACK}"}]
        resource = {"resource_name": "server", "physical_resource_id": self.server, "links": links}
        if method == "PATCH" and path == STACK:
            self.server = "vm2" if self.marked else self.server
        elif method == "PATCH":
            self.marked = True
        if path == "/stacks":
            return {"stacks": [{"stack_name": "web", "id": "1"}]}
        if path == STACK:
            return {"stack": {"stack_status": "UPDATE_COMPLETE", "stack_status_reason": "done"}}
        return {"resources": [resource], "resource": resource}


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any) -> Tasks:
    nova = Nova(Clock(), ["cmp01", "cmp02"], ["cmp01"])
    nova.services["cmp01"]["state"] = "down"
    it = Tasks(monkeypatch, Cloud(nova), tmp_path)
    monkeypatch.setattr(stack_heal, "connect", lambda params: it.cloud)
    return it


def prepare(tasks: Tasks, proven: bool = True, **line: t.Any) -> str:
    """A run whose host is fenced, with a VM that is left to Heat; its id."""
    run_id = tasks.open("cmp01")
    tasks.run(compute_service, host="cmp01", status="disabled", disabled_reason="x", forced_down=True, run_id=run_id)
    if proven:
        tasks.prove_off(run_id, "cmp01")
    with tasks.journal() as journal:
        (incident,) = journal.incidents()
        base = {
            "incident_id": incident["id"], "server_id": "vm1", "name": "db", "host": "cmp01", "method": "heat",
            "state": "pending", "reason": f"{LEFT_TO_HEAT}: x", "facts": {"project": "p1", "note": ""},
        }  # fmt: skip
        journal.plan_lines(run_id, [{**base, **line}])
    return run_id


def heal(tasks: Tasks, run_id: str | None, check_mode: bool = False, **args: t.Any) -> Json:
    given = {"topology": tasks.topology, "poll": 0.01, "silent_for": 0.01, **args}
    return tasks.run(stack_heal, check_mode, **({"run_id": run_id} if run_id else {}), **given)


def ledger(tasks: Tasks) -> Json:
    with tasks.journal() as journal:
        (line,) = journal.lines([it["id"] for it in journal.incidents()])
    return dict(line)


def calls(tasks: Tasks) -> list[tuple[str, str]]:
    return t.cast(Cloud, tasks.cloud).calls[1:]  # the first one takes the host out of service


def test_a_vm_is_set_to_error_marked_and_replaced_and_the_ledger_tells_by_what(tasks: Tasks) -> None:
    result = heal(tasks, prepare(tasks))
    assert (result["changed"], [it["state"] for it in result["ledger"]]) == (True, ["verified"])
    assert calls(tasks) == [
        ("PATCH", f"{STACK}/resources/server"), ("POST", "/servers/vm1/action"), ("PATCH", STACK),
    ]  # fmt: skip
    line = ledger(tasks)
    assert (line["state"], line["target"], line["request_id"]) == ("verified", "cmp02", "req-heat")
    assert line["reason"] == "replaced by db (vm2), server of stack web"
    assert line["facts"] == {
        "project": "p1", "note": "", "stack": {"root": STACK, "stack": STACK, "name": "server"},
    }  # fmt: skip
    assert t.cast(Cloud, tasks.cloud).projects_asked == ["p1"]


def test_a_vm_with_a_port_of_another_resource_is_deleted_so_that_the_new_one_can_have_it(tasks: Tasks) -> None:
    t.cast(Cloud, tasks.cloud).ports.append({"id": "p2", "name": "vip"})
    assert heal(tasks, prepare(tasks))["ledger"][0]["state"] == "verified"
    assert ("DELETE", "/servers/vm1") in calls(tasks)
    assert calls(tasks)[-1] == ("PATCH", STACK)


def test_a_vm_that_is_gone_already_is_replaced_all_the_same(tasks: Tasks) -> None:
    t.cast(Cloud, tasks.cloud).gone.add("vm1")
    stack = {"stack": {"root": STACK, "stack": STACK, "name": "server"}}
    facts = {"project": "p1", "note": "", **stack}
    run_id = prepare(tasks, state="skipped", reason="was deleted meanwhile", facts=facts)
    assert heal(tasks, run_id)["ledger"][0]["state"] == "verified"


def test_without_a_proof_that_the_host_is_off_nothing_is_changed(tasks: Tasks) -> None:
    run_id = prepare(tasks, proven=False)
    with pytest.raises(CertificateError, match="no power certificate"):
        heal(tasks, run_id)
    assert calls(tasks) == []


@pytest.mark.parametrize(
    "line",
    [
        {"method": "evacuate"}, {"reason": "its owner has deleted it", "state": "skipped"},
        {"state": "verified", "reason": "", "facts": {"project": "p1", "note": "", "stack": {}}},
    ],
)  # fmt: skip
def test_other_vms_are_not_its_business(tasks: Tasks, line: Json) -> None:
    result = heal(tasks, prepare(tasks, **line))
    assert (result["changed"], result["ledger"], calls(tasks)) == (False, [], [])


def test_check_mode_shows_what_is_left_to_heat_and_changes_nothing(tasks: Tasks) -> None:
    result = heal(tasks, prepare(tasks), check_mode=True)
    assert (result["changed"], result["ledger"][0]["state"], calls(tasks)) == (True, "pending", [])
    assert heal(tasks, None, check_mode=True) == {"changed": False, "ledger": []}


def test_wrong_options_are_refused(tasks: Tasks) -> None:
    with pytest.raises(ConfigError, match="run_id: this needs a run"):
        heal(tasks, None)
    with pytest.raises(ConfigError, match="poll: must be greater than 0"):
        heal(tasks, None, poll=0)
