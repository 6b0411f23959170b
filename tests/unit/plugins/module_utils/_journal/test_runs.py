# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal

NewRun = t.Callable[..., t.Dict[str, t.Any]]


def test_a_run_is_read_as_it_was_written(journal: Journal, new_run: NewRun) -> None:
    run = new_run("cmp03", "cmp01")
    assert journal.run(run["id"]) == run
    assert (run["state"], run["check_mode"], [it["host"] for it in run["hosts"]]) == ("open", False, ["cmp01", "cmp03"])


def test_an_unknown_run_is_named(journal: Journal) -> None:
    with pytest.raises(JournalError, match="There is no run nonsense in"):
        journal.run("nonsense")


def test_a_run_is_closed_once(journal: Journal, new_run: NewRun) -> None:
    run = new_run("cmp03")
    assert journal.close_run(run["id"], "closed", {"vms": 3})
    assert not journal.close_run(run["id"], "abandoned", {})
    closed = journal.run(run["id"])
    assert (closed["state"], closed["outcome"]) == ("closed", {"vms": 3})
    assert closed["closed_at"] >= closed["opened_at"]


def test_the_outcome_of_one_host_is_its_own(journal: Journal, new_run: NewRun) -> None:
    run = new_run("cmp01", "cmp03")
    assert journal.set_run_host(run["id"], "cmp03", "held", "could not be fenced")
    assert not journal.set_run_host(run["id"], "cmp99", "held", "not of this run")
    outcomes = {it["host"]: (it["outcome"], it["reason"]) for it in journal.run_hosts(run["id"])}
    assert outcomes == {"cmp01": (None, None), "cmp03": ("held", "could not be fenced")}


def test_unfinished_runs_are_those_that_worked_on_the_host_and_never_ended(journal: Journal, new_run: NewRun) -> None:
    ended, other, check = new_run("cmp03"), new_run("cmp04"), new_run("cmp03", check_mode=True)
    journal.close_run(ended["id"], "closed")
    assert journal.unfinished_runs("cmp03") == []
    died = new_run("cmp03")
    assert [it["id"] for it in journal.unfinished_runs("cmp03")] == [died["id"]]
    assert [it["id"] for it in journal.unfinished_runs("cmp03", scope="R")] == [died["id"]]
    assert journal.unfinished_runs("cmp03", scope="elsewhere") == []
    assert {other["id"], check["id"]}.isdisjoint({died["id"]})


def test_runs_are_listed_newest_first_with_their_hosts(journal: Journal, new_run: NewRun) -> None:
    ids = []
    for host in ("cmp01", "cmp03", "cmp03"):
        run = new_run(host)
        ids.append((run["opened_at"], run["id"]))
    listed = journal.runs(limit=2)
    assert [it["opened_at"] for it in listed] == sorted((at for at, _id in ids), reverse=True)[:2]
    assert len(listed[0]["hosts"]) == 1
    assert {it["id"] for it in journal.runs(host="cmp03")} == {ids[1][1], ids[2][1]}


def test_a_run_that_resumes_names_the_other(journal: Journal, new_run: NewRun) -> None:
    first = new_run("cmp03")
    assert new_run("cmp03", resumes=first["id"])["resumes"] == first["id"]


def test_steps_keep_their_order(journal: Journal, new_run: NewRun) -> None:
    run = new_run("cmp03")
    for name in ("claim", "fence", "evacuate"):
        journal.add_step(run["id"], "cmp03" if name == "fence" else None, name, 0.5)
    assert [(it["number"], it["name"], it["host"], it["seconds"]) for it in journal.steps(run["id"])] == [
        (1, "claim", None, 0.5),
        (2, "fence", "cmp03", 0.5),
        (3, "evacuate", None, 0.5),
    ]


def test_a_step_of_an_unknown_run_is_refused(journal: Journal) -> None:
    with pytest.raises(JournalError, match="refused a row of steps"):
        journal.add_step("nonsense", None, "claim", 0.5)


def test_a_reserved_host_is_consumed_or_returned_once(journal: Journal, new_run: NewRun) -> None:
    run = new_run("cmp03")
    use = journal.use_reserved(run["id"], "cmp09", "rack1", "spare")
    assert journal.reserved_uses(host="cmp09", state="taken") == [use]
    assert use["reason_before"] == "spare"
    assert journal.set_reserved(use["id"], "returned")
    assert not journal.set_reserved(use["id"], "consumed")
    assert [it["state"] for it in journal.reserved_uses(run_id=run["id"])] == ["returned"]


