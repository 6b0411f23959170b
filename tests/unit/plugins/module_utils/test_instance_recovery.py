from __future__ import annotations

import contextlib
import dataclasses
import itertools
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.fakes.instances import HOME, ME, OTHER, THIRD, VM, Fake, Killed
from unit.fakes.profiles import examples

from ansible_collections.openstack_ha.recovery.plugins.module_utils._instance_contract import Limits, Line
from ansible_collections.openstack_ha.recovery.plugins.module_utils._instance_recovery import Recovery
from ansible_collections.openstack_ha.recovery.plugins.module_utils._instances_gates import EITHER, ELSEWHERE, HERE
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.states import LINE_UNDER_WAY

LIMITS = Limits(poll=1.0)


def line(reaction: str = HERE, word: str = "crashed", **fields: t.Any) -> Line:
    return Line(place=f"{HOME}/{VM}", host=HOME, id=VM, name="web", reaction=reaction, word=word, **fields)


def recover(world: Fake, given_: Line | None = None, limits: Limits = LIMITS) -> Line:
    return Recovery(world, given_ or line(), limits).run()


def again(world: Fake, before: Line) -> Line:
    """What the next run finds in the ledger: it goes on with what was under way, and plans the rest anew."""
    world.kill_at = None
    world.wait(0.1)
    noted = before.state
    state = noted if noted in LINE_UNDER_WAY else "planned"
    return dataclasses.replace(before, noted=noted, state=state, outcome="", reason="")


def end(done: Line) -> tuple[str, str, str]:
    return done.method, done.state, done.outcome


def test_a_crashed_vm_is_stopped_in_nova_and_started() -> None:
    world = Fake()
    world.crash()
    assert end(recover(world)) == ("restart", "verified", "recovered")
    assert world.asked == ["stop", "start"]
    assert world.runs_on == {HOME}


def test_one_that_nova_has_found_off_is_only_started() -> None:
    world = Fake()
    world.crash()
    world.wait(20)
    assert end(recover(world)) == ("restart", "verified", "recovered")
    assert world.asked == ["start"]


@pytest.mark.parametrize("word", ["panicked", "watchdog", "guest_silent", "io_error"])
def test_one_that_hangs_is_not_asked_to_shut_down(word: str) -> None:
    world = Fake()
    world.say(HOME, "failed", word, "running")
    assert end(recover(world, line(word=word))) == ("hard_reboot", "verified", "recovered")
    assert world.asked == ["hard_reboot"]
    asked = Fake()
    recover(asked, line(word=word), dataclasses.replace(LIMITS, hang=False))
    assert asked.asked == ["stop", "start"]


def test_one_that_its_monitor_has_resumed_is_only_looked_at() -> None:
    world = Fake()
    world.say(HOME, "ok", "it runs again", "running")
    assert end(recover(world, line(word="io_error"))) == ("resume", "verified", "recovered")
    assert world.asked == []


def test_what_a_person_says_has_failed_is_restarted_although_its_monitor_says_nothing_is_wrong() -> None:
    world = Fake()
    world.say(HOME, "ok", "it runs", "running")
    recover(world, line(word=""))
    assert world.asked == ["stop", "start"]


def test_a_stop_that_hangs_is_followed_by_a_hard_reboot() -> None:
    world = Fake(hangs=["stop"])
    world.crash()
    assert end(recover(world)) == ("hard_reboot", "verified", "recovered")
    assert world.asked == ["stop", "reset_state", "hard_reboot"]


def test_one_that_dies_again_is_tried_once_in_a_run() -> None:
    world = Fake(dies={HOME: 1})
    world.crash()
    done = recover(world)
    assert end(done) == ("restart", "failed", "partial")
    assert "failed again" in done.reason
    assert world.asked == ["stop", "start"]


@pytest.mark.parametrize(
    ("reaction", "ends", "asked"),
    [
        (HERE, ("restart", "verified", "recovered"), ["stop", "start"]),
        (ELSEWHERE, ("cold_migrate", "verified", "recovered"), ["stop", "migrate", "confirm", "start"]),
    ],
)
def test_one_that_has_died_again_is_begun_anew_though_nova_still_takes_it_for_running(
    reaction: str, ends: tuple[str, str, str], asked: list[str]
) -> None:
    world = Fake(dies={HOME: 1})
    world.crash()
    before = recover(world)
    assert world.vm["vm_state"] == "active"
    assert end(recover(world, dataclasses.replace(again(world, before), reaction=reaction))) == ends
    assert world.asked == ["stop", "start", *asked]


