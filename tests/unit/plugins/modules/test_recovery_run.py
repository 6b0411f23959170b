from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from unit.fakes.tasks import Tasks, WrongOptions

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _recovery, _run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, Paused, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates import GATES
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import ClaimHeld
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults
from ansible_collections.openstack_ha.recovery.plugins.modules import recovery_run
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Nova

ANSWER = {"answer": "recover", "answered_by": "ann", "answer_reason": "it burns"}


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any) -> Tasks:
    nova = Nova(Clock(), ["cmp01", "cmp02", "cmp03"], ["cmp01"])
    it = Tasks(monkeypatch, FakeCloud(nova, {}), tmp_path)
    for host, facts in it.topology["hosts"].items():
        facts["hypervisor_hostname"] = f"{host}.example.net"
    return it


def begin(tasks: Tasks, *hosts: str, check_mode: bool = False, **args: t.Any) -> dict[str, t.Any]:
    given = {"state": "open", "hosts": list(hosts or ["cmp01"]), "topology": tasks.topology, **args}
    return tasks.run(recovery_run, check_mode, **given)


def close(tasks: Tasks, run_id: str) -> dict[str, t.Any]:
    return dict(tasks.run(recovery_run, state="closed", run_id=run_id)["report"])


def incident(tasks: Tasks, host: str = "cmp01") -> dict[str, t.Any]:
    with tasks.journal() as journal:
        return dict(journal.incidents(host=host)[-1])


def test_a_dead_host_gets_a_claim_a_verdict_and_an_incident(tasks: Tasks) -> None:
    opened = begin(tasks)
    assert (opened["changed"], opened["hosts"], opened["resumes"]) == (True, ["cmp01"], None)
    assert opened["verdicts"]["cmp01"]["verdict"] == "recover"
    assert incident(tasks)["state"] == "recovering"
    with tasks.journal() as journal:
        report = journal.report(opened["run_id"])
    assert [claim["host"] for claim in report["claims"]] == ["cmp01"]
    assert report["verdicts"][0]["snapshot"]["hosts"]["cmp01"]["state"] == "down"


@pytest.mark.parametrize("name", ["cmp01", "cmp01.example.net"])
def test_each_name_of_a_host_means_the_service_host(tasks: Tasks, name: str) -> None:
    assert begin(tasks, name)["hosts"] == ["cmp01"]


def test_a_name_that_no_host_has_is_refused_before_anything_is_written(tasks: Tasks) -> None:
    with pytest.raises(ConfigError, match="cmp1"):
        begin(tasks, "cmp1")
    assert not Path(tasks.url.removeprefix("sqlite:///")).exists()


def test_check_mode_gives_the_same_verdict_and_leaves_no_trace(tasks: Tasks) -> None:
    checked = begin(tasks, check_mode=True)
    assert checked["run_id"] is None
    assert not Path(tasks.url.removeprefix("sqlite:///")).exists()
    assert any("There is no journal" in warning for warning in tasks.warnings)
    assert {**checked, "run_id": 0} == {**begin(tasks), "run_id": 0}


def test_check_mode_counts_the_hosts_that_other_runs_are_at_work_on(tasks: Tasks) -> None:
    begin(tasks)
    tasks.service("cmp02")["state"] = "down"
    verdict = begin(tasks, "cmp02", check_mode=True)["verdicts"]["cmp02"]
    assert (verdict["verdict"], verdict["gate"]) == ("ask", "budget")


def test_a_host_that_is_claimed_is_not_claimed_again(tasks: Tasks) -> None:
    first = begin(tasks)["run_id"]
    with pytest.raises(ClaimHeld, match=first):
        begin(tasks)
    close(tasks, first)
    assert begin(tasks)["hosts"] == ["cmp01"]


