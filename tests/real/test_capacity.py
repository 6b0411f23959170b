"""Too little room, targets that refuse, server groups, zones, two hosts at once, ports and volumes."""

from __future__ import annotations

import typing as t

import pytest
from bed.client import Bed
from driver import until
from helpers import HASTY, Recovery, evacuations, reason, states, where
from scenes import started

PAIR = {"rack": {"hosts": ["cmp01", "cmp02"], "shared_storage": True}}
THREE = {"rack": {"hosts": ["cmp01", "cmp02", "cmp03"], "shared_storage": True}}
MB_OF_A_VM = 64
RESERVED_BY_NOVA = 512  # reserved_host_memory_mb


def room_for(cloud: Bed, host: str, vms: int) -> None:
    """Let a host have memory for so many VMs in all."""
    cloud.knobs(host, memory_mb=RESERVED_BY_NOVA + vms * MB_OF_A_VM)


def important(cloud: Bed, host: str, priority: int) -> str:
    return cloud.fill(host, 1, metadata={"openstack_ha:priority": str(priority)})[0]


def ports_of(cloud: Bed, vm: str) -> list[dict[str, t.Any]]:
    found = cloud.request("GET", f"/network/v2.0/ports?device_id={vm}", service="others")["ports"]
    return [port for port in found if port["device_id"] == vm]


def attachments_of(cloud: Bed, vm: str) -> list[dict[str, t.Any]]:
    [volume] = cloud.server(vm)["os-extended-volumes:volumes_attached"]
    shown = cloud.request("GET", f"/volume/v3/volumes/{volume['id']}", service="others")["volume"]
    return list(shown["attachments"])


def test_little_room_goes_to_the_most_important_and_the_rest_goes_when_there_is_more(
    cloud: Bed, recovery: Recovery
) -> None:
    vms = {priority: important(cloud, "cmp01", priority) for priority in (900, 100, 500, 700)}
    room_for(cloud, "cmp02", 2)
    playbooks = recovery(PAIR)
    cloud.crash("cmp01")

    outcome = playbooks.recover("cmp01")

    assert outcome.rc != 0
    assert states(playbooks, [vms[priority] for priority in (900, 700, 500, 100)]) == [
        "verified",
        "verified",
        "pending",
        "pending",
    ]
    assert reason(playbooks, vms[500]) == "no room in segment rack; best host cmp02: MEMORY_MB: needs 64, free 0"
    assert f"pending: {reason(playbooks, vms[500])}" in outcome.out
    assert len(evacuations(cloud)) == 2

    room_for(cloud, "cmp02", 4)
    assert playbooks.recover("cmp01"), "running again finishes the job"
    assert where(cloud, vms.values()) == ["cmp02"] * 4
    assert len(evacuations(cloud)) == 4
    assert cloud.ever_ran_twice() == []


def test_a_target_that_begins_to_work_in_mid_run_gets_its_vm_by_a_retry(cloud: Bed, recovery: Recovery) -> None:
    [vm] = cloud.fill("cmp01", 1)
    cloud.knobs("cmp02", spawn_fails=True)
    playbooks = recovery(PAIR)
    cloud.crash("cmp01")

    with started(playbooks, evacuate_retries=20, evacuate_retry_delay=1) as process:
        until(lambda: len(evacuations(cloud)) > 1)
        cloud.knobs("cmp02", spawn_fails=False)
        out, _nothing = process.communicate(timeout=120)

    assert process.returncode == 0, out
    assert states(playbooks, [vm]) == ["verified"]
    assert where(cloud, [vm]) == ["cmp02"]
    assert cloud.ever_ran_twice() == []


def test_anti_affinity_is_kept_and_what_it_leaves_no_host_for_is_pending(cloud: Bed, recovery: Recovery) -> None:
    group = cloud.server_group("anti-affinity")
    mover, neighbour = (cloud.fill(host, 1, group=group)[0] for host in ("cmp01", "cmp02"))
    lonely = cloud.server_group("anti-affinity", "lonely")
    stuck, *others = (cloud.fill(host, 1, group=lonely)[0] for host in ("cmp01", "cmp02", "cmp03"))
    playbooks = recovery(THREE)
    cloud.crash("cmp01")

    outcome = playbooks.recover("cmp01", **HASTY)

    assert outcome.rc != 0
    assert where(cloud, [mover, neighbour, *others]) == ["cmp03", "cmp02", "cmp02", "cmp03"]
    assert states(playbooks, [mover, stuck]) == ["verified", "pending"]
    assert "server groups allow" in reason(playbooks, stuck)
    assert evacuations(cloud, stuck) == []
    assert cloud.ever_ran_twice() == []


def test_an_affinity_group_stays_together_or_is_pending_with_the_words_of_nova(cloud: Bed, recovery: Recovery) -> None:
    """Nova 34 lets no member leave the dead host, because the others are still on it."""
    vms = cloud.fill("cmp01", 2, group=cloud.server_group("affinity"))
    playbooks = recovery(THREE)
    cloud.crash("cmp01")

    playbooks.recover("cmp01", evacuate_retries=0)

    landed = {host for host in where(cloud, vms) if host}
    assert len(landed) <= 1
    for vm, state in zip(vms, states(playbooks, vms)):
        assert state == "verified" or "No valid host" in reason(playbooks, vm)
    assert cloud.ever_ran_twice() == []


