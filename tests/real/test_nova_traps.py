"""Traps of Nova that a recovery must not fall into; the trap itself is shown where a new Nova might not have it."""

from __future__ import annotations

import collections

import pytest
from bed.client import Bed
from driver import until
from helpers import HASTY, Recovery, evacuations, reason, states, where
from scenes import started

PAIR = {"rack": {"hosts": ["cmp01", "cmp02"], "shared_storage": True}}
THREE = {"rack": {"hosts": ["cmp01", "cmp02", "cmp03"], "shared_storage": True}}
TRAIT = "CUSTOM_BED"


def evacuate(cloud: Bed, vm: str) -> None:
    """Somebody else evacuates it, not this collection."""
    cloud.action(vm, {"evacuate": {"host": "cmp02"}}, "2.94")


def dead(cloud: Bed, host: str) -> None:
    cloud.crash(host)
    cloud.update_service(host, forced_down=True)


def give_trait(cloud: Bed, host: str) -> None:
    provider = cloud.request("GET", f"/resource_providers?name={host}", service="placement")["resource_providers"][0]
    path = f"/resource_providers/{provider['uuid']}/traits"
    cloud.request("PUT", f"/traits/{TRAIT}", service="placement")
    known = cloud.request("GET", path, service="placement")
    body = {
        "traits": [*known["traits"], TRAIT],
        "resource_provider_generation": known["resource_provider_generation"],
    }
    cloud.request("PUT", path, body, service="placement")


def test_nova_accepts_a_second_evacuation_and_ruins_the_vm(cloud: Bed) -> None:
    [vm] = cloud.fill("cmp01", 1)
    cloud.knobs(spawn_delay=3)
    dead(cloud, "cmp01")
    evacuate(cloud, vm)
    evacuate(cloud, vm)

    cloud.await_server(vm, lambda one: one["status"] == "ERROR")
    assert cloud.ever_ran_twice() == []


def test_an_evacuation_that_somebody_else_has_begun_is_followed_and_not_asked_for_again(
    cloud: Bed, recovery: Recovery
) -> None:
    [vm] = cloud.fill("cmp01", 1)
    cloud.knobs(spawn_delay=15)
    playbooks = recovery(PAIR)
    dead(cloud, "cmp01")
    evacuate(cloud, vm)
    until(lambda: cloud.migrations(source_compute="cmp01"))

    outcome = playbooks.recover("cmp01")

    assert outcome, outcome.out
    assert "an evacuation is under way" in outcome.out
    assert evacuations(cloud) == []
    assert states(playbooks, [vm]) == ["verified"]
    assert where(cloud, [vm]) == ["cmp02"]
    assert cloud.ever_ran_twice() == []


def test_a_target_that_fails_to_start_vms_is_left_for_another_and_the_power_state_stays(
    cloud: Bed, recovery: Recovery
) -> None:
    active, stopped = cloud.fill("cmp01", 2)
    cloud.action(stopped, {"os-stop": None})
    cloud.await_server(stopped, lambda one: one["status"] == "SHUTOFF")
    playbooks = recovery({"rack": {**PAIR["rack"], "reserved_hosts": ["cmp03"], "recovery_method": "auto_priority"}})
    cloud.update_service("cmp03", status="disabled", disabled_reason="kept free")
    cloud.update_service("cmp03", status="enabled")  # in service already, but second choice
    cloud.knobs("cmp02", spawn_fails=True)
    cloud.crash("cmp01")

    outcome = playbooks.recover("cmp01", **HASTY)

    assert outcome, outcome.out
    assert [call["body"]["evacuate"]["host"] for call in evacuations(cloud, active)] == ["cmp02", "cmp03"]
    assert states(playbooks, [active, stopped]) == ["verified", "verified"]
    assert where(cloud, [active, stopped]) == ["cmp03", ""]
    assert cloud.server(stopped)["OS-EXT-SRV-ATTR:host"] == "cmp03"
    assert cloud.server(stopped)["status"] == "SHUTOFF"
    assert cloud.ever_ran_twice() == []


def test_accepted_does_not_mean_that_the_scheduler_finds_the_host_good(cloud: Bed, recovery: Recovery) -> None:
    for host in ("cmp01", "cmp03"):
        give_trait(cloud, host)
    vms = cloud.fill("cmp01", 2, extra_specs={f"trait:{TRAIT}": "required"})
    playbooks = recovery(THREE)
    cloud.crash("cmp01")

    outcome = playbooks.recover("cmp01", **HASTY)

    assert outcome, outcome.out
    asked = [call["body"]["evacuate"]["host"] for call in evacuations(cloud)]
    assert "cmp02" in asked, "it was never tried, so this proves nothing"
    assert {call["status"] for call in evacuations(cloud)} == {200}
    assert where(cloud, vms) == ["cmp03", "cmp03"]
    assert cloud.ever_ran_twice() == []