def test_a_living_host_is_asked_about_and_the_failure_says_how_to_answer(tasks: Tasks) -> None:
    with pytest.raises(RecoveryError, match=r"cmp02: ask \(gate witnesses\).*-e answer=recover") as caught:
        begin(tasks, "cmp02")
    assert caught.value.facts["verdicts"]["cmp02"]["verdict"] == "ask"
    assert incident(tasks, "cmp02")["state"] == "held"
    assert begin(tasks, "cmp02", **ANSWER)["hosts"] == ["cmp02"]


SILENT = ["tcp://no-such-name.invalid:22"]


@pytest.mark.parametrize(("probe", "recovered"), [([], False), (SILENT, True)])
def test_where_nobody_vouches_for_it_nova_and_a_probe_must_agree_that_a_host_is_down(
    tasks: Tasks, probe: list[str], recovered: bool
) -> None:
    tasks.topology["hosts"]["cmp01"]["probe"] = probe
    if recovered:
        assert begin(tasks, attended=False)["hosts"] == ["cmp01"]
        return
    with pytest.raises(RecoveryError, match=r"ask \(gate witnesses\): only 1 of 2 .* say that it is down: nova"):
        begin(tasks, attended=False)


def test_of_several_hosts_those_that_may_are_recovered_and_the_others_let_go(tasks: Tasks) -> None:
    tasks.topology["hosts"]["cmp02"]["segment"] = None
    opened = begin(tasks, "cmp01", "cmp02", max_hosts_at_once=2)
    assert opened["hosts"] == ["cmp01"]
    assert any("cmp02: alert" in warning for warning in tasks.warnings)
    with tasks.journal() as journal:
        assert [claim["host"] for claim in journal.report(opened["run_id"])["claims"]] == ["cmp01"]


