"""VMs, units and networks in the loop, on a real journal; see loop_fakes."""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t

import pytest
from unit.plugins.plugin_utils._responder.loop_fakes import Set, policy, site

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _recovery
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims, holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._processes import PROCESS_REASON
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.site import Site

Row = t.Dict[str, t.Any]
Say = t.Callable[..., Row]

MONITOR = "host:cmp01"
VMS = [f"vm-{number}" for number in range(1, 7)]


@pytest.fixture
def it(journal: Journal) -> Set:
    found = Set(journal).settle()
    found.sources.cloud.add("cmp01", *VMS)
    return found


def crash(it: Set, say: Say, *vms: str, word: str = "instance.crashed") -> None:
    for vm in vms:
        it.sources.cloud.servers[vm].update({"OS-EXT-STS:power_state": 4, "OS-EXT-STS:vm_state": "stopped"})
        say("cmp01", word, vm, MONITOR)


def step(it: Set) -> float:
    """A look, when what came at once has come."""
    it.age(2)
    return it.loop.step()


def incident(it: Set, kind: str = "instance") -> Row:
    return it.journal.incidents(kind=kind)[-1]


def verdict(it: Set, run_id: str, about: str) -> Row:
    return dict(it.journal.verdicts(run_id)[-1]["result"][about])


def done(it: Set, run_id: str, outcome: str = "recovered") -> None:
    """A run about VMs or units ends, as its playbook and Runs have it."""
    for entry in it.journal.run(run_id)["hosts"]:
        if entry["outcome"] is None:
            it.journal.set_run_host(run_id, entry["host"], outcome, None)
    _recovery.finish(it.journal, run_id)
    it.loop.ended(run_id, [], "successful", 0, None)


def test_a_vm_that_crashed_gets_a_claim_of_its_own_a_verdict_and_a_run(it: Set, say: Say) -> None:
    crash(it, say, "vm-1")
    step(it)
    ((run_id, places),) = it.runs.started
    assert places == ["cmp01/vm-1"]
    assert it.runs.how == [("openstack_ha.recovery.recover_instance", {"failed_instances": ["vm-1"]})]
    assert [(claim["host"], claim["kind"]) for claim in claims.taken(it.journal, "R")] == [("cmp01/vm-1", "instance")]
    assert (incident(it)["state"], incident(it)["object"], incident(it)["segment"]) == ("recovering", "vm-1", "rack1")
    (signal,) = it.journal.signals(kind="instance")
    assert (signal["verdict"], signal["incident_id"]) == ("recover", incident(it)["id"])
    snapshot = it.journal.verdicts(run_id)[0]["snapshot"]
    assert snapshot["places"]["cmp01/vm-1"]["server"]["vm_state"] == "stopped"
    assert (snapshot["hosts"]["cmp01"]["heard"], list(snapshot["hosts"])) == (True, ["cmp01"])
    assert [event for event, _body in it.told] == ["verdict", "run_started"]
    assert [vm["id"] for vms in it.told[0][1]["projects"].values() for vm in vms] == ["vm-1"]
    step(it)
    assert len(it.runs.started) == 1, "it is busy with it"


def test_six_vms_that_crash_at_once_are_one_run_and_nova_is_asked_once(it: Set, say: Say) -> None:
    crash(it, say, *VMS)
    assert it.loop.step() < 1, "what fails together is told together"
    assert it.runs.started == []
    it.sources.cloud.asked.clear()
    step(it)
    ((_run_id, places),) = it.runs.started
    assert places == [f"cmp01/{vm}" for vm in VMS]
    assert it.sources.cloud.asked.count("/servers/detail") == 1


def test_a_vm_neither_keeps_its_host_from_a_verdict_nor_is_counted_as_one(it: Set, say: Say) -> None:
    crash(it, say, "vm-1")
    step(it)
    it.kill("cmp01")
    it.wait(3)
    step(it)
    assert [places for _run, places in it.runs.started] == [["cmp01/vm-1"], ["cmp01"]]
    run_id, _hosts = it.runs.started[-1]
    assert it.journal.verdicts(run_id)[0]["snapshot"]["in_flight"] == []


