from __future__ import annotations

import typing as t

import pytest
from unit.fakes.tasks import Tasks, WrongOptions

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError, LeaseLost, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims
from ansible_collections.openstack_ha.recovery.plugins.modules import compute_service
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Fate, Nova

DEAD = {"status": "disabled", "disabled_reason": "openstack_ha: failed", "forced_down": True}


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any) -> Tasks:
    nova = Nova(Clock(), ["cmp01", "cmp02"], [])
    nova.services["cmp01"]["state"] = "down"
    return Tasks(monkeypatch, FakeCloud(nova, {}), tmp_path)


def serve(tasks: Tasks, check_mode: bool = False, **args: t.Any) -> dict[str, t.Any]:
    return tasks.run(compute_service, check_mode, **{"host": "cmp01", **args})


def test_a_dead_host_is_taken_out_of_service_in_one_call(tasks: Tasks) -> None:
    result = serve(tasks, **DEAD)
    assert result["changed"]
    assert tasks.cloud.changes == [("PUT", "/os-services/service-cmp01", DEAD)]
    assert {name: result["service"][name] for name in DEAD} == DEAD
    assert result["diff"]["before"]["status"] == "enabled"


def test_doing_it_again_changes_nothing(tasks: Tasks) -> None:
    serve(tasks, **DEAD)
    again = serve(tasks, **DEAD)
    assert not again["changed"]
    assert again["diff"]["before"] == again["diff"]["after"]
    assert len(tasks.cloud.changes) == 1


def test_only_what_differs_is_sent(tasks: Tasks) -> None:
    serve(tasks, status="disabled")
    serve(tasks, status="disabled", forced_down=True)
    assert tasks.cloud.changes[-1][2] == {"forced_down": True}


def test_a_new_reason_goes_together_with_the_status(tasks: Tasks) -> None:
    serve(tasks, status="disabled", disabled_reason="a")
    serve(tasks, status="disabled", disabled_reason="b")
    assert tasks.cloud.changes[-1][2] == {"status": "disabled", "disabled_reason": "b"}


@pytest.mark.parametrize("args", [DEAD, {"status": "enabled", "forced_down": False}])
def test_check_mode_tells_what_really_comes_out_and_changes_nothing(tasks: Tasks, args: dict[str, t.Any]) -> None:
    if args is not DEAD:
        serve(tasks, **DEAD)
    before = dict(tasks.service("cmp01"))
    checked = serve(tasks, check_mode=True, **args)
    assert tasks.service("cmp01") == before
    assert checked == serve(tasks, **args)
    assert checked["changed"]


def test_a_reason_to_enable_a_host_is_refused_and_does_not_disable_it(tasks: Tasks) -> None:
    with pytest.raises(RecoveryError, match="disabled_reason"):
        serve(tasks, status="enabled", disabled_reason="repaired")
    assert tasks.cloud.changes == []


@pytest.mark.parametrize(
    "args", [{}, {"disabled_reason": "x"}, {"disabled_reason": "x", "forced_down": True}, {"status": "off"}]
)
def test_options_that_make_no_sense_are_refused(tasks: Tasks, args: dict[str, t.Any]) -> None:
    with pytest.raises(WrongOptions):
        serve(tasks, **args)


def test_an_unknown_host_is_named_with_where_to_find_its_name(tasks: Tasks) -> None:
    with pytest.raises(CloudError, match=r"no nova-compute services on host 'cmp99'.*compute service list"):
        serve(tasks, host="cmp99", status="disabled")


@pytest.mark.parametrize("check_mode", [True, False])
def test_an_evacuated_host_is_not_forced_up_while_stale_guests_may_run_there(tasks: Tasks, check_mode: bool) -> None:
    serve(tasks, **DEAD)
    tasks.nova.add("a", "cmp01")
    tasks.nova.fates["a"] = [Fate(takes=0.0)]
    tasks.nova.evacuate("a", "cmp02", False)
    with pytest.raises(CloudError, match="1 evacuation records in status 'done'") as caught:
        serve(tasks, check_mode, forced_down=False)
    assert caught.value.facts["servers"] == ["a"]
    tasks.nova.records[0]["status"] = "completed"
    assert serve(tasks, check_mode, forced_down=False)["changed"]


def test_within_a_run_the_lease_comes_first_and_the_step_is_journaled(tasks: Tasks) -> None:
    run_id = tasks.open("cmp01", answer="recover", answered_by="ann", answer_reason="dead")
    serve(tasks, run_id=run_id, **DEAD)
    with tasks.journal() as journal:
        assert [(step["name"], step["host"]) for step in journal.steps(run_id)] == [("forced_down", "cmp01")]


def test_a_run_that_lost_its_claim_changes_nothing(tasks: Tasks) -> None:
    run_id = tasks.open("cmp01", answer="recover", answered_by="ann", answer_reason="dead")
    with tasks.journal() as journal:
        claims.release(journal, run_id, ["cmp01"])
    with pytest.raises(LeaseLost):
        serve(tasks, run_id=run_id, **DEAD)
    assert tasks.cloud.changes == []


def test_a_run_changes_only_its_own_hosts(tasks: Tasks) -> None:
    run_id = tasks.open("cmp01", answer="recover", answered_by="ann", answer_reason="dead")
    with pytest.raises(RecoveryError, match="not about cmp02"):
        serve(tasks, host="cmp02", run_id=run_id, **DEAD)
    assert tasks.cloud.changes == []


# -- who has disabled it enables it again ---------------------------------------------------------------------------

MINE = "openstack_ha: process libvirtd.service"


def test_what_somebody_has_disabled_keeps_his_reason(tasks: Tasks) -> None:
    serve(tasks, status="disabled", disabled_reason="disk is being replaced")
    again = serve(tasks, status="disabled", disabled_reason=MINE, unless_disabled=True)
    assert not again["changed"]
    assert again["left_alone"] == "cmp01 is disabled already (disk is being replaced)"
    assert again["service"]["disabled_reason"] == "disk is being replaced"


def test_what_nobody_has_disabled_is_disabled(tasks: Tasks) -> None:
    first = serve(tasks, status="disabled", disabled_reason=MINE, unless_disabled=True)
    assert (first["changed"], first["left_alone"]) == (True, "")
    assert tasks.cloud.nova.services["cmp01"]["disabled_reason"] == MINE


def test_only_what_was_disabled_for_this_is_enabled_again(tasks: Tasks) -> None:
    serve(tasks, status="disabled", disabled_reason=f"{MINE}: it is failed, run 1")
    result = serve(tasks, status="enabled", only_if_reason=f"{MINE}:")
    assert (result["changed"], result["service"]["status"]) == (True, "enabled")


@pytest.mark.parametrize("reason", ["disk is being replaced", "openstack_ha: process other: x", "openstack_ha: failed"])
def test_what_was_disabled_for_something_else_stays_so(tasks: Tasks, reason: str) -> None:
    serve(tasks, status="disabled", disabled_reason=reason)
    result = serve(tasks, status="enabled", only_if_reason=f"{MINE}:")
    assert (result["changed"], result["service"]["status"]) == (False, "disabled")
    assert reason in result["left_alone"]


@pytest.mark.parametrize(
    "wrong", [{"unless_disabled": True, "status": "enabled"}, {"only_if_reason": MINE, "status": "disabled"}]
)
def test_a_condition_for_the_other_status_is_refused(tasks: Tasks, wrong: dict[str, t.Any]) -> None:
    with pytest.raises(RecoveryError, match="Leave it out"):
        serve(tasks, **wrong)
