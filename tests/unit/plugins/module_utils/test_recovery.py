from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _recovery, _run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import LeaseLost, Paused, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims, holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import ClaimHeld
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


# -- runs about VMs, units and networks ----------------------------------------------------------------------------

VMS = ("cmp03/vm-1", "cmp03/vm-2")


def about(journal: Journal, kind: str, *places: str, **more: t.Any) -> dict[str, t.Any]:
    me = holder.describe(monotonic=0.0, **more)
    return _recovery.begin(journal, "R", dict.fromkeys(places, "rack1"), me, 60.0, lambda message: None, kind)


def verdict(word: str, **more: t.Any) -> dict[str, t.Any]:
    return {"verdict": word, "gate": "limits", "reason": word, "look_again": None, "reaction": None, **more}


def decide_objects(journal: Journal, run: dict[str, t.Any], *words: str) -> list[str]:
    places = [entry["host"] for entry in run["hosts"]]
    verdicts = {place: verdict(word) for place, word in zip(places, words)}
    return _recovery.decide_objects(journal, run["id"], verdicts, {"orders": []}, defaults())


def states(journal: Journal, kind: str = "instance") -> list[str]:
    return [incident["state"] for incident in by_object(journal, kind)]


def by_object(journal: Journal, kind: str = "instance") -> list[dict[str, t.Any]]:
    return sorted(journal.incidents(kind=kind), key=lambda incident: str(incident["object"]))


def test_the_claims_of_vms_and_of_their_host_have_nothing_to_do_with_each_other(journal: Journal) -> None:
    vms, host = about(journal, "instance", *VMS), begin(journal, "cmp03")
    assert {(it["host"], it["run_id"]) for it in claims.taken(journal, "R")} == {
        ("cmp03", host["id"]), (VMS[0], vms["id"]), (VMS[1], vms["id"]),
    }  # fmt: skip
    assert facts(journal, "cmp04")["in_flight"] == ["cmp03"]
    _recovery.finish(journal, host["id"])
    journal.set_incident(vms["hosts"][0]["incident_id"], "recovering")
    assert facts(journal, "cmp04")["in_flight"] == []


@pytest.mark.parametrize("kind", ["process", "network"])
def test_a_run_that_acts_on_a_host_claims_the_host(journal: Journal, kind: str) -> None:
    run = about(journal, kind, "cmp03/a" if kind == "process" else "cmp03")
    with pytest.raises(ClaimHeld, match=run["id"]):
        begin(journal, "cmp03")
    assert facts(journal, "cmp04")["in_flight"] == [], "nothing is fenced there"


def test_each_vm_has_its_verdict_and_those_that_are_left_alone_are_let_go(journal: Journal) -> None:
    run = about(journal, "instance", *VMS, "cmp03/vm-3", "cmp03/vm-4")
    assert decide_objects(journal, run, "recover", "hold", "alert", "ignore") == [VMS[0]]
    assert states(journal) == ["recovering", "held", "open", "closed"]
    assert [it["host"] for it in claims.taken(journal, "R")] == [VMS[0]]
    (journaled,) = journal.verdicts(run["id"])
    assert journaled["result"][VMS[1]]["verdict"] == "hold"


def test_what_is_to_be_asked_about_a_vm_is_asked_about_it_alone(journal: Journal) -> None:
    run = about(journal, "instance", *VMS)
    decide_objects(journal, run, "ask", "recover")
    (question,) = journal.open_questions("R")
    assert question["host"] == VMS[0]
    assert journal.questions_about("R", ["cmp03"]) == [], "nothing is asked about its host"
    journal.answer_question(question["id"], "recover", "al", "seen")
    (answer,) = _recovery.answers(journal, "R", [VMS[0], "cmp03/vm-9"], 60.0, together=False)
    assert (answer["host"], answer["verdict"]) == (VMS[0], "recover")


def test_a_run_ends_for_each_vm_as_its_executor_has_said(journal: Journal) -> None:
    run = about(journal, "instance", *VMS, "cmp03/vm-3", "cmp03/vm-4")
    decide_objects(journal, run, "recover", "recover", "recover", "hold")
    journal.set_run_host(run["id"], VMS[0], "recovered", "restarted")
    journal.set_run_host(run["id"], VMS[1], "partial", "it died again")
    report = _recovery.finish(journal, run["id"])
    assert [entry["outcome"] for entry in report["hosts"]] == ["recovered", "partial", "partial", "held"]
    assert states(journal) == ["recovered", "partial", "partial", "held"]
    assert [incident["attempts"] for incident in by_object(journal)] == [0, 1, 1, 0]
    assert by_object(journal)[2]["reason"] == "the run ended before this was done"
    assert (report["run"]["state"], claims.taken(journal, "R")) == ("closed", [])