def test_a_vm_whose_host_is_silent_is_held_and_ends_with_what_becomes_of_it_there(it: Set, say: Say) -> None:
    it.kill("cmp01")
    it.sources.services_of["cmp01"]["state"] = "down"
    it.wait(3)
    crash(it, say, "vm-1")
    step(it)
    assert [places for _run, places in it.runs.started] == [["cmp01"]]
    step(it)
    assert (incident(it)["state"], it.journal.signals(kind="instance")[0]["verdict"]) == ("held", "hold")
    (run_id, _hosts) = it.runs.started[0]
    host_incident = it.journal.run(run_id)["hosts"][0]["incident_id"]
    line = {"incident_id": host_incident, "server_id": "vm-1", "state": "verified", "name": "vm-1"}
    it.journal.plan_lines(run_id, [line])
    it.sources.take_out("cmp01", f"openstack_ha: failed, run {run_id}")
    it.end(run_id, "recovered")
    step(it)
    assert incident(it)["state"] == "closed"
    assert f"its host was recovered (run {run_id}), and with it this VM is verified" in incident(it)["reason"]
    assert len(it.runs.started) == 1


def test_an_incident_ends_when_its_monitor_says_that_all_is_well(it: Set, say: Say) -> None:
    it.sources.cloud.servers["vm-1"]["locked"] = True
    it.keeper.site = _with(it, locked="alert")
    crash(it, say, "vm-1")
    step(it)
    assert (incident(it)["state"], incident(it)["reason"]) == ("open", "it is locked")
    assert it.told[-1][1]["verdict"] == "alert"
    say("cmp01", "instance.ok", "vm-1", MONITOR)
    step(it)
    assert (incident(it)["state"], incident(it)["reason"]) == ("closed", "it is well")
    assert it.told[-1][0] == "incident_closed"


def test_a_vm_that_a_run_has_stopped_and_not_got_up_again_is_not_well(it: Set, say: Say) -> None:
    crash(it, say, "vm-1")
    step(it)
    ((run_id, _places),) = it.runs.started
    line = {"incident_id": incident(it)["id"], "server_id": "vm-1", "state": "failed", "facts": {"step": "hard_reboot"}}
    it.journal.plan_lines(run_id, [line])
    say("cmp01", "instance.ok", "vm-1", MONITOR, data={"reason": "stopped", "domain": {"state": "shutoff"}})
    done(it, run_id, "partial")
    step(it)
    assert incident(it)["state"] != "closed"
    it.age(20)
    it.wait(20)
    step(it)
    assert len(it.runs.started) == 2
    done(it, it.runs.started[1][0], "partial")
    say("cmp01", "instance.ok", "vm-1", MONITOR, data={"reason": "started", "domain": {"state": "running"}})
    step(it)
    assert (incident(it)["state"], incident(it)["reason"]) == ("closed", "it is well")


def _with(it: Set, **instances: t.Any) -> Site:
    found = policy()
    found["instances"].update(instances)
    return Site(site().topology, found, "q" * 64, "s" * 64)


def test_a_verdict_is_told_and_journaled_once_and_anew_when_something_has_changed(it: Set, say: Say) -> None:
    it.sources.cloud.servers["vm-1"]["locked"] = True
    it.keeper.site = _with(it, locked="alert")
    crash(it, say, "vm-1")
    for _look in range(3):
        step(it)
    assert len(it.journal.runs()) == 1
    it.sources.cloud.servers["vm-1"]["locked"] = False
    it.keeper.site = Site(site().topology, policy(), "r" * 64, "s" * 64)
    step(it)
    assert len(it.runs.started) == 1


