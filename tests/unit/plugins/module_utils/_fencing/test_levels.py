from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.fakes.profiles import examples
from unit.plugins.module_utils._fencing.fencing_fakes import Clock, FakeDevice, broken, fake_world, level

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import LeaseLost
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import (
    OFF,
    ON,
    UNKNOWN,
    FencingRefused,
    Level,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.levels import (
    Fencing,
    Hooks,
    Outcome,
    pauses,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.operator import Operator

OURS = {"uuid": "00112233-4455-6677-8899-aabbccddeeff"}
OTHER = {"uuid": "ffffffff-4455-6677-8899-aabbccddeeff"}
SSH = "tcp://192.0.2.3:22"


def fence(clock: Clock, *levels: t.Any, expected: t.Any = (), probe: t.Any = None, **hooks: t.Any) -> Outcome:
    world = fake_world(clock, **({"probe": lambda urls, timeout: dict.fromkeys(urls, probe)} if probe else {}))
    fencing = Fencing("cmp03", dict(expected), world, Hooks(**hooks))
    return fencing.run(levels, [SSH] if probe else [])


def person(clock: Clock, number: int) -> Level:
    return Level(number=number, alone=Operator({}, fake_world(clock)))


def test_a_host_that_goes_off_is_read_back_and_proven() -> None:
    clock = Clock()
    device = FakeDevice(clock, told=OURS)
    outcome = fence(clock, level(device), expected=OURS)
    assert (outcome.off, outcome.level, outcome.before, outcome.after) == (True, 1, ON, OFF)
    assert outcome.identity == "matched"
    assert outcome.commanded
    assert outcome.evidence[0]["tried"] == ["identity", "power_state", "power_off", "read_back"]
    assert outcome.evidence[0]["answer"] == "accepted"


def test_a_host_that_is_off_is_not_switched_off_again() -> None:
    clock = Clock()
    device = FakeDevice(clock, OFF)
    outcome = fence(clock, level(device))
    assert outcome.off
    assert not outcome.commanded
    assert not device.commands


@pytest.mark.parametrize("answer", ["HTTP 409 already off", "HTTP 400 bad request", broken("timed out")])
def test_a_refusal_does_not_matter_when_the_read_back_says_off(answer: t.Any) -> None:
    clock = Clock()
    outcome = fence(clock, level(FakeDevice(clock, answer=answer)))
    assert outcome.off
    assert outcome.evidence[0]["answer"] == getattr(answer, "message", answer)


def test_an_accepted_command_proves_nothing_when_the_host_stays_on() -> None:
    clock = Clock()
    device = FakeDevice(clock, off_after=None)
    outcome = fence(clock, level(device, tries=2, timeout=10))
    assert (outcome.off, outcome.level, outcome.after) == (False, None, ON)
    assert len(device.commands) == 2
    assert "still reports on" in outcome.evidence[-1]["error"]


def test_a_slow_host_is_waited_for_until_the_end_of_the_try() -> None:
    clock = Clock()
    assert fence(clock, level(FakeDevice(clock, off_after=20), timeout=30)).off
    assert 1020 <= clock.now < 1022
    assert not fence(clock, level(FakeDevice(clock, off_after=20), timeout=15)).off


def test_a_read_that_fails_while_the_host_goes_off_is_repeated() -> None:
    clock = Clock()
    device = FakeDevice(clock, read_errors=[None, broken(), broken()])
    outcome = fence(clock, level(device))
    assert outcome.off
    assert outcome.evidence[0]["error"] is None


def test_a_device_that_is_never_readable_proves_nothing_although_it_obeyed() -> None:
    clock = Clock()
    device = FakeDevice(clock, read_errors=[None, *[broken()] * 100])
    outcome = fence(clock, level(device))
    assert not outcome.off
    assert outcome.after == UNKNOWN
    assert outcome.commanded


def test_a_device_of_another_machine_switches_nothing_off_and_is_told_loudly() -> None:
    clock, warnings = Clock(), []
    right, wrong = FakeDevice(clock, told=OURS), FakeDevice(clock, OFF, told=OTHER)
    outcome = fence(clock, level(right, wrong, tries=3), expected=OURS, warn=warnings.append)
    assert not outcome.off
    assert not right.commands
    assert not wrong.commands
    assert len(outcome.evidence) == 2, "another try cannot help"
    assert "another machine" in warnings[0]


def test_what_another_machine_reports_is_not_taken_for_the_state_of_the_host() -> None:
    clock = Clock()
    outcome = fence(clock, level(FakeDevice(clock, OFF, told=OTHER)), expected=OURS)
    assert (outcome.before, outcome.after) == (UNKNOWN, UNKNOWN)


def test_an_identity_that_cannot_be_read_is_recorded_as_such() -> None:
    clock = Clock()
    outcome = fence(clock, level(FakeDevice(clock)), expected=OURS)
    assert outcome.off
    assert outcome.identity == "unreadable"


def test_an_identity_that_could_not_be_asked_is_asked_again_before_anything_is_switched_off() -> None:
    clock = Clock()
    device = FakeDevice(clock, told=broken("no session"))
    outcome = fence(clock, level(device, tries=2), expected=OURS)
    assert not outcome.off
    assert not device.commands
    assert len(outcome.evidence) == 2


def test_all_devices_of_a_level_must_succeed() -> None:
    clock = Clock()
    good, stuck = FakeDevice(clock, name="pdu-a"), FakeDevice(clock, off_after=None, name="pdu-b")
    outcome = fence(clock, level(good, stuck))
    assert not outcome.off
    assert outcome.after == ON
    assert good.really() == OFF


def test_a_device_that_cannot_be_read_keeps_the_whole_level_from_switching() -> None:
    clock = Clock()
    good, silent = FakeDevice(clock), FakeDevice(clock, read_errors=[broken()] * 9)
    assert not fence(clock, level(good, silent)).off
    assert not good.commands


def test_the_next_level_is_used_when_a_level_fails() -> None:
    clock = Clock()
    dead, pdu = FakeDevice(clock, read_errors=[broken()] * 9), FakeDevice(clock)
    outcome = fence(clock, level(dead, tries=2), level(pdu, number=2))
    assert (outcome.off, outcome.level) == (True, 2)
    assert [entry["level"] for entry in outcome.evidence] == [1, 1, 2]


def test_no_second_level_is_touched_after_success() -> None:
    clock = Clock()
    second = FakeDevice(clock)
    fence(clock, level(FakeDevice(clock)), level(second, number=2))
    assert not second.timeouts


def test_an_answer_that_another_try_cannot_change_is_not_tried_again() -> None:
    clock = Clock()
    outcome = fence(clock, level(FakeDevice(clock, read_errors=[FencingRefused("HTTP 401")] * 9), tries=5))
    assert len(outcome.evidence) == 1


def test_silence_after_the_power_off_is_no_objection() -> None:
    clock = Clock()
    outcome = fence(clock, level(FakeDevice(clock)), probe="silent")
    assert outcome.off
    assert outcome.evidence[-1]["observed_state"] == "silent"


@pytest.mark.parametrize("result", ["answers", "refused"])
@pytest.mark.parametrize("power", [ON, OFF])
def test_a_sign_of_life_refutes_a_device_that_says_off(result: str, power: str) -> None:
    clock, warnings = Clock(), []
    outcome = fence(clock, level(FakeDevice(clock, power, lies=True)), probe=result, warn=warnings.append)
    assert not outcome.off
    assert outcome.level is None
    assert outcome.alive == [SSH]
    assert "no proof" in warnings[0]


def test_after_a_lie_the_next_level_can_still_prove_it() -> None:
    clock = Clock()
    answers = iter(["answers", "silent"])
    world = fake_world(clock, probe=lambda urls, timeout: {SSH: next(answers)})
    liar, pdu = FakeDevice(clock, lies=True, off_after=None), FakeDevice(clock)
    outcome = Fencing("cmp03", {}, world).run([level(liar), level(pdu, number=2)], [SSH])
    assert (outcome.off, outcome.level) == (True, 2)
    assert pdu.really() == OFF


def test_an_operator_level_stops_and_asks() -> None:
    clock = Clock()
    stuck, last = FakeDevice(clock, off_after=None), FakeDevice(clock)
    outcome = fence(clock, level(stuck), person(clock, number=2), level(last, number=3))
    assert not outcome.off
    assert outcome.asked == 2
    assert not last.timeouts


def test_each_power_off_is_preceded_by_the_look_at_the_lease() -> None:
    clock, asked = Clock(), []
    devices = [FakeDevice(clock), FakeDevice(clock)]
    fence(clock, level(*devices), before_power_off=lambda: asked.append(1))
    assert len(asked) == 2


def test_a_look_at_the_lease_that_takes_all_the_time_costs_the_try_and_not_the_next_level() -> None:
    clock = Clock()
    slow, second = FakeDevice(clock), FakeDevice(clock)
    outcome = fence(clock, level(slow), level(second, number=2, timeout=60), before_power_off=lambda: clock.wait(11))
    assert outcome.level == 2
    assert not slow.commands
    assert "no time left" in outcome.evidence[0]["error"]


def test_a_lost_lease_ends_everything_before_anything_is_switched_off() -> None:
    def lost() -> None:
        raise LeaseLost("run 7 holds cmp03 now")

    clock = Clock()
    device, second = FakeDevice(clock), FakeDevice(clock)
    with pytest.raises(LeaseLost):
        fence(clock, level(device, tries=3), level(second, number=2), before_power_off=lost)
    assert not device.commands
    assert not second.timeouts


def test_a_dry_run_only_looks() -> None:
    clock = Clock()
    device = FakeDevice(clock, told=OURS)
    outcome = Fencing("cmp03", OURS, fake_world(clock), dry=True).run([level(device)], [SSH])
    assert (outcome.level, outcome.off, outcome.after, outcome.commanded) == (1, False, ON, False)
    assert not device.commands


def test_a_dry_run_sees_a_wrong_machine_too() -> None:
    clock = Clock()
    outcome = Fencing("cmp03", OURS, fake_world(clock), dry=True).run([level(FakeDevice(clock, told=OTHER))])
    assert outcome.level is None


def test_a_slow_answer_to_the_command_leaves_time_to_read_back() -> None:
    clock = Clock()
    device = FakeDevice(clock)
    fence(clock, level(device, timeout=30))
    assert device.timeouts[1] == 25
    device = FakeDevice(clock)
    fence(clock, level(device, timeout=4))
    assert device.timeouts[1] == 2


def test_every_error_in_the_evidence_is_without_secrets() -> None:
    clock = Clock()
    device = FakeDevice(clock, read_errors=[broken("login admin/hunter2 failed")] * 3)
    outcome = fence(clock, level(device))
    assert outcome.evidence[0]["error"] == "login admin/******** failed"


def test_a_survey_looks_at_all_devices_and_changes_nothing() -> None:
    clock = Clock()
    good, bad = FakeDevice(clock, told=OURS), FakeDevice(clock, read_errors=[broken()])
    levels = [level(good), level(bad, number=2), person(clock, number=3)]
    seen = Fencing("cmp03", {}, fake_world(clock), dry=True).survey(levels)
    assert [(found.number, attempt.reached) for found, attempt in seen] == [(1, True), (2, False)]
    assert seen[0][1].identity == OURS
    assert not good.commands


def test_pauses_grow_and_stay_short() -> None:
    seen = [pause for pause, _index in zip(pauses(), range(20))]
    assert seen == sorted(seen)
    assert seen[0] <= 0.1
    assert seen[-1] == 1.0


devices = st.fixed_dictionaries(
    {
        "power": st.sampled_from([ON, OFF, UNKNOWN]),
        "told": st.sampled_from([OURS, OTHER, {}, broken("no session")]),
        "answer": st.sampled_from(["accepted", "HTTP 409", broken("timed out")]),
        "off_after": st.sampled_from([None, 0.0, 3.0, 30.0]),
        "read_errors": st.lists(st.sampled_from([None, broken(), FencingRefused("401")]), max_size=4),
    }
)


@examples(300)
@given(st.lists(st.lists(devices, min_size=1, max_size=3), min_size=1, max_size=3), st.integers(1, 3))
def test_proof_is_given_only_when_every_device_of_the_level_is_truly_off(
    layout: list[list[dict[str, t.Any]]], tries: int
) -> None:
    clock = Clock()
    levels = [
        level(*[FakeDevice(clock, **settings) for settings in group], number=number, tries=tries, timeout=5)
        for number, group in enumerate(layout, 1)
    ]
    outcome = Fencing("cmp03", OURS, fake_world(clock)).run(levels)
    for group in levels:
        known = [device for device in group.devices if isinstance(device, FakeDevice)]
        if any(device.told == OTHER for device in known):
            assert not any(device.commands for device in known)
            assert outcome.level != group.number
    if outcome.level:
        assert outcome.off
        assert all(t.cast(FakeDevice, device).really() == OFF for device in levels[outcome.level - 1].devices)
    else:
        assert not outcome.off
