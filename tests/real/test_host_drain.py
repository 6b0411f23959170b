"""Draining a living host on real Nova: what moves, what stays, and what is never done."""

from __future__ import annotations

import json
import typing as t

import processes
from bed.client import Bed
from driver import Playbooks, until
from helpers import Recovery, where
from scenes import states

RACK = {"rack1": {"hosts": ["cmp01", "cmp02", "cmp03"], "shared_storage": True}, "rack2": {"hosts": ["cmp05", "cmp06"]}}


def drain(playbooks: Playbooks, *arguments: str, **variables: t.Any) -> t.Any:
    return playbooks.run("recover_network", *arguments, failed_hosts="cmp01", **variables)


def requests(cloud: Bed, action: str = "os-migrateLive") -> list[dict[str, t.Any]]:
    return [line for line in cloud.api_log() if line.get("action") == action]


def test_vms_of_a_living_host_go_on_elsewhere_in_their_segment_and_run_only_once(
    cloud: Bed, recovery: Recovery
) -> None:
    vms = cloud.fill("cmp01", 4, network=True, volume=True)
    playbooks = recovery(RACK)

    outcome = drain(playbooks)

    assert outcome, outcome.out
    assert set(where(cloud, vms)) == {"cmp02", "cmp03"}
    assert cloud.ever_ran_twice() == []
    assert {line["state"] for line in playbooks.ledger().values()} == {"verified"}
    assert {line["method"] for line in playbooks.ledger().values()} == {"live_migrate"}
    service = cloud.services()["cmp01"]
    assert (service["status"], service["forced_down"], service["state"]) == ("disabled", False, "up")
    assert service["disabled_reason"].startswith("openstack_ha: network ")
    assert [line["action"] for line in cloud.api_log() if line.get("action") == "evacuate"] == []


def policy(playbooks: Playbooks, **drain_: t.Any) -> None:
    """Let the section ``drain`` of the policy say this."""
    playbooks.inventory.with_name("ha_policy.yml").write_text(json.dumps({"drain": drain_}))


def test_what_nova_cannot_move_alive_stays_as_it_is_and_that_is_said(cloud: Bed, recovery: Recovery) -> None:
    names = ("running", "paused", "stopped", "suspended", "busy", "unprotected")
    vms = dict(zip(names, cloud.fill("cmp01", len(names))))
    for name, action in (("paused", "pause"), ("stopped", "os-stop"), ("suspended", "suspend")):
        cloud.action(vms[name], {action: None})
        cloud.await_server(vms[name], lambda it, name=name: it["OS-EXT-STS:vm_state"] == name)
    cloud.edit_server(vms["busy"], task_state="image_snapshot")
    cloud.request("POST", f"/servers/{vms['unprotected']}/metadata", {"metadata": {"openstack_ha:protect": "false"}})
    playbooks = recovery(RACK)

    outcome = drain(playbooks)

    assert not outcome
    assert "2 VMs could not be moved" in outcome.out
    ledger = playbooks.ledger()
    assert {name: ledger[vm]["state"] for name, vm in vms.items()} == {
        "running": "verified",
        "paused": "verified",
        "stopped": "skipped",
        "suspended": "pending",
        "busy": "pending",
        "unprotected": "skipped",
    }
    assert cloud.server(vms["paused"])["OS-EXT-STS:vm_state"] == "paused"
    moved = {line["path"].split("/")[-2] for line in requests(cloud)}
    assert moved == {vms["running"], vms["paused"]}
    assert cloud.ever_ran_twice() == []


def test_a_target_that_refuses_is_passed_over_and_what_none_takes_alive_goes_the_other_way_if_that_is_wanted(
    cloud: Bed, recovery: Recovery
) -> None:
    running, stopped = cloud.fill("cmp01", 2, volume=True)
    cloud.action(stopped, {"os-stop": None})
    cloud.await_server(stopped, lambda it: it["OS-EXT-STS:vm_state"] == "stopped")
    cloud.knobs("cmp02", migrate_refused=True)
    cloud.knobs("cmp03", migrate_refused=True)
    playbooks = recovery(RACK)

    outcome = drain(playbooks)

    assert not outcome
    assert "no target took it: " in playbooks.ledger()[running]["reason"]
    assert len(requests(cloud)) == 2
    assert where(cloud, [running]) == ["cmp01"]

    policy(playbooks, fallback="cold_migrate", powered_off="cold_migrate")
    outcome = drain(playbooks)

    assert outcome, outcome.out
    assert {it["state"] for it in playbooks.ledger().values()} == {"verified"}
    assert {it["method"] for it in playbooks.ledger().values()} == {"cold_migrate"}
    assert where(cloud, [running]) in (["cmp02"], ["cmp03"])
    assert cloud.server(stopped)["OS-EXT-STS:vm_state"] == "stopped"
    assert cloud.server(stopped)["OS-EXT-SRV-ATTR:host"] != "cmp01"
    assert cloud.ever_ran_twice() == []


def test_a_migration_that_does_not_end_is_aborted(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill("cmp01", 1)
    cloud.knobs("cmp01", migrate_delay=600)
    playbooks = recovery(RACK)
    policy(playbooks, vm_timeout=10)

    outcome = drain(playbooks)

    assert not outcome
    assert "aborted, because it took longer than 10 s" in playbooks.ledger()[vms[0]]["reason"]
    assert where(cloud, vms) == ["cmp01"]
    server = cloud.await_server(vms[0], lambda it: it["OS-EXT-STS:task_state"] is None)
    assert server["OS-EXT-STS:vm_state"] == "active"
    assert [it["status"] for it in cloud.migrations()] == ["cancelled"]


def test_killed_half_way_it_goes_on_and_asks_for_no_vm_twice(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill("cmp01", 4)
    cloud.knobs("cmp01", migrate_delay=2)
    playbooks = recovery(RACK)
    policy(playbooks, parallel=2)
    process = playbooks.start("recover_network", failed_hosts="cmp01")
    try:
        until(lambda: "requested" in states(playbooks))
        family = [process.pid, *processes.children(process.pid)]
        processes.kill(family)
    finally:
        process.communicate()

    outcome = drain(playbooks)

    assert outcome, outcome.out
    assert "cmp01" not in where(cloud, vms)
    assert {line["state"] for line in playbooks.ledger().values()} == {"verified"}
    assert len(requests(cloud)) == len(vms)
    assert cloud.ever_ran_twice() == []


def test_a_host_that_dies_meanwhile_is_left_to_its_recovery(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill("cmp01", 3)
    cloud.knobs("cmp01", migrate_delay=600)
    playbooks = recovery(RACK)
    policy(playbooks, parallel=1)
    process = playbooks.start("recover_network", failed_hosts="cmp01")
    try:
        until(lambda: "running" in [it["status"] for it in cloud.migrations()])
        cloud.crash("cmp01")
        out, _nothing = process.communicate(timeout=120)
    finally:
        process.kill()
        process.communicate()

    assert process.returncode != 0
    assert "STOP: cmp01 does not answer any more" in out or "Nova takes cmp01 for down" in out
    assert len(requests(cloud)) == 1

    outcome = playbooks.recover("cmp01")

    ledger = playbooks.ledger()
    assert [ledger[vm]["state"] for vm in vms].count("verified") >= 2, outcome.out
    assert cloud.ever_ran_twice() == []
