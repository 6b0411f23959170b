"""Recovery methods, and reserved hosts: taken when needed, used up only by VMs that landed, given back otherwise."""

from __future__ import annotations

import typing as t

import pytest
from bed.client import Bed
from driver import Playbooks
from helpers import HASTY, Recovery, evacuations, reason, states, where
from scenes import started

WHY = "kept free: ticket 7"
MB_OF_A_VM = 64
RESERVED_BY_NOVA = 512  # reserved_host_memory_mb


def segment(method: str, *hosts: str) -> dict[str, t.Any]:
    return {
        "rack": {
            "hosts": list(hosts or ("cmp01", "cmp02")),
            "reserved_hosts": ["cmp03"],
            "recovery_method": method,
            "shared_storage": True,
        }
    }


def reserve(cloud: Bed, host: str = "cmp03") -> None:
    cloud.update_service(host, status="disabled", disabled_reason=WHY)
    cloud.reset_api_calls()


def room_for(cloud: Bed, host: str, vms: int) -> None:
    """Let a host have memory for so many VMs in all."""
    cloud.knobs(host, memory_mb=RESERVED_BY_NOVA + vms * MB_OF_A_VM)


def is_reserved(cloud: Bed, host: str = "cmp03") -> bool:
    """Whether it is out of service for the reason that its operator gave."""
    service = cloud.services()[host]
    return (service["status"], service["disabled_reason"]) == ("disabled", WHY)


def changes_of(cloud: Bed, host: str) -> list[t.Any]:
    """What was changed of its service."""
    key = cloud.services()[host]["id"]
    return [call["body"]["status"] for call in cloud.api_log() if call["path"].endswith(f"/os-services/{key}")]


def uses(playbooks: Playbooks) -> list[str]:
    with playbooks.journal() as journal:
        return [use["state"] for use in journal.reserved_uses()]


@pytest.mark.parametrize(
    ("method", "homes"),
    [
        ("auto", ["cmp02", ""]),
        ("reserved_host", ["cmp03", "cmp03"]),
        ("auto_priority", ["cmp02", "cmp03"]),
        ("rh_priority", ["cmp03", "cmp03"]),
    ],
)
def test_each_recovery_method_uses_its_hosts_in_its_order(
    cloud: Bed, recovery: Recovery, method: str, homes: list[str]
) -> None:
    vms = [cloud.fill("cmp01", 1, metadata={"openstack_ha:priority": key})[0] for key in ("900", "100")]
    reserve(cloud)
    room_for(cloud, "cmp02", 1)
    playbooks = recovery(segment(method))
    cloud.crash("cmp01")

    playbooks.recover("cmp01")

    assert where(cloud, vms) == homes
    assert states(playbooks, vms) == ["verified" if home else "pending" for home in homes]
    used = "cmp03" in homes
    assert uses(playbooks) == (["consumed"] if used else [])
    assert changes_of(cloud, "cmp03") == (["enabled"] if used else [])
    assert is_reserved(cloud) is not used
    assert cloud.ever_ran_twice() == []