def test_without_a_monitor_one_that_nova_finds_off_has_not_stayed_up() -> None:
    world = Fake(dies={HOME: 1}, monitor=False)
    world.crash()
    done = recover(world, limits=dataclasses.replace(LIMITS, stable=30.0))
    assert end(done) == ("restart", "failed", "partial")
    assert "not stayed up: vm_state stopped" in done.reason


def test_a_monitor_that_goes_on_saying_that_it_has_failed_is_believed() -> None:
    world = Fake()
    world.say(HOME, "failed", "its guest agent does not answer", "running")
    world._hard_reboot = lambda _host, _target: None  # type: ignore[method-assign]  # it does not help
    done = recover(world, line(word="guest_silent"))
    assert end(done) == ("hard_reboot", "failed", "partial")
    assert done.reason.endswith("its monitor still says: its guest agent does not answer")


@pytest.mark.parametrize("how", ["cold_migrate", "shelve"])
def test_one_that_is_proven_off_goes_to_another_host(how: str) -> None:
    world = Fake()
    world.crash()
    done = recover(world, line(ELSEWHERE), dataclasses.replace(LIMITS, how=how))
    assert end(done) == (how, "verified", "recovered")
    assert done.target == OTHER
    assert world.runs_on == {OTHER}
    assert not world.twice


@pytest.mark.parametrize("how", ["cold_migrate", "shelve"])
def test_a_target_that_refuses_is_followed_by_the_next(how: str) -> None:
    world = Fake(refuses=[OTHER])
    world.crash()
    done = recover(world, line(ELSEWHERE), dataclasses.replace(LIMITS, how=how))
    assert (end(done), done.target) == ((how, "verified", "recovered"), THIRD)


def test_one_of_which_a_start_that_failed_has_left_no_domain_can_go_elsewhere() -> None:
    world = Fake()
    world.crash()
    world.vm.update(vm_state="error", power_state=0)
    world._off = lambda _host: world.vm.update(vm_state="stopped", task_state=None, power_state=0)  # type: ignore[method-assign]
    assert end(recover(world, line(ELSEWHERE))) == ("cold_migrate", "verified", "recovered")


def test_a_confirmation_that_breaks_it_is_told_at_once() -> None:
    world = Fake()
    world.crash()
    world._confirm = lambda _host, _target: world.vm.update(vm_state="error")  # type: ignore[method-assign]
    done = recover(world, line(ELSEWHERE))
    assert end(done) == ("cold_migrate", "failed", "partial")
    assert world.time < 1000 + 300


def test_one_that_dies_where_it_was_moved_to_is_an_incident_of_that_host() -> None:
    world = Fake(dies={OTHER: 1})
    world.crash()
    done = recover(world, line(ELSEWHERE))
    assert end(done) == ("cold_migrate", "failed", "recovered")
    assert "it is on cmp02 now" in done.reason


def test_a_move_whose_host_dies_before_it_is_confirmed_is_gone_on_with_when_that_is_back() -> None:
    world = Fake()
    world.crash()
    world.later(40.0, lambda: world.halt.update({HOME: "cmp01 does not answer"}))
    world._migrated = lambda target: world.later(60.0, lambda: Fake._migrated(world, target))  # type: ignore[method-assign]
    done = recover(world, line(ELSEWHERE))
    assert end(done) == ("cold_migrate", "pending", "held")
    world.wait(120)
    assert (world.vm["vm_state"], world.vm["host"]) == ("resized", OTHER)
    assert end(recover(world, again(world, done)))[1:] == ("pending", "held")
    world.halt.clear()
    assert end(recover(world, again(world, done))) == ("cold_migrate", "verified", "recovered")
    assert world.runs_on == {OTHER}


def test_by_hand_one_that_dies_again_goes_elsewhere_in_the_same_run() -> None:
    world = Fake(dies={HOME: 9})
    world.crash()
    done = recover(world, line(EITHER, word=""))
    assert end(done) == ("cold_migrate", "verified", "recovered")
    assert world.asked == ["stop", "start", "stop", "migrate", "confirm", "start"]
    assert not world.twice