def test_what_is_not_to_be_recovered_is_ignored_without_a_run(it: Set, say: Say) -> None:
    it.sources.cloud.servers["vm-1"]["OS-EXT-STS:vm_state"] = "shelved"
    say("cmp01", "instance.crashed", "vm-1", MONITOR)
    say("cmp01", "instance.crashed", "of-nobody", MONITOR)
    step(it)
    assert it.journal.runs() == []
    assert {row["state"] for row in it.journal.incidents()} == {"closed"}
    assert [row["verdict"] for row in it.journal.signals(kind="instance")] == ["ignore", "ignore"]
    assert it.told == [], "nobody was told that anything began"


def test_a_second_crash_while_a_run_is_at_work_is_not_lost_and_what_the_run_has_seen_is_not_done_again(
    it: Set, say: Say
) -> None:
    crash(it, say, "vm-1", "vm-2")
    step(it)
    (run_id, _places) = it.runs.started[0]
    say("cmp01", "instance.ok", "vm-1", MONITOR)
    crash(it, say, "vm-2", word="instance.panicked")
    step(it)
    assert len(it.runs.started) == 1
    assert [row["object"] for row in it.journal.undecided_signals("R")] == ["vm-2"]
    done(it, run_id)
    say("cmp01", "instance.crashed", "vm-1", MONITOR)
    step(it)
    (again,) = it.journal.signals(object="vm-2", type="openstack_ha.instance.panicked")
    assert (again["verdict"], again["gate"]) == ("recover", "at_work"), "the run has seen it running after that"
    (row,) = it.journal.unended_incidents(kind="instance")
    assert (row["object"], row["state"]) == ("vm-1", "held"), "it was recovered a moment ago"
    assert "tried again in" in row["reason"]


def test_what_its_monitor_goes_on_to_call_failed_after_its_recovery_is_open_again(it: Set, say: Say) -> None:
    crash(it, say, "vm-1")
    step(it)
    done(it, it.runs.started[0][0])
    it.age(10)
    crash(it, say, "vm-1")
    assert [row["repeats"] for row in it.journal.signals(object="vm-1")] == [1]
    step(it)
    (row,) = it.journal.unended_incidents(kind="instance")
    assert (row["state"], row["object"]) == ("held", "vm-1")


def test_a_vm_that_dies_each_time_is_recovered_so_often_and_then_told(it: Set, say: Say) -> None:
    it.keeper.site = _with(it, tries=2, back_off=1, then="alert")
    for number in range(2):
        crash(it, say, "vm-1")
        step(it)
        assert len(it.runs.started) == number + 1
        done(it, it.runs.started[-1][0])
        say("cmp01", "instance.ok", "vm-1", MONITOR)
        it.age(5)
    crash(it, say, "vm-1")
    step(it)
    assert len(it.runs.started) == 2
    assert (incident(it)["state"], it.told[-1][1]["gate"]) == ("open", "limits")


def test_a_run_that_a_dead_process_has_left_is_taken_up_again(it: Set, say: Say) -> None:
    say("cmp01", "instance.crashed", "vm-1", MONITOR)
    it.sources.cloud.servers["vm-1"].update({"OS-EXT-STS:power_state": 4, "OS-EXT-STS:vm_state": "stopped"})
    dead = {**holder.describe(monotonic=0.0), "pid_start": 1}
    old = _recovery.begin(it.journal, "R", {"cmp01/vm-1": "rack1"}, dead, 30.0, it.lines.append, "instance")
    it.journal.set_incident(old["hosts"][0]["incident_id"], "recovering")
    step(it)
    ((run_id, places),) = it.runs.started
    assert places == ["cmp01/vm-1"]
    assert it.journal.run(run_id)["resumes"] == old["id"]
    assert it.journal.run(old["id"])["state"] == "abandoned"


def test_of_two_responders_one_has_the_run(journal: Journal, say: Say) -> None:
    sets = [Set(journal, name, ["ctl1", "ctl2"]).settle() for name in ("ctl1", "ctl2")]
    for it in sets:
        it.sources.cloud.add("cmp01", "vm-1")
    crash(sets[0], say, "vm-1")
    sets[1].sources.cloud.servers["vm-1"].update({"OS-EXT-STS:power_state": 4, "OS-EXT-STS:vm_state": "stopped"})
    for it in sets:
        step(it)
    assert [len(it.runs.started) for it in sets] == [1, 0]