def test_reserved_hosts_come_first_only_while_they_have_room(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill("cmp01", 2)
    reserve(cloud)
    room_for(cloud, "cmp03", 1)
    playbooks = recovery(segment("rh_priority"))
    cloud.crash("cmp01")

    outcome = playbooks.recover("cmp01")

    assert outcome, outcome.out
    assert sorted(where(cloud, vms)) == ["cmp02", "cmp03"]
    assert cloud.ever_ran_twice() == []


def test_a_reserved_host_on_which_nothing_landed_goes_back_with_its_former_reason(
    cloud: Bed, recovery: Recovery
) -> None:
    [vm] = cloud.fill("cmp01", 1)
    reserve(cloud)
    cloud.knobs("cmp03", spawn_fails=True)
    playbooks = recovery(segment("reserved_host"))
    cloud.crash("cmp01")

    outcome = playbooks.recover("cmp01", evacuate_retries=0)

    assert outcome.rc != 0
    assert states(playbooks, [vm]) == ["pending"]
    assert "RuntimeError" in reason(playbooks, vm), "Nova's own word for it"
    assert changes_of(cloud, "cmp03") == ["enabled", "disabled"]
    assert is_reserved(cloud)
    assert uses(playbooks) == ["returned"]
    assert cloud.ever_ran_twice() == []


@pytest.mark.deep
def test_a_reserved_host_that_was_in_service_before_stays_in_service(cloud: Bed, recovery: Recovery) -> None:
    [vm] = cloud.fill("cmp01", 1)
    cloud.knobs("cmp03", spawn_fails=True)
    cloud.reset_api_calls()
    playbooks = recovery(segment("reserved_host"))
    cloud.crash("cmp01")

    playbooks.recover("cmp01", evacuate_retries=0)

    assert states(playbooks, [vm]) == ["pending"]
    assert changes_of(cloud, "cmp03") == []
    assert cloud.ever_ran_twice() == []


def test_a_reserved_host_that_the_plan_did_not_need_is_taken_when_every_other_target_refuses(
    cloud: Bed, recovery: Recovery
) -> None:
    vms = cloud.fill("cmp01", 2)
    reserve(cloud)
    cloud.knobs("cmp02", spawn_fails=True)
    playbooks = recovery(segment("auto_priority"))
    cloud.crash("cmp01")

    outcome = playbooks.recover("cmp01")

    assert outcome, outcome.out
    assert "Took reserved host cmp03 into service" in outcome.out
    assert where(cloud, vms) == ["cmp03", "cmp03"]
    assert changes_of(cloud, "cmp03") == ["enabled"]
    assert uses(playbooks) == ["consumed"]
    assert cloud.ever_ran_twice() == []


@pytest.mark.deep
def test_a_reserved_host_that_refuses_like_all_others_goes_back(cloud: Bed, recovery: Recovery) -> None:
    [vm] = cloud.fill("cmp01", 1)
    reserve(cloud)
    for host in ("cmp02", "cmp03"):
        cloud.knobs(host, spawn_fails=True)
    playbooks = recovery(segment("auto_priority"))
    cloud.crash("cmp01")

    playbooks.recover("cmp01", evacuate_retries=0)

    assert [call["body"]["evacuate"]["host"] for call in evacuations(cloud)] == ["cmp02", "cmp03"]
    assert states(playbooks, [vm]) == ["pending"]
    assert is_reserved(cloud)
    assert uses(playbooks) == ["returned"]
    assert cloud.ever_ran_twice() == []


def test_a_second_failure_uses_the_room_that_is_left_and_the_rest_waits_for_more(
    cloud: Bed, recovery: Recovery
) -> None:
    first, second = cloud.fill("cmp01", 2), cloud.fill("cmp02", 2)
    reserve(cloud)
    room_for(cloud, "cmp03", 3)
    playbooks = recovery(segment("reserved_host"))
    cloud.crash("cmp01")
    assert playbooks.recover("cmp01")
    assert where(cloud, first) == ["cmp03", "cmp03"]
    cloud.crash("cmp02")

    outcome = playbooks.recover("cmp02", max_hosts_at_once=2)

    assert outcome.rc != 0
    assert sorted(states(playbooks, second)) == ["pending", "verified"]
    [waiting] = [vm for vm in second if states(playbooks, [vm]) == ["pending"]]
    assert "no room in segment rack; best host cmp03: MEMORY_MB" in reason(playbooks, waiting)
    assert waiting not in "".join(call["path"] for call in evacuations(cloud))

    room_for(cloud, "cmp03", 4)
    assert playbooks.recover("cmp02", max_hosts_at_once=2), "running again finishes the job"
    assert where(cloud, second) == ["cmp03", "cmp03"]
    assert cloud.ever_ran_twice() == []


def test_a_reserved_host_that_a_dead_run_had_taken_goes_back_with_the_next_run(cloud: Bed, recovery: Recovery) -> None:
    [vm] = cloud.fill("cmp01", 1)
    reserve(cloud)
    playbooks = recovery(segment("rh_priority"))
    cloud.crash("cmp01")
    cloud.knobs("cmp03", spawn_fails=True)
    with started(playbooks, evacuate_retry_delay=600):
        cloud.await_server(vm, lambda one: one["status"] == "ERROR" or one["OS-EXT-SRV-ATTR:host"] == "cmp02")
    cloud.knobs("cmp03", memory_mb=RESERVED_BY_NOVA)  # of no use any more

    outcome = playbooks.recover("cmp01", **HASTY)

    assert outcome, outcome.out
    assert where(cloud, [vm]) == ["cmp02"]
    assert is_reserved(cloud)
    assert set(uses(playbooks)) == {"returned"}
    assert cloud.ever_ran_twice() == []


def test_a_reserved_host_joins_the_aggregates_of_the_host_that_it_replaces(cloud: Bed, recovery: Recovery) -> None:
    key = cloud.aggregate("zone", ["cmp01"], zone="az1")
    [vm] = cloud.fill("cmp01", 1, availability_zone="az1")
    reserve(cloud)
    playbooks = recovery(segment("reserved_host"))
    cloud.crash("cmp01")

    alone = playbooks.recover("cmp01")
    assert alone.rc != 0
    assert "in zone az1" in reason(playbooks, vm), "a reserved host of another zone is none for it"
    assert is_reserved(cloud)

    outcome = playbooks.recover("cmp01", reserved_hosts_join_aggregates="true")
    assert outcome, outcome.out
    assert where(cloud, [vm]) == ["cmp03"]
    assert cloud.request("GET", f"/os-aggregates/{key}")["aggregate"]["hosts"] == ["cmp01", "cmp03"]
    assert cloud.ever_ran_twice() == []