def test_a_run_that_is_given_up_is_picked_up_by_the_next(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    describe = recovery_run.holder.describe
    gone = {**describe(), "pid": 999_999_999, "pid_start": 1}
    monkeypatch.setattr(recovery_run.holder, "describe", lambda pid, **more: {**gone, **more})
    first = begin(tasks)["run_id"]
    monkeypatch.setattr(recovery_run.holder, "describe", describe)
    assert begin(tasks)["resumes"] == first
    with tasks.journal() as journal:
        assert journal.run(first)["state"] == "abandoned"


def test_a_held_host_is_released_with_its_reason_and_the_run_goes_on(tasks: Tasks) -> None:
    run_id = begin(tasks)["run_id"]
    held = tasks.run(recovery_run, state="held", run_id=run_id, hosts=["cmp01"], reason="BMC is silent")
    assert held["changed"]
    assert (incident(tasks)["state"], incident(tasks)["reason"]) == ("held", "not fenced: BMC is silent")
    report = close(tasks, run_id)
    assert [(host["outcome"], host["reason"]) for host in report["hosts"]] == [("held", "not fenced: BMC is silent")]
    assert report["claims"] == []


def test_two_hosts_of_a_run_can_be_held_at_the_same_moment(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks.service("cmp02")["state"] = "down"
    run_id = begin(tasks, "cmp01", "cmp02", max_hosts_at_once=2)["run_id"]
    held = {"state": "held", "run_id": run_id, "reason": "BMC is silent"}
    check = _run.Run.check

    def with_company(run: _run.Run, orders: bool = True) -> None:
        """The task of the other host ends between the look at the claims and their renewal."""
        monkeypatch.setattr(_run.Run, "check", check)
        tasks.run(recovery_run, hosts=["cmp02"], **held)
        check(run, orders)

    monkeypatch.setattr(_run.Run, "check", with_company)
    assert tasks.run(recovery_run, hosts=["cmp01"], **held)["changed"]
    assert [incident(tasks, host)["state"] for host in ("cmp01", "cmp02")] == ["held", "held"]


def test_a_run_that_held_a_host_and_goes_on_with_others_is_not_taken_for_dead(tasks: Tasks) -> None:
    tasks.service("cmp02")["state"] = "down"
    first = begin(tasks, "cmp01", "cmp02", max_hosts_at_once=2)["run_id"]
    tasks.run(recovery_run, state="held", run_id=first, hosts=["cmp01"], reason="BMC is silent")
    second = begin(tasks, "cmp01", max_hosts_at_once=2)
    assert second["resumes"] is None
    with tasks.journal() as journal:
        assert journal.run(first)["state"] == "open"
        assert [claim["host"] for claim in journal.report(first)["claims"]] == ["cmp02"]
    assert close(tasks, first)["run"]["state"] == "closed"
    with pytest.raises(ClaimHeld, match=second["run_id"]):
        begin(tasks, "cmp01")


def test_a_run_whose_last_host_was_held_may_still_be_closing(tasks: Tasks) -> None:
    first = begin(tasks)["run_id"]
    tasks.run(recovery_run, state="held", run_id=first, hosts=["cmp01"], reason="BMC is silent")
    begin(tasks)
    assert close(tasks, first)["run"]["state"] == "closed"


def test_what_was_not_fenced_is_due_again_ever_more_rarely_until_it_is_recovered(tasks: Tasks) -> None:
    for attempt, pause in enumerate((30, 60, 120), 1):
        run_id = begin(tasks)["run_id"]
        tasks.run(recovery_run, state="held", run_id=run_id, hosts=["cmp01"], reason="BMC is silent")
        close(tasks, run_id)
        with tasks.journal() as journal:
            (retry,) = journal.retries()
        assert (retry["attempts"], retry["look_after"]) == (attempt, pause)
        assert pause - 5 < retry["due_in"] <= pause
    close(tasks, begin(tasks)["run_id"])
    with tasks.journal() as journal:
        assert journal.retries() == []


def test_what_was_not_fenced_is_not_forgotten_when_the_next_verdict_is_no(tasks: Tasks) -> None:
    run_id = begin(tasks)["run_id"]
    tasks.run(recovery_run, state="held", run_id=run_id, hosts=["cmp01"], reason="BMC is silent")
    close(tasks, run_id)
    tasks.nova.services["cmp01"]["state"] = "up"
    with pytest.raises(RecoveryError, match="gate witnesses"):
        begin(tasks)
    with tasks.journal() as journal:
        assert [retry["attempts"] for retry in journal.retries()] == [2]


def test_a_fenced_host_that_is_given_up_is_not_called_not_fenced(tasks: Tasks) -> None:
    run_id = begin(tasks)["run_id"]
    tasks.prove_off(run_id, "cmp01")
    tasks.run(recovery_run, state="held", run_id=run_id, hosts=["cmp01"], reason="no way to plan")
    assert (incident(tasks)["reason"], incident(tasks)["attempts"]) == ("no way to plan", 0)


# -- questions -----------------------------------------------------------------------------------------------


def questions(tasks: Tasks, **filters: t.Any) -> list[dict[str, t.Any]]:
    with tasks.journal() as journal:
        return journal.questions(**filters)


def answer(tasks: Tasks, verdict: str = "recover") -> None:
    with tasks.journal() as journal:
        (asked,) = journal.questions(state="open")
        assert journal.answer_question(asked["id"], verdict, "ann", "it burns")


def test_a_question_is_left_with_what_would_be_done_and_how_to_answer(tasks: Tasks) -> None:
    with pytest.raises(RecoveryError, match=r"answer_incident .*-e host=cmp02 -e answer=recover") as caught:
        begin(tasks, "cmp02")
    (asked,) = questions(tasks, state="open")
    assert [it["id"] for it in caught.value.facts["questions"]] == [asked["id"]]
    assert (asked["host"], asked["gate"], asked["default"], asked["wait"]) == ("cmp02", "witnesses", "hold", 0)
    assert asked["plan"] == {"hosts": ["cmp02"], "vms": {"cmp02": 0}}


@pytest.mark.parametrize("verdict", ["recover", "hold"])
def test_the_next_run_goes_by_the_answer(tasks: Tasks, verdict: str) -> None:
    with pytest.raises(RecoveryError):
        begin(tasks, "cmp02")
    answer(tasks, verdict)
    if verdict == "recover":
        opened = begin(tasks, "cmp02", max_hosts_at_once=2)
        assert opened["hosts"] == ["cmp02"]
        assert "ann answered recover: it burns" in opened["verdicts"]["cmp02"]["reason"]
    else:
        with pytest.raises(RecoveryError, match=r"cmp02: hold .*ann answered hold"):
            begin(tasks, "cmp02")


def test_an_answer_about_fewer_hosts_does_not_count_for_more(tasks: Tasks) -> None:
    with pytest.raises(RecoveryError):
        begin(tasks, "cmp02")
    answer(tasks)
    with pytest.raises(RecoveryError, match=r"cmp02: ask \(gate witnesses\)"):
        begin(tasks, "cmp02", "cmp03")


def test_an_old_answer_does_not_count(tasks: Tasks) -> None:
    policy = defaults()
    policy["ask"]["answer_valid"] = 0
    with pytest.raises(RecoveryError):
        begin(tasks, "cmp02")
    answer(tasks)
    with pytest.raises(RecoveryError, match=r"cmp02: ask \(gate witnesses\)"):
        begin(tasks, "cmp02", policy=policy)


def test_an_answer_to_another_question_does_not_count(tasks: Tasks) -> None:
    with pytest.raises(RecoveryError, match="gate witnesses"):
        begin(tasks, "cmp02")
    answer(tasks)
    tasks.service("cmp02").update(status="disabled", disabled_reason="maintenance of the fans")
    with pytest.raises(RecoveryError, match="gate maintenance"):
        begin(tasks, "cmp02")


def await_answer(tasks: Tasks, run_id: str, **args: t.Any) -> dict[str, t.Any]:
    return tasks.run(recovery_run, state="awaiting", run_id=run_id, topology=tasks.topology, **args)


def test_a_run_that_waits_keeps_its_claim_and_goes_on_with_the_answer(tasks: Tasks) -> None:
    opened = begin(tasks, "cmp02", ask_wait=60)
    assert (opened["awaiting"], opened["hosts"], opened["changed"]) == (True, [], True)
    with pytest.raises(ClaimHeld):
        begin(tasks, "cmp02")
    assert incident(tasks, "cmp02")["state"] == "held"
    answer(tasks)
    decided = await_answer(tasks, opened["run_id"], ask_wait=60, max_hosts_at_once=2)
    assert (decided["awaiting"], decided["hosts"]) == (False, ["cmp02"])
    assert incident(tasks, "cmp02")["state"] == "recovering"


def test_when_nobody_answers_the_host_is_held(tasks: Tasks) -> None:
    opened = begin(tasks, "cmp02", ask_wait=0.2)
    with pytest.raises(RecoveryError, match=r"cmp02: hold .*the default of the policy answered hold: no answer within"):
        await_answer(tasks, opened["run_id"], ask_wait=0.2)
    (asked,) = questions(tasks)
    assert (asked["state"], asked["answer"], asked["answered_by"]) == ("expired", "hold", None)
    with tasks.journal() as journal:
        assert journal.run(opened["run_id"])["state"] == "closed"
    assert incident(tasks, "cmp02")["state"] == "held"


def test_a_default_of_recover_is_done_only_because_the_policy_says_so(tasks: Tasks) -> None:
    policy = defaults()
    policy["ask"].update(wait=0.2, default="recover")
    opened = begin(tasks, "cmp02", policy=policy)
    assert await_answer(tasks, opened["run_id"], policy=policy)["hosts"] == ["cmp02"]


def test_after_one_answer_the_next_gate_may_ask_too(tasks: Tasks) -> None:
    tasks.service("cmp02").update(status="disabled", disabled_reason="maintenance of the fans")
    policy = defaults()
    policy["ask"].update(wait=0.2, default="recover")
    opened = begin(tasks, "cmp02", policy=policy)
    assert await_answer(tasks, opened["run_id"], policy=policy)["hosts"] == ["cmp02"]
    assert [it["gate"] for it in questions(tasks)] == ["maintenance", "planned", "witnesses", "budget"]


def test_nobody_vouches_for_a_host_after_the_wait_who_had_not_before(tasks: Tasks) -> None:
    opened = begin(tasks, attended=False, ask_wait=0.2)
    with pytest.raises(RecoveryError, match=r"cmp01: hold .*no answer within"):
        await_answer(tasks, opened["run_id"], ask_wait=0.2, attended=False)


def test_nobody_waits_for_an_answer_while_other_hosts_are_to_be_recovered(tasks: Tasks) -> None:
    opened = begin(tasks, "cmp01", "cmp02", max_hosts_at_once=2, ask_wait=60)
    assert (opened["hosts"], opened["awaiting"]) == (["cmp01"], False)
    assert [it["wait"] for it in questions(tasks, state="open")] == [0]


# -- orders --------------------------------------------------------------------------------------------------


def order(tasks: Tasks, kind: str, name: str = "cmp01", **more: t.Any) -> dict[str, t.Any]:
    with tasks.journal() as journal:
        return journal.add_order("RegionOne", kind, "host", name, "al", "wait", **more)


def test_a_paused_host_is_asked_about_and_others_are_not(tasks: Tasks) -> None:
    order(tasks, "pause", "cmp02")
    assert begin(tasks)["hosts"] == ["cmp01"]
    order(tasks, "pause", "cmp03")
    with pytest.raises(RecoveryError, match=r"cmp03: ask .gate orders.: paused by al"):
        begin(tasks, "cmp03")


def test_a_budget_order_lets_more_hosts_go(tasks: Tasks) -> None:
    tasks.service("cmp02")["state"] = "down"
    with pytest.raises(RecoveryError, match="gate budget"):
        begin(tasks, "cmp01", "cmp02")
    with tasks.journal() as journal:
        journal.add_order("RegionOne", "budget", "cloud", None, "al", "both", limits={"at_once": 2, "per_hour": None})
    assert begin(tasks, "cmp01", "cmp02")["hosts"] == ["cmp01", "cmp02"]


def test_what_was_ordered_after_the_verdict_stops_the_next_step_and_not_the_end(tasks: Tasks) -> None:
    order(tasks, "pause", "cmp02")
    run_id = begin(tasks)["run_id"]
    join = {"run_id": run_id, "journal_url": tasks.url}
    with _run.joined(join, ["cmp01"]):
        pass
    order(tasks, "disarm")
    with pytest.raises(Paused, match="cmp01: disarmed by al"), _run.joined(join, ["cmp01"]):
        pass
    report = close(tasks, run_id)
    assert "disarmed by al" in report["hosts"][0]["reason"]


def test_the_end_of_an_order_is_told_once(tasks: Tasks) -> None:
    order(tasks, "pause", "cmp03", seconds=60)
    run_id = begin(tasks)["run_id"]
    close(tasks, run_id)
    begin(tasks)
    assert len([warning for warning in tasks.warnings if "An order ends in" in warning]) == 1


def test_the_verdict_is_journaled_with_the_hashes_of_its_files(tasks: Tasks) -> None:
    run_id = begin(tasks, policy=defaults(), policy_hash="p1", segments_hash="s1")["run_id"]
    with tasks.journal() as journal:
        (verdict,) = journal.verdicts(run_id)
    assert (verdict["policy_hash"], verdict["segments_hash"], verdict["orders_seen"]) == ("p1", "s1", 0)


def test_a_journal_that_cannot_be_read_closes_gates_in_check_mode(tasks: Tasks, tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_text("this is no database, but some text that is long enough to be looked at")
    checked = begin(tasks, check_mode=True)
    assert (checked["verdicts"]["cmp01"]["verdict"], checked["verdicts"]["cmp01"]["gate"]) == ("ask", "orders")


def test_check_mode_shows_what_every_gate_says(tasks: Tasks) -> None:
    order(tasks, "pause")
    verdict = begin(tasks, check_mode=True)["verdicts"]["cmp01"]
    assert (verdict["verdict"], verdict["gate"]) == ("ask", "orders")
    assert len(verdict["gates"]) == len(GATES)


def test_a_run_that_never_came_to_evacuate_has_not_recovered_anything(tasks: Tasks) -> None:
    report = close(tasks, begin(tasks)["run_id"])
    assert report["run"]["state"] == "closed"
    assert report["hosts"][0]["outcome"] == "partial"
    assert incident(tasks)["state"] == "partial"


def test_closing_in_check_mode_or_without_a_run_does_nothing(tasks: Tasks) -> None:
    run_id = begin(tasks)["run_id"]
    tasks.run(recovery_run, True, state="closed", run_id=run_id)
    tasks.run(recovery_run, state="closed")
    with tasks.journal() as journal:
        assert journal.run(run_id)["state"] == "open"


@pytest.mark.parametrize(
    "args",
    [
        {"state": "open"},
        {"state": "open", "hosts": ["cmp01"]},
        {"state": "held", "run_id": "r", "hosts": ["cmp01"]},
        {"state": "open", "hosts": ["cmp01"], "topology": {}, "answer": "recover"},
        {"state": "paused"},
        {"state": "awaiting", "run_id": "r"},
    ],
)
def test_options_that_make_no_sense_are_refused(tasks: Tasks, args: dict[str, t.Any]) -> None:
    with pytest.raises(WrongOptions):
        tasks.run(recovery_run, **args)


# -- taking over a run that a responder has opened -----------------------------------------------------------------


def opened_for(tasks: Tasks, *hosts: str) -> str:
    """A run as a responder opens it: claimed and decided on, by a process that hands it over."""
    hosts = hosts or ("cmp01",)
    with tasks.journal() as journal:
        run = _recovery.begin(journal, "RegionOne", dict.fromkeys(hosts, "rack1"), claims.opener(), 60.0, print)
        verdict = {"verdict": "recover", "gate": None, "reason": "dead", "gates": [], "reaction": "recover"}
        journal.add_verdict(run["id"], {"hosts": {}}, "hash", {host: {**verdict, "look_again": None} for host in hosts})
        for entry in run["hosts"]:
            journal.set_incident(entry["incident_id"], "recovering")
    return str(run["id"])


def test_a_run_that_was_opened_for_it_is_taken_over_and_nothing_is_decided_anew(tasks: Tasks) -> None:
    run_id = opened_for(tasks)
    tasks.service("cmp01")["state"] = "up"  # it would ask now
    taken = begin(tasks, run_id=run_id)
    assert (taken["run_id"], taken["hosts"], taken["verdicts"]["cmp01"]["reason"]) == (run_id, ["cmp01"], "dead")
    with tasks.journal() as journal:
        report = journal.report(run_id)
    assert len(report["verdicts"]) == 1
    assert report["run"]["holder"] == report["claims"][0]["holder"]
    assert report["run"]["holder"]["pid"] == os.getppid()
    assert (report["claims"][0]["token"], report["steps"][0]["name"]) == (2, "taken_over")
    assert close(tasks, run_id)["run"]["state"] == "closed"


def test_a_run_is_taken_over_once(tasks: Tasks) -> None:
    run_id = opened_for(tasks)
    begin(tasks, run_id=run_id)
    with pytest.raises(ClaimHeld, match="is at work"):
        begin(tasks, run_id=run_id)
    close(tasks, run_id)
    with pytest.raises(ClaimHeld, match="is closed"):
        begin(tasks, run_id=run_id)


def test_a_run_that_somebody_started_by_hand_is_not_taken_over(tasks: Tasks) -> None:
    run_id = begin(tasks)["run_id"]
    with pytest.raises(ClaimHeld, match=f"Run {run_id} is at work"):
        begin(tasks, run_id=run_id)


def test_a_run_that_lost_its_claim_is_not_taken_over(tasks: Tasks) -> None:
    run_id = opened_for(tasks)
    with tasks.journal() as journal:
        claims.release(journal, run_id, ["cmp01"])
    with pytest.raises(ClaimHeld, match="lost its claim on cmp01"):
        begin(tasks, run_id=run_id)


@pytest.mark.parametrize("hosts", [["cmp01"], ["cmp02", "cmp03"], ["cmp01", "cmp02", "cmp03"]])
def test_a_run_about_other_hosts_is_not_taken_over(tasks: Tasks, hosts: list[str]) -> None:
    run_id = opened_for(tasks, "cmp01", "cmp02")
    with pytest.raises(ConfigError, match=f"run {run_id} is to recover cmp01, cmp02, not "):
        begin(tasks, *hosts, run_id=run_id)


def test_check_mode_takes_nothing_over(tasks: Tasks) -> None:
    run_id = opened_for(tasks)
    with pytest.raises(ConfigError, match="check mode"):
        begin(tasks, check_mode=True, run_id=run_id)
    begin(tasks, run_id=run_id)


def test_steps_of_a_run_taken_over_on_another_machine_count_from_then(tasks: Tasks) -> None:
    mine = {"boot_id": "here", "monotonic": 5.0, "user": "ann", "hostname": "ctl1", "pid": 7}
    for opener, since in (({"boot_id": "here", "monotonic": 2.0}, 2.0), ({"boot_id": "there", "monotonic": 9.0}, 5.0)):
        assert recovery_run._taking_over({**mine, **opener}, mine)["monotonic"] == since


# -- VMs, units and networks ---------------------------------------------------------------------------------------


@pytest.fixture
def vms(tasks: Tasks) -> list[str]:
    """Two VMs of a host that lives."""
    for name in ("vm-1", "vm-2"):
        tasks.nova.add(name, "cmp02", "stopped")
    return ["vm-1", "vm-2"]


def about(tasks: Tasks, kind: str, check_mode: bool = False, **args: t.Any) -> dict[str, t.Any]:
    return tasks.run(recovery_run, check_mode, **{"state": "open", "kind": kind, "topology": tasks.topology, **args})


def test_vms_are_found_where_nova_has_them_and_claimed_without_their_host(tasks: Tasks, vms: list[str]) -> None:
    opened = about(tasks, "instance", objects=vms)
    assert [(it["host"], it["object"]) for it in opened["hosts"]] == [("cmp02", "vm-1"), ("cmp02", "vm-2")]
    assert set(opened["verdicts"]) == {"cmp02/vm-1", "cmp02/vm-2"}
    with tasks.journal() as journal:
        report = journal.report(opened["run_id"])
    assert (report["run"]["kind"], [it["host"] for it in report["claims"]]) == (
        "instance", ["cmp02/vm-1", "cmp02/vm-2"],
    )  # fmt: skip
    assert report["verdicts"][0]["snapshot"]["places"]["cmp02/vm-1"]["server"]["vm_state"] == "stopped"
    assert sorted(it["object"] for it in report["incidents"]) == vms
    assert [it["outcome"] for it in close(tasks, opened["run_id"])["hosts"]] == ["partial", "partial"]


def test_check_mode_shows_the_verdict_on_a_vm_and_leaves_no_trace(tasks: Tasks, vms: list[str]) -> None:
    tasks.journal().close()
    checked = about(tasks, "instance", True, objects=vms[:1])
    assert (checked["run_id"], checked["verdicts"]["cmp02/vm-1"]["verdict"]) == (None, "recover")
    with tasks.journal() as journal:
        assert (journal.runs(), journal.incidents()) == ([], [])


@pytest.mark.parametrize(
    ("kind", "args", "wrong"),
    [
        ("instance", {}, "objects: which VMs"),
        ("instance", {"objects": ["vm-9"]}, "Nova knows no server 'vm-9'"),
        ("instance", {"objects": ["vm-1"], "hosts": ["cmp01"]}, "vm-1 is on cmp02, not on cmp01"),
        ("process", {"hosts": ["cmp02"]}, "objects: which units"),
        ("process", {"objects": ["libvirtd"]}, "hosts: state=open needs them"),
        ("network", {"hosts": ["cmp02"], "objects": ["tenant"]}, "about hosts as a whole"),
        ("network", {"hosts": ["cmp9"]}, "cmp9"),
    ],
)
def test_it_must_be_clear_what_is_meant(
    tasks: Tasks, vms: list[str], kind: str, args: dict[str, t.Any], wrong: str
) -> None:
    with pytest.raises(ConfigError, match=wrong):
        about(tasks, kind, **args)


def test_a_name_that_two_vms_have_is_refused_with_their_ids(tasks: Tasks, vms: list[str]) -> None:
    for vm in vms:
        tasks.nova.servers[vm]["name"] = "web"
    with pytest.raises(ConfigError, match="'web' is the name of 2 servers; give one of these ids: vm-1, vm-2"):
        about(tasks, "instance", objects=["web"])


def test_units_and_networks_are_worked_on_with_the_claim_of_their_host(tasks: Tasks) -> None:
    for kind, args, place in (("process", {"objects": ["libvirtd"]}, "cmp02/libvirtd"), ("network", {}, "cmp02")):
        opened = about(tasks, kind, hosts=["cmp02"], **args)
        assert list(opened["verdicts"]) == [place]
        with tasks.journal() as journal:
            assert [it["host"] for it in journal.report(opened["run_id"])["claims"]] == ["cmp02"]
        close(tasks, opened["run_id"])


def test_check_mode_gives_a_verdict_on_what_is_on_a_host_where_there_is_no_journal_yet(tasks: Tasks) -> None:
    checked = about(tasks, "network", hosts=["cmp02"], check_mode=True)
    assert list(checked["verdicts"]) == ["cmp02"]
    assert not Path(tasks.url.removeprefix("sqlite:///")).exists()
    assert any("There is no journal" in warning for warning in tasks.warnings)


def test_what_is_not_to_be_done_fails_and_says_why(tasks: Tasks) -> None:
    with pytest.raises(RecoveryError, match=r"Nothing is recovered. cmp01: hold \(gate host\)"):
        about(tasks, "network", hosts=["cmp01"])
    assert incident(tasks)["state"] == "held"


def test_a_run_about_vms_that_a_responder_has_opened_is_taken_over(tasks: Tasks) -> None:
    places = ["cmp02/vm-1", "cmp02/vm-2"]
    with tasks.journal() as journal:
        opener = claims.opener()
        run = _recovery.begin(journal, "RegionOne", dict.fromkeys(places, "rack1"), opener, 60.0, print, "instance")
        verdict = {"verdict": "recover", "gate": None, "reason": "dead", "look_again": None, "reaction": "recover"}
        _recovery.decide_objects(journal, run["id"], dict.fromkeys(places, verdict), {}, defaults())
    with pytest.raises(ConfigError, match=f"run {run['id']} is of kind instance, not host"):
        begin(tasks, "cmp02", run_id=run["id"])
    taken = about(tasks, "instance", run_id=run["id"], hosts=["cmp02"], objects=["vm-1", "vm-2"])
    assert [it["object"] for it in taken["hosts"]] == ["vm-1", "vm-2"]
    with tasks.journal() as journal:
        assert {it["token"] for it in journal.report(run["id"])["claims"]} == {2}


def test_an_incident_is_ended_by_who_says_why(tasks: Tasks, vms: list[str]) -> None:
    close(tasks, about(tasks, "instance", objects=vms[:1])["run_id"])
    args = {"state": "closed", "incident": incident(tasks, "cmp02")["id"], "closed_by": "ann", "reason": "rebuilt"}
    with pytest.raises(ConfigError, match="closed_by and reason"):
        tasks.run(recovery_run, **{**args, "closed_by": " "})
    assert tasks.run(recovery_run, True, **args)["changed"]
    assert incident(tasks, "cmp02")["state"] == "partial"
    assert tasks.run(recovery_run, **args)["changed"]
    assert (incident(tasks, "cmp02")["state"], incident(tasks, "cmp02")["reason"]) == (
        "closed", "ann has closed it: rebuilt",
    )  # fmt: skip
    assert not tasks.run(recovery_run, **args)["changed"]