def test_how_a_run_was_launched_stays_with_it(journal: Journal, new_run: NewRun) -> None:
    run = new_run("cmp03")
    assert run["launch"] is None
    assert journal.set_launch(run["id"], {"job": 7})
    assert journal.run(run["id"])["launch"] == {"job": 7}
    journal.close_run(run["id"], "closed")
    assert not journal.set_launch(run["id"], {"job": 8})


def test_open_runs_of_a_region_are_listed_with_their_hosts(journal: Journal, new_run: NewRun) -> None:
    ended = new_run("cmp03")
    journal.close_run(ended["id"], "closed")
    open_, _check = new_run("cmp01", "cmp03"), new_run("cmp03", check_mode=True)
    assert journal.open_runs("R") == [open_]
    assert journal.open_runs("S") == []


def about(journal: Journal, kind: str, *places: str) -> dict[str, t.Any]:
    entries = []
    for it in places:
        host, _slash, object_ = it.partition("/")
        entries.append({"host": it, "incident_id": journal.open_incident(host, "R", None, kind, object_)["id"]})
    return journal.open_run(entries, {"pid": 1}, kind=kind)


def test_a_run_is_about_hosts_unless_it_says_what_it_is_about(journal: Journal, new_run: NewRun) -> None:
    host, vm = new_run("cmp01"), about(journal, "instance", "cmp01/vm-1")
    assert [run["kind"] for run in (host, vm)] == ["host", "instance"]
    assert [run["id"] for run in journal.unfinished_runs("cmp01")] == [host["id"]]
    assert [run["id"] for run in journal.unfinished_runs("cmp01/vm-1", kind="instance")] == [vm["id"]]
    assert journal.unfinished_runs("cmp01", kind="network") == []


def test_when_a_place_was_recovered_is_known_place_by_place_and_kind_by_kind(journal: Journal) -> None:
    first = about(journal, "instance", "cmp01/vm-1", "cmp01/vm-2", "cmp01/vm-3")
    for place, outcome in (("cmp01/vm-1", "recovered"), ("cmp01/vm-2", "partial"), ("cmp01/vm-3", "held")):
        journal.set_run_host(first["id"], place, outcome)
    places = ["cmp01/vm-1", "cmp01/vm-2", "cmp01/vm-3"]
    history = journal.recoveries_of("R", "instance", places, 60.0)
    assert [len(history[place]) for place in places] == [1, 1, 0], "what was given up was not touched"
    assert 0 <= history["cmp01/vm-1"][0] < 60
    assert journal.recoveries_of("R", "instance", places, -1.0)["cmp01/vm-1"] == []
    assert journal.recoveries_of("S", "instance", places, 60.0)["cmp01/vm-1"] == []
    assert journal.recoveries_of("R", "process", places, 60.0)["cmp01/vm-1"] == []
    last = journal.last_recoveries("R", "instance", places)
    assert {place: it["run_id"] for place, it in last.items()} == {"cmp01/vm-1": first["id"]}


def test_of_several_recoveries_of_a_place_the_last_one_is_found(journal: Journal) -> None:
    runs = []
    for _time in range(3):
        runs.append(about(journal, "instance", "cmp01/vm-1"))
        journal.set_run_host(runs[-1]["id"], "cmp01/vm-1", "recovered")
    assert journal.last_recoveries("R", "instance", ["cmp01/vm-1"])["cmp01/vm-1"]["run_id"] == runs[-1]["id"]
    history = journal.recoveries_of("R", "instance", ["cmp01/vm-1"], 60.0)["cmp01/vm-1"]
    assert (len(history), history) == (3, sorted(history))


def test_what_was_recovered_on_another_host_counts_for_a_vm_and_not_for_a_unit(journal: Journal) -> None:
    for kind in ("instance", "process"):
        ran = about(journal, kind, "cmp01/it")
        journal.set_run_host(ran["id"], "cmp01/it", "recovered")
    assert [len(journal.recoveries_of("R", it, ["cmp02/it"], 60.0)["cmp02/it"]) for it in ("instance", "process")] == [
        1,
        0,
    ]


def test_the_runs_of_a_host_are_also_those_about_its_vms(journal: Journal, new_run: NewRun) -> None:
    runs = [new_run("cmp01"), about(journal, "instance", "cmp01/vm-1"), about(journal, "instance", "cmp010/vm-2")]
    assert {run["id"] for run in journal.runs("cmp01")} == {run["id"] for run in runs[:2]}
    assert journal.runs("cmp_1") == []
