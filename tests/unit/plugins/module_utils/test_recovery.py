from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _recovery, _run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import Paused, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims, holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults

HOSTS = {"cmp03": "rack1", "cmp04": "rack2"}


@pytest.fixture
def journal(tmp_path: Path) -> t.Iterator[Journal]:
    with open_journal(f"sqlite:///{tmp_path}/journal.db") as opened:
        yield opened


def begin(journal: Journal, *hosts: str) -> dict[str, t.Any]:
    me = holder.describe(monotonic=0.0)
    return _recovery.begin(journal, "R", {host: HOSTS[host] for host in hosts}, me, 60.0, lambda message: None)


def facts(journal: Journal, *suspects: str, **more: t.Any) -> dict[str, t.Any]:
    return _recovery.journal_facts(journal, "R", suspects, defaults(), **more)


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 30), (2, 60), (3, 120), (4, 300), (5, 600), (6, 900), (7, 900), (1000, 900)]
)
def test_each_attempt_to_fence_is_made_later_than_the_one_before_but_not_later_than_that(
    attempts: int, seconds: float
) -> None:
    assert _recovery.back_off(attempts) == seconds


def test_an_empty_journal_says_that_there_is_nothing_and_not_that_nothing_is_known(journal: Journal) -> None:
    assert facts(journal, "cmp03") == _recovery.no_facts(["cmp03"])
    assert None not in facts(journal, "cmp03").values()


def test_power_offs_and_hosts_at_work_are_counted_with_their_segments(journal: Journal) -> None:
    run = begin(journal, "cmp03", "cmp04")
    journal.add_certificate(run["id"], "cmp03", {"kind": "ipmi"})
    journal.set_incident(run["hosts"][0]["incident_id"], "recovering")
    found = facts(journal, "cmp05")
    assert found["in_flight"] == ["cmp03", "cmp04"]
    (fence,) = found["fences"]
    assert (fence["host"], fence["segment"]) == ("cmp03", "rack1")
    assert 0 <= fence["age"] < 60
    assert facts(journal, "cmp03", "cmp04")["in_flight"] == [], "the hosts themselves are no others"


def test_of_two_runs_that_decide_at_the_same_moment_one_sees_the_other(journal: Journal) -> None:
    first = begin(journal, "cmp03")
    begin(journal, "cmp04")
    assert facts(journal, "cmp03")["in_flight"] == ["cmp04"]
    assert facts(journal, "cmp04")["in_flight"] == ["cmp03"]
    _recovery.hold(journal, first["id"], "cmp03", "answered: hold")
    assert facts(journal, "cmp04")["in_flight"] == []


@pytest.mark.parametrize(("state", "reason"), [("recovered", None), ("closed", "it is heard again")])
def test_what_another_run_has_ended_while_the_claim_was_waited_for_is_not_done_again(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, state: str, reason: str | None
) -> None:
    take = claims.take

    def wait(*args: t.Any, **more: t.Any) -> t.Any:
        (incident,) = journal.incidents(host="cmp04")
        journal.set_incident(incident["id"], state, reason)
        return take(*args, **more)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(claims, "take", wait)
        with pytest.raises(RecoveryError, match=f"Another run came first: cmp04 is {state}.*Nothing was claimed"):
            begin(journal, "cmp03", "cmp04")
    (refused,) = journal.runs()
    assert refused["state"] == "closed"
    assert claims.taken(journal, "R") == []
    assert begin(journal, "cmp04")["hosts"][0]["incident_id"] == journal.incidents(host="cmp04")[-1]["id"]
    assert len(journal.incidents(host="cmp04")) == 2, "whoever asks from now on asks about something new"