def test_without_the_word_of_a_monitor_it_is_not_moved_unless_somebody_vouches() -> None:
    world = Fake(monitor=False)
    world.crash()
    done = recover(world, line(ELSEWHERE))
    assert end(done)[1:] == ("pending", "partial")
    assert "no monitor" in done.reason
    assert world.asked == ["stop"]
    vouched = dataclasses.replace(again(world, done), vouched_by="jane: virsh shows it off")
    assert end(recover(world, vouched)) == ("cold_migrate", "verified", "recovered")


def test_a_word_from_before_the_stop_proves_nothing() -> None:
    world = Fake()
    world.crash()
    world.heard[HOME] = world.time + 10_000  # the monitor has fallen silent
    done = recover(world, line(ELSEWHERE))
    assert "said nothing since it was stopped" in done.reason
    assert "migrate" not in world.asked


def test_a_word_that_was_long_under_way_proves_nothing() -> None:
    world = Fake()
    world.crash()
    world.heard[HOME] = world.time + 10_000

    def arrives() -> None:
        world.say(HOME, "failed", "crashed", "shutoff")
        world.said_at[world.sequence] = world.time - 60  # its network was away
        world.heard[HOME] = world.time + 10_000

    world.later(10.0, arrives)
    done = recover(world, line(ELSEWHERE))
    assert "said nothing since it was stopped" in done.reason
    assert "migrate" not in world.asked


def test_a_word_that_was_known_before_the_stop_proves_nothing_whatever_clocks_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = Fake()
    world.crash()
    world.heard[HOME] = world.time + 10_000
    monkeypatch.setattr(world, "since", lambda _moment: 86400.0)
    done = recover(world, line(ELSEWHERE))
    assert "said nothing since it was stopped" in done.reason


def test_a_word_from_before_a_second_stop_proves_nothing_either() -> None:
    world = Fake()
    world.crash()
    world.heard[HOME] = world.time + 10_000
    before = {"step": "stop", "off_since": {"at": 0.0}, "off_floor": None, "requests": ["req-0"]}
    assert "said nothing since it was stopped" in recover(world, line(ELSEWHERE, facts=before)).reason


def test_what_was_said_since_the_stop_of_a_run_that_died_is_known_to_the_next() -> None:
    world = Fake(kill_at=6)
    given_ = line(ELSEWHERE)
    with pytest.raises(Killed):
        recover(world, given_)
    world.wait(10)
    assert (world.asked, world.words[HOME].domain) == (["stop"], "shutoff")
    world.heard[HOME] = world.time + 10_000
    assert end(recover(world, again(world, given_))) == ("cold_migrate", "verified", "recovered")
    assert world.asked == ["stop", "migrate", "confirm", "start"]


def test_one_that_somebody_starts_while_its_monitor_is_waited_for_is_not_moved() -> None:
    world = Fake()
    world.crash()
    world.later(20.0, lambda: world.vm.update(vm_state="active", task_state=None, power_state=1))
    done = recover(world, line(ELSEWHERE))
    assert "Nova does not show it off" in done.reason
    assert world.asked == ["stop"]


@pytest.mark.parametrize("how", ["cold_migrate", "shelve"])
def test_each_request_is_written_down_before_it_is_made(how: str) -> None:
    world = Fake(refuses=[OTHER])
    world.crash()
    recover(world, line(ELSEWHERE), dataclasses.replace(LIMITS, how=how))
    for number, (what, step) in enumerate(world.events):
        if what == "asked":
            assert world.events[number - 1] == ("requesting", step)
            assert world.events[number + 1] == ("requested", step)


def test_what_libvirt_has_running_is_not_moved_whatever_nova_says() -> None:
    world = Fake()
    world.crash()
    world.wait(20)
    world.runs_on.add(HOME)  # somebody has started it behind Nova's back
    done = recover(world, line(ELSEWHERE))
    assert "its domain on cmp01 is running" in done.reason
    assert world.asked == []


@pytest.mark.parametrize("reaction", [HERE, ELSEWHERE])
def test_nothing_is_begun_on_a_host_that_does_not_answer(reaction: str) -> None:
    world = Fake()
    world.crash()
    world.halt[HOME] = "cmp01 does not answer"
    assert end(recover(world, line(reaction)))[1:] == ("pending", "held")
    assert world.asked == []


def test_nobody_waits_for_a_host_that_dies_meanwhile() -> None:
    world = Fake(hangs=["stop"])
    world.crash()
    world.later(10.0, lambda: world.halt.update({HOME: "run 7 is at work on cmp01"}))
    done = recover(world)
    assert (end(done)[1:], done.reason) == (("pending", "held"), "run 7 is at work on cmp01")
    assert world.time < 1000 + LIMITS.stop_timeout