def test_a_vm_pinned_to_a_zone_stays_in_it_and_others_prefer_it(cloud: Bed, recovery: Recovery) -> None:
    cloud.aggregate("zone", ["cmp01", "cmp02"], zone="az1")
    pinned = [cloud.fill("cmp01", 1, availability_zone="az1", metadata=data)[0] for data in ({}, _priority(1))]
    [free] = cloud.fill("cmp01", 1, metadata=_priority(0))
    room_for(cloud, "cmp02", 1)
    playbooks = recovery(THREE)
    cloud.crash("cmp01")

    outcome = playbooks.recover("cmp01")

    assert outcome.rc != 0
    assert where(cloud, [*pinned, free]) == ["cmp02", "", "cmp03"]
    assert "best host cmp02" in reason(playbooks, pinned[1]), "cmp03 has room, in another zone"
    assert cloud.ever_ran_twice() == []


def _priority(value: int) -> dict[str, str]:
    return {"openstack_ha:priority": str(value)}


def test_two_hosts_need_an_answer(cloud: Bed, recovery: Recovery) -> None:
    playbooks = recovery(THREE)
    for host in ("cmp01", "cmp02"):
        cloud.crash(host)
    cloud.reset_api_calls()

    outcome = playbooks.recover("cmp01", "cmp02")

    assert outcome.rc != 0
    assert "2 hosts at once in the cloud, allowed without asking: 1" in outcome.out
    assert "-e answer=recover" in outcome.out
    assert cloud.api_log() == []
    assert {host["power"] for host in cloud.status().values()} == {"on"}


def test_two_hosts_are_fenced_at_once_and_share_one_order_of_priority(cloud: Bed, recovery: Recovery) -> None:
    slow = 8
    vms = {
        (host, priority): important(cloud, host, priority)
        for host, priority in (("cmp01", 300), ("cmp01", 800), ("cmp02", 900), ("cmp02", 200))
    }
    room_for(cloud, "cmp03", 3)
    playbooks = recovery(THREE, timeout=60)
    for host in ("cmp01", "cmp02"):
        cloud.bmc_fault(host, f"delay:{slow}", "ipmi")
        cloud.crash(host)

    outcome = playbooks.recover("cmp01", "cmp02", answer="recover", answered_by="ann", answer_reason="'the rack burns'")

    assert outcome.rc != 0
    report = playbooks.report()
    assert "ann answered recover: the rack burns" in outcome.out
    fenced = {step["host"]: step["seconds"] for step in report["steps"] if step["name"] == "fenced"}
    assert abs(fenced["cmp01"] - fenced["cmp02"]) < slow, "one after the other"
    order = [("cmp02", 900), ("cmp01", 800), ("cmp01", 300), ("cmp02", 200)]
    assert [line["server_id"] for line in sorted(report["ledger"], key=lambda line: line["position"])] == [
        vms[key] for key in order
    ]
    assert states(playbooks, [vms[key] for key in order]) == ["verified", "verified", "verified", "pending"]
    assert {entry["host"]: entry["outcome"] for entry in report["hosts"]} == {
        "cmp01": "recovered",
        "cmp02": "partial",
    }
    assert cloud.ever_ran_twice() == []


def test_verified_means_that_port_and_volume_have_moved_too(cloud: Bed, recovery: Recovery) -> None:
    [vm] = cloud.fill("cmp01", 1, volume=True, network=True)
    assert [port["binding:host_id"] for port in ports_of(cloud, vm)] == ["cmp01"]
    assert [one["host_name"] for one in attachments_of(cloud, vm)] == ["cmp01"]
    playbooks = recovery(PAIR)
    cloud.crash("cmp01")

    outcome = playbooks.recover("cmp01")

    assert outcome, outcome.out
    assert states(playbooks, [vm]) == ["verified"]
    assert [port["binding:host_id"] for port in ports_of(cloud, vm)] == ["cmp02"]
    assert [one["host_name"] for one in attachments_of(cloud, vm)] == ["cmp02"]
    assert cloud.ever_ran_twice() == []


@pytest.mark.deep
def test_a_port_that_stays_bound_to_the_dead_host_is_reported(cloud: Bed, recovery: Recovery) -> None:
    [vm] = cloud.fill("cmp01", 1, network=True)
    [port] = ports_of(cloud, vm)
    playbooks = recovery(PAIR)
    cloud.knobs("cmp02", spawn_delay=2)
    cloud.crash("cmp01")

    with started(playbooks, evacuate_verify_timeout=5) as process:
        path = f"/network/v2.0/ports/{port['id']}"
        cloud.await_server(vm, lambda one: one["OS-EXT-SRV-ATTR:host"] == "cmp02", timeout=120)
        until(lambda: _tear(cloud, path) and process.poll() is not None, 120)
        out, _nothing = process.communicate(timeout=60)

    assert process.returncode != 0, out
    assert states(playbooks, [vm]) == ["failed"]
    assert f"port {port['id']} is bound to cmp01 instead of cmp02" in reason(playbooks, vm)
    assert cloud.ever_ran_twice() == []


def _tear(cloud: Bed, path: str) -> bool:
    """Bind a port to the dead host again."""
    cloud.request("PUT", path, {"port": {"binding:host_id": "cmp01"}}, service="others")
    return True
