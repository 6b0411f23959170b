"""What the executor of drains sees of the world: whether the host lives, and whether an order stops it."""

from __future__ import annotations

import concurrent.futures
import types
import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _drain_world
from ansible_collections.openstack_ha.recovery.plugins.module_utils._drain_world import RealWorld
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import LeaseLost, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Nova

PROBE = "tcp://192.0.2.11:22"


class World(RealWorld):
    """On a clock of its own, with a host that answers what it is told to."""

    def __init__(self, probes: t.Sequence[str] = (PROBE,)) -> None:
        self.clock = Clock()
        self.nova = Nova(self.clock, ["cmp01", "cmp02"], [])
        self.orders: dict[str, str] = {}
        lease = types.SimpleNamespace(check=lambda: None)
        told = {"stopped": lambda: dict(self.orders), "places": lambda host: [f"{host}/unit"]}
        run = types.SimpleNamespace(lease=lease, **told)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            cloud = FakeCloud(self.nova, {})
            super().__init__(t.cast(t.Any, cloud), t.cast(t.Any, run), "cmp01", probes, pool, lambda message: None)

    def now(self) -> float:
        return self.clock.time


def look(world: World, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """One more look, when it is due."""
    monkeypatch.setattr(_drain_world, "probe", lambda urls, timeout: dict.fromkeys(urls, answer))
    world.clock.advance(_drain_world.LOOK)
    world.check()


def test_a_host_that_answers_is_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    for _look in range(5):
        look(world, monkeypatch, "answers")


def test_a_host_that_does_not_answer_several_times_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    for answer in ("silent", "silent", "answers", "silent", "silent"):
        look(world, monkeypatch, answer)
    with pytest.raises(RecoveryError, match="STOP: cmp01 does not answer any more"):
        look(world, monkeypatch, "silent")


def test_a_host_without_a_probe_is_dead_when_nova_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(probes=())
    for _look in range(5):
        look(world, monkeypatch, "silent")
    world.nova.services["cmp01"]["state"] = "down"
    with pytest.raises(RecoveryError, match="recover_host"):
        look(world, monkeypatch, "silent")


def test_a_host_that_was_forced_down_is_no_living_host(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.nova.services["cmp01"]["forced_down"] = True
    with pytest.raises(RecoveryError, match="recover_host"):
        look(world, monkeypatch, "answers")


def test_a_run_that_lost_its_claim_looks_at_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    def lost() -> None:
        raise LeaseLost("gone")

    monkeypatch.setattr(world._run, "lease", types.SimpleNamespace(check=lost))
    with pytest.raises(LeaseLost):
        world.check()


def test_an_order_about_any_place_of_the_host_stops_it_within_a_second() -> None:
    world = World()
    assert world.paused("cmp01") == ""
    world.orders["cmp01/unit"] = "pause of kim"
    assert world.paused("cmp01") == "", "the journal is asked once a second"
    world.clock.advance(1.0)
    assert world.paused("cmp01") == "pause of kim"
