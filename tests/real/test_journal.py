# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal on real databases, with real processes that race, die and come back."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

import journal_servers
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _recovery
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import LeaseLost
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import (
    claims,
    database,
    holder,
    migrate,
    schema,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import ClaimHeld, JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.lease import Lease
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults

spawn = multiprocessing.get_context("spawn")
PROCESSES, ROUNDS = 8, 50
KEY = ("R", "cmp03")


@pytest.fixture(scope="module", params=["postgresql", "mariadb", "galera"])
def server(request: pytest.FixtureRequest) -> t.Iterator[journal_servers.Server]:
    with getattr(journal_servers, request.param)() as running:
        yield running


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb", "galera"])
def new_journal(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> t.Iterator[t.Callable[[], list[str]]]:
    """A function that gives the URLs of a new journal, one for each node of its database."""
    if request.param == "sqlite":
        yield lambda: [f"sqlite:///{tmp_path_factory.mktemp('journal')}/journal.db"]
        return
    with getattr(journal_servers, request.param)() as running:
        yield running.new_journal


@pytest.fixture
def urls(new_journal: t.Callable[[], list[str]]) -> list[str]:
    return new_journal()


@contextlib.contextmanager
def processes(target: t.Callable[..., None], arguments: t.Iterable[tuple[t.Any, ...]]) -> t.Iterator[list[t.Any]]:
    """Processes that never outlive the test."""
    started = [spawn.Process(target=target, args=these, daemon=True) for these in arguments]
    try:
        for process in started:
            process.start()
        yield started
    finally:
        for process in started:
            process.kill()
            process.join()


def _ended_well(started: list[t.Any], seconds: float = 120) -> bool:
    for process in started:
        process.join(seconds)
    return [process.exitcode for process in started] == [0] * len(started)


def _until(reached: t.Callable[[], t.Any], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_revisions_make_what_the_models_say(urls: list[str]) -> None:
    options = {"version_table": migrate.VERSION_TABLE, "compare_type": True}
    with open_journal(urls[0]) as journal:
        found = journal.database.read(
            lambda connection: compare_metadata(MigrationContext.configure(connection, opts=options), schema.metadata())
        )
    assert found == []


def _open(url: str, barrier: t.Any) -> None:
    barrier.wait(60)
    with open_journal(url) as journal:
        journal.open_incident("cmp01", "R", None)


def test_processes_that_open_a_new_journal_at_once_all_succeed(urls: list[str]) -> None:
    barrier = spawn.Barrier(6)
    with processes(_open, [(urls[number % len(urls)], barrier) for number in range(6)]) as started:
        assert _ended_well(started)
    with open_journal(urls[-1]) as journal:
        assert len(journal.incidents()) == 1


def _race(url: str, name: str, barrier: t.Any, answers: str) -> None:
    won = []
    with open_journal(url) as journal:
        me = holder.describe()
        for number in range(ROUNDS):
            run = f"{name}-{number}"
            barrier.wait(60)
            with contextlib.suppress(ClaimHeld):
                won.append((number, claims.take(journal, [KEY], run, me)["cmp03"]))
            barrier.wait(60)
            claims.release(journal, run, ["cmp03"])
    Path(answers).write_text(json.dumps(won))


def test_of_eight_processes_exactly_one_takes_a_claim_each_time(urls: list[str], tmp_path: Path) -> None:
    open_journal(urls[0]).close()
    barrier = spawn.Barrier(PROCESSES)
    files = [tmp_path / str(number) for number in range(PROCESSES)]
    arguments = [
        (urls[number % len(urls)], f"p{number}", barrier, str(answers)) for number, answers in enumerate(files)
    ]
    with processes(_race, arguments) as started:
        assert _ended_well(started)
    won = sorted(tuple(it) for answers in files for it in json.loads(answers.read_text()))
    assert won == [(number, number + 1) for number in range(ROUNDS)]


def _hold(url: str, ready: str) -> None:
    with open_journal(url) as journal:
        claims.take(journal, [KEY], "first", holder.describe())
        with Lease.of_run(journal, "first", ["cmp03"]).keep(0.05):
            Path(ready).touch()
            signal.pause()


def test_the_claim_of_a_killed_process_is_taken_at_once(urls: list[str], tmp_path: Path) -> None:
    with open_journal(urls[-1]) as journal, processes(_hold, [(urls[0], str(tmp_path / "ready"))]) as (process,):
        _until((tmp_path / "ready").exists)
        with pytest.raises(ClaimHeld, match=f"process {process.pid}"):
            claims.take(journal, [KEY], "second", holder.describe(), sleep=_never)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert claims.take(journal, [KEY], "second", holder.describe(), sleep=_never) == {"cmp03": 2}


def _never(seconds: float) -> None:
    raise AssertionError("nothing to wait for")


def test_a_beating_process_of_another_machine_is_left_alone_and_a_silent_one_is_not(
    urls: list[str], tmp_path: Path
) -> None:
    def take(run_id: str) -> dict[str, int]:
        return claims.take(journal, [KEY], run_id, holder.describe(), lease_seconds=1, alive=lambda it: None)

    with open_journal(urls[-1]) as journal, processes(_hold, [(urls[0], str(tmp_path / "ready"))]) as (process,):
        _until((tmp_path / "ready").exists)
        with pytest.raises(ClaimHeld):
            take("second")
        _shorten_lease(journal, 1.0)
        os.kill(process.pid, signal.SIGSTOP)
        before = time.monotonic()
        assert take("second") == {"cmp03": 2}
        assert time.monotonic() - before >= 1


def _shorten_lease(journal: Journal, seconds: float) -> None:
    statement = sa.text("UPDATE claims SET lease_seconds = :seconds")
    journal.database.write(lambda connection: connection.execute(statement, {"seconds": seconds}))


def test_a_run_that_was_overtaken_on_another_node_is_told_so(urls: list[str]) -> None:
    with open_journal(urls[0]) as here, open_journal(urls[-1]) as there:
        claims.take(here, [KEY], "first", holder.describe())
        lease = Lease.of_run(here, "first", ["cmp03"])
        lease.renew()
        claims.take(there, [KEY], "second", holder.describe(), alive=lambda it: False)
        with pytest.raises(LeaseLost, match="held by run second"):
            lease.renew()


def test_an_update_that_changes_nothing_still_hits_its_row(urls: list[str]) -> None:
    with open_journal(urls[0]) as journal:
        incident = journal.open_incident("cmp03", "R", "rack1")["id"]
        run = journal.open_run([{"host": "cmp03", "incident_id": incident}], holder.describe())
        journal.plan_lines(run["id"], [{"incident_id": incident, "server_id": "vm"}])
        ledger = schema.table("ledger")
        same = ledger.update().where(ledger.c.server_id == "vm").values(state="planned")
        assert journal.database.write(lambda connection: connection.execute(same).rowcount) == 1


def test_names_that_differ_only_in_case_are_different_hosts(urls: list[str]) -> None:
    with open_journal(urls[0]) as journal:
        ids = {journal.open_incident(host, "R", None)["id"] for host in ("cmp03", "CMP03")}
        assert len(ids) == 2
        assert claims.take(journal, [("R", "cmp03"), ("R", "CMP03")], "run", {}) == {"cmp03": 1, "CMP03": 1}


def test_a_large_snapshot_and_any_letters_come_back_as_they_were(urls: list[str]) -> None:
    snapshot = {"hosts": [{"name": f"cmp{number}", "note": "größer 🔌"} for number in range(5000)]}
    with open_journal(urls[0]) as journal:
        incident = journal.open_incident("cmp03", "R", "rack1")["id"]
        run = journal.open_run([{"host": "cmp03", "incident_id": incident}], holder.describe())
        journal.add_verdict(run["id"], snapshot, "abc", {"verdict": "recover"})
        assert journal.report(run["id"])["verdicts"][0]["snapshot"] == snapshot


def _run(journal: Journal) -> dict[str, t.Any]:
    incident = journal.open_incident("cmp03", "R", "rack1")["id"]
    return journal.open_run([{"host": "cmp03", "incident_id": incident}], holder.describe())


def test_a_run_on_one_node_is_stopped_by_an_order_given_on_another(urls: list[str]) -> None:
    with open_journal(urls[0]) as here, open_journal(urls[-1]) as there:
        run = _run(here)
        here.add_verdict(run["id"], {}, "abc", {}, "def", 0)
        assert here.stopping_orders(run["id"]) == []
        order = there.add_order("R", "pause", "segment", "rack1", "al", "größer 🔌", 600.0, {"at_once": 2})
        (found,) = here.stopping_orders(run["id"])
        assert (found["id"], found["covers"], found["limits"]) == (order["id"], "cmp03", {"at_once": 2})
        assert found["left"] is not None
        assert 500 < found["left"] <= 600
        assert there.end_order(order["id"], "al", "done")
        assert here.stopping_orders(run["id"]) == []


def test_an_order_of_another_machine_ends_by_the_clock_of_the_database(
    server: journal_servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.new_journal()[0]
    with open_journal(url) as theirs, monkeypatch.context() as elsewhere:
        elsewhere.setattr(holder, "boot_id", lambda: "another machine")
        theirs.add_order("R", "pause", "host", "cmp03", "ada", "cables", seconds=600)
    monkeypatch.setattr(time, "time", lambda: 4102444800.0)  # somebody sets our wall clock to the year 2100
    with open_journal(url) as ours:
        (order,) = ours.orders("R")
        assert 500 < order["left"] <= 600


@pytest.mark.parametrize("moment", [1792889999.25, 1792893599.25])
def test_the_hour_that_local_time_has_twice_is_told_apart(moment: float) -> None:
    """2026-10-25, 02:59:59 with and after summer time, as the server's zone has it; only MariaDB lets us set that."""
    with journal_servers.mariadb() as running:
        engine = sa.create_engine(running.new_journal()[0])
        with engine.connect() as connection:
            connection.exec_driver_sql(f"SET timestamp = {moment}")
            local = connection.exec_driver_sql("SELECT CAST(now() AS CHAR)").scalar_one()
            assert local == "2026-10-25 02:59:59"
            assert float(connection.exec_driver_sql(database._CLOCKS["mariadb"]).scalar_one()) == moment
        engine.dispose()


def test_what_a_journal_tells_the_gates_is_told_by_every_database(urls: list[str]) -> None:
    with open_journal(urls[0]) as journal:
        run = _run(journal)
        incident = run["hosts"][0]["incident_id"]
        journal.add_certificate(run["id"], "cmp03", {"kind": "ipmi"})
        journal.add_step(run["id"], "cmp03", "fencing", 1.0)
        journal.add_fence_check("R", "cmp03", "failed", "log-in refused")
        journal.note_storm("R", True)
        journal.sight("R", "cmp03", "ctl1", armed=True)
        question = journal.ask(run["id"], run["hosts"][0], "budget", "d", "too many", {"hosts": ["cmp03"]})
        assert journal.answer_question(question["id"], "recover", "al", "why")
        journal.hold_incident(incident, "not fenced", 2, 60.0)
        assert [it["host"] for it in journal.fences_under_way("R")] == ["cmp03"]
        assert [it["answer"] for it in journal.questions_about("R", ["cmp03"])] == ["recover"]
        assert [it["armed"] for it in journal.sightings("R", "cmp03")] == [True]
        assert [it["attempts"] for it in journal.retries("R")] == [2]
        facts = _recovery.journal_facts(journal, "R", ["cmp03"], defaults())
        assert [it["host"] for it in facts["fences"]] == ["cmp03"]
        assert facts["hosts"]["cmp03"]["fencing"]["check"] == "failed"
        assert facts["storm"]["silent_for"] is not None
        assert [it["verdict"] for it in facts["answers"]] == ["recover"]
        journal.set_incident(incident, "recovered")
        assert _recovery.journal_facts(journal, "R", ["cmp03"], defaults())["hosts"]["cmp03"]["recoveries"] == 1


def _order(url: str, barrier: t.Any, question: str, answers: str) -> None:
    with open_journal(url) as journal:
        barrier.wait(60)
        number = journal.add_order("R", "pause", "cloud", None, "al", "wait", 60.0)["number"]
        journal.add_fence_check("R", "cmp03", "ok", "level 1")
        won = journal.answer_question(question, "recover", "al", "why")
        barrier.wait(60)
        announced = [order["number"] for order in journal.announce_orders(journal.unended_orders("R"))]
    Path(answers).write_text(json.dumps([number, won, announced]))


def test_of_processes_at_once_each_order_has_its_number_one_answer_counts_and_each_end_is_told_once(
    urls: list[str], tmp_path: Path
) -> None:
    with open_journal(urls[0]) as journal:
        run = _run(journal)
        question = journal.ask(run["id"], run["hosts"][0], "budget", "d", "too many")["id"]
    barrier = spawn.Barrier(6)
    files = [tmp_path / str(number) for number in range(6)]
    arguments = [(urls[number % len(urls)], barrier, question, str(file)) for number, file in enumerate(files)]
    with processes(_order, arguments) as started:
        assert _ended_well(started)
    told = [json.loads(file.read_text()) for file in files]
    assert sorted(number for number, _won, _announced in told) == [1, 2, 3, 4, 5, 6]
    assert [won for _number, won, _announced in told].count(True) == 1
    assert sorted(number for _number, _won, announced in told for number in announced) == [1, 2, 3, 4, 5, 6]
    with open_journal(urls[-1]) as journal:
        assert list(journal.fence_checks("R")) == ["cmp03"]


def _signal(number: int, state: str = "failed") -> dict[str, t.Any]:
    return {
        "source": "/hosts/cmp03/monitors/instance", "event_id": f"{state}-{number}", "type": f"t.instance.{state}",
        "kind": "instance", "host": "cmp03", "object": f"größer-{number}", "state": state, "epoch": "e",
        "sequence": number + 100 * (state == "ok"), "data": {"reason": "🔌"}, "reporter": "host:cmp03",
    }  # fmt: skip


def _accept(url: str, name: str, barrier: t.Any, answers: str) -> None:
    with open_journal(url) as journal:
        barrier.wait(60)
        told = []
        for state in ("failed", "ok"):
            told += journal.accept_signals("R", name, [_signal(number, state) for number in range(20)])
            journal.observe("R", "ctl1", {}, {"by": name}, decided=True)
        decided = 0
        for row in journal.undecided_signals("R"):
            decided += journal.decide_signals([row["id"]], "alert", "kind", name)
    Path(answers).write_text(json.dumps([told, decided]))


def test_of_responders_that_get_the_same_signals_at_once_one_accepts_and_one_decides_each(
    urls: list[str], tmp_path: Path
) -> None:
    open_journal(urls[0]).close()
    barrier = spawn.Barrier(4)
    files = [tmp_path / str(number) for number in range(4)]
    arguments = [(urls[number % len(urls)], f"ctl{number}", barrier, str(file)) for number, file in enumerate(files)]
    with processes(_accept, arguments) as started:
        assert _ended_well(started)
    told = [json.loads(file.read_text()) for file in files]
    outcomes = [outcome for outcomes, _decided in told for outcome in outcomes]
    assert outcomes.count("new") == 40
    assert set(outcomes) <= {"new", "duplicate", "stale"}
    assert sum(decided for _outcomes, decided in told) == 40
    with open_journal(urls[-1]) as journal:
        last = journal.last_states("R", ["instance"], ["cmp03"])
        assert [(it["object"], it["state"]) for it in last] == sorted((f"größer-{n}", "ok") for n in range(20))
        assert journal.undecided_signals("R") == []
        (observer,) = journal.observers("R")
        assert observer["beats"] == 8
        assert observer["age"] >= 0
        notice = journal.add_notice("R", "chat", "run_started", {"hosts": ["größer"]})
        assert journal.take_notice(notice["id"], 0)
        assert journal.end_notice(notice["id"], "sent")


def test_what_is_known_of_vms_is_told_by_every_database(urls: list[str]) -> None:
    with open_journal(urls[0]) as journal, open_journal(urls[-1]) as other:
        journal.accept_signals("R", "ctl1", [_signal(number) for number in range(500)])
        ids = {it["object"]: it["id"] for it in journal.signals()}
        names = ["größer-1", "größer-2"]
        wanted = [{"host": "cmp03", "segment": None, "kind": "instance", "object": name} for name in names]
        incidents = dict(zip(names, journal.open_incidents("R", wanted)))
        for name, incident in incidents.items():
            journal.decide_signals([ids[name]], "recover", None, "x", incident["id"])
        entries = [{"host": f"cmp03/{name}", "incident_id": incidents[name]["id"]} for name in names]
        run = journal.open_run(entries, holder.describe(), kind="instance")
        claims.take(journal, [("R", f"cmp03/{name}") for name in names], run["id"], holder.describe())
        assert {it["kind"] for it in claims.taken(other, "R")} == {"instance"}
        journal.set_run_host(run["id"], f"cmp03/{names[0]}", "recovered")
        journal.set_incident(incidents[names[0]]["id"], "recovered")
        assert list(other.last_recoveries("R", "instance", [f"cmp03/{name}" for name in names])) == [
            f"cmp03/{names[0]}"
        ]
        assert [it["object"] for it in other.failed_after_recovery("R", ["instance"])] == [names[0]]
        assert other.still_undecided(list(ids.values())) == {ids[name] for name in ids if name not in names}
        assert [it["object"] for it in other.unended_incidents(kind="instance")] == [names[1]]
        journal.decide_signals([ids[name] for name in ids if name not in names], "ignore", None, "x")
        assert journal.prune_signals("R", 1) == 0
        assert journal.prune_signals("R", -1, limit=450) == 450
        assert journal.prune_signals("R", -1) == 49
        assert [it["object"] for it in other.signals()] == [names[1]], "its incident goes on"
        assert other.close_incidents({incidents[names[1]]["id"]: "ended"}) == [incidents[names[1]]["id"]]


def test_a_journal_of_an_older_collection_is_upgraded_with_what_is_in_it(
    urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(migrate, "REVISIONS", migrate.REVISIONS[:1])
        older.setattr(migrate, "HEAD", migrate.REVISIONS[0].revision)
        with open_journal(urls[0]) as journal:
            at = "2026-01-02T03:04:05.678Z"
            row = {"id": "i", "scope": "R", "host": "cmp03", "kind": "host", "state": "held", "open_key": "k"}
            columns = [sa.column(name) for name in (*row, "opened_at", "changed_at")]
            insert = sa.table("incidents", *columns).insert()
            values = {**row, "opened_at": at, "changed_at": at}
            journal.database.write(lambda connection: connection.execute(insert, values))
    with open_journal(urls[-1]) as journal:
        assert [(it["host"], it["attempts"], it["opened_mark"]) for it in journal.incidents()] == [("cmp03", 0, None)]


LINES = 40


def _write_for_ever(url: str, ready: str) -> None:
    with open_journal(url) as journal:
        while True:
            incident = journal.open_incident("cmp03", "R", None)["id"]
            run = journal.open_run([{"host": "cmp03", "incident_id": incident}], holder.describe())
            lines = [{"incident_id": incident, "server_id": str(number)} for number in range(LINES)]
            journal.plan_lines(run["id"], lines)
            Path(ready).touch()
            journal.add_certificate(run["id"], "cmp03", {"text": "x" * 5000})
            journal.close_run(run["id"], "closed", {"vms": LINES})
            journal.set_incident(incident, "recovered")


def test_a_writer_killed_at_any_moment_leaves_whole_rows(urls: list[str], tmp_path: Path) -> None:
    for number in range(6):
        ready = tmp_path / f"ready{number}"
        with processes(_write_for_ever, [(urls[0], str(ready))]) as (process,):
            _until(ready.exists)
            threading.Event().wait(random.uniform(0, 0.05))  # any moment, so that each kill hits another
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        with open_journal(urls[-1]) as journal:
            _check_whole(journal)


def _check_whole(journal: Journal) -> None:
    runs = journal.runs(limit=1_000_000)
    assert runs
    assert all(len(run["hosts"]) == 1 for run in runs)
    for incident in journal.incidents():
        lines = journal.lines([incident["id"]])
        assert len(lines) in (0, LINES)
        assert all(it["certificate"] == {"text": "x" * 5000} for it in journal.certificates([incident["id"]]))
        if incident["state"] == "recovered":
            assert len(lines) == LINES


@pytest.mark.parametrize("server", ["postgresql", "mariadb"], indirect=True)
def test_a_restart_of_the_server_is_sat_out(server: journal_servers.Server) -> None:
    with open_journal(server.new_journal()[0]) as journal:
        claims.take(journal, [KEY], "first", holder.describe(), lease_seconds=60)
        lease = Lease.of_run(journal, "first", ["cmp03"])
        lease.renew()
        assert server.stop
        assert server.start
        server.stop()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            assert not _answers(journal)
            renewals = [pool.submit(lease.renew) for _index in range(3)]
            server.start()
            for renewal in renewals:
                renewal.result()
        incident = journal.open_incident("cmp03", "R", None)
        assert journal.set_incident(incident["id"], "recovered")


def _answers(journal: Journal) -> bool:
    try:
        journal.database.read(lambda connection: connection.execute(sa.text("SELECT 1")), patience=0)
    except JournalError:
        return False
    return True


PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - openstack_ha.recovery.recovery_run_info:
        full: true
      register: journal
    - ansible.builtin.debug:
        msg: "{{ journal.runs | length }} runs, {{ journal.report.ledger | default([]) | length }} lines"
"""


def _play(tmp_path: Path, url: str, python: str) -> str:
    (tmp_path / "play.yml").write_text(PLAYBOOK)
    variables = json.dumps({"ansible_python_interpreter": python, "ansible_remote_tmp": str(tmp_path / "remote")})
    command = [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", "-c", "local", "-e", variables]
    environment = {**os.environ, "OPENSTACK_HA_JOURNAL": url, "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local")}
    ended = subprocess.run(
        [*command, "-vvv", tmp_path / "play.yml"], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@pytest.fixture
def other_python(tmp_path: Path) -> str:
    """The same Python under another name, so that a task runs as a module, from inside a zip."""
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_a_module_in_a_zip_can_make_the_tables(tmp_path: Path, other_python: str) -> None:
    (tmp_path / "journal.db").touch()
    said = _play(tmp_path, f"sqlite:///{tmp_path}/journal.db", other_python)
    assert "0 runs, 0 lines" in said
    assert "AnsiballZ" in said
    with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        assert journal.runs() == []


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
@pytest.mark.parametrize("as_module", [False, True])
def test_no_output_of_a_task_has_the_password(
    server: journal_servers.Server, tmp_path: Path, other_python: str, as_module: bool
) -> None:
    url = server.new_journal()[0].replace("ha@", "ha:hunter2secret@")
    with open_journal(url) as journal:
        incident = journal.open_incident("cmp03", "R", "rack1")["id"]
        run = journal.open_run([{"host": "cmp03", "incident_id": incident}], holder.describe())
        journal.plan_lines(run["id"], [{"incident_id": incident, "server_id": "vm"}])
    said = _play(tmp_path, url, other_python if as_module else sys.executable)
    assert "1 runs, 1 lines" in said
    assert "hunter2secret" not in said