def test_what_no_host_may_take_is_pending_with_the_words_of_nova(cloud: Bed, recovery: Recovery) -> None:
    give_trait(cloud, "cmp01")
    [vm] = cloud.fill("cmp01", 1, extra_specs={f"trait:{TRAIT}": "required"})
    playbooks = recovery(THREE)
    cloud.crash("cmp01")

    outcome = playbooks.recover("cmp01", evacuate_retries=0)

    assert outcome.rc != 0
    assert states(playbooks, [vm]) == ["pending"]
    assert "No valid host" in reason(playbooks, vm)
    assert f"pending: {reason(playbooks, vm)}" in outcome.out

    give_trait(cloud, "cmp03")
    again = playbooks.recover("cmp01", **HASTY)

    assert again, again.out
    assert states(playbooks, [vm]) == ["verified"]
    assert where(cloud, [vm]) == ["cmp03"]
    assert cloud.ever_ran_twice() == []


def test_a_vm_whose_owner_has_deleted_it_is_not_brought_back_to_life(cloud: Bed, recovery: Recovery) -> None:
    deleted, revived = cloud.fill("cmp01", 2)
    playbooks = recovery(PAIR)
    cloud.crash("cmp01")
    cloud.heartbeat("cmp01")  # Nova takes the host for alive and sends it the deletions
    for vm in (deleted, revived):
        cloud.request("DELETE", f"/servers/{vm}")
        cloud.await_server(vm, lambda one: one["OS-EXT-STS:task_state"] == "deleting")
    cloud.heartbeat("cmp01", on=False)

    outcome = playbooks.recover("cmp01")

    assert outcome, outcome.out
    assert states(playbooks, [deleted, revived]) == ["skipped", "skipped"]
    assert evacuations(cloud) == []
    assert where(cloud, [deleted, revived]) == ["", ""]
    evacuate(cloud, revived)  # the trap is still there
    cloud.await_server(revived, lambda one: one["OS-EXT-SRV-ATTR:host"] != "cmp01" and one["status"] == "ACTIVE")
    assert cloud.ever_ran_twice() == []


def test_a_dead_host_is_disabled_and_forced_down_in_one_call_that_does_not_wait_for_it(
    cloud: Bed, recovery: Recovery
) -> None:
    cloud.fill("cmp01", 1)
    playbooks = recovery(PAIR)
    cloud.crash("cmp01")
    cloud.heartbeat("cmp01")  # Nova would ask the host, and wait for a minute

    with started(playbooks):
        puts = until(
            lambda: [call for call in cloud.api_log() if "/os-services" in call["path"] and "answered" in call]
        )
        cloud.heartbeat("cmp01", on=False)

    [put] = puts
    assert put["body"].items() >= {"status": "disabled", "forced_down": True}.items()
    assert put["answered"] - put["monotonic"] < 5
    assert cloud.ever_ran_twice() == []


@pytest.mark.deep
def test_a_burst_is_spread_over_equal_hosts(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill("cmp01", 7)
    playbooks = recovery({"rack": {"hosts": ["cmp01", "cmp02", "cmp03", "cmp04"], "shared_storage": True}})
    cloud.crash("cmp01")

    outcome = playbooks.recover("cmp01")

    assert outcome, outcome.out
    assert sorted(collections.Counter(where(cloud, vms)).values()) == [2, 2, 3]
    assert len(evacuations(cloud)) == len(vms)
    assert cloud.ever_ran_twice() == []


def test_a_jump_of_novas_clock_in_mid_run_costs_time_but_no_vm(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill("cmp01", 4)
    playbooks = recovery(PAIR)
    cloud.knobs(spawn_delay=2)
    cloud.crash("cmp01")

    with started(playbooks, evacuate_parallel=1, evacuate_retry_delay=3) as process:
        until(lambda: evacuations(cloud))
        # each time every heartbeat is an hour old, until the next one
        until(lambda: cloud.jump_clock(3600) and cloud.migrations(status="error"), pause=0.3)
        cloud.jump_clock(-cloud.jump_clock(0))
        out, _nothing = process.communicate(timeout=180)

    assert process.returncode == 0, out
    assert states(playbooks, vms) == ["verified"] * len(vms)
    assert where(cloud, vms) == ["cmp02"] * len(vms)
    assert " pending" in out, "no VM had to wait, so this proves nothing"
    assert cloud.ever_ran_twice() == []
