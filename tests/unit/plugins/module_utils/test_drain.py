"""Draining a host that lives, against a Nova that lets migrations end in every way they can."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.fakes.migrations import (
    BREAKS,
    FATES,
    LOST,
    NO_HOST,
    REFUSED,
    ROLLED_BACK,
    STUCK,
    UNANSWERED,
    MovingNova,
    MovingWorld,
)
from unit.fakes.profiles import examples
from unit.fakes.world import Crash

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _drain_states
from ansible_collections.openstack_ha.recovery.plugins.module_utils._capacity import Room
from ansible_collections.openstack_ha.recovery.plugins.module_utils._drain import Drain
from ansible_collections.openstack_ha.recovery.plugins.module_utils._drain_contract import Limits, Line
from ansible_collections.openstack_ha.recovery.plugins.module_utils._drain_states import COLD, LIVE
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, LeaseLost, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.states import LINE_UNDER_WAY
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock

HOST, TARGETS = "cmp01", ("cmp02", "cmp03")
NEED = {"MEMORY_MB": 1}
QUICK = Limits(vm_timeout=60.0, abort_timeout=20.0, settle=5.0, verify_timeout=10.0)
COLDLY = Limits(vm_timeout=60.0, abort_timeout=20.0, settle=5.0, verify_timeout=10.0, fallback="cold_migrate")


class Site:
    """One host to be drained and two others; the planner's part is played by the simplest plan."""

    def __init__(self, states: t.Mapping[str, str], fates: t.Mapping[str, t.Sequence[str]] | None = None) -> None:
        self.nova = MovingNova(Clock(), HOST, fates)
        for server_id, vm_state in states.items():
            self.nova.add(server_id, vm_state)
        self.world = MovingWorld(self.nova)
        self.former: dict[str, str] = {}

    def plan(self, room: int = 100) -> tuple[list[Line], Room]:
        free = Room.of_free({host: {"MEMORY_MB": room} for host in TARGETS})
        lines = []
        for number, (server_id, server) in enumerate(self.nova.servers.items()):
            noted = self.world.ledger.rows.get(server_id, {})
            state, way = noted.get("state", ""), noted.get("method")
            first, second = TARGETS[number % 2], TARGETS[1 - number % 2]
            former = self.former.setdefault(server_id, _drain_states.former(server))
            line = Line(server_id, server_id, HOST, former=former, need=NEED, noted=state, order=number)
            line.way = way if way and state in LINE_UNDER_WAY else _drain_states.way(former)
            self._step(line, server, first, second, free)
            lines.append(line)
        rows = [{"server_id": line.id, "host": HOST, "state": line.state} for line in lines]
        self.world.ledger.plan(rows)
        return lines, free

    def _step(self, line: Line, server: dict[str, t.Any], first: str, second: str, free: Room) -> None:
        record = next((it for it in reversed(self.nova.records) if it["instance_uuid"] == line.id), None)
        line.floor = record["id"] if record else 0
        if server["OS-EXT-SRV-ATTR:host"] != HOST:
            line.state, line.target = "requested", server["OS-EXT-SRV-ATTR:host"]
            return
        step = _drain_states.next_step(server, COLD, record)
        line.state = {"evacuate": "planned", "follow": "requested", "skip": "skipped"}.get(step.action, step.action)
        line.reason, line.alternates = step.reason, [second]
        if step.action == "evacuate":
            line.target = first
            free.take(first, NEED)
        elif step.action == "follow":
            line.floor -= 1

    def drain(self, limits: Limits = QUICK, room: int = 100) -> dict[str, Line]:
        lines, free = self.plan(room)
        found = Drain(self.world, lines, free, limits).run()
        assert not self.world.unlawful
        return {line.id: line for line in found}


@pytest.mark.parametrize(("state", "way"), [("active", LIVE), ("paused", LIVE), ("stopped", COLD)])
def test_a_vm_moves_and_is_as_it_was(state: str, way: str) -> None:
    site = Site({"a": state})
    line = site.drain()["a"]
    assert (line.state, line.way, line.target) == ("verified", way, "cmp02")
    assert site.nova.servers["a"]["OS-EXT-STS:vm_state"] == state
    assert site.nova.requests == [("a", "cmp02", way)]


@pytest.mark.parametrize("fate", [REFUSED, ROLLED_BACK, NO_HOST])
def test_the_next_target_is_tried_when_one_does_not_take_it(fate: str) -> None:
    site = Site({"a": "active"}, {"a": [fate]})
    line = site.drain()["a"]
    assert (line.state, line.target) == ("verified", "cmp03")


