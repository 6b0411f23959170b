"""Runs that a responder starts: they take over what it opened, and never end without being settled."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from bed.client import Bed
from driver import Playbooks, until
from opened_runs import Started

Recovery = t.Callable[..., Playbooks]
Make = t.Callable[..., Started]

RACK = {"rack1": {"hosts": ["cmp01", "cmp02", "cmp03"], "shared_storage": True}}


@pytest.fixture
def make(recovery: Recovery, tmp_path: Path) -> t.Iterator[Make]:
    made: list[Started] = []

    def start(**options: t.Any) -> Started:
        made.append(Started(recovery(RACK), tmp_path, **options))
        return made[-1]

    yield start
    for started in made:
        started.runs.stop(0)


def test_a_run_that_was_opened_is_taken_over_and_recovers_the_host(cloud: Bed, make: Make) -> None:
    vms = cloud.fill("cmp01", 3)
    cloud.crash("cmp01")
    started = make()

    run_id = started.start("cmp01")
    end = started.end()

    assert (end.run_id, end.hosts, end.status, end.rc) == (run_id, ["cmp01"], "successful", 0), (end, started.log)
    assert not set(cloud.running().get("cmp01", [])) & set(vms)
    report = started.playbooks.report()
    assert {line["state"] for line in report["ledger"]} == {"verified"}
    assert (report["run"]["id"], report["run"]["state"]) == (run_id, "closed")
    assert report["run"]["holder"]["opened_by"]
    assert "Fence, and prove it" in " ".join(started.log)
    assert started.runs.active() == {}
