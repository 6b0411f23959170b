"""recover_process on real Nova: a host with a failed service gets nothing new, and comes back when it is well."""

from __future__ import annotations

import contextlib
import json
import typing as t
from pathlib import Path

from bed.client import Bed
from driver import Playbooks, until
from helpers import Recovery, where
from responders import POLICY, Hosts, Responder, Scene, event

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal

RACK = {"rack1": {"hosts": ["cmp01", "cmp02", "cmp03"], "shared_storage": True}}
UNIT, OTHER = "libvirtd.service", "neutron-openvswitch-agent.service"
LONG = 180  # seconds that a whole run may take on a busy machine


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


def test_a_responder_takes_a_host_out_of_service_and_puts_it_back_when_all_of_its_services_are_well(
    cloud: Bed, tmp_path: Path
) -> None:
    names = ["cmp01", "cmp02", "cmp03"]
    inventory = cloud.segments_file(tmp_path / "lab.failover_segments.yml", RACK)
    with contextlib.closing(Scene(tmp_path, inventory, cloud.clouds_yaml)) as scene:
        (tmp_path / "ha_policy.yml").write_text(json.dumps({**POLICY, "processes": {"healthy_for": 1}}))
        (responder,) = scene.add(["ctl1"], [f"sqlite:///{tmp_path}/journal.db"])
        with Hosts(names, [responder.start()]), open_journal(responder.journal_url) as journal:
            until(lambda: [it["view"]["networks"]["admin"]["hears"] for it in journal.observers("RegionOne")] == [3])
            _say(responder, UNIT, "failed", 1)
            until(lambda: cloud.services()["cmp01"]["status"] == "disabled", LONG)
            assert cloud.services()["cmp01"]["disabled_reason"].startswith(f"openstack_ha: process {UNIT}: test, run ")
            _say(responder, OTHER, "failed", 2)
            until(lambda: _verdicts(journal, OTHER) == ["alert"], LONG)
            _say(responder, UNIT, "ok", 3)
            until(lambda: _gate(journal) == "health", LONG)
            assert cloud.services()["cmp01"]["status"] == "disabled", f"{OTHER} fails still"
            _say(responder, OTHER, "ok", 4)
            until(lambda: cloud.services()["cmp01"]["status"] == "enabled", LONG)
            until(lambda: {it["state"] for it in journal.incidents()} <= {"closed", "recovered"}, LONG)
            assert [it for it in journal.runs() if it["state"] == "open"] == []
    assert cloud.migrations() == []


def _say(responder: Responder, unit: str, word: str, number: int) -> None:
    assert responder.send(event("cmp01", f"process.{word}", number, unit), principal="host:cmp01") == 202


def _verdicts(journal: Journal, unit: str) -> list[str | None]:
    return [it["verdict"] for it in journal.signals(kind="process", object=unit)]


def _gate(journal: Journal) -> str | None:
    """Of the newest verdict on the unit that is well again."""
    (incident,) = journal.incidents(kind="process", object=UNIT)
    newest = journal.verdicts(journal.runs_of(incident["id"])[-1])
    return next((it["gate"] for found in newest for at, it in found["result"].items() if at.endswith(UNIT)), None)
