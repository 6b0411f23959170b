"""recover_process on real Nova: a host with a failed service gets nothing new, and comes back when it is well."""

from __future__ import annotations

import typing as t

from bed.client import Bed
from driver import Playbooks
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
