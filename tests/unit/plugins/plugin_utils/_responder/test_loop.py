"""The loop on a real journal: hosts, Nova, runs and time are as each test says; threads are calls."""

from __future__ import annotations

import contextlib
import threading
import typing as t

import pytest
from unit.plugins.plugin_utils._responder.loop_fakes import HOSTS, Set, policy, site

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims, holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import first_step
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import loop as loops
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.site import Site

Row = t.Dict[str, t.Any]
Say = t.Callable[..., Row]


@pytest.fixture
def it(journal: Journal) -> Set:
    return Set(journal).settle()


def test_while_all_is_well_nothing_is_done_and_others_can_read_what_is_heard(it: Set) -> None:
    assert it.loop.step() == loops.INTERVAL
    assert it.journal.runs() == []
    (observer,) = it.journal.observers("R")
    assert observer["view"]["networks"]["admin"] == {"hears": 10, "lost": [], "unknown": []}


def test_a_dead_host_is_claimed_decided_on_and_handed_over_in_one_look(it: Set) -> None:
    it.kill("cmp01")
    it.wait(3)
    it.loop.step()
    ((run_id, hosts),) = it.runs.started
    assert hosts == ["cmp01"]
    assert [(claim["host"], claim["run_id"]) for claim in claims.taken(it.journal, "R")] == [("cmp01", run_id)]
    (verdict,) = it.journal.verdicts(run_id)
    assert verdict["result"]["cmp01"]["verdict"] == "recover"
    assert verdict["snapshot"]["hosts"]["cmp01"]["witnesses"] == {"ctl1": "down", "nova": "up", "probe": "down"}
    assert (verdict["policy_hash"], verdict["segments_hash"]) == ("p" * 64, "s" * 64)
    assert [event for event, _body in it.told] == ["verdict", "run_started"]
    it.loop.step()
    assert len(it.runs.started) == 1, "it is busy with it"


def test_a_host_that_falls_silent_is_probed_before_it_is_lost(it: Set) -> None:
    it.kill("cmp01")
    it.sources.ahead.clear()
    it.wait(2)
    assert it.sources.ahead == ["tcp://cmp01:22"]
    assert it.journal.runs() == []


def test_a_host_that_answers_is_held_told_once_and_closed_when_it_is_heard_again(it: Set) -> None:
    it.dead.add("cmp01")
    it.wait(3)
    assert it.loop.step() == 0.3, "other responders are just finding out"
    assert it.journal.incidents() == []
    it.wait(3)
    it.loop.step()
    (incident,) = it.journal.incidents()
    assert (incident["state"], incident["reason"]) == ("held", "it shows signs of life: tcp://cmp01:22")
    for _look in range(3):
        it.wait(2)
        it.loop.step()
    assert len(it.journal.runs()) == 1
    assert it.told == []
    it.wait(60)
    assert it.loop.step() == loops.INTERVAL
    assert [(event, body["verdict"]) for event, body in it.told] == [("verdict", "hold")]
    it.dead.clear()
    it.wait(1)
    it.loop.step()
    assert [incident["state"] for incident in it.journal.incidents()] == ["closed"]
    assert it.told[-1][0] == "incident_closed"


@pytest.mark.parametrize("answers", [False, True])
def test_a_host_that_is_heard_again_while_its_verdict_is_being_written_is_closed_all_the_same(
    it: Set, answers: bool
) -> None:
    writing: list[t.Callable[[], None]] = []
    it.loop.parts.spawn = lambda name, work: writing.append(work)
    it.kill("cmp01")
    if answers:  # a verdict that is only to be written down; otherwise one that leads to a run
        it.sources.answering.add("cmp01")
    for _look in range(2):
        it.wait(3)
        it.loop.step()
    it.dead.clear()
    it.sources.answering.add("cmp01")
    it.wait(1)
    it.loop.step()
    assert len(writing) == 1
    writing.pop()()
    assert [incident["state"] for incident in it.journal.incidents()] == ["held"]
    it.wait(1)
    it.loop.step()
    assert [incident["state"] for incident in it.journal.incidents()] == ["closed"]
    assert it.runs.started == []


