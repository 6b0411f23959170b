from __future__ import annotations

import typing as t

import pytest
from unit.plugins.module_utils._fencing.fencing_fakes import Clock, FakeDevice, fake_world, level

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, LeaseLost
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import Agent, Sighting
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.levels import Fencing, Hooks, Outcome
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.methods import (
    parse_levels,
    validate_levels,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.watchdog import Watchdog

SAFE = 180.0  # (15 + 5) x 3 + 30 + 60 + 30
SEEN = "2026-11-21T03:00:00.000Z"
LIVED = "2026-11-21T03:00:09.000000"  # as Nova writes it


class Witnesses:
    """What the journal says, which changes with time."""

    def __init__(self, clock: Clock, *first: Sighting) -> None:
        self.clock = clock
        self.now = {it.source: it for it in first}
        self.later: list[tuple[float, Sighting]] = []

    def sees(self, after: float, sighting: Sighting) -> Witnesses:
        self.later.append((self.clock.now + after, sighting))
        return self

    def read(self) -> list[Sighting]:
        for moment, sighting in self.later:
            if moment <= self.clock.now:
                self.now[sighting.source] = sighting
        self.later = [it for it in self.later if it[0] > self.clock.now]
        return list(self.now.values())


def seen(source: str = "ctl1", heard: float | None = None, armed: bool = True, at: str = SEEN) -> Sighting:
    return Sighting(source, armed, at, heard)


def fence(
    witnesses: Witnesses | None,
    then: FakeDevice | None = None,
    lived: str | None = LIVED,
    dry: bool = False,
    hook: t.Any = None,
    probe: str = "silent",
    clock: Clock | None = None,
    **options: t.Any,
) -> Outcome:
    clock = clock or (witnesses.clock if witnesses else Clock())
    world = fake_world(clock, probe=lambda urls, timeout: dict.fromkeys(urls, probe))
    levels = parse_levels([{"devices": [{"method": "watchdog", **options}]}], world)
    levels += [level(then, number=2)] if then else []
    known = Agent(witnesses.read, witnesses.read(), lived) if witnesses else None
    hooks = Hooks(while_waiting=hook or (lambda: None))
    return Fencing("cmp03", {}, world, hooks, dry, known).run(levels, ["tcp://192.0.2.13:22"])


def test_the_safe_time_counts_from_the_last_sign_of_life_that_our_clock_knows() -> None:
    clock = Clock()
    outcome = fence(Witnesses(clock, seen("ctl1", clock.now - 100), seen("ctl2", clock.now - 40)))
    assert (outcome.level, outcome.methods, outcome.proof) == (1, ["watchdog"], "watchdog expired")
    assert clock.now == pytest.approx(1000 - 40 + SAFE)
    assert not outcome.off
    assert not outcome.commanded
    assert outcome.evidence[0]["answer"] == "silent for 180.0 s, armed when it was last heard by ctl1, ctl2"


def test_what_another_machine_heard_may_have_been_just_now() -> None:
    clock = Clock()
    fence(Witnesses(clock, seen("ctl1", clock.now - 170), seen("ctl2")))
    assert clock.now == pytest.approx(1000 + SAFE)


def test_a_moment_in_the_future_counts_as_now() -> None:
    clock = Clock()
    fence(Witnesses(clock, seen(heard=clock.now + 1e6)))
    assert clock.now == pytest.approx(1000 + SAFE)


def test_a_host_that_was_silent_long_enough_is_not_waited_for() -> None:
    clock = Clock()
    assert fence(Witnesses(clock, seen(heard=clock.now - SAFE))).level == 1
    assert clock.now == 1000


def test_time_that_earlier_levels_took_counts() -> None:
    clock = Clock()
    witnesses = Witnesses(clock, seen())
    world = fake_world(clock)
    stuck = level(FakeDevice(clock, off_after=None), timeout=100)
    levels = [stuck, *parse_levels([{"devices": [{"method": "watchdog"}]}], world)]
    outcome = Fencing("cmp03", {}, world, agent=Agent(witnesses.read, witnesses.read(), LIVED)).run(levels)
    assert outcome.methods == ["watchdog"]
    assert clock.now == pytest.approx(1000 + SAFE)


def test_a_sign_of_life_while_earlier_levels_were_tried_counts_from_when_it_is_found() -> None:
    clock = Clock()
    witnesses = Witnesses(clock, seen()).sees(50, seen(at="2026-11-21T03:01:00.000Z"))
    world = fake_world(clock)
    stuck = level(FakeDevice(clock, off_after=None), timeout=100)
    levels = [stuck, *parse_levels([{"devices": [{"method": "watchdog"}]}], world)]
    outcome = Fencing("cmp03", {}, world, agent=Agent(witnesses.read, witnesses.read(), LIVED)).run(levels)
    assert outcome.methods == ["watchdog"]
    assert clock.now >= 1099 + SAFE


@pytest.mark.parametrize("heard", [None, 1050.0])
def test_a_newer_sign_of_life_starts_the_safe_time_anew(heard: float | None) -> None:
    clock = Clock()
    witnesses = Witnesses(clock, seen(heard=900.0)).sees(50, seen(heard=heard, at="2026-11-21T03:01:00.000Z"))
    assert fence(witnesses).level == 1
    assert clock.now == pytest.approx(1050 + SAFE, abs=1)


def test_a_witness_that_hears_it_for_the_first_time_counts_too() -> None:
    clock = Clock()
    fence(Witnesses(clock, seen(heard=900.0)).sees(50, seen("ctl2")))
    assert clock.now == pytest.approx(1050 + SAFE, abs=1)


def test_a_host_that_lives_on_gives_no_proof_and_is_not_waited_for_without_end() -> None:
    clock = Clock()
    witnesses = Witnesses(clock, seen())
    for second in range(10, 10000, 10):
        witnesses.sees(second, seen(at=f"2026-11-21T03:00:00.{second:06}Z"))
    device = FakeDevice(clock)
    outcome = fence(witnesses, device)
    assert outcome.level == 2
    assert "so it was not reset" in outcome.evidence[0]["error"]
    assert clock.now < 1000 + SAFE + 15


def test_an_agent_that_lays_down_its_arms_meanwhile_gives_no_proof() -> None:
    clock = Clock()
    outcome = fence(Witnesses(clock, seen()).sees(60, seen(armed=False, at="2026-11-21T03:01:00.000Z")))
    assert outcome.level is None
    assert "not armed when ctl1 heard it last" in outcome.evidence[0]["error"]
    assert clock.now == pytest.approx(1060, abs=1)


@pytest.mark.parametrize(
    ("witnesses", "words"),
    [
        (Witnesses, "never heard"),
        (lambda clock: Witnesses(clock, seen(armed=False)), "not armed when ctl1"),
        (lambda clock: Witnesses(clock, seen(), seen("ctl2", armed=False)), "not armed when ctl2"),
        (lambda clock: None, "which this task does not read"),
    ],
)
def test_without_an_armed_agent_the_next_level_goes_on_at_once(witnesses: t.Any, words: str) -> None:
    clock = Clock()
    device = FakeDevice(clock)
    outcome = fence(witnesses(clock), device, clock=clock)
    assert outcome.level == 2
    assert words in outcome.evidence[0]["error"]
    assert device.commands == [1000.0]


def test_an_agent_that_stopped_long_before_the_host_did_proves_nothing() -> None:
    clock = Clock()
    outcome = fence(Witnesses(clock, seen(heard=0.0)), lived="2026-11-21T03:03:01.000000")
    assert outcome.level is None
    assert "seen alive 181 s after its agent was heard last" in outcome.evidence[0]["error"]
    assert fence(Witnesses(clock, seen(heard=0.0)), lived="2026-11-21T03:03:00.000000").level == 1


def test_nobody_can_tell_whether_the_agent_was_still_at_work() -> None:
    outcome = fence(Witnesses(Clock(), seen(heard=0.0)), lived=None)
    assert outcome.level is None
    assert "until when the host lived" in outcome.evidence[0]["error"]


@pytest.mark.parametrize("result", ["answers", "refused"])
def test_a_sign_of_life_after_the_safe_time_refutes_it(result: str) -> None:
    assert fence(Witnesses(Clock(), seen()), probe=result).level is None


def test_a_run_that_lost_its_claim_waits_no_longer() -> None:
    def lost() -> None:
        raise LeaseLost("run 7 holds cmp03 now")

    witnesses = Witnesses(Clock(), seen())
    with pytest.raises(LeaseLost):
        fence(witnesses, hook=lost)
    assert witnesses.clock.now == 1000


def test_a_dry_run_looks_at_the_agent_and_does_not_wait() -> None:
    witnesses = Witnesses(Clock(), seen())
    outcome = fence(witnesses, dry=True)
    assert (outcome.level, outcome.switches) == (1, False)
    assert outcome.evidence[0]["answer"] == "waiting 180.0 s for the end of the safe time of 180 s"
    assert witnesses.clock.now == 1000
    assert fence(Witnesses(Clock()), dry=True).level is None
    unknown = fence(None, dry=True)
    assert unknown.level == 1
    assert "not known without a run" in unknown.evidence[0]["answer"]


def test_every_term_of_the_formula_counts() -> None:
    def computed(**options: float) -> float:
        (found,) = parse_levels([{"devices": [{"method": "watchdog", **options}]}], fake_world())
        assert isinstance(found.alone, Watchdog)
        return found.alone.safe_time

    assert computed() == SAFE
    assert computed(heartbeat_interval=20) == SAFE + 5 * 3
    assert computed(heartbeat_timeout=10) == SAFE + 5 * 3
    assert computed(threshold=5) == SAFE + 2 * 20
    assert computed(peer_time=0) == SAFE - 30
    assert computed(device_timeout=10) == SAFE - 50
    assert computed(safe_time=300) == 300
    assert computed(safe_time=SAFE) == SAFE


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"safe_time": 179.9}, r"devices\[0\]\.safe_time: 179.9 s is too short: .* at least 180 s"),
        ({"safe_time": 200, "device_timeout": 120}, r"safe_time: 200 s is too short: .* at least 240 s"),
        ({"safe_time": "inf"}, "safe_time: must be a number"),
        ({"safe_time": "nan"}, "safe_time: must be a number"),
        ({"heartbeat_interval": 0}, "heartbeat_interval: must be a number"),
        ({"heartbeat_timeout": -1}, "heartbeat_timeout: must be a number"),
        ({"threshold": 0}, "threshold: must be a number of at least 1"),
        ({"peer_time": -30}, "peer_time: must be a number of at least 0"),
        ({"device_timeout": 0}, "device_timeout: must be a number"),
        ({"margin": 0}, "margin: is not an option"),
    ],
)
def test_numbers_that_would_make_it_unsafe_are_refused_with_their_path(options: t.Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate_levels([{"devices": [{"method": "watchdog", **options}]}], "levels")


@pytest.mark.parametrize("wrong", [{"timeout": 30}, {"tries": 2}])
def test_a_level_of_it_has_no_time_of_its_own(wrong: dict[str, t.Any]) -> None:
    with pytest.raises(ConfigError, match=r"is not an option of a level with the method watchdog"):
        validate_levels([{"devices": [{"method": "watchdog"}], **wrong}], "levels")


def test_a_safe_time_is_checked_once_all_templates_are_known() -> None:
    written: dict[str, t.Any] = {"method": "watchdog", "safe_time": 100, "device_timeout": "{{ device }}"}
    validate_levels([{"devices": [written]}], "fencing")
    with pytest.raises(ConfigError, match="too short"):
        parse_levels([{"devices": [{**written, "device_timeout": 60}]}], fake_world())
