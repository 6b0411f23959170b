# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from unit.fakes.profiles import examples

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import LeaseLost
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims, holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import ClaimHeld
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.lease import Lease
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal

LEASE = 30.0
ELSEWHERE = {"user": "eve", "hostname": "ctl2", "boot_id": "other", "pid": 7, "playbook": "recover_host"}

FREE = {"run_id": None, "token": 4, "beats": 9, "lease_seconds": LEASE}
HELD = {**FREE, "run_id": "other"}


@pytest.mark.parametrize(
    ("now", "first", "alive", "still", "answer"),
    [
        (FREE, FREE, None, 0, "take"),
        (FREE, HELD, None, 0, "take"),
        ({**HELD, "run_id": "me"}, HELD, None, 0, "own"),
        (HELD, HELD, False, 0, "take"),
        (HELD, HELD, True, 10 * LEASE, "held"),
        (HELD, HELD, None, 0, "watch"),
        (HELD, HELD, None, LEASE - 0.01, "watch"),
        (HELD, HELD, None, LEASE, "take"),
        ({**HELD, "beats": 10}, HELD, None, LEASE, "held"),
        ({**HELD, "token": 5}, HELD, None, LEASE, "held"),
        (HELD, FREE, None, LEASE, "held"),
        ({**HELD, "lease_seconds": 90}, HELD, None, LEASE, "watch"),
    ],
)
def test_a_claim_is_judged(now: t.Any, first: t.Any, alive: bool | None, still: float, answer: str) -> None:
    assert claims.judge(now, first, "me", alive, still) == answer


class World:
    """A clock that only sleeping moves, and what happens while somebody sleeps."""

    def __init__(self, meanwhile: t.Callable[[], object] = lambda: None) -> None:
        self.now = 0.0
        self.meanwhile = meanwhile

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()


def _take(journal: Journal, run_id: str, *hosts: str, world: World | None = None, **options: t.Any) -> dict[str, int]:
    world = world or World()
    options = {"holder": ELSEWHERE, "lease_seconds": LEASE, "alive": lambda it: None, **options}
    pairs = [("R", host) for host in hosts]
    return claims.take(journal, pairs, run_id, clock=world.clock, sleep=world.sleep, **options)


def test_a_free_claim_is_taken_at_once_and_every_taking_counts(journal: Journal) -> None:
    world = World()
    for token in (1, 2, 3):
        assert _take(journal, f"run{token}", "cmp03", world=world) == {"cmp03": token}
        assert claims.release(journal, f"run{token}", ["cmp03"]) == 1
    assert world.now == 0


def test_the_same_host_of_another_cloud_is_another_claim(journal: Journal) -> None:
    _take(journal, "run1", "cmp03")
    assert claims.take(journal, [("S", "cmp03")], "run2", ELSEWHERE) == {"cmp03": 1}


def test_taking_again_keeps_the_token(journal: Journal) -> None:
    assert _take(journal, "run1", "cmp03") == _take(journal, "run1", "cmp03") == {"cmp03": 1}


def test_who_holds_a_claim_is_named(journal: Journal) -> None:
    _take(journal, "run1", "cmp03")
    with pytest.raises(ClaimHeld) as caught:
        _take(journal, "run2", "cmp03", alive=lambda it: True)
    for word in ("cmp03", "run1", "eve@ctl2", "process 7", "recover_host", "claimed cmp03 at 20"):
        assert word in caught.value.message
    assert caught.value.facts["claim"]["holder"]["hostname"] == "ctl2"


def test_a_claim_of_a_dead_process_is_taken_at_once(journal: Journal) -> None:
    world = World()
    _take(journal, "run1", "cmp03")
    assert _take(journal, "run2", "cmp03", world=world, alive=lambda it: False) == {"cmp03": 2}
    assert world.now == 0


def test_a_silent_claim_is_taken_after_the_holders_lease_and_this_is_said(journal: Journal) -> None:
    world, said = World(), []
    _take(journal, "run1", "cmp03", lease_seconds=40)
    assert _take(journal, "run2", "cmp03", world=world, lease_seconds=5, say=said.append) == {"cmp03": 2}
    assert 40 <= world.now < 42
    assert len(said) == 1
    assert said[0].startswith("Watching for 40 s whether run run1 of eve@ctl2")


def test_one_beat_ends_the_watch(journal: Journal) -> None:
    _take(journal, "run1", "cmp03")
    lease = Lease.of_run(journal, "run1", ["cmp03"])
    world = World(lease.renew)
    with pytest.raises(ClaimHeld, match="run run1"):
        _take(journal, "run2", "cmp03", world=world)
    assert world.now <= 1
    lease.renew()