def test_hosts_are_out_of_service_before_their_playbook_has_begun(it: Set) -> None:
    it.sources.cloud.forced = []
    it.kill("cmp01", "cmp02")
    it.wait(3)
    it.loop.step()
    ((run_id, _hosts),) = it.runs.started
    wanted = {"status": "disabled", "disabled_reason": f"openstack_ha: failed, run {run_id}", "forced_down": True}
    assert sorted(it.sources.cloud.forced) == [(f"/os-services/{host}", wanted) for host in ("cmp01", "cmp02")]
    steps = {(step["host"], step["name"]) for step in it.journal.steps(run_id)}
    assert steps >= {("cmp01", "forced_down"), ("cmp02", "forced_down")}


def test_nothing_is_done_to_a_host_before_a_hook_that_is_to_come_first(it: Set) -> None:
    it.sources.cloud.forced = []
    it.keeper.site = site()
    it.keeper.site.policy["hooks"]["before_fence"]["files"] = ["/etc/veto.yml"]
    it.kill("cmp01")
    it.wait(3)
    it.loop.step()
    assert len(it.runs.started) == 1
    assert it.sources.cloud.forced == []


def test_what_nova_refuses_then_is_told_and_left_to_the_playbook(it: Set) -> None:
    it.kill("cmp01")
    it.wait(3)
    it.loop.step()
    ((run_id, _hosts),) = it.runs.started
    assert f"run {run_id}: cmp01 is taken out of service by the playbook: Nova is away" in it.lines


