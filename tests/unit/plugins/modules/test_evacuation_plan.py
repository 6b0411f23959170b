from __future__ import annotations

import typing as t

import pytest
import yaml
from unit.fakes.tasks import Tasks

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _policy_file
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.modules import evacuation_plan, recovery_run
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Nova

ROOM = {"VCPU": 8, "MEMORY_MB": 8192}


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any) -> Tasks:
    hosts = ["cmp01", "cmp02", "cmp03"]
    nova = Nova(Clock(), hosts, ["cmp01"])
    nova.add("a", "cmp01")
    nova.add("b", "cmp01", "building")
    return Tasks(monkeypatch, FakeCloud(nova, dict.fromkeys(hosts, ROOM)), tmp_path)


def plan(tasks: Tasks, *hosts: str, check_mode: bool = False, **args: t.Any) -> dict[str, t.Any]:
    given = {"hosts": list(hosts or ["cmp01"]), "topology": tasks.topology, **args}
    return tasks.run(evacuation_plan, check_mode, **given)


def test_a_plan_is_counted_and_changes_nothing(tasks: Tasks) -> None:
    result = plan(tasks)
    assert not result["changed"]
    assert result["counts"] == {"evacuate": 1, "skip": 1}
    assert [(line["id"], line["order"], line["step"]) for line in result["lines"]] == [
        ("a", 1, "evacuate"),
        ("b", 2, "skip"),
    ]
    assert tasks.cloud.changes == []
    assert result == plan(tasks, check_mode=True)


def test_what_is_returned_is_what_is_documented(tasks: Tasks) -> None:

    documented = yaml.safe_load(evacuation_plan.RETURN)
    result = plan(tasks)
    assert set(result) - {"changed"} == set(documented)
    undocumented = {"zone", "zone_is_pinned", "floor"}
    assert set(result["lines"][0]) - undocumented == set(documented["lines"]["contains"])


def test_the_policy_that_is_given_holds_and_without_one_its_defaults(tasks: Tasks) -> None:
    tasks.cloud.nova.servers["a"]["flavor"]["original_name"] = "scratch"
    policy = _policy_file.parse({"ha": {"flavors": {"scratch": {"protect": False}}}}, [], []).values
    assert plan(tasks)["counts"] == {"evacuate": 1, "skip": 1}
    assert plan(tasks, policy=policy)["counts"] == {"skip": 2}


def test_hosts_that_the_run_holds_back_are_left_out(tasks: Tasks) -> None:
    run_id = tasks.open("cmp01")
    tasks.run(recovery_run, state="held", run_id=run_id, hosts=["cmp01"], reason="not fenced")
    result = plan(tasks, run_id=run_id)
    assert (result["hosts"], result["lines"]) == ([], [])


def test_hosts_of_other_runs_or_of_no_segment_are_refused(tasks: Tasks) -> None:
    run_id = tasks.open("cmp01")
    with pytest.raises(RecoveryError, match="not about cmp02"):
        plan(tasks, "cmp02", run_id=run_id)
    with pytest.raises(ConfigError, match="no failover segment"):
        plan(tasks, "cmp99")


@pytest.mark.parametrize(("state", "former"), [("recovering", "running"), ("partial", "running"), ("open", "stopped")])
def test_a_vm_that_was_being_restarted_when_its_host_died_comes_up_running(
    tasks: Tasks, state: str, former: str
) -> None:
    tasks.nova.add("c", "cmp01", "stopped")
    run_id = tasks.open("cmp01")
    with tasks.journal() as journal:
        incident = journal.open_incident("cmp01", "RegionOne", "rack1", "instance", "c")
        journal.set_incident(incident["id"], state)
    lines = {line["id"]: line for line in plan(tasks, run_id=run_id)["lines"]}
    assert (lines["c"]["step"], lines["c"]["former"]) == ("evacuate", former)
    assert lines["a"]["former"] == "running"
