from __future__ import annotations

import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing import agent
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import ages, holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._run import Run


@pytest.fixture
def journal(tmp_path: Path) -> t.Iterator[Journal]:
    with open_journal(f"sqlite:///{tmp_path}/journal.db") as opened:
        yield opened


def run(journal: Journal, facts: dict[str, t.Any] | None) -> Run:
    incident = journal.open_incident("cmp03", "RegionOne", "rack1")
    opened = journal.open_run([{"host": "cmp03", "incident_id": incident["id"]}], holder.describe())
    if facts is not None:
        journal.add_verdict(opened["id"], {"hosts": {"cmp03": facts}}, "", {})
    return Run(journal, str(opened["id"]))


def test_what_this_machine_heard_is_on_its_own_clock(journal: Journal) -> None:
    before = time.monotonic()
    journal.sight("RegionOne", "cmp03", "ctl1", armed=True)
    known = agent.of_run(run(journal, {"last_heartbeat": "2026-11-21T03:00:00.000000"}), "cmp03")
    (seen,) = known.sightings()
    assert (seen.source, seen.armed) == ("ctl1", True)
    assert seen.heard is not None
    assert before <= seen.heard <= time.monotonic()
    assert known.first == [seen]
    assert known.lived_until == "2026-11-21T03:00:00.000000"


def test_what_another_machine_heard_or_this_one_before_its_reboot_has_no_moment_here(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = {"boot_id": "another", "monotonic": time.monotonic(), "at": time.time()}
    with monkeypatch.context() as patch:
        patch.setattr(ages, "mark", lambda database: elsewhere)
        journal.sight("RegionOne", "cmp03", "ctl2", armed=True)
    (seen,) = agent.of_run(run(journal, {}), "cmp03").sightings()
    assert seen.heard is None


def test_a_machine_that_cannot_tell_its_boot_trusts_no_moment(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = {"boot_id": None, "monotonic": time.monotonic(), "at": time.time()}
    monkeypatch.setattr(ages, "mark", lambda database: nowhere)
    journal.sight("RegionOne", "cmp03", "ctl1", armed=True)
    (seen,) = agent.of_run(run(journal, {}), "cmp03").sightings()
    assert seen.heard is None


def test_hosts_of_other_names_and_regions_are_others(journal: Journal) -> None:
    journal.sight("RegionOne", "cmp04", "ctl1", armed=True)
    journal.sight("RegionTwo", "cmp03", "ctl1", armed=True)
    assert agent.of_run(run(journal, {}), "cmp03").sightings() == []


def test_without_a_verdict_nobody_knows_until_when_the_host_lived(journal: Journal) -> None:
    assert agent.of_run(run(journal, None), "cmp03").lived_until is None


def test_a_newer_sighting_is_another_one(journal: Journal) -> None:
    journal.sight("RegionOne", "cmp03", "ctl1", armed=True)
    known = agent.of_healthy_host(journal, "RegionOne", "cmp03", "2026-11-21T03:00:00.000Z")
    journal.sight("RegionOne", "cmp03", "ctl1", armed=True)
    assert known.sightings() != known.first
