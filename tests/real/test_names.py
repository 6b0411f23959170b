"""Hosts are found by any of their names, and a name that could mean two hosts, or none, changes nothing."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from bed.client import Bed, default_python
from driver import Outcome, Playbooks
from helpers import evacuations, states, where

HYPERVISOR = "cmp01.dc1.example.net"
TWINS = ("twin.dc1.example.net", "twin.dc2.example.net")
SEGMENTS = {
    "rack": {"hosts": ["cmp01", "cmp02", "solo.dc1.example.net"], "shared_storage": True},
    "twins": {"hosts": list(TWINS), "shared_storage": True},
}


@pytest.fixture(scope="module")
def named_bed(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Bed]:
    """A bed whose hypervisors have other names than their services."""
    if not os.access(default_python(), os.X_OK):
        pytest.skip(f"no interpreter with Nova at {default_python()}: run make, or set BED_PYTHON")
    hosts = [
        {"name": "cmp01", "hypervisor": HYPERVISOR},
        {"name": "cmp02", "hypervisor": "cmp02.dc1.example.net"},
        *({"name": name} for name in ("solo.dc1.example.net", *TWINS)),
    ]
    with Bed.start(tmp_path_factory.mktemp("named") / "state", hosts=hosts) as running:
        yield running


@pytest.fixture
def cloud(named_bed: Bed) -> Bed:
    named_bed.reset()
    return named_bed


@pytest.fixture
def playbooks(cloud: Bed, tmp_path: Path) -> Playbooks:
    return Playbooks(cloud.segments_file(tmp_path / "n.failover_segments.yml", SEGMENTS), tmp_path, cloud.clouds_yaml)


def nothing_was_done(cloud: Bed, playbooks: Playbooks, outcome: Outcome) -> bool:
    """Whether the run failed before it opened anything, and every host is as it was."""
    with playbooks.journal() as journal:
        runs = journal.runs()
    powered = {host["power"] for host in cloud.status().values()}
    return bool(outcome.rc and runs == [] and cloud.api_log() == [] and powered == {"on"})


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("cmp01", "cmp01"),
        (HYPERVISOR, "cmp01"),
        ("solo", "solo.dc1.example.net"),
        (TWINS[1], TWINS[1]),
    ],
)
def test_any_name_that_only_one_host_has_recovers_that_host(
    cloud: Bed, playbooks: Playbooks, given: str, host: str
) -> None:
    vms = cloud.fill(host, 2)
    cloud.crash(host)

    outcome = playbooks.recover(given)

    assert outcome, outcome.out
    assert states(playbooks, vms) == ["verified", "verified"]
    assert {name for name, status in cloud.status().items() if status["power"] == "off"} == {host}
    assert {name for name, service in cloud.services().items() if service["forced_down"]} == {host}
    assert playbooks.report()["certificates"][0]["host"] == host
    assert host not in where(cloud, vms)
    assert "" not in where(cloud, vms)
    assert cloud.ever_ran_twice() == []


def test_a_short_name_that_two_hosts_have_is_refused_with_both(cloud: Bed, playbooks: Playbooks) -> None:
    cloud.crash(TWINS[1])
    cloud.reset_api_calls()

    outcome = playbooks.recover("twin")

    assert nothing_was_done(cloud, playbooks, outcome), outcome.out
    assert "failed_hosts: 'twin' is ambiguous" in outcome.out
    assert all(name in outcome.out for name in TWINS)


def test_one_wrong_name_among_right_ones_stops_the_run_before_it_begins(cloud: Bed, playbooks: Playbooks) -> None:
    vms = cloud.fill("cmp01", 1)
    cloud.crash("cmp01")
    cloud.reset_api_calls()

    outcome = playbooks.recover("cmp01", "cmp99", max_hosts_at_once=2)

    assert nothing_was_done(cloud, playbooks, outcome), outcome.out
    assert "failed_hosts: Nova knows no compute host 'cmp99'" in outcome.out
    assert cloud.server(vms[0])["OS-EXT-SRV-ATTR:host"] == "cmp01"


def test_one_host_by_two_of_its_names_is_one_host(cloud: Bed, playbooks: Playbooks) -> None:
    [vm] = cloud.fill("cmp01", 1)
    cloud.crash("cmp01")

    outcome = playbooks.recover("cmp01", HYPERVISOR)

    assert outcome, outcome.out
    assert len(evacuations(cloud, vm)) == 1
    assert cloud.ever_ran_twice() == []


@pytest.mark.parametrize("given", [{}, {"failed_hosts": ""}, {"failed_hosts": ","}])
def test_without_a_failed_host_the_run_says_what_it_needs(
    cloud: Bed, playbooks: Playbooks, given: dict[str, str]
) -> None:
    outcome = playbooks.run("recover_host", **given)

    assert nothing_was_done(cloud, playbooks, outcome), outcome.out
    assert "which hosts have failed?" in outcome.out


def test_without_the_inventory_the_run_says_what_it_needs(cloud: Bed, playbooks: Playbooks) -> None:
    playbooks.inventory = Path("localhost,")

    outcome = playbooks.recover("cmp01")

    assert nothing_was_done(cloud, playbooks, outcome), outcome.out
    assert "the inventory of this collection is needed" in outcome.out
