"""recover_process on real Nova: a host with a failed service gets nothing new, and comes back when it is well."""

from __future__ import annotations

import typing as t

from bed.client import Bed
from driver import Playbooks, until
from helpers import Recovery, where

RACK = {"rack1": {"hosts": ["cmp01", "cmp02", "cmp03"], "shared_storage": True}}
UNIT = "libvirtd.service"


def recover(playbooks: Playbooks, *arguments: str, **variables: t.Any) -> t.Any:
    return playbooks.run("recover_process", *arguments, failed_hosts="cmp01", failed_processes=UNIT, **variables)


def test_a_host_with_a_failed_service_is_disabled_and_people_are_told_what_they_can_do(
    cloud: Bed, recovery: Recovery
) -> None:
    vms = cloud.fill("cmp01", 2)
    playbooks = recovery(RACK)

    outcome = recover(playbooks)

    assert not outcome, "the service has not come back"
    service = cloud.services()["cmp01"]
    assert (service["status"], service["forced_down"], service["state"]) == ("disabled", False, "up")
    run = playbooks.report()["run"]["id"]
    assert service["disabled_reason"] == f"openstack_ha: process {UNIT}: it has failed, run {run}"
    assert where(cloud, vms) == ["cmp01", "cmp01"]
    assert "recover_host -i INVENTORY -e failed_hosts=cmp01" in outcome.out
    assert cloud.status()["cmp01"]["power"] == "on"
    report = playbooks.report()
    assert [(it["host"], it["outcome"]) for it in report["hosts"]] == [(f"cmp01/{UNIT}", "partial")]
    assert [it["kind"] for it in report["incidents"]] == ["process"]
    assert report["claims"] == []


def test_check_mode_shows_what_follows_and_changes_nothing(cloud: Bed, recovery: Recovery) -> None:
    cloud.fill("cmp01", 1)
    playbooks = recovery(RACK)
    with playbooks.journal():
        pass
    cloud.reset_api_calls()

    outcome = recover(playbooks, "--check", then="migrate")

    assert outcome, outcome.out
    assert "RECOVER" in outcome.out
    assert "-> cmp0" in outcome.out
    assert cloud.api_log() == []
    with playbooks.journal() as journal:
        assert journal.runs() == []


def test_vms_are_moved_away_where_that_is_wanted(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill("cmp01", 2)
    playbooks = recovery(RACK)

    outcome = recover(playbooks, then="migrate")

    assert "VMs: all are moved away." in outcome.out
    assert "cmp01" not in where(cloud, vms)
    assert cloud.ever_ran_twice() == []
    assert cloud.services()["cmp01"]["status"] == "disabled"
    report = playbooks.report()
    assert [(it["host"], it["outcome"]) for it in report["hosts"]] == [(f"cmp01/{UNIT}", "partial")]
    assert {line["state"] for line in report["ledger"]} == {"verified"}


def test_without_nova_compute_nothing_is_moved_and_that_is_said(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill("cmp01", 1)
    playbooks = recovery(RACK)
    cloud.kill_compute("cmp01")
    until(lambda: cloud.services()["cmp01"]["state"] == "down")

    outcome = recover(playbooks, then="migrate")

    assert "VMs could not be moved away: Nova takes cmp01 for down" in outcome.out
    assert where(cloud, vms) == ["cmp01"]
    assert cloud.services()["cmp01"]["status"] == "disabled"


def test_asking_the_gates_about_a_host_that_lives_fences_nothing(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill("cmp01", 1)
    playbooks = recovery(RACK)

    outcome = recover(playbooks, then="recover")

    assert not outcome
    assert "Nothing is recovered. cmp01: ask (gate witnesses)" in outcome.out.replace("\n", " ")
    assert cloud.status()["cmp01"]["power"] == "on"
    assert where(cloud, vms) == ["cmp01"]


def test_what_a_person_has_disabled_keeps_his_reason_and_stays_disabled(cloud: Bed, recovery: Recovery) -> None:
    playbooks = recovery(RACK)
    cloud.update_service("cmp01", status="disabled", disabled_reason="new disk")

    outcome = recover(playbooks)

    assert not outcome
    assert "cmp01 is out of service already (new disk)" in outcome.out
    assert cloud.services()["cmp01"]["disabled_reason"] == "new disk"
