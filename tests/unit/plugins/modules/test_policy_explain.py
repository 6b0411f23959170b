from __future__ import annotations

import typing as t

import pytest
import yaml
from unit.fakes.tasks import Tasks

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _policy_file
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.modules import policy_explain
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Nova

ID = "5f0c0c1e-6f3b-4a51-9d5a-0b8a1f0e2c33"


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any) -> Tasks:
    nova = Nova(Clock(), ["cmp01"], [])
    nova.add(ID, "cmp01", name="db1", metadata={"openstack_ha:priority": "900"})
    nova.add("b", "cmp01", name="twin")
    nova.add("c", "elsewhere", name="twin")
    cloud = FakeCloud(nova, {})
    monkeypatch.setattr(policy_explain, "connect", lambda params: cloud)
    monkeypatch.setattr(policy_explain._compute, "servers_named", lambda _cloud, name: _named(nova, name))
    return Tasks(monkeypatch, cloud, tmp_path)


def _named(nova: Nova, name: str) -> list[dict[str, t.Any]]:
    return [server for server in nova.servers.values() if server["name"] == name]


def explain(tasks: Tasks, server: str, **args: t.Any) -> dict[str, t.Any]:
    given = {"server": server, "topology": tasks.topology, **args}
    return dict(policy_explain.TASK.run(t.cast(t.Any, _call(given))))


def _call(params: dict[str, t.Any]) -> t.Any:
    class Call:
        def __init__(self) -> None:
            self.params, self.check_mode = {"policy": None, **params}, False

    return Call()


@pytest.mark.parametrize("server", [ID, "db1"])
def test_a_vm_is_found_by_its_id_and_by_its_name(tasks: Tasks, server: str) -> None:
    found = explain(tasks, server)
    assert (found["facts"]["name"], found["priority"], found["changed"]) == ("db1", 900, False)
    assert found["winners"]["priority"]["level"] == "VM"
    assert found["winners"]["protect"]["source"] == "segment default protect=true"


def test_the_given_policy_holds(tasks: Tasks) -> None:
    policy = _policy_file.parse({"ha": {"zones": {"nova": {"protect": False}}}}, [], []).values
    assert explain(tasks, "db1", policy=policy)["because"] == "ha.zones.nova protect=false"


def test_names_that_several_have_are_refused_with_their_ids(tasks: Tasks) -> None:
    with pytest.raises(RecoveryError, match=r"Nova knows 2 VMs .* b \(project p1\) c \(project p1\)"):
        explain(tasks, "twin")
    with pytest.raises(RecoveryError, match=r"Nova knows no VMs with the ID or name 'nobody'\. Give its ID"):
        explain(tasks, "nobody")


def test_a_vm_outside_all_segments_is_explained_by_the_defaults(tasks: Tasks) -> None:
    tasks.nova.add("d", "elsewhere", name="lonely")
    found = explain(tasks, "lonely")
    assert (found["facts"]["segment"], found["because"]) == ("", "nobody says otherwise")


def test_what_is_returned_is_what_is_documented(tasks: Tasks) -> None:
    documented = yaml.safe_load(policy_explain.RETURN)
    found = explain(tasks, "db1")
    assert set(found) - {"changed"} == set(documented)
    assert all(set(level) == set(documented["levels"]["contains"]) for level in found["levels"])
