from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from unit.fakes.profiles import examples

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.keeper import (
    LINGER,
    STATES,
    Facts,
    Keeper,
    Step,
)

PATIENCE = 60.0
NEVER = -math.inf


class World:
    """A host, its device, and when a majority heard it last."""

    def __init__(self) -> None:
        self.keeper = Keeper(PATIENCE)
        self.now, self.heard, self.disarmed = 0.0, NEVER, NEVER
        self.wanted, self.running = True, False
        self.fed = NEVER

    def step(self, seconds: float = 1.0, heard: bool = True, broken: bool = False) -> Step:
        self.now += seconds
        if heard:
            self.heard = self.now
            if not self.keeper.armed:
                self.disarmed = self.now
        step = self.keeper.step(Facts(self.now, self.heard, self.disarmed, self.wanted, self.running))
        if step.release:
            self.running = False
        elif step.feed:
            self.running = True
            if broken:
                self.keeper.failed()
            else:
                self.fed = self.now
        return step

    def states(self, count: int, **how: bool) -> list[str]:
        return [self.step(**how).state for _each in range(count)]


def test_the_watchdog_is_off_until_a_majority_hears_the_host() -> None:
    world = World()
    assert world.states(3, heard=False) == ["waiting"] * 3
    assert not world.running
    assert world.step() == Step("armed", feed=True, release=False)


def test_a_host_that_nobody_hears_is_fed_until_the_patience_ends_and_not_a_moment_longer() -> None:
    world = World()
    world.step()
    heard = world.now
    while world.keeper.state == "armed":
        world.step(heard=False)
    assert world.keeper.state == "starving"
    assert world.fed == heard + PATIENCE
    assert world.keeper.armed, "and says the truth, should somebody hear it"
    assert world.step(heard=False) == Step("starving", feed=False, release=False)


def test_a_host_that_is_heard_again_before_the_device_has_run_down_lives_on() -> None:
    world = World()
    world.step()
    world.step(PATIENCE + 1, heard=False)
    assert world.step() == Step("armed", feed=True, release=False)


def test_a_machine_that_has_slept_is_not_fed_before_it_is_heard() -> None:
    world = World()
    world.step()
    assert world.step(3600, heard=False).feed is False


def test_it_is_released_only_after_a_majority_has_known_of_it_for_a_while() -> None:
    world = World()
    world.step()
    world.wanted = False
    assert world.step().state == "releasing"
    assert not world.keeper.armed
    began = world.now
    while world.running:
        step = world.step()
    assert step.state == "released"
    assert world.now - began >= LINGER
    assert world.states(3) == ["released"] * 3


def test_what_the_majority_knew_of_an_earlier_pause_does_not_count() -> None:
    world = World()
    world.step()
    world.disarmed = world.now
    world.wanted = False
    assert world.states(3, heard=False) == ["releasing"] * 3


def test_it_is_not_released_while_nobody_hears_that_it_will_be() -> None:
    world = World()
    world.step()
    world.wanted = False
    states = set(world.states(int(PATIENCE) * 3, heard=False))
    assert states == {"releasing"}
    assert world.running
    assert world.fed <= world.heard + PATIENCE


def test_a_pause_that_ends_in_the_middle_arms_it_again() -> None:
    world = World()
    world.step()
    world.wanted = False
    world.states(3)
    assert world.keeper.state == "lingering"
    world.wanted = True
    assert world.step() == Step("armed", feed=True, release=False)


def test_after_a_pause_it_is_armed_again() -> None:
    world = World()
    world.wanted = False
    assert world.step() == Step("released", feed=False, release=False)
    world.wanted = True
    assert world.step().state == "armed"


def test_a_device_that_does_not_work_promises_nothing_and_is_tried_again() -> None:
    world = World()
    world.step(broken=True)
    assert (world.keeper.state, world.keeper.armed) == ("broken", False)
    assert world.step(heard=False).state == "armed"


def test_a_device_that_runs_though_it_cannot_be_fed_is_not_simply_forgotten() -> None:
    world = World()
    world.step()
    world.step(broken=True)
    world.wanted = False
    assert world.step().state == "releasing"


@examples(300)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.5, 5.0, 30.0, 90.0]), st.booleans(), st.booleans(), st.booleans()),
        max_size=40,
    )
)
def test_whatever_happens_an_armed_host_that_is_not_heard_is_not_fed(
    rounds: list[tuple[float, bool, bool, bool]],
) -> None:
    world = World()
    for seconds, heard, wanted, broken in rounds:
        world.wanted = wanted
        before, running = world.keeper.state, world.running
        step = world.step(seconds, heard, broken)
        assert step.state in STATES
        assert not step.feed or world.now - world.heard <= PATIENCE
        assert not world.keeper.armed or world.running or step.state == "starving"
        if running and not world.running:
            assert (before, step.release) == ("lingering", True), "it is never let go without the majority's knowing"