def test_who_is_late_does_not_do_again_what_another_has_ended(it: Set, say: Say) -> None:
    work: list[t.Callable[[], None]] = []
    it.loop.objects.parts = dataclasses.replace(it.loop.objects.parts, spawn=lambda name, todo: work.append(todo))
    crash(it, say, "vm-1")
    step(it)
    it.journal.set_incident(incident(it)["id"], "recovered")
    work.pop()()
    assert it.runs.started == []
    assert "Another run came first: cmp01/vm-1" in it.lines[-1]
    assert it.journal.unended_incidents() == []


def test_a_run_that_cannot_be_started_is_tried_again_after_a_while(it: Set, say: Say) -> None:
    it.runs.error = RecoveryError("not now")
    crash(it, say, "vm-1")
    step(it)
    assert claims.taken(it.journal, "R") == []
    it.runs.error = None
    step(it)
    assert it.runs.started == []
    it.now += 31
    step(it)
    assert [places for _run, places in it.runs.started] == [["cmp01/vm-1"]]


def test_a_run_that_no_playbook_took_over_waits_for_its_next_attempt(it: Set, say: Say) -> None:
    crash(it, say, "vm-1")
    step(it)
    run_id, _places = it.runs.started[0]
    it.journal.close_run(run_id, "closed", {"refused": "broken"})
    _recovery.hold(it.journal, run_id, "cmp01/vm-1", "not begun: broken")
    it.loop.ended(run_id, ["cmp01/vm-1"], "failed", 4, "broken")
    step(it)
    assert (incident(it)["state"], incident(it)["attempts"]) == ("held", 1)
    assert len(it.runs.started) == 1
    it.age(31)
    step(it)
    assert len(it.runs.started) == 2


def test_while_nova_is_away_a_vm_is_held(it: Set, say: Say) -> None:
    crash(it, say, "vm-1")
    it.sources.cloud.away = True
    step(it)
    assert (incident(it)["state"], incident(it)["reason"]) == ("held", "Nova has not told what it knows of it")
    it.sources.cloud.away = False
    it.now += 10
    step(it)
    assert len(it.runs.started) == 1


# -- units and networks --------------------------------------------------------------------------------------------


def test_a_unit_is_worked_on_with_the_claim_of_its_host_and_mutes_neither_the_host_nor_its_vms(
    it: Set, say: Say
) -> None:
    say("cmp01", "process.failed", "libvirtd.service", MONITOR)
    step(it)
    ((run_id, places),) = it.runs.started
    assert places == ["cmp01"]
    assert it.runs.how == [("openstack_ha.recovery.recover_process", {"failed_processes": ["libvirtd.service"]})]
    assert [entry["host"] for entry in it.journal.run(run_id)["hosts"]] == ["cmp01/libvirtd.service"]
    crash(it, say, "vm-1")
    step(it)
    assert it.runs.started[-1][1] == ["cmp01/vm-1"]
    it.kill("cmp01")
    it.wait(3)
    step(it)
    assert (it.runs.started[-1][1], it.runs.canceled) == (["cmp01"], [run_id])
    assert it.journal.run(run_id)["state"] == "closed"
    assert [row["state"] for row in it.journal.incidents(kind="process")] == ["held"]


def test_a_unit_that_is_well_again_ends_where_nothing_was_done_for_it(it: Set, say: Say) -> None:
    it.sources.services_of["cmp01"].update(status="disabled", disabled_reason="by hand")
    say("cmp01", "process.failed", "libvirtd.service", MONITOR)
    step(it)
    assert (incident(it, "process")["state"], it.runs.started) == ("open", [])
    say("cmp01", "process.ok", "libvirtd.service", MONITOR)
    step(it)
    assert incident(it, "process")["state"] == "closed"