def test_what_another_run_has_left_half_done_is_gone_on_with(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    take = claims.take

    def wait(*args: t.Any, **more: t.Any) -> t.Any:
        (incident,) = journal.incidents(host="cmp04")
        journal.set_incident(incident["id"], "partial", "2 VMs not recovered")
        return take(*args, **more)

    monkeypatch.setattr(claims, "take", wait)
    assert begin(journal, "cmp04")["id"] == claims.taken(journal, "R")[0]["run_id"]


def test_a_run_whose_process_is_dead_decides_nothing_any_more(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(journal, "cmp03")
    monkeypatch.setattr(_recovery, "is_alive", lambda holder: False)
    assert facts(journal, "cmp04")["in_flight"] == []


def test_only_recoveries_that_have_ended_and_powered_the_host_off_make_it_flap(journal: Journal) -> None:
    for end, proven in (("recovered", True), ("closed", True), ("closed", False), (None, True)):
        run = begin(journal, "cmp03")
        if proven:
            journal.add_certificate(run["id"], "cmp03", {"kind": "ipmi"})
        _recovery.finish(journal, run["id"])
        if end:
            journal.set_incident(run["hosts"][0]["incident_id"], end)
    assert facts(journal, "cmp03")["hosts"]["cmp03"]["recoveries"] == 2
    policy = defaults()
    policy["gates"]["flapping"]["within"] = -1
    old = _recovery.journal_facts(journal, "R", ["cmp03"], policy)
    assert old["hosts"]["cmp03"]["recoveries"] == 0


def test_orders_in_force_reach_the_gates_and_their_end_is_told_to_who_wants_to_know(journal: Journal) -> None:
    journal.add_order("R", "pause", "cloud", None, "al", "wait", 60.0)
    journal.add_order("S", "pause", "cloud", None, "al", "elsewhere")
    (order,) = facts(journal, "cmp03")["orders"]
    assert (order["kind"], order["owner"], order["limits"]) == ("pause", "al", None)
    assert set(order) == {"id", "number", "kind", "scope", "name", "owner", "reason", "left", "limits"}
    told: list[str] = []
    facts(journal, "cmp03", warn=told.append)
    facts(journal, "cmp03", warn=told.append)
    assert len(told) == 1


def test_what_a_fence_check_has_found_reaches_the_gates(journal: Journal) -> None:
    journal.add_fence_check("R", "cmp03", "mismatch", "serial 7")
    found = facts(journal, "cmp03", "cmp04")["hosts"]
    assert (found["cmp03"]["fencing"]["check"], found["cmp03"]["fencing"]["said"]) == ("mismatch", "serial 7")
    assert found["cmp04"]["fencing"] == {"check": None}


def decided(journal: Journal, *hosts: str) -> dict[str, t.Any]:
    run = begin(journal, *hosts)
    journal.add_verdict(run["id"], {"hosts": {}}, "abc", {}, "def", 0)
    return run


def test_a_step_for_all_hosts_goes_on_for_those_that_nobody_has_stopped(journal: Journal) -> None:
    run = decided(journal, "cmp03", "cmp04")
    journal.add_order("R", "pause", "segment", "rack1", "al", "wait")
    _run.Run(journal, run["id"]).check()
    _run.Run(journal, run["id"], ["cmp04"]).check()
    with pytest.raises(Paused, match=r"^cmp03: paused by al"):
        _run.Run(journal, run["id"], ["cmp03"]).check()
    journal.add_order("R", "disarm", "host", "cmp04", "bo", "no")
    with pytest.raises(Paused, match="disarmed by bo"):
        _run.Run(journal, run["id"]).check()


def test_what_ends_a_run_is_done_although_it_was_stopped(journal: Journal) -> None:
    run = decided(journal, "cmp03")
    journal.add_order("R", "pause", "cloud", None, "al", "wait")
    _run.Run(journal, run["id"]).check(orders=False)
    (entry,) = _recovery.finish(journal, run["id"])["hosts"]
    assert (entry["outcome"], entry["reason"]) == ("partial", "paused by al (order 1, the whole cloud): wait")


def test_a_storm_is_kept_for_the_next_decision(journal: Journal) -> None:
    silent = {"silent": True, "forced_down": False, "segment": "rack1", "domain": None, "role": "active"}
    silent["disabled_reason"] = None
    snapshot = {"suspects": [], "hosts": {f"cmp{number:02}": silent for number in range(4)}}
    _recovery.note_storm(journal, "R", snapshot, defaults())
    assert facts(journal, "cmp03")["storm"]["silent_for"] is not None
    _recovery.note_storm(journal, "R", {**snapshot, "hosts": {}}, defaults())
    assert facts(journal, "cmp03")["storm"]["ended_ago"] is not None