@pytest.mark.parametrize("kill_at", range(1, 12))
def test_a_stop_of_ours_whose_answer_was_lost_is_not_taken_for_one_of_its_owner(kill_at: int) -> None:
    world, given_ = Fake(lost={0: True}, kill_at=kill_at), line()
    world.crash()
    with contextlib.suppress(Killed):
        recover(world, given_)
    assert end(recover(world, again(world, given_))) == ("restart", "verified", "recovered")
    assert world.runs_on == {HOME}


def test_what_its_owner_has_stopped_since_stays_off() -> None:
    world = Fake()
    world.crash()
    world.stops.append({"user_id": "owner", "request_id": "req-owner"})
    world.vm.update(vm_state="stopped", power_state=4)
    done = recover(world)
    assert (done.state, done.outcome, done.reason) == ("skipped", "recovered", "its owner has stopped it")
    assert world.asked == []


def test_one_that_is_gone_or_elsewhere_is_left_alone() -> None:
    world = Fake()
    world.gone = True
    assert recover(world).state == "skipped"
    world = Fake()
    world.vm["host"] = THIRD
    assert recover(world, line(ELSEWHERE)).state == "skipped"
    assert world.asked == []


def test_one_that_nova_is_at_is_held() -> None:
    world = Fake()
    world.vm["task_state"] = "image_snapshot"
    assert end(recover(world))[1:] == ("pending", "held")


@pytest.mark.parametrize("obeyed", [True, False])
@pytest.mark.parametrize("number", [0, 1])
def test_a_request_without_an_answer_is_never_made_twice_in_a_row(number: int, obeyed: bool) -> None:
    world = Fake(lost={number: obeyed})
    world.crash()
    done = recover(world)
    if not obeyed:
        world.wait(20)
        done = recover(world, again(world, done))
    assert end(done)[1:] == ("verified", "recovered"), (done, world.asked)


def test_one_that_was_shelved_by_a_run_that_died_goes_to_another_target_where_the_first_refuses() -> None:
    limits = dataclasses.replace(LIMITS, how="shelve")
    for kill_at in itertools.count(1):
        world, given_ = Fake(refuses=[OTHER], kill_at=kill_at), line(ELSEWHERE)
        world.crash()
        with pytest.raises(Killed):
            recover(world, given_, limits)
        if world.vm["vm_state"] == "shelved_offloaded":
            break
    done = recover(world, again(world, given_), limits)
    assert (end(done), done.target) == (("shelve", "verified", "recovered"), THIRD)


@given(
    kill_at=st.integers(1, 40),
    reaction=st.sampled_from([HERE, ELSEWHERE, EITHER]),
    how=st.sampled_from(["cold_migrate", "shelve"]),
    dies=st.integers(0, 2),
    refuses=st.sampled_from([[], [OTHER]]),
    lost=st.dictionaries(st.integers(0, 5), st.booleans(), max_size=2),
    pause=st.floats(0.0, 40.0),
    noticed=st.booleans(),
)
@examples(150)
def test_killed_anywhere_and_run_again_it_ends_running_once_or_off_and_told(
    kill_at: int,
    reaction: str,
    how: str,
    dies: int,
    refuses: list[str],
    lost: dict[int, bool],
    pause: float,
    noticed: bool,
) -> None:
    world = Fake(dies={HOME: dies}, refuses=refuses, lost=lost, kill_at=kill_at)
    world.crash()
    world.wait(20 if noticed else 0.1)
    limits, given_ = dataclasses.replace(LIMITS, how=how), line(reaction)
    try:
        done = recover(world, given_, limits)
    except Killed:
        world.wait(pause)
        done = recover(world, again(world, given_), limits)
    for _try in range(4):  # a responder decides again about what was in vain
        if done.outcome != "recovered":
            world.wait(30)
            done = recover(world, again(world, done), limits)
    assert not world.twice
    assert done.outcome == "recovered", (done, world.asked, world.vm)
    assert len(world.runs_on) == 1
    assert world.vm["host"] in world.runs_on


def test_that_the_fake_would_tell_of_a_vm_that_runs_twice() -> None:
    world = Fake()
    world.start_on(OTHER)
    assert world.twice
    assert ME == "me"