def test_a_unit_of_a_host_that_another_run_has_claimed_is_decided_all_the_same(it: Set, say: Say) -> None:
    it.kill("cmp01")
    it.wait(3)
    step(it)
    say("cmp01", "process.failed", "libvirtd.service", MONITOR)
    step(it)
    assert [row["verdict"] for row in it.journal.signals(kind="process")] == ["hold"]
    assert len(it.runs.started) == 1


def test_where_the_policy_wants_it_the_gates_are_asked_about_a_host_whose_service_does_not_come_back(
    it: Set, say: Say
) -> None:
    given = policy()
    given["processes"]["then"] = "recover"
    it.keeper.site = Site(site().topology, given, "n" * 64, "s" * 64)
    say("cmp01", "process.failed", "libvirtd.service", MONITOR)
    step(it)
    done(it, it.runs.started[0][0], "partial")
    it.sources.services_of["cmp01"].update(status="disabled", disabled_reason=f"{PROCESS_REASON}libvirtd.service: x")
    for _look in range(3):
        it.wait(3)
        step(it)
    (row,) = it.journal.incidents(kind="host")
    assert (row["host"], row["state"]) == ("cmp01", "held"), "it is heard, so nobody fences it"
    assert len(it.runs.started) == 1


@pytest.fixture
def cut(journal: Journal) -> Set:
    """A responder that listens on two networks, and a host that is heard on one of them only."""
    found = Set(journal, networks=["admin", "tenant"])
    _networks(found, "admin", "tenant")
    found.settle()
    found.cut.add(("cmp01", "tenant"))
    found.wait(6)
    return found


def _networks(it: Set, *names: str) -> None:
    given = policy()
    given["gates"]["witnesses"]["needed"] = 1
    given["networks"] = {name: {"isolation_addresses": []} for name in names}
    it.keeper.site = Site(site().topology, given, "n" * 64, "s" * 64)


def test_the_vms_of_a_host_that_has_lost_the_network_of_tenants_are_moved_away_once(cut: Set) -> None:
    it = cut
    for _look in range(2):
        step(it)
    ((run_id, places),) = it.runs.started
    assert (places, it.runs.how) == (["cmp01"], [("openstack_ha.recovery.recover_network", {})])
    assert it.journal.run(run_id)["kind"] == "network"
    _opened_by_a_responder(it, run_id)
    done(it, run_id)
    for _look in range(3):
        step(it)
    (row,) = it.journal.incidents(kind="network")
    assert (row["state"], len(it.runs.started)) == ("held", 1)
    it.cut.clear()
    it.wait(10)
    step(it)
    assert {row["state"] for row in it.journal.incidents(kind="network")} == {"closed"}


def test_vms_are_not_moved_away_anew_because_one_look_has_not_found_the_network_lost(cut: Set) -> None:
    it = cut
    for _look in range(2):
        step(it)
    run_id, _places = it.runs.started[0]
    _opened_by_a_responder(it, run_id)
    done(it, run_id)
    step(it)
    with contextlib.ExitStack() as other:  # another responder writes down what it thinks of the host
        writing = claims.opener()
        record = _recovery.begin(it.journal, "R", {"cmp01": "rack1"}, writing, 30.0, print)
        other.callback(claims.release, it.journal, record["id"], ["cmp01"])
        step(it)
    for _look in range(3):
        step(it)
    (row,) = it.journal.incidents(kind="network")
    assert (row["state"], len(it.runs.started)) == ("held", 1)


def _opened_by_a_responder(it: Set, run_id: str) -> None:
    claims.take_over(it.journal, run_id, ["cmp01"], {**holder.describe(monotonic=0.0), "opened_by": "ctl1"})


def test_vms_that_could_not_be_moved_away_are_tried_again_after_a_while(cut: Set) -> None:
    it = cut
    for _look in range(2):
        step(it)
    done(it, it.runs.started[0][0], "partial")
    step(it)
    assert len(it.runs.started) == 1
    it.age(31)
    step(it)
    assert len(it.runs.started) == 2


