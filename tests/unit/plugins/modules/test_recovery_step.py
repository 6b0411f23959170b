from __future__ import annotations

import typing as t

import pytest
from unit.fakes.tasks import Tasks

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import LeaseLost, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims
from ansible_collections.openstack_ha.recovery.plugins.modules import recovery_run, recovery_step
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Nova


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any) -> Tasks:
    nova = Nova(Clock(), ["cmp01", "cmp02"], ["cmp01"])
    return Tasks(monkeypatch, FakeCloud(nova, {}), tmp_path)


def steps(tasks: Tasks, run_id: str) -> list[tuple[str | None, str]]:
    with tasks.journal() as journal:
        return [(it["host"], it["name"]) for it in journal.steps(run_id) if "said" in it["name"]]


def test_a_step_is_journaled_with_its_host_and_the_time_that_it_can_be_measured_from(tasks: Tasks) -> None:
    run_id = tasks.open("cmp01")
    result = tasks.run(recovery_step, run_id=run_id, name=" said\n twice ", host="cmp01")
    assert (result["changed"], result["name"]) == (True, "said twice")
    assert result["uptime"] > 0
    tasks.run(recovery_step, run_id=run_id, name="said of all")
    assert steps(tasks, run_id) == [("cmp01", "said twice"), (None, "said of all")]


def test_what_is_too_long_is_cut(tasks: Tasks) -> None:
    run_id = tasks.open("cmp01")
    name = tasks.run(recovery_step, run_id=run_id, name="said " + "x" * 400)["name"]
    assert (len(name), name[-1]) == (255, "…")
    assert steps(tasks, run_id) == [(None, name)]


def test_in_check_mode_nothing_is_written(tasks: Tasks) -> None:
    run_id = tasks.open("cmp01")
    tasks.run(recovery_step, check_mode=True, run_id=run_id, name="said")
    assert steps(tasks, run_id) == []


def test_a_run_that_has_lost_its_claims_is_told_so_unless_it_is_closed(tasks: Tasks) -> None:
    run_id = tasks.open("cmp01")
    with tasks.journal() as journal:
        claims.release(journal, run_id, ["cmp01"])
    with pytest.raises(LeaseLost):
        tasks.run(recovery_step, run_id=run_id, name="said")
    assert steps(tasks, run_id) == []
    tasks.run(recovery_step, run_id=run_id, name="said", claimed=False)
    assert steps(tasks, run_id) == [(None, "said")]


def test_without_a_run_or_about_another_host_nothing_is_written(tasks: Tasks) -> None:
    with pytest.raises(RecoveryError, match="run_id: this needs a run"):
        tasks.run(recovery_step, name="said")
    run_id = tasks.open("cmp01")
    with pytest.raises(RecoveryError, match="not about cmp02"):
        tasks.run(recovery_step, run_id=run_id, name="said", host="cmp02")
    tasks.run(recovery_run, state="closed", run_id=run_id)