def test_what_hangs_keeps_no_playbook_waiting_and_does_nothing_when_a_playbook_has_taken_over(
    it: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, read = threading.Event(), it.journal.stopping_orders
    it.sources.cloud.forced = []
    monkeypatch.setattr(first_step, "_PATIENCE", 0.01)
    monkeypatch.setattr(it.journal, "stopping_orders", lambda run_id: (answers.wait(60), read(run_id))[1])
    it.kill("cmp01")
    it.wait(3)
    it.loop.step()
    ((run_id, hosts),) = it.runs.started
    claims.release(it.journal, run_id, hosts)  # as far as this process can tell, that is the same
    answers.set()
    for thread in [it for it in threading.enumerate() if it.name.startswith("first-step")]:
        thread.join(60)
        assert not thread.is_alive()
    assert it.sources.cloud.forced == []


def test_hosts_of_one_segment_are_one_run_and_segments_do_not_wait_for_each_other(it: Set) -> None:
    it.kill("cmp01", "cmp07")
    it.wait(3)
    it.loop.step()
    assert sorted(hosts for _run, hosts in it.runs.started) == [["cmp01"], ["cmp07"]]
    for host in ("cmp01", "cmp07"):
        it.sources.take_out(host, "openstack_ha: failed")
    it.kill("cmp02")
    it.wait(3)
    it.loop.step()
    assert [hosts for _run, hosts in it.runs.started][2:] == [["cmp02"]]


def test_two_of_one_segment_at_once_are_one_run(it: Set) -> None:
    it.kill("cmp01", "cmp02")
    it.wait(3)
    it.loop.step()
    assert [hosts for _run, hosts in it.runs.started] == [["cmp01", "cmp02"]]


def test_too_many_silent_hosts_are_a_storm_and_nobody_is_touched(it: Set) -> None:
    it.kill("cmp01", "cmp02", "cmp03", "cmp04")
    for _look in range(2):
        it.wait(3)
        it.loop.step()
    assert it.runs.started == []
    assert {verdict["gate"] for verdict in it.journal.verdicts(it.journal.runs()[0]["id"])[0]["result"].values()} == {
        "mass_silence"
    }
    assert it.journal.storm("R")["silent_for"] is not None
    it.dead.clear()
    it.wait(3)
    it.loop.step()
    assert it.journal.storm("R")["ended_ago"] is not None


def test_a_responder_that_hears_nobody_touches_nobody(it: Set) -> None:
    it.kill(*HOSTS)
    it.wait(10)
    it.loop.step()
    assert it.runs.started == []
    assert it.journal.observers("R")[0]["view"]["networks"]["admin"] == {"hears": 0}


def test_a_run_that_ended_well_leaves_a_host_that_is_out_of_service_and_not_suspected(it: Set) -> None:
    it.kill("cmp01")
    it.wait(3)
    it.loop.step()
    run_id = it.runs.started[0][0]
    it.sources.take_out("cmp01", f"openstack_ha: failed, run {run_id}")
    it.end(run_id, "recovered")
    it.wait(30)
    it.loop.step()
    assert len(it.runs.started) == 1
    assert it.told[-1] == ("run_ended", {"hosts": {"cmp01": "recovered"}, "status": "successful", "reason": None})
    assert it.loop.busy == set()


def test_a_run_between_two_answers_of_nova_is_not_followed_by_another(it: Set) -> None:
    """Found by the benchmark: all was done within the five seconds for which an answer of Nova is good enough."""
    it.kill("cmp01")
    it.wait(3)
    it.sources.old = it.sources.services(0)
    it.loop.step()
    run_id = it.runs.started[0][0]
    it.sources.take_out("cmp01", f"openstack_ha: failed, run {run_id}")
    it.end(run_id, "recovered")
    it.loop.step()
    it.sources.old = None
    it.loop.step()
    assert len(it.runs.started) == 1
    assert [incident["state"] for incident in it.journal.incidents()] == ["recovered"]
    assert it.loop.busy == set()


def test_a_run_that_left_vms_behind_is_followed_by_another_after_a_while(it: Set) -> None:
    it.kill("cmp01")
    it.wait(3)
    it.loop.step()
    run_id = it.runs.started[0][0]
    it.sources.take_out("cmp01", f"openstack_ha: failed, run {run_id}")
    it.end(run_id, "partial")
    it.loop.step()
    it.wait(250)
    it.loop.step()
    assert len(it.runs.started) == 1
    it.wait(100)
    it.loop.step()
    assert len(it.runs.started) == 2


def _away(**given: object) -> t.NoReturn:
    raise JournalError("away")


@pytest.mark.parametrize(("away", "runs"), [(False, 2), (True, 1)])
def test_a_host_is_taken_up_again_when_the_time_of_an_owner_is_over(
    it: Set, monkeypatch: pytest.MonkeyPatch, away: bool, runs: int
) -> None:
    it.kill("cmp01")
    it.wait(3)
    it.loop.step()
    run_id = it.runs.started[0][0]
    it.sources.take_out("cmp01", f"openstack_ha: failed, run {run_id}")
    (entry,) = it.journal.run(run_id)["hosts"]
    about = {"incident_id": entry["incident_id"], "host": "cmp01/vm-1"}
    it.journal.ask(run_id, about, "owner", "vm-1", "is left to its owner", None, 60.0, "recover")
    if away:
        monkeypatch.setattr(it.journal, "questions", _away)
    it.end(run_id, "partial")
    it.loop.step()
    assert it.loop.busy == set(), "that the journal is away keeps no host busy"
    it.wait(50 - 10 * away)
    it.loop.step()
    assert len(it.runs.started) == 1
    it.wait(15)
    it.loop.step()
    assert len(it.runs.started) == runs


def test_a_host_that_could_not_be_fenced_is_tried_again_when_the_journal_says_so(
    it: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    incident = it.journal.open_incident("cmp01", "R", "rack1")["id"]
    it.journal.hold_incident(incident, "not fenced", 2, 3600.0)
    it.sources.take_out("cmp01", "openstack_ha: failed, run 1")
    it.kill("cmp01")
    it.wait(3)
    it.loop.step()
    assert it.runs.started == []
    it.journal.hold_incident(incident, "not fenced", 2, 0.0)
    it.loop.step()
    assert [hosts for _run, hosts in it.runs.started] == [["cmp01"]]


def test_what_a_dead_process_has_left_is_taken_up_again(it: Set) -> None:
    incident = it.journal.open_incident("cmp01", "R", "rack1")["id"]
    dead = {**holder.describe(), "pid_start": 1, "monotonic": 0.0}
    run = it.journal.open_run([{"host": "cmp01", "incident_id": incident}], dead)
    claims.take(it.journal, [("R", "cmp01")], run["id"], dead)
    it.journal.set_incident(incident, "recovering")
    it.sources.take_out("cmp01", f"openstack_ha: failed, run {run['id']}")
    it.kill("cmp01")
    it.wait(3)
    it.loop.step()
    ((run_id, _hosts),) = it.runs.started
    assert it.journal.run(run_id)["resumes"] == run["id"]
    assert it.journal.run(run["id"])["state"] == "abandoned"


def test_a_host_that_another_process_is_at_work_on_is_left_to_it(it: Set, say: Say) -> None:
    incident = it.journal.open_incident("cmp01", "R", "rack1")["id"]
    run = it.journal.open_run([{"host": "cmp01", "incident_id": incident}], holder.describe())
    claims.take(it.journal, [("R", "cmp01")], run["id"], holder.describe())
    it.journal.set_incident(incident, "recovering")
    say("cmp01", "host.unreachable")
    it.kill("cmp01")
    it.wait(3)
    it.loop.step()
    assert it.runs.started == []
    assert it.lines == []
    assert [signal["gate"] for signal in it.journal.signals()] == ["at_work"]


def test_of_two_responders_one_has_the_run(journal: Journal) -> None:
    both = [Set(journal, name, ["ctl1", "ctl2"]) for name in ("ctl1", "ctl2")]
    for one in both:
        one.wait(6)
        one.kill("cmp01")
    for one in both:
        one.loop.step()
        one.wait(3)
    for _look in range(2):
        for one in both:
            one.loop.step()
    assert sum(len(one.runs.started) for one in both) == 1


def test_who_finds_the_host_claimed_tries_again_as_soon_as_it_is_not(it: Set) -> None:
    incident = it.journal.open_incident("cmp01", "R", "rack1")["id"]
    run = it.journal.open_run([{"host": "cmp01", "incident_id": incident}], holder.describe())
    take = it.loop._claimed.look
    it.kill("cmp01")
    it.wait(3)

    def late() -> None:
        take()
        claims.take(it.journal, [("R", "cmp01")], run["id"], holder.describe())

    it.loop._claimed.look = late  # type: ignore[method-assign]
    it.loop.step()
    assert it.runs.started == []
    assert "Cannot claim cmp01" in it.lines[-1]
    it.loop._claimed.look = take  # type: ignore[method-assign]
    it.loop.step()
    assert it.runs.started == []
    claims.release(it.journal, run["id"], ["cmp01"])
    it.loop.step()
    assert [hosts for _run, hosts in it.runs.started] == [["cmp01"]]


def test_what_we_have_taken_out_of_service_is_not_forgotten_though_nobody_ever_heard_it(journal: Journal) -> None:
    it = Set(journal)
    journal.set_incident(journal.open_incident("cmp01", "R", "rack1")["id"], "held", "the observer began to watch")
    it.sources.take_out("cmp01", "openstack_ha: failed, run 1")
    it.kill("cmp01")
    it.settle()
    assert [hosts for _run, hosts in it.runs.started] == [["cmp01"]]


def test_a_verdict_that_is_being_written_down_is_not_forgotten(it: Set) -> None:
    works: list[t.Callable[[], None]] = []
    it.loop.parts.spawn = lambda name, work: works.append(work)
    it.dead.add("cmp01")
    it.wait(3)
    it.loop.step()
    it.wait(3)
    it.loop.step()
    (work,) = works
    begun, decide = _Stop(), it.loop._opener._decide
    it.loop._opener._decide = begun  # type: ignore[method-assign]  # in the middle of it the loop looks
    begun.then = lambda *given: (it.wait(1), it.loop.step(), decide(*given))[-1]
    work()
    for _look in range(3):
        it.wait(2)
        it.loop.step()
    assert len(works) == 1, "it was written once"
    assert it.loop._suspected["cmp01"] < it.now - 9
    it.dead.clear()
    it.wait(1)
    it.loop.step()
    assert [incident["state"] for incident in it.journal.incidents()] == ["closed"]


class _Stop:
    """A function whose body is given later."""

    then: t.Callable[..., t.Any]

    def __call__(self, *given: t.Any) -> t.Any:
        return self.then(*given)


def test_a_majority_of_responders_must_agree(journal: Journal) -> None:
    names = [f"ctl{number}" for number in range(1, 8)]
    sets = [Set(journal, name, names) for name in names]
    for one in sets:
        one.settle()
    for one in sets[:3]:
        one.kill("cmp01")
        one.sources.services_of["cmp02"]["state"] = "up"
        one.wait(3)
        one.loop.step()
    for one in sets[3:]:
        one.sources.answering.discard("cmp01")
    assert all(one.runs.started == [] for one in sets), "three and a probe, and four hear it"
    sets[3].kill("cmp01")
    sets[3].wait(3)
    sets[3].loop.step()
    assert sets[3].runs.started == [], "others still hear it"
    for one in sets[4:]:
        one.kill("cmp01")
        one.wait(3)
        one.loop.step()
    assert sum(len(one.runs.started) for one in sets) == 1


def test_a_reporter_and_a_probe_are_enough_and_its_signal_gets_the_verdict(journal: Journal, say: Say) -> None:
    it = Set(journal)
    it.kill("cmp01")
    it.settle()
    say("cmp01", "host.unreachable")
    it.loop.step()
    assert [hosts for _run, hosts in it.runs.started] == [["cmp01"]]
    (signal,) = it.journal.signals()
    assert (signal["verdict"], signal["incident_id"]) == ("recover", it.journal.incidents()[0]["id"])


def test_a_signal_about_a_host_that_lives_is_held_with_its_host(it: Set, say: Say) -> None:
    say("cmp01", "host.unreachable")
    it.loop.step()
    assert len(it.journal.undecided_signals("R")) == 1
    it.wait(3)
    it.loop.step()
    (signal,) = it.journal.signals()
    assert (signal["verdict"], signal["gate"]) == ("hold", "witnesses")
    say("cmp01", "host.unreachable", reporter="reporter:masakari")
    it.loop.step()
    assert it.journal.undecided_signals("R") == []


def test_without_the_journal_nothing_is_decided_and_with_it_all_goes_on(
    it: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_given: t.Any, **_more: t.Any) -> None:
        raise JournalError("the journal is away")

    with monkeypatch.context() as gone:
        gone.setattr(it.journal.database, "read", away)
        gone.setattr(it.journal.database, "write", away)
        it.kill("cmp01")
        it.wait(3)
        assert it.loop.attempt() == 1.0
        assert it.health.told()["reason"] == "the journal is away"
        it.wait(60)
        it.loop.attempt()
        assert not it.health.ok()
    it.loop.attempt()
    assert it.health.ok()
    assert [hosts for _run, hosts in it.runs.started] == [["cmp01"]]


def test_a_run_that_cannot_be_started_is_closed_and_its_host_tried_again(it: Set) -> None:
    it.runs.error = RecoveryError("no such program")
    it.kill("cmp01")
    it.wait(3)
    it.loop.step()
    assert claims.taken(it.journal, "R") == []
    assert [run["state"] for run in it.journal.runs()] == ["closed"]
    it.runs.error = None
    it.loop.step()
    it.wait(20)
    it.loop.step()
    assert it.runs.started == []
    it.wait(15)
    it.loop.step()
    assert len(it.runs.started) == 1


def test_a_claim_that_could_not_be_given_back_is_given_back_later(it: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_given: t.Any) -> None:
        raise JournalError("the journal is away")

    it.runs.error = RecoveryError("no such program")
    it.kill("cmp01")
    it.wait(3)
    with monkeypatch.context() as gone:
        gone.setattr(it.journal, "close_run", away)
        it.loop.step()
    assert len(claims.taken(it.journal, "R")) == 1
    it.loop.step()
    assert claims.taken(it.journal, "R") == []


def test_an_end_that_cannot_be_read_is_no_reason_to_stop(it: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_given: t.Any) -> None:
        raise JournalError("the journal is away")

    it.kill("cmp01")
    it.wait(3)
    it.loop.step()
    run_id = it.runs.started[0][0]
    with monkeypatch.context() as gone:
        gone.setattr(it.journal, "run", away)
        it.loop.ended(run_id, ["cmp01"], "lost", None, None)
        it.loop.attempt()
    assert it.loop.busy == set()
    assert it.told[-1][0] == "run_ended"


def test_without_segments_nothing_is_decided(it: Set) -> None:
    it.keeper.site = None
    with pytest.raises(RecoveryError, match="segments are not known"):
        it.loop.step()


def test_what_goes_wrong_in_a_look_is_told_and_tried_again(it: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise KeyError("boom")

    monkeypatch.setattr(it.hearing, "look", broken)
    assert it.loop.attempt() == 1.0
    assert "KeyError('boom')" in it.lines[-1]


def test_false_alarms_that_a_former_process_left_open_are_closed(journal: Journal) -> None:
    journal.set_incident(journal.open_incident("cmp01", "R", "rack1")["id"], "held")
    it = Set(journal)
    it.wait(3)
    it.loop.step()
    assert [incident["state"] for incident in journal.incidents()] == ["held"], "it has not watched for long enough"
    it.wait(3)
    it.loop.step()
    assert [incident["state"] for incident in journal.incidents()] == ["closed"]


def test_a_host_that_died_while_no_responder_watched_is_missed(journal: Journal) -> None:
    Set(journal).settle()
    it = Set(journal)
    it.loop.step()
    it.kill("cmp01")
    it.wait(6)
    it.loop.step()
    assert [hosts for _run, hosts in it.runs.started] == [["cmp01"]]


def test_a_host_that_nova_has_down_and_nobody_ever_heard_is_found(journal: Journal) -> None:
    it = Set(journal)
    it.kill("cmp01")
    it.sources.services_of["cmp01"]["state"] = "down"
    it.settle()
    assert [hosts for _run, hosts in it.runs.started] == [["cmp01"]]


def test_armed_agents_are_journaled_now_and_then_and_at_once_when_a_host_is_lost(it: Set) -> None:
    it.hearing.beat("cmp01", "admin", True, 5.0)
    it.loop.step()
    (first,) = it.journal.sightings("R", list(HOSTS))
    assert (first["host"], first["source"], first["armed"]) == ("cmp01", "ctl1", True)
    it.hearing.beat("cmp01", "admin", False, 5.0)
    it.loop.step()
    assert it.journal.sightings("R", "cmp01")[0]["armed"] is True, "not each look"
    it.wait(6)
    it.loop.step()
    assert it.journal.sightings("R", "cmp01")[0]["armed"] is False
    assert len(it.journal.sightings("R", list(HOSTS))) == 1, "of those that were never armed nothing is said"


def test_an_answer_is_acted_on(it: Set) -> None:
    found = policy()
    found["gates"]["flapping"]["recoveries"] = 0
    it.keeper.site = Site(site().topology, found, "p", "s")
    it.kill("cmp01")
    it.wait(3)
    it.loop.step()
    (question,) = it.journal.open_questions("R")
    assert question["gate"] == "flapping"
    it.journal.answer_question(question["id"], "recover", "ada", "it is dead")
    it.loop.step()
    assert [hosts for _run, hosts in it.runs.started] == [["cmp01"]]


def test_it_is_woken_by_what_changes_and_ends_when_told(it: Set) -> None:
    import threading

    stopped, looked = threading.Event(), threading.Event()
    with contextlib.ExitStack() as ending:
        step = it.loop.step

        def look() -> float:
            looked.set()
            return step() + 3600

        it.loop.step = look  # type: ignore[method-assign]
        thread = threading.Thread(target=it.loop.run, args=(stopped,), daemon=True)
        ending.callback(thread.join, 30)
        ending.callback(it.loop.wake)
        ending.callback(stopped.set)
        thread.start()
        assert looked.wait(30)
        looked.clear()
        it.loop.wake()
        assert looked.wait(30)
    assert not thread.is_alive()