def test_a_host_that_dies_while_its_vms_are_moved_away_is_recovered(cut: Set) -> None:
    it = cut
    for _look in range(2):
        step(it)
    (run_id, _places) = it.runs.started[0]
    it.kill("cmp01")
    it.wait(3)
    step(it)
    assert (it.runs.canceled, it.runs.started[-1][1]) == ([run_id], ["cmp01"])
    assert it.journal.run(it.runs.started[-1][0])["kind"] == "host"


def test_when_many_vms_of_a_host_have_io_errors_its_storage_is_a_question_for_the_gates_of_hosts(
    it: Set, say: Say
) -> None:
    _networks(it, "admin", "storage")
    for vm in VMS:
        say("cmp01", "instance.io_error", vm, MONITOR, data={"action": "pause", "reason": "EIO"})
    for _look in range(3):
        step(it)
        it.wait(3)
    assert it.runs.started == []
    runs = [it.journal.run(row["id"]) for row in it.journal.runs(limit=50)]
    (decided,) = [it.journal.verdicts(run["id"])[-1] for run in runs if run["kind"] == "host"][:1]
    assert decided["snapshot"]["hosts"]["cmp01"]["networks"]["storage"]["lost"] == ["instances"]
    assert {row["verdict"] for row in it.journal.signals(kind="instance")} == {"hold"}


def test_the_owner_of_a_vm_that_is_left_to_him_is_told_at_once_and_only_once(it: Set, say: Say) -> None:
    tags = ["openstack_ha:method=notify", "openstack_ha:deadline=60", "openstack_ha:otherwise=evacuate"]
    it.sources.cloud.servers["vm-1"]["tags"] = tags
    crash(it, say, "vm-1")
    for _look in range(2):
        step(it)
    (told,) = [body for event, body in it.told if event == "vm_notify"]
    ((project, (vm,)),) = told["projects"].items()
    assert (project, vm["id"], vm["otherwise"]) == ("p" * 32, "vm-1", "evacuate")
    assert 0 < vm["deadline"] <= 60
    assert (it.runs.started, incident(it)["state"]) == ([], "held")
    it.age(60)
    it.now += 60
    step(it)
    assert [places for _run, places in it.runs.started] == [["cmp01/vm-1"]], "what else was to be done"


@pytest.mark.parametrize("when", ["still_undecided", "open_incidents"])
def test_what_another_responder_has_decided_since_the_look_began_is_no_incident_any_more(
    it: Set, say: Say, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    crash(it, say, "vm-1")
    call = getattr(it.journal, when)

    def late(*args: t.Any) -> t.Any:
        ids = [row["id"] for row in it.journal.undecided_signals("R")] if args[-1] else []
        it.journal.decide_signals(ids, "ignore", "known", "the other one was faster")
        return call(*args)

    monkeypatch.setattr(it.journal, when, late)
    step(it)
    assert it.journal.unended_incidents() == []
    assert len(it.journal.incidents()) == (when == "open_incidents")
    assert it.runs.started == []


def test_what_is_to_be_asked_about_a_host_is_asked_when_its_vms_have_been_moved_away(cut: Set) -> None:
    it = cut
    for _look in range(2):
        step(it)
    ((run_id, _places),) = it.runs.started
    number = len(it.journal.runs(limit=50))
    given = it.keeper.site
    assert given
    asking = {**given.policy, "reactions": [{"lost": ["tenant"], "alive": [], "reaction": "ask"}]}
    it.keeper.site = Site(given.topology, asking, "a" * 64, "s" * 64)
    for _look in range(3):
        step(it)
    assert (it.journal.open_questions("R"), len(it.journal.runs(limit=50))) == ([], number), "its claim is not free"
    done(it, run_id)
    for _look in range(2):
        step(it)
    assert [question["host"] for question in it.journal.open_questions("R")] == ["cmp01"]
