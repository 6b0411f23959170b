# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import queue
import threading
import time
import types
import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _recovery
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims, holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import runs
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.config import defaults
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.launch import (
    Canceled,
    Ended,
    Order,
    Progress,
)

PATIENCE = 60
ELSEWHERE = {"user": "eve", "hostname": "ctl2", "boot_id": "other", "pid": 7, "monotonic": 0.0}
Play = t.Callable[[Order, Canceled], Ended]


def until(condition: t.Callable[[], t.Any]) -> t.Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, condition
        time.sleep(0.01)
    return found


class Playbook:
    """A stand-in for a launcher: each run does what its play says."""

    kind = "stand-in"

    def __init__(self) -> None:
        self.outlives = False
        self.play: Play = lambda order, canceled: Ended("successful", 0)
        self.orders: list[Order] = []

    def complete(self) -> dict[str, str]:
        return {"PATH": "/bin"}

    def __call__(self, *given: t.Any) -> Playbook:
        return self

    def run(self, order: Order, progress: Progress, canceled: Canceled) -> Ended:
        self.orders.append(order)
        return self.play(order, canceled)


class Responder:
    """Opens runs and has them started."""

    def __init__(self, directory: Path, playbook: Playbook, **settings: t.Any) -> None:
        self.url, self.playbook = f"sqlite:///{directory}/journal.db", playbook
        self.journal = open_journal(self.url)
        self.log: list[str] = []
        self.ends: queue.Queue[tuple[t.Any, ...]] = queue.Queue()
        given = {
            **defaults()["runs"],
            "directory": str(directory / "runs"),
            "inventory": "x",
            "warm": False,
            **settings,
        }
        self.runs = runs.Runs(
            types.SimpleNamespace(name="ctl1", runs=given),
            self.url,
            self.log.append,
            lambda *end: self.ends.put(end),
            start_within=given.get("start_within", PATIENCE),
        )

    def open(self, *hosts: str) -> str:
        with open_journal(self.url) as journal:
            run = _recovery.begin(journal, "R", dict.fromkeys(hosts, "rack1"), claims.opener(), 30.0, print)
        return str(run["id"])

    def start(self, *hosts: str, **options: t.Any) -> str:
        run_id = self.open(*hosts)
        self.runs.start(run_id, hosts, **options)
        return run_id

    def end(self) -> tuple[t.Any, ...]:
        return self.ends.get(timeout=PATIENCE)

    def take_over(self, order: Order, by: dict[str, t.Any] | None = None) -> None:
        with open_journal(self.url) as journal:
            claims.take_over(journal, order.run_id, order.hosts, by or holder.describe(monotonic=0.0))

    def finish(self, order: Order) -> Ended:
        self.take_over(order)
        with open_journal(self.url) as journal:
            _recovery.finish(journal, order.run_id)
        return Ended("successful", 0)

    def die(self, order: Order) -> Ended:
        self.take_over(order)
        return Ended("failed", 137, "killed")

    def claimed(self) -> list[str]:
        return [claim["host"] for claim in claims.taken(self.journal, "R")]

    def incident(self, host: str = "cmp01") -> dict[str, t.Any]:
        return dict(self.journal.incidents(host=host)[-1])


Make = t.Callable[..., Responder]


@pytest.fixture
def playbook(monkeypatch: pytest.MonkeyPatch) -> Playbook:
    it = Playbook()
    monkeypatch.setattr(runs, "LocalLauncher", it)
    return it


@pytest.fixture
def make(tmp_path: Path, playbook: Playbook) -> t.Iterator[Make]:
    made: list[Responder] = []

    def responder(**settings: t.Any) -> Responder:
        made.append(Responder(tmp_path, playbook, **settings))
        return made[-1]

    yield responder
    for it in made:
        it.runs.stop(0)
        it.journal.close()


def until_canceled(order: Order, canceled: Canceled) -> Ended:
    return Ended("canceled", None, until(canceled))


def test_the_playbook_is_told_which_run_it_is_to_take_over(make: Make, playbook: Playbook) -> None:
    it = make(extra_vars={"evacuate_parallel": 4})
    playbook.play = lambda order, canceled: it.finish(order)
    run_id = it.start("cmp01", "cmp02", extra={"ask_wait": 1})
    assert it.end() == (run_id, ["cmp01", "cmp02"], "successful", 0, None)
    assert playbook.orders[0].variables == {
        "evacuate_parallel": 4,
        "ask_wait": 1,
        "opened_run": run_id,
        "failed_hosts": ["cmp01", "cmp02"],
        "attended": False,
    }
    assert it.runs.active() == {}


