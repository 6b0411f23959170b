from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.options import check
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.options_process import UNIT
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.process_states import (
    DOWN,
    OFF,
    STARTING,
    UP,
    Facts,
    Unit,
    condition,
)

RUNNING = Facts()
FAILED = Facts(active="failed", sub="failed", result="exit-code")
STOPPED = Facts(active="inactive", sub="dead")
AGAIN = Facts(active="activating", sub="auto-restart", result="exit-code")


def unit(known: bool = False, **options: t.Any) -> Unit:
    return Unit("nova-compute.service", check({"back_off": 2, "stable": 30, **options}, UNIT), known)


def play(made: Unit, *steps: tuple[float, Facts]) -> list[tuple[float, str]]:
    """When it did what. A restart that it asks for is done."""
    done = []
    for now, facts in steps:
        for action in made.step(facts, now):
            done.append((now, action.what))
            if action.what == "restart":
                made.restarted("", now)
    return done


def each(facts: Facts, *moments: float) -> list[tuple[float, Facts]]:
    return [(now, facts) for now in moments]


@pytest.mark.parametrize(
    ("facts", "always", "found"),
    [
        (RUNNING, False, UP),
        (Facts(active="reloading"), False, UP),
        (dataclasses.replace(RUNNING, checked="no answer"), False, DOWN),
        (AGAIN, False, STARTING),
        (FAILED, False, DOWN),
        (STOPPED, False, OFF),
        (STOPPED, True, DOWN),
        (dataclasses.replace(STOPPED, load="masked", file_state="masked"), True, OFF),
        (dataclasses.replace(STOPPED, load="not-found", file_state=""), False, DOWN),
        (Facts(active="deactivating", sub="stop-sigterm"), False, OFF),
    ],
)
def test_what_a_unit_does(facts: Facts, always: bool, found: str) -> None:
    assert condition(facts, always) == found


def test_restarts_come_later_and_later_and_then_it_is_told_once() -> None:
    done = play(unit(), *each(FAILED, *[it / 2 for it in range(100)]))
    assert done == [(2, "restart"), (4, "restart"), (8, "restart"), (16, "failed")]


def test_a_unit_that_comes_back_by_a_restart_and_stays_is_not_told() -> None:
    made = unit()
    assert play(made, *each(FAILED, 0, 2), *each(RUNNING, 3, 20, 33, 40)) == [(2, "restart")]
    assert made.state == "well"
    assert play(made, *each(FAILED, 100, 102)) == [(102, "restart")]


def test_one_that_does_not_stay_has_used_up_its_restarts() -> None:
    steps = [*each(FAILED, 0, 2), (3, RUNNING), *each(FAILED, 10), (11, RUNNING), (20, FAILED), (28, RUNNING)]
    assert play(unit(), *steps, (29, FAILED))[-1] == (29, "failed")


def test_what_was_told_is_ok_when_it_has_run_for_long_enough() -> None:
    made = unit(restarts=0)
    assert play(made, (0, FAILED), (5, RUNNING), (34, RUNNING), (35, RUNNING)) == [(0, "failed"), (35, "ok")]
    assert play(unit(known=True), (0, RUNNING), (31, RUNNING)) == [(31, "ok")]


def test_what_was_told_and_is_then_stopped_on_purpose_is_over() -> None:
    assert play(unit(restarts=0), (0, FAILED), (5, STOPPED)) == [(0, "failed"), (5, "ok")]


def test_a_unit_that_systemd_restarts_again_and_again_is_told_though_it_is_up_whenever_it_is_looked_at() -> None:
    steps = [(now, dataclasses.replace(RUNNING, restarts=now)) for now in range(20)]
    assert play(unit(), *steps) == [(4, "failed")]
    slow = [(60 * now, dataclasses.replace(RUNNING, restarts=now)) for now in range(20)]
    assert [it for it in play(unit(stable=30), *slow) if it[1] == "failed"]
    calm = [(now, dataclasses.replace(RUNNING, restarts=now // 100)) for now in range(0, 1000, 10)]
    assert play(unit(), *calm) == []


def test_a_start_that_takes_too_long_is_a_failure() -> None:
    made = unit(start_timeout=60)
    starting = Facts(active="activating", sub="start")
    assert play(made, *each(starting, 0, 59)) == []
    assert made.due(59.0) == 1
    assert play(made, *each(starting, 61, 63)) == [(63, "restart")]


def test_a_service_that_hangs_is_restarted_and_told_as_hung() -> None:
    hung = dataclasses.replace(RUNNING, checked="check had no answer within 10 s")
    made = unit(restarts=1)
    assert play(made, (0, hung), (2, hung)) == [(2, "restart")]
    unproven = dataclasses.replace(RUNNING, unproven=True)
    assert play(made, (3, unproven), (50, unproven), (51, hung)) == [(51, "hung")]
    dog = dataclasses.replace(FAILED, result="watchdog")
    assert play(unit(restarts=0), (0, dog)) == [(0, "hung")]


def test_what_was_tried_is_told() -> None:
    made = unit(restarts=1)
    made.step(FAILED, 0)
    assert [it.what for it in made.step(FAILED, 2)] == ["restart"]
    made.restarted("Access denied", 2)
    (action,) = made.step(FAILED, 4)
    assert action.details["tried"] == ["Access denied"]
    assert action.reason == "it is failed (failed, exit-code); 1 restarts did not help"


def test_it_knows_when_it_has_something_to_do() -> None:
    made = unit()
    assert made.due(0) is None
    made.step(FAILED, 0)
    assert made.due(0.5) == 1.5
    made.step(FAILED, 2)
    made.restarted("", 2)
    made.step(RUNNING, 3)
    assert made.due(10) == 23
