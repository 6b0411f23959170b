from __future__ import annotations

import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.correlate import Correlator, Hosts

Row = t.Dict[str, t.Any]
Say = t.Callable[..., Row]

HOLD = {"verdict": "hold", "gate": "witnesses", "reason": "only 1 of 2"}
RECOVER = {"verdict": "recover", "gate": None, "reason": "all gates passed"}


class Told:
    """A correlator, and what people were told."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.events: list[tuple[str, Row, str | None]] = []
        self.correlator = Correlator(journal, "R", self.tell)

    def tell(self, event: str, body: Row, incident_id: str | None = None, run_id: str | None = None) -> None:
        self.events.append((event, body, incident_id))

    def others(self) -> list[Row]:
        return self.correlator.decide_others(self.correlator.undecided(), lambda host: "rack1")

    def hosts(self, **found: t.Any) -> list[Row]:
        given: dict[str, t.Any] = {"verdicts": {}, "news": [], "busy": [], "settled": [], "later": {}, **found}
        return self.correlator.decide_hosts(self.correlator.undecided(), Hosts(**given))


@pytest.fixture
def told(journal: Journal) -> Told:
    return Told(journal)


def test_a_lost_network_is_an_incident_that_people_are_told_of(told: Told, say: Say) -> None:
    say("cmp01", "network.lost", "tenant")
    (decision,) = told.others()
    assert (decision["verdict"], decision["gate"]) == ("alert", "kind")
    (incident,) = told.journal.incidents(kind="network")
    assert (incident["object"], incident["segment"], incident["state"]) == ("tenant", "rack1", "open")
    ((event, body, incident_id),) = told.events
    assert (event, body["verdict"], body["object"], body["reason"], incident_id) == (
        "verdict", "alert", "tenant", "test", incident["id"],
    )  # fmt: skip
    assert told.others() == []


def test_the_same_failure_told_by_two_is_one_incident(told: Told, say: Say) -> None:
    say("cmp01", "network.lost", "tenant", "reporter:masakari")
    say("cmp01", "network.lost", "tenant", "host:cmp01")
    say("cmp01", "network.lost", "storage", "host:cmp01")
    assert len(told.others()) == 3
    assert len(told.journal.incidents()) == 2
    assert len(told.events) == 2


def test_an_incident_ends_when_all_who_had_spoken_say_that_all_is_well(told: Told, say: Say) -> None:
    for reporter in ("reporter:masakari", "host:cmp01"):
        say("cmp01", "network.lost", "tenant", reporter)
    told.others()
    say("cmp01", "network.ok", "tenant", "host:cmp01")
    (decision,) = told.others()
    assert (decision["verdict"], decision["gate"]) == ("ignore", "well")
    assert [it["state"] for it in told.journal.incidents()] == ["open"], "another one still says that it failed"
    say("cmp01", "network.ok", "tenant", "reporter:masakari")
    told.others()
    assert [it["state"] for it in told.journal.incidents()] == ["closed"]
    assert told.events[-1][0] == "incident_closed"


def test_that_all_is_well_with_what_nobody_missed_is_ignored(told: Told, say: Say) -> None:
    say("cmp01", "network.ok", "storage", "host:cmp01")
    assert [it["verdict"] for it in told.others()] == ["ignore"]
    assert told.journal.incidents() == []
    assert told.events == []


def test_many_signals_at_once_are_decided_in_few_transactions(told: Told, journal: Journal, say: Say) -> None:
    row = say("cmp01", "network.lost", "net-0")
    signal = {key: row[key] for key in ("source", "type", "kind", "host", "state", "epoch", "data", "reporter")}
    more = [{**signal, "event_id": f"e{it}", "object": f"net-{it}", "sequence": 1000 + it} for it in range(1, 700)]
    journal.accept_signals("R", "ctl1", more)
    assert len(told.others()) == 700
    assert journal.undecided_signals("R") == []


@pytest.mark.parametrize(
    ("found", "verdict", "gate"),
    [
        ({"verdicts": {"cmp01": HOLD}}, "hold", "witnesses"),
        ({"settled": ["cmp01"]}, "ignore", "settled"),
        ({"later": {"cmp01": 25.0}}, "hold", "later"),
        ({}, "ignore", "superseded"),
        ({"verdicts": {"cmp01": HOLD}, "news": ["cmp01"]}, None, None),
        ({"verdicts": {"cmp01": RECOVER}}, None, None),
        ({"busy": ["cmp01"]}, None, None),
    ],
)
def test_a_signal_about_a_host_gets_the_verdict_on_the_host(
    told: Told, say: Say, found: Row, verdict: str | None, gate: str | None
) -> None:
    say("cmp01", "host.unreachable")
    decisions = told.hosts(**found)
    assert [(it["verdict"], it["gate"]) for it in decisions] == ([(verdict, gate)] if verdict else [])
    assert bool(told.journal.undecided_signals("R")) == (verdict is None)


def test_a_host_that_a_run_is_at_work_on_needs_no_other(told: Told, say: Say) -> None:
    incident = told.journal.open_incident("cmp01", "R", "rack1")["id"]
    told.journal.set_incident(incident, "recovering")
    say("cmp01", "host.unreachable")
    (decision,) = told.hosts(busy=["cmp01"])
    assert (decision["verdict"], decision["gate"], decision["incident_id"]) == ("recover", "at_work", incident)


def test_what_its_reporter_has_taken_back_needs_nothing(told: Told, say: Say) -> None:
    say("cmp01", "host.unreachable")
    say("cmp01", "host.reachable")
    assert sorted(it["gate"] for it in told.hosts(verdicts={"cmp01": HOLD})) == ["superseded", "well"]


def test_the_verdict_of_a_run_is_that_of_the_signals_about_its_hosts(told: Told, say: Say) -> None:
    for host in ("cmp01", "cmp02"):
        say(host, "host.unreachable")
    incident = told.journal.open_incident("cmp01", "R", "rack1")["id"]
    run = told.journal.open_run([{"host": "cmp01", "incident_id": incident}], holder.describe())
    told.correlator.decided(run["id"], {"cmp01": RECOVER, "cmp02": HOLD})
    (decided,) = told.journal.signals(verdict="recover")
    assert (decided["host"], decided["incident_id"]) == ("cmp01", incident)
    assert [it["host"] for it in told.correlator.undecided()] == ["cmp02"]
