"""recover_host on real Nova: the main job, and what may never happen."""

from __future__ import annotations

import typing as t

import pytest
from bed.client import Bed
from driver import Playbooks

Recovery = t.Callable[..., Playbooks]

RACK = {"rack1": {"hosts": ["cmp01", "cmp02", "cmp03"], "shared_storage": True}, "rack2": {"hosts": ["cmp05", "cmp06"]}}


def hosts_of(cloud: Bed, vms: t.Iterable[str]) -> set[str]:
    """The hosts on which these VMs really run."""
    return {host for host, uuids in cloud.running().items() if set(uuids) & set(vms)}


@pytest.mark.parametrize("method", ["ipmi", "redfish"])
def test_all_vms_of_a_dead_host_run_elsewhere_in_their_segment(cloud: Bed, recovery: Recovery, method: str) -> None:
    vms = cloud.fill("cmp01", 8)
    playbooks = recovery(RACK, method=method)
    # For other playbooks; here nobody logs in to a host.
    group_vars = playbooks.inventory.parent / "group_vars" / "all.yml"
    group_vars.parent.mkdir()
    group_vars.write_text("ansible_connection: ssh\nansible_python_interpreter: /nowhere/python\n")
    cloud.crash("cmp01")

    outcome = playbooks.recover("cmp01")

    assert outcome, outcome.out
    assert sorted(vm for uuids in cloud.running().values() for vm in uuids) == sorted(vms)
    assert hosts_of(cloud, vms) == {"cmp02", "cmp03"}
    assert cloud.ever_ran_twice() == []
    report = playbooks.report()
    assert {line["state"] for line in report["ledger"]} == {"verified"}
    assert report["certificates"][0]["certificate"]["kind"] == method
    assert report["certificates"][0]["certificate"]["identity"] == "matched"
    service = cloud.services()["cmp01"]
    assert service["forced_down"]
    assert service["status"] == "disabled"


def test_check_mode_shows_verdict_plan_and_targets_and_changes_nothing(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill("cmp01", 3)
    playbooks = recovery(RACK)
    cloud.crash("cmp01")
    cloud.reset_api_calls()

    outcome = playbooks.recover("cmp01", arguments=["--check"])

    assert outcome, outcome.out
    assert "RECOVER" in outcome.out
    assert outcome.out.count("evacuate cmp01 ->") == len(vms)
    assert cloud.api_log() == []
    assert cloud.status()["cmp01"]["power"] == "on"
    with playbooks.journal() as journal:
        assert journal.runs() == []


def test_a_second_run_finds_nothing_left_to_do(cloud: Bed, recovery: Recovery) -> None:
    cloud.fill("cmp01", 3)
    playbooks = recovery(RACK)
    cloud.crash("cmp01")
    assert playbooks.recover("cmp01")
    cloud.reset_api_calls()

    outcome = playbooks.recover("cmp01")

    assert outcome, outcome.out
    assert [call for call in cloud.api_log() if "evacuate" in str(call)] == []
    assert cloud.ever_ran_twice() == []


def test_a_host_is_not_called_recovered_when_its_plan_could_not_be_made(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill("cmp01", 2)
    playbooks = recovery(RACK)
    cloud.crash("cmp01")
    cloud.fail_api(service="compute", method="GET", path="/servers/detail", status=400, times=1)

    outcome = playbooks.recover("cmp01")

    assert not outcome
    assert "cmp01: PARTIAL: the run ended before all was evacuated" in outcome.out
    assert playbooks.report()["incidents"][0]["state"] == "partial"

    assert playbooks.recover("cmp01"), "running again finishes the job"
    assert sorted(playbooks.ledger()) == sorted(vms)
