from __future__ import annotations

import queue
import threading
import typing as t
from pathlib import Path

from unit.plugins.module_utils._monitor.monitor_fakes import Clock, board, said

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor import libvirt_events as le
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.instance_memory import Memory
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.instance_states import Instances
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.kind_instance import Watch
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.libvirt_link import Sight


class Link:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def outdated(self, _sight: Sight) -> t.Container[str]:
        return ()

    def __getattr__(self, name: str) -> t.Callable[[], None]:
        return lambda: self.calls.append(name)


def watch(tmp_path: Path) -> tuple[Watch, Link, Clock, t.Any]:
    clock, link = Clock(), Link()
    states, spool = board(clock)
    instances = Instances(states, Memory(str(tmp_path / "vms.json"), "boot-1"), 600.0, False, clock)
    return Watch(instances, link, queue.Queue(), 60.0, clock), link, clock, spool


def sight(*states: tuple[int, int]) -> Sight:
    return Sight([le.Look(f"vm{n}", f"instance-{n}", *it) for n, it in enumerate(states)], {})


def after(made: Watch, clock: Clock, seconds: float) -> None:
    clock.now += seconds
    made.tick()


def test_a_lost_connection_is_tried_again_later_and_later(tmp_path: Path) -> None:
    made, link, clock, _spool = watch(tmp_path)
    waits = []
    for _each in range(8):
        made.take("refused")
        made.take("refused")  # one end may be told twice
        before = clock.now
        while "connect" not in link.calls:
            after(made, clock, 0.1)
        waits.append(round(clock.now - before, 1))
        link.calls.clear()
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (0.2, 5.0)
    made.take(sight())
    made.take("refused")
    after(made, clock, 0.3)
    assert "connect" in link.calls


def test_all_vms_are_looked_at_soon_after_a_connection_and_then_regularly(tmp_path: Path) -> None:
    made, link, clock, _spool = watch(tmp_path)
    made.take(sight())
    moments = []
    for second in range(1, 151):
        after(made, clock, 1)
        moments += [second] * link.calls.count("look")
        link.calls.clear()
    assert moments == [2, 10, 30, 90, 150]


def test_what_arrives_is_told(tmp_path: Path) -> None:
    made, _link, _clock, spool = watch(tmp_path)
    made.take(sight((le.SHUTOFF, 3)))
    made.take(le.Event("lifecycle", "vm0", "instance-0", le.STARTED, 0))
    assert [word for _object, word, _sequence in said(spool)] == ["crashed", "ok"]


def test_it_ends_when_it_is_told_to(tmp_path: Path) -> None:
    made, link, clock, _spool = watch(tmp_path)
    stop = threading.Event()
    stop.set()
    made.run(board(clock)[0], stop)
    assert link.calls == ["close"]
