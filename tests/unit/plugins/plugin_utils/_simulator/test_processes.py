"""Processes on a simulated clock."""

import pytest

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.processes import Process, Processes


def site() -> tuple[Clock, Processes, list[tuple[float, str]]]:
    clock = Clock()
    return clock, Processes(clock), []


def test_processes_take_turns_in_the_order_of_their_time() -> None:
    clock, processes, seen = site()

    def work(name: str, pause: float) -> None:
        for _round in range(2):
            processes.sleep(pause)
            seen.append((clock.time - 1000.0, name))

    processes.spawn("slow", "ctl1", lambda: work("slow", 3.0))
    processes.spawn("fast", "ctl1", lambda: work("fast", 2.0))
    clock.advance(10.0)
    assert seen == [(2.0, "fast"), (3.0, "slow"), (4.0, "fast"), (6.0, "slow")]


def test_a_killed_process_does_nothing_more_and_is_gone() -> None:
    clock, processes, seen = site()

    def work() -> None:
        try:
            processes.sleep(5.0)
            seen.append((clock.time, "woke"))
        except Exception:
            seen.append((clock.time, "caught"))

    process = processes.spawn("victim", "ctl1", work)
    clock.advance(1.0)
    processes.kill_machine("ctl1")
    clock.advance(10.0)
    assert seen == []
    assert process.done
    assert process.thread is not None
    process.thread.join(5.0)
    assert not process.thread.is_alive()


def test_a_process_that_is_killed_before_its_first_turn_never_begins() -> None:
    clock, processes, seen = site()
    processes.kill(processes.spawn("unborn", "ctl1", lambda: seen.append((clock.time, "ran"))))
    clock.advance(1.0)
    assert seen == []


def test_parallel_work_takes_as_long_as_the_longest_of_it() -> None:
    clock, processes, seen = site()

    def work() -> None:
        processes.parallel(processes.sleep, [1.0, 7.0, 3.0])
        seen.append((clock.time - 1000.0, "all"))

    processes.spawn("parent", "ctl1", work)
    clock.advance(20.0)
    assert seen == [(7.0, "all")]


def test_what_fails_in_parallel_work_is_raised_when_all_of_it_has_ended() -> None:
    clock, processes, seen = site()

    def work(pause: float) -> None:
        processes.sleep(pause)
        if pause == 1.0:
            raise KeyError(pause)

    def parent() -> None:
        with pytest.raises(KeyError):
            processes.parallel(work, [1.0, 4.0])
        seen.append((clock.time - 1000.0, "failed"))

    processes.spawn("parent", "ctl1", parent)
    clock.advance(20.0)
    assert seen == [(4.0, "failed")]


def test_children_die_with_their_parent() -> None:
    clock, processes, seen = site()

    def child(pause: float) -> None:
        processes.sleep(pause)
        seen.append((clock.time, "child"))

    parent: Process = processes.spawn("parent", "ctl1", lambda: processes.parallel(child, [5.0, 6.0]))
    clock.advance(1.0)
    processes.kill(parent)
    clock.advance(10.0)
    assert seen == []


def test_an_error_that_nobody_expects_reaches_whoever_lets_time_pass() -> None:
    clock, processes, _seen = site()

    def work() -> None:
        processes.sleep(1.0)
        raise ZeroDivisionError

    processes.spawn("broken", "ctl1", work)
    with pytest.raises(ZeroDivisionError):
        clock.advance(5.0)


def test_outside_of_processes_sleeping_lets_time_pass() -> None:
    clock, processes, _seen = site()
    processes.sleep(4.0)
    assert clock.time == 1004.0


def test_a_frozen_process_goes_on_later_where_it_stood() -> None:
    clock, processes, seen = site()

    def work(name: str) -> None:
        processes.sleep(2.0)
        seen.append((clock.time - 1000.0, name))

    processes.spawn("frozen", "ctl1", lambda: work("frozen"))
    processes.spawn("other", "ctl2", lambda: work("other"))
    clock.advance(1.0)
    processes.freeze(["ctl1"])
    clock.advance(9.0)
    assert seen == [(2.0, "other")]
    processes.thaw(["ctl1"])
    clock.advance(1.0)
    assert seen == [(2.0, "other"), (10.0, "frozen")]


def test_a_frozen_process_can_be_killed() -> None:
    clock, processes, seen = site()
    process = processes.spawn("frozen", "ctl1", lambda: (processes.sleep(2.0), seen.append((clock.time, "ran")))[1])
    clock.advance(1.0)
    processes.freeze(["ctl1"])
    processes.kill_machine("ctl1")
    processes.thaw(["ctl1"])
    clock.advance(9.0)
    assert seen == []
    assert process.done