def test_a_claim_that_is_released_while_watched_is_taken(journal: Journal) -> None:
    _take(journal, "run1", "cmp03")
    world = World(lambda: claims.release(journal, "run1", ["cmp03"]))
    assert _take(journal, "run2", "cmp03", world=world) == {"cmp03": 2}
    assert world.now <= 1


def test_of_several_hosts_all_are_taken_or_none(journal: Journal) -> None:
    _take(journal, "run1", "cmp03")
    with pytest.raises(ClaimHeld, match="Cannot claim cmp03"):
        _take(journal, "run2", "cmp01", "cmp03", "cmp05", alive=lambda it: True)
    assert claims.held(journal, "run2", ["cmp01", "cmp03", "cmp05"]) == []
    claims.release(journal, "run1", ["cmp03"])
    assert _take(journal, "run2", "cmp05", "cmp03", "cmp01") == {"cmp01": 1, "cmp03": 2, "cmp05": 1}


def test_a_swap_that_another_won_changes_nothing(journal: Journal) -> None:
    _take(journal, "run1", "cmp01", "cmp03")
    claims.release(journal, "run1", ["cmp01", "cmp03"])
    keys = [("R", "cmp01"), ("R", "cmp03")]
    old = claims._look(journal, keys)
    _take(journal, "run2", "cmp03")
    new = {"run_id": "run3", "holder": ELSEWHERE, "lease_seconds": LEASE}
    assert not claims._swap(journal, [old[key] for key in keys], new)
    assert claims.held(journal, "run3", ["cmp01", "cmp03"]) == []


def _beat(journal: Journal) -> None:
    Lease.of_run(journal, "run1", ["cmp03"]).renew()


def _release(journal: Journal) -> None:
    claims.release(journal, "run1", ["cmp03"])


def _take_again(journal: Journal) -> None:
    _release(journal)
    _take(journal, "run1", "cmp03")


@pytest.mark.parametrize("meanwhile", [_beat, _release, _take_again])
def test_any_change_after_the_look_stops_the_swap(journal: Journal, meanwhile: t.Callable[[Journal], None]) -> None:
    _take(journal, "run1", "cmp03")
    old = claims._look(journal, [("R", "cmp03")])
    meanwhile(journal)
    new = {"run_id": "run2", "holder": ELSEWHERE, "lease_seconds": LEASE}
    assert not claims._swap(journal, list(old.values()), new)
    assert claims.held(journal, "run2", ["cmp03"]) == []


PLAYBOOK = {**ELSEWHERE, "pid": 8}


@pytest.fixture
def opened(journal: Journal, new_run: t.Callable[..., dict[str, t.Any]]) -> str:
    """A run on cmp01 and cmp03 that is handed over."""
    run_id = str(new_run("cmp01", "cmp03")["id"])
    _take(journal, run_id, "cmp01", "cmp03", holder=claims.opener())
    return run_id


def test_who_opened_a_run_cannot_renew_its_claims_after_another_took_it_over(journal: Journal, opened: str) -> None:
    mine = Lease.of_run(journal, opened, ["cmp01", "cmp03"])
    mine.renew()
    assert claims.take_over(journal, opened, ["cmp01", "cmp03"], PLAYBOOK) == {"cmp01": 2, "cmp03": 2}
    with pytest.raises(LeaseLost):
        mine.renew()
    assert [claim["holder"] for claim in claims.of_run(journal, opened)] == [PLAYBOOK, PLAYBOOK]
    assert journal.run(opened)["holder"] == PLAYBOOK
    Lease.of_run(journal, opened, ["cmp01", "cmp03"])


def test_renewing_meanwhile_does_not_stop_a_take_over(journal: Journal, opened: str, raced: Raced) -> None:
    raced(lambda: Lease.of_run(journal, opened, ["cmp01"]).renew())
    assert claims.take_over(journal, opened, ["cmp01", "cmp03"], PLAYBOOK)


Raced = t.Callable[[t.Callable[[], t.Any]], None]


@pytest.fixture
def raced(monkeypatch: pytest.MonkeyPatch) -> Raced:
    """Have something happen between the look and the swap of a take-over."""

    def arrange(meanwhile: t.Callable[[], t.Any]) -> None:
        refuse = claims._refuse_take_over
        monkeypatch.setattr(claims, "_refuse_take_over", lambda *given: (refuse(*given), meanwhile()))

    return arrange


