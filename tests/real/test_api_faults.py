"""OpenStack fails in mid-run: retried, bounded, then reported; no VM is evacuated twice."""

from __future__ import annotations

import json

import pytest
from bed.client import Bed
from driver import until
from scenes import (
    EVACUATE,
    HOST,
    RACK,
    Recovery,
    assert_recovered,
    finish,
    requests,
    slow_spawns,
    started,
    states,
)

READS = {"service": "compute", "method": "GET"}


@pytest.mark.parametrize("status", [500, pytest.param(503, marks=pytest.mark.deep), 0])
def test_reads_that_fail_are_repeated(cloud: Bed, recovery: Recovery, status: int) -> None:
    vms = cloud.fill(HOST, 2)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    paths = ("os-services", "servers/detail", "os-migrations", "os-server-groups", "/servers/[^/]+$")
    faults = [cloud.fail_api(**READS, path=path, status=status, times=2) for path in paths]
    faults.append(cloud.fail_api(service="placement", status=status, times=2))

    outcome = playbooks.recover(HOST)

    assert outcome, outcome.out
    assert {fault: cloud.api_fault_hits()[fault] for fault in faults} == dict.fromkeys(faults, 2)
    assert_recovered(cloud, playbooks, vms)


@pytest.mark.parametrize("when", ["before", "after"])
def test_forcing_down_is_repeated_until_it_is_answered(cloud: Bed, recovery: Recovery, when: str) -> None:
    vms = cloud.fill(HOST, 1)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    for status in (500, 0):
        cloud.fail_api(service="compute", method="PUT", path="os-services", status=status, when=when)

    outcome = playbooks.recover(HOST)

    assert outcome, outcome.out
    assert set(cloud.api_fault_hits().values()) == {1}
    assert_recovered(cloud, playbooks, vms)


def test_an_evacuation_without_answer_is_asked_for_again_only_if_nova_knows_nothing_of_it(
    cloud: Bed, recovery: Recovery
) -> None:
    vms = cloud.fill(HOST, 5)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    for when in ("before", "after"):
        for status in (503, 0):
            cloud.fail_api(**EVACUATE, status=status, when=when)

    outcome = playbooks.recover(HOST)

    assert outcome, outcome.out
    assert set(cloud.api_fault_hits().values()) == {1}
    assert len(requests(cloud)) == len(vms) + 2
    assert_recovered(cloud, playbooks, vms)


def test_an_evacuation_that_is_answered_too_late_is_not_asked_for_again(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill(HOST, 2)
    playbooks = recovery(RACK)
    source = json.loads(playbooks.inventory.read_text())
    playbooks.inventory.write_text(json.dumps({**source, "api_timeout": 5}))
    cloud.crash(HOST)
    cloud.fail_api(**EVACUATE, when="after", seconds=10)

    outcome = playbooks.recover(HOST)

    assert outcome, outcome.out
    assert set(cloud.api_fault_hits().values()) == {1}
    assert len(requests(cloud)) == len(vms)
    assert_recovered(cloud, playbooks, vms)


def test_a_token_that_expires_in_mid_run_is_renewed_even_by_a_keystone_in_trouble(
    cloud: Bed, recovery: Recovery
) -> None:
    vms = cloud.fill(HOST, 3)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    slow_spawns(cloud)
    with started(playbooks, evacuate_parallel=1) as process:
        until(lambda: "requested" in states(playbooks))
        cloud.fail_api(service="identity", method="POST", path="tokens", status=503, times=2)
        assert cloud.expire_tokens() >= 1
        out = finish(process)

    assert process.returncode == 0, out
    assert set(cloud.api_fault_hits().values()) == {2}
    # nova-compute passes the caller's token on, so what was under way may have failed with it
    assert_recovered(cloud, playbooks, vms)


@pytest.mark.parametrize("task", ["Disable", pytest.param("Plan", marks=pytest.mark.deep)])
def test_a_token_that_expires_before_a_task_is_renewed(cloud: Bed, recovery: Recovery, task: str) -> None:
    vms = cloud.fill(HOST, 1)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    fault = {"Disable": {"method": "PUT", "path": "os-services"}, "Plan": {"path": "servers/detail"}}[task]
    with started(playbooks) as process:
        held = cloud.fail_api(service="compute", **fault, status=503, seconds=3)
        until(lambda: cloud.api_fault_hits()[held])
        cloud.fail_api(service="identity", method="POST", path="tokens", status=503, times=2)
        assert cloud.expire_tokens() >= 1
        out = finish(process)

    assert process.returncode == 0, out
    assert_recovered(cloud, playbooks, vms)


def test_nova_api_may_be_away_in_mid_evacuation(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill(HOST, 4)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    slow_spawns(cloud)
    with started(playbooks, evacuate_parallel=2) as process:
        until(lambda: "requested" in states(playbooks))
        outage = cloud.fail_api(service="compute", status=0, times=-1)
        until(lambda: cloud.api_fault_hits()[outage] >= 12)
        cloud.clear_api_faults()
        out = finish(process)

    assert process.returncode == 0, out
    assert_recovered(cloud, playbooks, vms)


def test_an_api_that_stays_away_ends_the_run_with_its_words_and_the_next_run_finishes(
    cloud: Bed, recovery: Recovery
) -> None:
    vms = cloud.fill(HOST, 2)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    cloud.fail_api(**READS, path="servers/detail", status=503, times=-1)

    broken = playbooks.recover(HOST)

    assert broken.rc != 0
    assert "servers/detail: HTTP 503: The test bed was told to fail." in " ".join(broken.out.split())
    assert requests(cloud) == []
    assert [host["outcome"] for host in playbooks.report()["hosts"]] == ["partial"], "no VM may seem recovered"
    cloud.clear_api_faults()
    outcome = playbooks.recover(HOST)
    assert outcome, outcome.out
    assert_recovered(cloud, playbooks, vms)
