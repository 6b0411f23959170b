from __future__ import annotations

import typing as t

import pytest
from unit.fakes.tasks import Tasks, WrongOptions

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.modules import reserved_host
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud, topology
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Nova

RESERVED = ["spare1", "spare2"]


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any) -> Tasks:
    hosts = ["cmp01", "cmp02", *RESERVED]
    nova = Nova(Clock(), hosts, ["cmp01"])
    for host in RESERVED:
        nova.services[host].update(status="disabled", disabled_reason="kept empty")
    room = {"spare1": {"VCPU": 8, "MEMORY_MB": 100}, "spare2": {"VCPU": 8, "MEMORY_MB": 200}}
    it = Tasks(monkeypatch, FakeCloud(nova, room), tmp_path)
    it.topology = topology(*hosts, reserved=RESERVED)
    return it


def take(tasks: Tasks, check_mode: bool = False, **args: t.Any) -> dict[str, t.Any]:
    return tasks.run(reserved_host, check_mode, **args)


def give_back(tasks: Tasks, check_mode: bool = False, **args: t.Any) -> dict[str, t.Any]:
    return tasks.run(reserved_host, check_mode, **{"host": "spare1", "state": "returned", **args})


def test_the_one_with_most_room_is_picked_and_enabled(tasks: Tasks) -> None:
    result = take(tasks, segment="rack1", topology=tasks.topology)
    assert (result["changed"], result["host"]) == (True, "spare2")
    assert tasks.service("spare2")["status"] == "enabled"
    assert tasks.service("spare1")["status"] == "disabled"


def test_taking_it_again_changes_nothing(tasks: Tasks) -> None:
    take(tasks, host="spare1")
    assert not take(tasks, host="spare1")["changed"]
    assert len(tasks.cloud.changes) == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"state": "down"}, "nova-compute is down"),
        ({"forced_down": True}, "nova-compute is down"),
        ({"disabled_reason": "Maintenance: disk"}, "maintenance"),
    ],
)
def test_a_reserved_host_that_cannot_serve_is_not_taken(tasks: Tasks, change: dict[str, t.Any], why: str) -> None:
    tasks.service("spare1").update(change)
    with pytest.raises(RecoveryError, match=f"spare1.*{why}"):
        take(tasks, host="spare1")
    assert take(tasks, segment="rack1", topology=tasks.topology)["host"] == "spare2"


def test_when_none_can_serve_each_is_named_with_its_reason(tasks: Tasks) -> None:
    tasks.service("spare1").update(state="down")
    tasks.service("spare2").update(status="enabled")
    with pytest.raises(RecoveryError, match=r"rack1 .*spare1: its nova-compute is down.*") as caught:
        take(tasks, segment="rack1", topology=tasks.topology)
    assert "spare2: it is in service already" in caught.value.message
    with pytest.raises(RecoveryError, match="it has none"):
        take(tasks, segment="rack9", topology=tasks.topology)


def test_it_joins_the_aggregates_of_the_failed_host_that_it_is_not_in(tasks: Tasks) -> None:
    tasks.cloud.aggregates = [
        {"id": 1, "name": "ssd", "hosts": ["cmp01"]},
        {"id": 2, "name": "rack", "hosts": ["cmp01", "spare1"]},
        {"id": 3, "name": "gpu", "hosts": ["cmp02"]},
    ]
    checked = take(tasks, True, host="spare1", join_aggregates_of="cmp01")
    assert tasks.cloud.changes == []
    assert checked == take(tasks, host="spare1", join_aggregates_of="cmp01")
    assert checked["aggregates"] == ["ssd"]
    assert [it["hosts"] for it in tasks.cloud.aggregates] == [["cmp01", "spare1"], ["cmp01", "spare1"], ["cmp02"]]


@pytest.mark.parametrize("act", [take, give_back])
def test_check_mode_tells_what_comes_out_and_changes_nothing(
    tasks: Tasks, act: t.Callable[..., dict[str, t.Any]]
) -> None:
    if act is give_back:
        take(tasks, host="spare1")
    before = list(tasks.cloud.changes)
    checked = act(tasks, True, host="spare1")
    assert tasks.cloud.changes == before
    assert checked == act(tasks, host="spare1")
    assert checked["changed"]


def test_an_unused_one_is_given_back_with_its_former_reason(tasks: Tasks) -> None:
    run_id = tasks.open("cmp01")
    take(tasks, host="spare1", run_id=run_id)
    assert tasks.service("spare1")["disabled_reason"] is None
    result = give_back(tasks, run_id=run_id)
    assert (result["changed"], result["consumed"]) == (True, [])
    assert tasks.service("spare1")["disabled_reason"] == "kept empty"
    with tasks.journal() as journal:
        assert [use["state"] for use in journal.reserved_uses(host="spare1")] == ["returned"]


def test_all_that_a_run_has_taken_are_given_back_at_once(tasks: Tasks) -> None:
    run_id = tasks.open("cmp01")
    take(tasks, host="spare1", run_id=run_id)
    take(tasks, host="spare2", run_id=run_id)
    tasks.nova.add("vm", "spare2")
    result = give_back(tasks, host=None, run_id=run_id)
    assert [(one["host"], one["changed"]) for one in result["hosts"]] == [("spare1", True), ("spare2", False)]
    assert give_back(tasks, host=None, run_id=run_id)["hosts"] == []
    with pytest.raises(ConfigError, match=r"^host: is missing"):
        give_back(tasks, host=None)


def test_one_that_something_landed_on_stays_in_service(tasks: Tasks) -> None:
    run_id = tasks.open("cmp01")
    take(tasks, host="spare1", run_id=run_id)
    tasks.nova.add("vm", "spare1")
    result = give_back(tasks, run_id=run_id)
    assert (result["changed"], result["consumed"]) == (False, ["server vm"])
    assert tasks.service("spare1")["status"] == "enabled"
    with tasks.journal() as journal:
        assert [use["state"] for use in journal.reserved_uses(host="spare1")] == ["consumed"]


def test_one_that_something_is_on_its_way_to_stays_in_service(tasks: Tasks) -> None:
    tasks.service("spare1")["status"] = "enabled"
    tasks.nova.add("vm", "cmp01")
    tasks.nova.evacuate("vm", "spare1", False)
    assert give_back(tasks)["consumed"] == ["evacuation of vm"]
    assert tasks.service("spare1")["status"] == "enabled"


def test_one_that_was_never_taken_is_left_alone(tasks: Tasks) -> None:
    assert not give_back(tasks)["changed"]
    assert tasks.cloud.changes == []


@pytest.mark.parametrize("args", [{}, {"segment": "rack1"}])
def test_options_that_make_no_sense_are_refused(tasks: Tasks, args: dict[str, t.Any]) -> None:
    with pytest.raises(WrongOptions):
        take(tasks, **args)