def test_claims_are_kept_until_the_playbook_has_them(make: Make, playbook: Playbook) -> None:
    it, go, taken = make(), threading.Event(), threading.Event()

    def play(order: Order, canceled: Canceled) -> Ended:
        go.wait(PATIENCE)
        it.take_over(order)
        taken.wait(PATIENCE)
        return Ended("successful", 0)

    playbook.play = play
    run_id = it.start("cmp01")
    beats = claims.of_run(it.journal, run_id)[0]["beats"]
    until(lambda: claims.of_run(it.journal, run_id)[0]["beats"] > beats)
    go.set()
    job = it.runs._jobs[run_id]
    until(lambda: job.taken_over)
    assert job.cancel_reason is None
    taken.set()
    assert it.end()[2] == "lost"


def test_a_run_that_no_playbook_took_over_is_refused_and_its_hosts_are_tried_again(
    make: Make, playbook: Playbook
) -> None:
    it = make()
    playbook.play = lambda order, canceled: Ended("failed", 1, "ERROR! the playbook could not be found")
    run_id = it.start("cmp01")
    assert it.end() == (run_id, ["cmp01"], "failed", 1, "not begun: ERROR! the playbook could not be found")
    run = it.journal.run(run_id)
    assert (run["state"], list(run["outcome"])) == ("closed", ["refused"])
    assert (it.incident()["state"], it.incident()["attempts"], it.claimed()) == ("held", 1, [])
    assert [retry["host"] for retry in it.journal.retries("R")] == ["cmp01"]


def test_a_playbook_that_succeeds_without_taking_over_did_nothing(make: Make) -> None:
    it = make()
    it.start("cmp01")
    assert it.end()[2:] == ("failed", 0, "not begun: the playbook ended without taking the run over")


def test_a_launcher_that_fails_is_a_run_that_failed(make: Make, playbook: Playbook) -> None:
    it = make()

    def play(order: Order, canceled: Canceled) -> Ended:
        raise RecoveryError("The responder needs the Python package ansible-runner.")

    playbook.play = play
    it.start("cmp01")
    assert it.end()[2:] == ("failed", None, "not begun: The responder needs the Python package ansible-runner.")


def test_what_is_not_taken_over_in_time_is_canceled(make: Make, playbook: Playbook) -> None:
    it = make(start_within=0.1)
    playbook.play = until_canceled
    it.start("cmp01")
    assert it.end()[2:] == ("canceled", None, "not begun: no playbook took it over within 0.1 s")


def test_a_run_whose_playbook_died_is_lost_and_stays_open_for_the_next(make: Make, playbook: Playbook) -> None:
    it = make()
    playbook.play = lambda order, canceled: it.die(order)
    run_id = it.start("cmp01")
    assert it.end() == (run_id, ["cmp01"], "lost", 137, "killed")
    assert it.journal.run(run_id)["state"] == "open"


@pytest.mark.parametrize("taken", [False, True])
def test_a_canceled_run_is_closed_and_its_hosts_are_held(make: Make, playbook: Playbook, taken: bool) -> None:
    it, begun = make(), threading.Event()

    def play(order: Order, canceled: Canceled) -> Ended:
        if taken:
            it.take_over(order)
        begun.set()
        return until_canceled(order, canceled)

    playbook.play = play
    run_id = it.start("cmp01")
    assert begun.wait(PATIENCE)
    assert it.runs.cancel(run_id, "the host is back")
    assert it.end()[2] == "canceled"
    assert "the host is back" in it.incident()["reason"]
    assert (it.journal.run(run_id)["state"], it.claimed()) == ("closed", [])
    assert not it.runs.cancel(run_id, "again")


def test_a_run_whose_claims_another_has_is_canceled_and_leaves_them_alone(make: Make, playbook: Playbook) -> None:
    it, begun = make(), threading.Event()

    def play(order: Order, canceled: Canceled) -> Ended:
        begun.set()
        return until_canceled(order, canceled)

    playbook.play = play
    run_id = it.start("cmp01")
    assert begun.wait(PATIENCE)
    claims.release(it.journal, run_id, ["cmp01"])
    claims.take(it.journal, [("R", "cmp01")], "other", ELSEWHERE)
    status, _rc, reason = it.end()[2:]
    assert (status, it.claimed()) == ("canceled", ["cmp01"])
    assert "lost its claim on cmp01" in reason


def test_a_run_that_holds_no_claim_is_not_started(make: Make, playbook: Playbook) -> None:
    it = make()
    run_id = it.open("cmp01")
    claims.release(it.journal, run_id, ["cmp01"])
    it.runs.start(run_id, ["cmp01"])
    assert it.end()[2] == "failed"
    assert playbook.orders == []


