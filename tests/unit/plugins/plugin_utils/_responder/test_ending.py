from __future__ import annotations

import typing as t

import pytest
from unit.plugins.plugin_utils._responder.loop_fakes import site

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.correlate import Correlator
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.ending import Endings, Key, Look, Settled

Row = t.Dict[str, t.Any]
Say = t.Callable[..., Row]

VM: Key = ("instance", "cmp01/vm-1")


class Told:
    """What one look after the other finds."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.events: list[tuple[str, str]] = []
        self.busy: set[Key] = set()
        correlator = Correlator(journal, "R", self.tell)
        self._endings = Endings(journal, "R", correlator, self.tell)

    def tell(self, event: str, body: Row, **_ids: t.Any) -> None:
        self.events.append((event, body["reason"]))

    def look(self, hosts: dict[str, Row] | None = None, **lost: str) -> Settled:
        waiting = self.journal.undecided_signals("R")
        return self._endings.settle(Look(site(), waiting, hosts or {}, lost), lambda *key: key in self.busy)

    def recover(self, place: str, kind: str = "instance", outcome: str = "recovered", **who: t.Any) -> Row:
        """A run ends so."""
        host, _slash, about = place.partition("/")
        incident = self.journal.open_incident(host, "R", None, kind, about)
        entry = {"host": place, "incident_id": incident["id"]}
        run = self.journal.open_run([entry], {**holder.describe(), **who}, kind=kind)
        self.journal.set_run_host(run["id"], place, outcome)
        if kind != "network":
            self.journal.set_incident(incident["id"], outcome)
        return run


@pytest.fixture
def told(journal: Journal) -> Told:
    return Told(journal)


def test_a_failure_opens_an_incident_and_waits_for_its_verdict(told: Told, say: Say) -> None:
    say("cmp01", "instance.crashed", "vm-1")
    found = told.look()
    assert list(found.open) == [VM]
    assert (found.words[VM]["state"], found.decided) == ("failed", [])
    assert told.look().open[VM]["id"] == found.open[VM]["id"]


def test_what_a_run_is_at_work_on_is_left_to_it(told: Told, say: Say) -> None:
    told.busy.add(VM)
    say("cmp01", "instance.crashed", "vm-1")
    assert (told.look().open, told.journal.incidents()) == ({}, [])
    told.journal.open_incident("cmp01", "R", None, "instance", "vm-1")
    say("cmp01", "instance.ok", "vm-1")
    assert told.look().open == {}
    assert [it["state"] for it in told.journal.incidents()] == ["open"]


def test_what_its_source_has_taken_back_opens_nothing(told: Told, say: Say) -> None:
    say("cmp01", "instance.crashed", "vm-1")
    say("cmp01", "instance.ok", "vm-1")
    assert sorted(it["gate"] for it in told.look().decided) == ["superseded", "well"]
    assert told.journal.incidents() == []


def test_what_was_told_before_a_run_has_seen_that_all_is_well_is_recovered(told: Told, say: Say) -> None:
    say("cmp01", "instance.crashed", "vm-1")
    run = told.recover("cmp01/vm-1")
    (decision,) = told.look().decided
    assert (decision["verdict"], decision["gate"]) == ("recover", "at_work")
    assert decision["incident_id"] == run["hosts"][0]["incident_id"]


@pytest.mark.parametrize("outcome", ["partial", "held"])
def test_what_a_run_has_not_recovered_goes_on(told: Told, say: Say, outcome: str) -> None:
    say("cmp01", "instance.crashed", "vm-1")
    told.recover("cmp01/vm-1", outcome=outcome)
    found = told.look()
    assert (list(found.open), found.decided) == ([VM], [])


def test_what_is_told_after_a_recovery_is_new(told: Told, say: Say) -> None:
    run = told.recover("cmp01/vm-1")
    say("cmp01", "instance.crashed", "vm-1")
    assert told.look().open[VM]["id"] != run["hosts"][0]["incident_id"]


def test_the_word_that_all_is_well_ends_what_began_before_it(told: Told, say: Say) -> None:
    say("cmp01", "instance.crashed", "vm-1")
    told.look()
    say("cmp01", "instance.ok", "vm-1")
    assert told.look().open == {}
    assert told.events == [("incident_closed", "it is well")]
    told.journal.open_incident("cmp01", "R", None, "instance", "vm-1")
    assert list(told.look().open) == [VM], "that a person has begun later than that word"


def test_while_another_still_says_that_it_has_failed_it_is_not_well(told: Told, say: Say) -> None:
    for reporter in ("host:cmp01", "reporter:masakari"):
        say("cmp01", "instance.crashed", "vm-1", reporter)
    told.look()
    say("cmp01", "instance.ok", "vm-1", "host:cmp01")
    assert list(told.look().open) == [VM]


@pytest.mark.parametrize("line", ["verified", "skipped", None])
def test_a_vm_ends_with_the_recovery_of_its_host_if_that_was_about_it(told: Told, say: Say, line: str | None) -> None:
    say("cmp01", "instance.crashed", "vm-1")
    told.look()
    run = told.recover("cmp01", kind="host")
    if line:
        entry = {"incident_id": run["hosts"][0]["incident_id"], "server_id": "vm-1", "state": line, "name": "web"}
        told.journal.plan_lines(run["id"], [entry])
    assert list(told.look({"cmp01": {"host_incident": "partial"}}).open) == [VM], "it is not over"
    assert list(told.look({"cmp01": {"host_incident": None}}).open) == ([] if line else [VM])


def test_what_happened_to_the_host_before_ends_nothing(told: Told, say: Say) -> None:
    run = told.recover("cmp01", kind="host")
    entry = {"incident_id": run["hosts"][0]["incident_id"], "server_id": "vm-1", "state": "verified", "name": "web"}
    told.journal.plan_lines(run["id"], [entry])
    say("cmp01", "instance.crashed", "vm-1")
    assert list(told.look().open) == [VM]


def test_what_a_unit_that_is_well_calls_for_is_decided(told: Told, say: Say) -> None:
    say("cmp01", "process.failed", "libvirtd")
    told.look()
    say("cmp01", "process.ok", "libvirtd")
    assert list(told.look().open) == [("process", "cmp01/libvirtd")]


@pytest.mark.parametrize(("state", "by", "goes_on"), [
    ("recovering", {"opened_by": "ctl1"}, False), ("recovering", {}, True), ("held", {}, False),
])  # fmt: skip
def test_a_lost_network_ends_when_nothing_calls_for_it_unless_a_person_works_on_it(
    told: Told, state: str, by: Row, goes_on: bool
) -> None:
    assert list(told.look(cmp01="tenant lost").open) == [("network", "cmp01")]
    told.recover("cmp01", kind="network", outcome="partial", **by)
    told.journal.set_incident(told.journal.incidents(kind="network")[0]["id"], state)
    assert list(told.look(cmp01="tenant lost").open) == [("network", "cmp01")]
    assert bool(told.look().open) is goes_on


def test_what_was_moved_away_is_not_moved_again_while_the_network_stays_lost(told: Told) -> None:
    told.look(cmp01="tenant lost")
    told.recover("cmp01", kind="network")
    assert told.look(cmp01="tenant lost").open == {}
    assert [it["state"] for it in told.journal.incidents()] == ["open"]
    told.look()
    assert [it["state"] for it in told.journal.incidents()] == ["closed"]
