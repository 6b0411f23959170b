"""What test_evacuation_order.py shows in runs is told here word by word."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._evacuation_contract import Line
from ansible_collections.openstack_ha.recovery.plugins.module_utils._turns import Turns

ACTIVE, PROBED = {"is": "active"}, {"is": "tcp", "port": 1}


def line(name: str, *, keys: str = "", waits: str = "", state: str = "planned", **more: t.Any) -> Line:
    return Line(
        id=name, name=name, host="dead", segment={}, state=state, keys=keys.split(), waits=waits.split(), **more
    )


def begun(*lines: Line, timeout: float = 100.0) -> Turns:
    turns = Turns(lines, timeout)
    turns.begin(0.0)
    return turns


def test_who_waits_for_nobody_is_held_by_nobody() -> None:
    one, two = line("one"), line("two", waits="k")
    turns = begun(one, two, line("other", keys="k"))
    assert (turns.holds(one), turns.holds(two)) == (False, True)


def test_a_turn_comes_once() -> None:
    first, second = line("first", keys="k", awaited=ACTIVE), line("second", waits="k")
    turns = begun(first, second)
    assert turns.come(1.0) == []
    assert turns.blocking(second, 1.0) == "first"
    first.state = "started"
    [turn] = turns.come(2.0)
    assert (turn.id, turn.waited, turn.given_up) == ("second", 2.0, {})
    assert turns.come(3.0) == []
    assert not turns.holds(second)


@pytest.mark.parametrize(
    ("how", "states"),
    [({"is": "landed"}, ("landed", "started", "verified")), (ACTIVE, ("started", "verified")), (PROBED, ())],
)
def test_what_counts_as_ready_by_what_was_seen(how: dict[str, t.Any], states: tuple[str, ...]) -> None:
    for state in ("planned", "retry", "unknown", "requesting", "requested", "landed", "started", "verified"):
        turns = begun(line("first", keys="k", awaited=how, state=state), line("second", waits="k"))
        assert bool(turns.come(1.0)) == (state in states), state


def test_who_is_probed_is_ready_when_it_has_answered_and_only_those_that_run_and_are_waited_for_are_asked() -> None:
    first, second = line("first", keys="k", awaited=PROBED), line("second", waits="k")
    idle = line("idle", keys="nobody waits for that", awaited=PROBED, state="verified")
    turns = begun(first, second, idle)
    assert turns.awaited() == []
    first.state = "started"
    assert turns.awaited() == [first]
    first.is_ready = True
    assert turns.awaited() == []
    assert len(turns.come(1.0)) == 1


@pytest.mark.parametrize("state", ["skipped", "pending", "failed"])
def test_who_will_not_come_any_more_is_not_waited_for_and_told(state: str) -> None:
    turns = begun(line("first", keys="k", state=state), line("second", waits="k"))
    [turn] = turns.come(0.0)
    assert turn.given_up == {"first": f"is {state}"}


def test_time_runs_from_ones_own_turn_on() -> None:
    first = line("first", keys="a", awaited=PROBED, state="started", why_not_ready="nobody listens")
    second = line("second", keys="b", waits="a", awaited=PROBED, state="landed")
    third = line("third", waits="b")
    turns = begun(first, second, third)
    assert turns.come(99.0) == []
    assert [turn.id for turn in turns.come(100.0)] == ["second"]
    second.state = "started"
    assert turns.come(199.0) == []
    [turn] = turns.come(200.0)
    assert turn.told() == (
        "started after 200 s although what it waits for is not ready: second is not ready (tcp:1): no answer yet"
    )


def test_who_comes_up_or_to_an_end_by_itself_does_not_wait_any_more_and_gets_no_turn() -> None:
    for state in ("started", "verified", "skipped", "pending", "failed"):
        second = line("second", waits="k", state=state)
        turns = begun(line("first", keys="k"), second)
        assert turns.come(1.0) == []
        assert not turns.holds(second)


def test_of_many_only_some_are_named() -> None:
    others = [line(f"vm{number}", keys="k") for number in range(7)]
    waits = line("second", waits="k")
    turns = begun(*others, waits, timeout=0.0)
    [turn] = turns.come(0.0)
    assert turn.told().endswith("vm4 is planned and 2 more")
    assert begun(*others, waits).blocking(waits, 0.0) == "vm0, vm1, vm2, vm3, vm4 and 2 more"