def test_no_more_than_wanted_are_at_work_at_the_same_time(make: Make, playbook: Playbook) -> None:
    it, go, lock = make(at_once=2), threading.Event(), threading.Lock()
    at_work, most = 0, 0

    def play(order: Order, canceled: Canceled) -> Ended:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        go.wait(PATIENCE)
        with lock:
            at_work -= 1
        return it.finish(order)

    playbook.play = play
    for number in range(5):
        it.start(f"cmp0{number}")
    until(lambda: at_work == 2)
    assert len(it.runs.active()) == 5
    go.set()
    assert {it.end()[2] for _number in range(5)} == {"successful"}
    assert most == 2


def test_a_run_that_waits_for_its_turn_can_be_canceled(make: Make, playbook: Playbook) -> None:
    it = make(at_once=1)
    playbook.play = until_canceled
    first = it.start("cmp01")
    until(lambda: playbook.orders)
    second = it.start("cmp02")
    it.runs.cancel(second, "no more needed")
    assert it.end()[0] == second
    it.runs.cancel(first, "nor this")
    assert it.end()[0] == first


def test_when_the_responder_stops_its_runs_are_left_open_and_free(make: Make, playbook: Playbook) -> None:
    it = make()

    def play(order: Order, canceled: Canceled) -> Ended:
        it.take_over(order)
        return until_canceled(order, canceled)

    playbook.play = play
    run_id = it.start("cmp01")
    until(lambda: playbook.orders)
    it.runs.stop(0)
    assert it.end()[2] == "canceled"
    assert (it.journal.run(run_id)["state"], it.claimed()) == ("open", [])
    later = it.open("cmp02")
    with pytest.raises(RecoveryError, match="stops"):
        it.runs.start(later, ["cmp02"])


def test_runs_that_end_within_the_grace_are_not_canceled(make: Make, playbook: Playbook) -> None:
    it, stopping = make(), threading.Event()

    def play(order: Order, canceled: Canceled) -> Ended:
        stopping.wait(PATIENCE)
        return it.finish(order)

    playbook.play = play
    it.start("cmp01")
    stopper = threading.Thread(target=it.runs.stop, args=(PATIENCE,))
    stopper.start()
    stopping.set()
    assert it.end()[2] == "successful"
    stopper.join(PATIENCE)
    assert not stopper.is_alive()


def test_a_run_that_outlives_the_responder_is_not_ended_with_it(make: Make, playbook: Playbook) -> None:
    it, release = make(), threading.Event()
    playbook.outlives = True

    def play(order: Order, canceled: Canceled) -> Ended:
        it.take_over(order, ELSEWHERE)
        release.wait(PATIENCE)
        assert canceled() is None
        return Ended("successful", 0)

    playbook.play = play
    run_id = it.start("cmp01")
    until(lambda: it.runs._jobs[run_id].taken_over)
    it.runs.stop(0)
    assert it.claimed() == ["cmp01"]
    release.set()
    it.end()


def test_a_journal_that_is_away_at_the_end_is_waited_for(
    make: Make, playbook: Playbook, monkeypatch: pytest.MonkeyPatch
) -> None:
    it, away = make(), [True, True]
    monkeypatch.setattr(runs, "_PAUSES", (0.0,))
    real = Journal.run

    def run(journal: Journal, run_id: str) -> t.Any:
        if journal is it.runs._journal and away:
            away.pop()
            raise JournalError("it is away")
        return real(journal, run_id)

    monkeypatch.setattr(Journal, "run", run)
    run_id = it.start("cmp01")
    assert it.end()[2] == "failed"
    assert it.journal.run(run_id)["state"] == "closed"
    assert sum("could not be written: it is away" in line for line in it.log) == 2


def test_the_journal_knows_how_a_run_was_started_and_what_it_does(make: Make, playbook: Playbook) -> None:
    it, seen = make(), threading.Event()
    playbook.play = lambda order, canceled: (seen.wait(PATIENCE), it.finish(order))[1]
    run_id = it.start("cmp01")
    launch = until(lambda: it.journal.run(run_id)["launch"])
    seen.set()
    it.end()
    assert (launch["kind"], launch["playbook"]) == ("stand-in", "openstack_ha.recovery.recover_host")


@pytest.mark.parametrize("given", ["url", "file"])
def test_the_url_of_the_journal_is_in_a_file_for_its_owner_only(tmp_path: Path, given: str) -> None:
    url = "postgresql://ha:pw@db/journal" if given == "url" else "file:/etc/openstack_ha/journal_url"
    path = runs._journal_file(str(tmp_path / "runs"), url)
    if given == "file":
        assert path == "/etc/openstack_ha/journal_url"
    else:
        assert Path(path).read_text(encoding="utf-8") == url
        assert Path(path).stat().st_mode & 0o777 == 0o600