@pytest.mark.parametrize("fate", [REFUSED, ROLLED_BACK, NO_HOST])
def test_what_no_target_takes_stays_and_runs(fate: str) -> None:
    site = Site({"a": "active"}, {"a": [fate] * 9})
    line = site.drain()["a"]
    assert line.state == "pending"
    assert line.reason.startswith("stays on cmp01; no target took it: ")
    assert site.nova.servers["a"]["OS-EXT-SRV-ATTR:host"] == HOST
    assert site.nova.servers["a"]["OS-EXT-STS:vm_state"] == "active"


def test_what_cannot_be_moved_alive_is_moved_in_the_other_way_where_the_policy_says_so() -> None:
    site = Site({"a": "active"}, {"a": [REFUSED, REFUSED]})
    line = site.drain(COLDLY)["a"]
    assert (line.state, line.way) == ("verified", COLD)
    assert [way for _server, _target, way in site.nova.requests] == [LIVE, LIVE, COLD]
    assert site.nova.servers["a"]["OS-EXT-STS:vm_state"] == "active"


def test_a_paused_vm_is_not_shut_down() -> None:
    site = Site({"a": "paused"}, {"a": [REFUSED, REFUSED]})
    assert site.drain(COLDLY)["a"].state == "pending"
    assert {way for _server, _target, way in site.nova.requests} == {LIVE}


def test_a_migration_that_does_not_end_is_aborted_and_the_vm_runs_on() -> None:
    site = Site({"a": "active"}, {"a": [STUCK]})
    line = site.drain()["a"]
    assert line.state == "pending"
    assert "aborted, because it took longer than 60 s" in line.reason
    assert [record["status"] for record in site.nova.records] == ["cancelled"]
    assert len(site.nova.requests) == 1, "another target would not end it either"


def test_what_nova_does_not_abort_is_not_asked_for_twice() -> None:
    site = Site({"a": "active"}, {"a": [STUCK]})
    site.nova.abort = lambda _server, _record: None  # type: ignore[method-assign]
    line = site.drain()["a"]
    assert line.state == "pending"
    assert "not asked for twice" in line.reason
    assert len(site.nova.requests) == 1


def test_what_waits_in_novas_queue_for_others_is_not_late() -> None:
    site = Site(dict.fromkeys("abcd", "active"))
    limits = Limits(vm_timeout=10.0, abort_timeout=5.0, verify_timeout=10.0)
    site.nova.seconds = 8.0
    running: list[str] = []

    def one_by_one(server: t.Any, record: t.Any, fate: str) -> None:
        """As Nova's max_concurrent_live_migrations = 1."""
        record["status"] = "queued"
        if running:
            site.nova.clock.after(1.0, lambda: one_by_one(server, record, fate))
            return
        running.append(server["id"])
        record["status"] = "running"

        def end() -> None:
            running.clear()
            site.nova._end(server, record, fate)

        site.nova.clock.after(site.nova.seconds, end)

    site.nova._go = one_by_one  # type: ignore[method-assign]
    assert {line.state for line in site.drain(limits).values()} == {"verified"}


def test_a_migration_that_fails_half_way_is_told_and_not_touched() -> None:
    site = Site({"a": "active"}, {"a": [BREAKS]})
    line = site.drain(COLDLY)["a"]
    assert line.state == "failed"
    assert "look at cmp01 and at cmp02" in line.reason
    assert len(site.nova.requests) == 1


@pytest.mark.parametrize("fate", [UNANSWERED, LOST])
def test_a_request_without_an_answer_is_looked_for_before_it_is_repeated(fate: str) -> None:
    site = Site({"a": "active"}, {"a": [fate]})
    assert site.drain()["a"].state == "verified"
    assert site.nova.requests == [("a", "cmp02", LIVE)]


def test_nova_is_not_asked_for_ever() -> None:
    site = Site({"a": "active"}, {"a": [LOST] * 99})
    line = site.drain()["a"]
    assert (line.state, line.attempts) == ("failed", 5)
    assert site.nova.requests == []


def test_what_its_owner_is_at_work_on_is_left_alone() -> None:
    site = Site({"a": "active", "b": "active"})
    site.nova.servers["a"]["OS-EXT-STS:task_state"] = "rebooting"
    lines = site.drain()
    assert (lines["a"].state, lines["b"].state) == ("pending", "verified")
    assert [server for server, _target, _way in site.nova.requests] == ["b"]


def test_what_its_owner_does_meanwhile_is_waited_for() -> None:
    site = Site({"a": "active"})
    lines, room = site.plan()
    site.nova.servers["a"]["OS-EXT-STS:task_state"] = "rebooting"
    site.nova.clock.after(5.0, lambda: site.nova.servers["a"].update({"OS-EXT-STS:task_state": None}))
    Drain(site.world, lines, room, QUICK).run()
    assert (lines[0].state, lines[0].target) == ("verified", "cmp02"), "its target was not the reason"