def test_a_vm_that_a_run_gives_up_is_tried_again_by_itself_and_needs_no_fencing(journal: Journal) -> None:
    run = about(journal, "instance", *VMS)
    decide_objects(journal, run, "recover", "recover")
    _recovery.hold(journal, run["id"], VMS[0], "Nova refused")
    (held,) = journal.retries("R", kind="instance")
    assert (held["reason"], held["attempts"]) == ("Nova refused", 1)
    assert [it["host"] for it in claims.taken(journal, "R")] == [VMS[1]]


def test_the_claim_on_a_host_is_kept_while_one_of_its_units_is_worked_on(journal: Journal) -> None:
    run = about(journal, "process", "cmp03/a", "cmp03/b")
    _recovery.hold(journal, run["id"], "cmp03/a", "no")
    assert [it["host"] for it in claims.taken(journal, "R")] == ["cmp03"]
    _run.Run(journal, run["id"]).check()
    _recovery.hold(journal, run["id"], "cmp03/b", "no")
    assert claims.taken(journal, "R") == []


@pytest.mark.parametrize(("opened", "outcome", "state"), [
    ({"opened_by": "ctl1"}, "recovered", "held"), ({}, "recovered", "recovered"), ({}, "partial", "held"),
])  # fmt: skip
def test_a_network_is_lost_until_it_is_back_where_somebody_watches_for_that(
    journal: Journal, opened: dict[str, str], outcome: str, state: str
) -> None:
    run = about(journal, "network", "cmp03", **opened)
    decide_objects(journal, run, "recover")
    journal.set_run_host(run["id"], "cmp03", outcome, None)
    _recovery.finish(journal, run["id"])
    assert states(journal, "network") == [state]
    assert len(journal.retries("R", kind="network")) == (outcome == "partial")


def test_a_dead_process_leaves_its_vms_to_the_next_run_of_that_kind(journal: Journal) -> None:
    dead = {**holder.describe(monotonic=0.0), "pid_start": 1}
    old = _recovery.begin(journal, "R", {VMS[0]: None}, dead, 60.0, lambda message: None, "instance")
    new = about(journal, "instance", VMS[0])
    assert (new["resumes"], journal.run(old["id"])["state"]) == (old["id"], "abandoned")
    assert new["hosts"][0]["incident_id"] == old["hosts"][0]["incident_id"]


def test_who_finds_that_a_host_is_dead_ends_what_others_do_for_its_units_and_networks(journal: Journal) -> None:
    drain, vm = about(journal, "network", "cmp03"), about(journal, "instance", VMS[0])
    decide_objects(journal, drain, "recover")
    lease = _run.Run(journal, drain["id"]).lease
    lease.renew()
    assert _recovery.revoke(journal, "R", ["cmp03", "cmp04"], "it is dead") == [drain["id"]]
    with pytest.raises(LeaseLost):
        lease.renew()
    assert (states(journal, "network"), journal.run(drain["id"])["state"]) == (["held"], "closed")
    assert journal.run(vm["id"])["state"] == "open"
    begin(journal, "cmp03")


def test_a_person_ends_an_incident_unless_a_run_is_at_work_on_it(journal: Journal) -> None:
    run = about(journal, "instance", VMS[0])
    decide_objects(journal, run, "recover")
    incident = run["hosts"][0]["incident_id"]
    with pytest.raises(RecoveryError, match=f"was not closed: run {run['id']} of .* is at work on {VMS[0]}"):
        _recovery.close(journal, incident, "al", "rebuilt")
    _recovery.finish(journal, run["id"])
    assert _recovery.close(journal, incident, "al", "rebuilt")
    assert not _recovery.close(journal, incident, "al", "rebuilt")
    assert journal.incidents()[0]["reason"] == "al has closed it: rebuilt"
    (notice,) = journal.notices()
    assert (notice["target"], notice["event"], notice["incident_id"]) == ("*", "incident_closed", incident)
    with pytest.raises(RecoveryError, match="There is no incident nonsense"):
        _recovery.close(journal, "nonsense", "al", "x")