@pytest.mark.parametrize("what", ["closed", "released", "taken over"])
def test_what_changes_between_the_look_and_the_swap_stops_a_take_over(
    journal: Journal, opened: str, raced: Raced, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    swap, hosts = claims.take_over, ["cmp01", "cmp03"]

    def taken_over() -> None:
        monkeypatch.undo()
        swap(journal, opened, hosts, ELSEWHERE)

    changes: dict[str, t.Callable[[], object]] = {
        "closed": lambda: journal.close_run(opened, "closed"),
        "released": lambda: claims.release(journal, opened, ["cmp03"]),
        "taken over": taken_over,
    }
    raced(changes[what])
    with pytest.raises(ClaimHeld, match="at this moment"):
        swap(journal, opened, hosts, PLAYBOOK)
    assert PLAYBOOK not in [claim["holder"] for claim in claims.of_run(journal, opened)]
    assert journal.run(opened)["holder"] != PLAYBOOK


def test_release_frees_only_what_the_run_holds(journal: Journal) -> None:
    _take(journal, "run1", "cmp01")
    _take(journal, "run2", "cmp03")
    assert claims.release(journal, "run1", ["cmp01", "cmp03"]) == 1
    assert [it["host"] for it in claims.held(journal, "run2", ["cmp01", "cmp03"])] == ["cmp03"]


def test_processes_of_this_machine_are_seen_by_default(journal: Journal) -> None:
    me = holder.describe()
    claims.take(journal, [("R", "cmp03")], "run1", me)
    with pytest.raises(ClaimHeld):
        claims.take(journal, [("R", "cmp03")], "run2", me)
    gone = {**me, "pid_start": me["pid_start"] - 1}
    claims.take(journal, [("R", "cmp04")], "run1", gone)
    assert claims.take(journal, [("R", "cmp04")], "run2", me) == {"cmp04": 2}


HOSTS = ("cmp01", "cmp02", "cmp03")


class Claims(RuleBasedStateMachine):
    """Runs that live, hang, die and come back, against a dictionary that says who holds what."""

    @initialize()
    def begin(self) -> None:
        import tempfile

        self.directory = tempfile.TemporaryDirectory()
        self.journal = open_journal(f"sqlite:///{self.directory.name}/journal.db")
        self.world = World(self._beat_all)
        self.owner: dict[str, str | None] = dict.fromkeys(HOSTS)
        self.tokens = dict.fromkeys(HOSTS, 0)
        self.beating: dict[str, bool] = {}
        self.visible: dict[str, bool] = {}
        self.leases: dict[str, list[Lease]] = {}

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.journal.close()
            self.directory.cleanup()

    def _beat_all(self) -> None:
        for run, beating in self.beating.items():
            if beating and run in self.owner.values():
                self.leases[run][-1].renew()

    def _alive(self, it: dict[str, t.Any]) -> bool | None:
        run = it.get("run")
        return self.beating[run] if run and self.visible[run] else None

    @rule(hosts=st.sets(st.sampled_from(HOSTS), min_size=1), visible=st.booleans())
    def take(self, hosts: set[str], visible: bool) -> None:
        run = f"run{len(self.beating)}"
        self.beating[run], self.visible[run] = True, visible
        owners = {self.owner[host] for host in hosts} - {None}
        before = self.world.now
        try:
            took = _take(self.journal, run, *hosts, world=self.world, alive=self._alive, holder={"run": run})
        except ClaimHeld:
            assert any(self.beating[owner] for owner in owners if owner)
            return
        assert not any(self.beating[owner] for owner in owners if owner)
        waited = self.world.now - before
        assert (waited >= LEASE) == any(not self.visible[owner] for owner in owners if owner)
        for host in hosts:
            assert took[host] == self.tokens[host] + 1
            self.owner[host], self.tokens[host] = run, took[host]
        self.leases[run] = [Lease.of_run(self.journal, run, hosts, self.world.clock, self.world.sleep)]

    @precondition(lambda self: any(self.beating.values()))
    @rule(data=st.data())
    def hang(self, data: st.DataObject) -> None:
        self.beating[data.draw(st.sampled_from([run for run, beats in self.beating.items() if beats]))] = False

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(sorted(self.leases)))
        lease = self.leases[run][-1]
        if all(self.owner[host] == run for host in lease.tokens):
            lease.renew()
        else:
            with pytest.raises(LeaseLost):
                lease.renew()

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        run = data.draw(st.sampled_from(sorted(self.leases)))
        mine = [host for host in HOSTS if self.owner[host] == run]
        assert claims.release(self.journal, run, HOSTS) == len(mine)
        self.owner.update(dict.fromkeys(mine))
        self.beating[run] = False

    @invariant()
    def the_journal_says_what_the_model_says(self) -> None:
        if not hasattr(self, "journal"):
            return
        found = claims._look(self.journal, [("R", host) for host in HOSTS])
        said = {host: (it["run_id"], it["token"]) for (_scope, host), it in found.items()}
        assert all(said.get(host, (None, 0)) == (self.owner[host], self.tokens[host]) for host in HOSTS)


TestClaims = Claims.TestCase
TestClaims.settings = settings(examples(40), stateful_step_count=25)