def test_what_its_owner_has_deleted_is_no_failure() -> None:
    site = Site({"a": "active"}, {"a": [STUCK]})
    site.nova.clock.after(10.0, lambda: site.nova.servers.pop("a"))
    site.nova.clock.after(10.0, lambda: site.nova.records[0].update(status="error"))
    assert site.drain()["a"].state == "skipped"


def test_no_more_than_allowed_are_on_their_way_at_once() -> None:
    site = Site({f"vm{number}": "active" for number in range(12)})
    most = [0, 0]
    migrate = site.nova.migrate

    def counted(server_id: str, target: str, way: str) -> str:
        answer = migrate(server_id, target, way)
        moving = [it for it in site.nova.records if it["status"] in ("accepted", "running")]
        most[0] = max(most[0], len(moving))
        most[1] = max(most[1], sum(it["dest_compute"] == target for it in moving))
        return answer

    site.nova.migrate = counted  # type: ignore[method-assign]
    lines = site.drain(Limits(parallel=3, per_target=2))
    assert {line.state for line in lines.values()} == {"verified"}
    assert most == [3, 2]


def test_a_pause_lets_nothing_begin_and_what_is_under_way_end() -> None:
    site = Site({"a": "active", "b": "active"})
    site.nova.clock.after(1.5, lambda: setattr(site.world, "stopped", "pause of kim"))
    lines = site.drain(Limits(parallel=1))
    assert (lines["a"].state, lines["b"].state, lines["b"].reason) == ("verified", "pending", "pause of kim")


def test_nothing_is_asked_for_when_the_host_is_dead() -> None:
    site = Site({"a": "active"})
    site.world.alive = False
    with pytest.raises(RecoveryError, match="STOP"):
        site.drain()
    assert site.nova.requests == []


def test_a_host_that_dies_meanwhile_ends_it() -> None:
    site = Site(dict.fromkeys("abc", "active"))
    site.nova.clock.after(2.0, lambda: setattr(site.world, "alive", False))
    with pytest.raises(RecoveryError, match="STOP"):
        site.drain(Limits(parallel=1))
    assert len(site.nova.requests) == 1


def test_without_its_claim_it_asks_for_nothing() -> None:
    site = Site({"a": "active"})
    site.world.lease = False
    with pytest.raises(LeaseLost):
        site.drain()
    assert site.nova.requests == []


def test_what_is_not_attached_is_told() -> None:
    site = Site({"a": "active"})
    site.world.lacking["a"] = ["volume v is available instead of in-use"]
    line = site.drain()["a"]
    assert line.state == "failed"
    assert line.reason == "moved to cmp02, but volume v is available instead of in-use"


def test_no_target_is_asked_for_more_than_it_has() -> None:
    site = Site(dict.fromkeys("ab", "active"), {"a": [REFUSED]})
    lines = site.drain(room=1)
    assert (lines["a"].state, lines["b"].state) == ("pending", "verified")


def test_the_place_of_a_vm_that_stays_is_free_for_others() -> None:
    site = Site(dict.fromkeys("ab", "active"), {"a": [REFUSED], "b": [ROLLED_BACK]})
    lines = site.drain(room=1)
    assert (lines["a"].state, lines["b"].state, lines["b"].target) == ("pending", "verified", "cmp02")


def test_limits_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ConfigError, match="parallel"):
        Limits(parallel=0)


CASES = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.tuples(
        st.sampled_from(["active", "paused", "stopped", "suspended", "error"]),
        st.lists(st.sampled_from(FATES), max_size=4),
    ),
    min_size=1,
)


@examples(150)
@given(CASES, st.booleans(), st.lists(st.integers(0, 12), max_size=3))
def test_whatever_happens_and_whenever_it_is_killed_each_vm_has_an_end_and_runs(
    cases: dict[str, tuple[str, list[str]]], coldly: bool, kills: list[int]
) -> None:
    site = Site(
        {name: state for name, (state, _fates) in cases.items()}, {name: its for name, (_state, its) in cases.items()}
    )
    limits = COLDLY if coldly else QUICK
    for moment in kills:
        site.world.crash_in = moment
        try:
            site.drain(limits)
        except Crash:
            site.nova.clock.advance(7.0)
        stopped, site.world = site.world, MovingWorld(site.nova, site.world.ledger)
        assert not stopped.unlawful
    lines = site.drain(limits)
    for name, line in lines.items():
        server, state = site.nova.servers[name], cases[name][0]
        assert line.state in ("verified", "skipped", "pending", "failed"), line
        if name not in site.nova.broken and line.state == "verified":
            assert server["OS-EXT-SRV-ATTR:host"] == line.target != HOST
            assert server["OS-EXT-STS:vm_state"] == state
        if line.state == "pending" and name not in site.nova.broken and line.attempts:
            assert server["OS-EXT-SRV-ATTR:host"] == HOST or "not asked for twice" in line.reason, line
        if state in ("suspended", "error"):
            assert line.attempts == 0
        assert line.reason or line.state == "verified"
