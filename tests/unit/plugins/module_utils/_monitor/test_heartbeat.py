from __future__ import annotations

import dataclasses
import hashlib
import math
import random
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.fakes.profiles import examples

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.errors import MonitorError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.heartbeat import (
    LONGEST,
    Receiver,
    Sender,
    key_of,
)

KEYS = {"cmp01": [key_of("one")], "cmp02": [key_of("new"), key_of("old")]}


def seeded(seed: int) -> t.Callable[[int], bytes]:
    return random.Random(seed).randbytes


def receiver(seed: int = 1) -> Receiver:
    return Receiver(lambda host: KEYS.get(host, []), seeded(seed))


def sender(seed: int = 2, host: str = "cmp01", network: str = "admin", key: bytes | None = None) -> Sender:
    return Sender(host, network, key or KEYS[host][0], seeded(seed))


def exchange(source: Sender, sink: Receiver, armed: bool = False) -> bool:
    """One beat and its answer; whether it was counted, on both sides."""
    heard = sink.take(source.beat(armed, 12.5))
    assert heard
    ack = source.take(heard.answer)
    assert ack
    assert ack.counted == heard.counted
    return heard.counted


def counting(seed: int = 2) -> tuple[Sender, Receiver]:
    source, sink = sender(seed), receiver()
    assert [exchange(source, sink) for _each in range(3)] == [False, True, True]
    return source, sink


def test_a_hello_is_answered_and_every_beat_after_it_counts() -> None:
    counting()


def test_what_a_beat_says_is_heard() -> None:
    source, sink = counting()
    heard = sink.take(source.beat(True, 99.5))
    assert heard
    assert dataclasses.replace(heard, answer=b"") == dataclasses.replace(
        heard, host="cmp01", network="admin", counted=True, armed=True, up_for=99.5, answer=b""
    )


def test_hosts_and_networks_do_not_disturb_each_other() -> None:
    sink = receiver()
    sources = [sender(2), sender(3, network="storage"), sender(4, host="cmp02")]
    for _each in range(3):
        said = [exchange(source, sink) for source in sources]
    assert said == [True] * 3


def test_the_former_key_is_accepted_while_it_is_listed() -> None:
    sink = receiver()
    source = sender(host="cmp02", key=key_of("old"))
    assert [exchange(source, sink), exchange(source, sink)] == [False, True]


def test_a_key_of_another_host_says_nothing() -> None:
    source = sender(key=key_of("new"))
    assert receiver().take(source.beat(False, 1.0)) is None


def test_a_host_that_nobody_knows_is_not_answered() -> None:
    assert receiver().take(Sender("cmp99", "admin", key_of("one")).beat(False, 1.0)) is None


def test_networks_that_nobody_listens_to_are_not_heard() -> None:
    sink = Receiver(lambda host: KEYS.get(host, []), seeded(1), networks={"admin"})
    assert sink.take(sender().beat(False, 1.0))
    assert sink.take(sender(network="storage").beat(False, 1.0)) is None


def test_a_beat_counts_only_once_and_its_copy_gets_no_answer() -> None:
    source, sink = counting()
    beat = source.beat(False, 1.0)
    first, second = sink.take(beat), sink.take(beat)
    assert first
    assert first.counted
    assert second
    assert (second.counted, second.answer) == (False, b"")


def test_what_was_recorded_before_a_restart_of_the_receiver_never_counts() -> None:
    source, _sink = counting()
    recorded = [source.beat(False, 1.0) for _each in range(5)]
    renewed = receiver(seed=77)
    heard = [renewed.take(it) for it in recorded]
    assert [it.counted for it in heard if it] == [False] * 5
    for it in heard:
        assert it
        source.take(it.answer)
    assert exchange(source, renewed), "but its host counts again after one answer"
    assert not any(it.counted for it in (renewed.take(it) for it in recorded) if it)


def test_an_older_session_is_dead_as_soon_as_a_newer_one_counts() -> None:
    old, sink = counting()
    late = old.beat(True, 1.0)
    new = sender(seed=9)
    assert not exchange(new, sink)
    assert exchange(old, sink), "until then the old one counts"
    assert exchange(new, sink)
    heard = sink.take(late)
    assert heard
    assert not heard.counted
    assert exchange(new, sink)


def test_a_hello_that_is_played_again_does_not_silence_the_session_that_counts() -> None:
    source, sink = sender(), receiver()
    hello = source.beat(False, 1.0)
    heard = sink.take(hello)
    assert heard
    assert source.take(heard.answer)
    assert exchange(source, sink)
    again = sink.take(hello)
    assert again
    assert (again.counted, again.answer) == (False, b"")
    assert exchange(source, sink)


def test_beats_of_a_dead_session_do_not_count_though_its_hello_is_played_again() -> None:
    old, sink = sender(), receiver()
    hello = old.beat(False, 1.0)
    heard = sink.take(hello)
    assert heard
    old.take(heard.answer)
    recorded = [old.beat(False, 1.0) for _each in range(3)]
    new = sender(seed=5)
    assert [exchange(new, sink) for _each in range(2)] == [False, True]
    played = [sink.take(it) for it in [hello, *recorded, hello, *recorded]]
    assert not any(it.counted for it in played if it)
    assert exchange(new, sink)


def test_an_answer_that_is_played_again_does_not_bring_an_old_nonce_back() -> None:
    source, sink = counting()
    heard = sink.take(source.beat(False, 1.0))
    assert heard
    assert source.take(heard.answer)
    renewed = receiver(seed=8)
    assert not exchange(source, renewed)
    assert source.take(heard.answer) is None
    assert exchange(source, renewed)


def test_answers_for_another_session_or_for_beats_never_sent_are_no_answers() -> None:
    source, sink = counting()
    other = sender(seed=6)
    heard = sink.take(other.beat(False, 1.0))
    assert heard
    assert source.take(heard.answer) is None
    assert sender(seed=6).take(heard.answer) is None


def test_a_beat_is_no_answer_and_an_answer_is_no_beat() -> None:
    source, sink = counting()
    beat = source.beat(False, 1.0)
    assert source.take(beat) is None
    heard = sink.take(beat)
    assert heard
    assert sink.take(heard.answer) is None


def test_a_time_that_is_none_is_not_heard() -> None:
    assert receiver().take(sender().beat(False, math.inf)) is None


@pytest.mark.parametrize("name", ["", "x" * 256, "ä" * 128])
def test_names_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(MonitorError, match="1 to 255 bytes"):
        Sender(name, "admin", b"")


@examples(100)
@given(st.binary(max_size=LONGEST + 10))
def test_any_bytes_are_heard_without_an_error(content: bytes) -> None:
    source, sink = counting()
    assert sink.take(content) is None
    assert source.take(content) is None


@examples(100)
@given(st.data())
def test_a_datagram_that_was_changed_anywhere_is_not_heard(data: st.DataObject) -> None:
    source, sink = counting()
    beat = source.beat(False, 1.0)
    at = data.draw(st.integers(0, len(beat) - 1))
    changed = bytearray(beat)
    changed[at] ^= data.draw(st.integers(1, 255))
    assert sink.take(bytes(changed)) is None
    assert sink.take(beat[:at]) is None
    assert sink.take(beat + beat[:at]) is None or not at


#: What a network and those on it can do: a new life of the host or of the receiver, beats whose answers arrive or not,
#: and anything that was ever sent, in any order and as often as they like.
ACTIONS = st.lists(
    st.one_of(
        st.sampled_from(["host starts", "receiver starts", "beat", "answer is lost"]),
        st.tuples(st.just("play"), st.integers(0, 200)),
    ),
    max_size=60,
)


class World:
    """One host and one receiver, and whoever records what they say."""

    def __init__(self) -> None:
        self.lives = 0
        self.sink = receiver(seed=1000)
        self.recorded: list[tuple[int, bytes]] = []  # the life of the host, and what it said
        self.counted: set[str] = set()
        self.newest = self.stale = 0
        self.start_host()

    def start_host(self) -> None:
        self.lives += 1
        self.source = sender(seed=self.lives)

    def start_receiver(self, number: int) -> None:
        self.sink, self.stale = receiver(seed=2000 + number), len(self.recorded)

    def beat(self, answered: bool = True) -> bool:
        self.recorded.append((self.lives, self.source.beat(False, 1.0)))
        heard = self.take(len(self.recorded) - 1)
        if heard and answered:
            self.source.take(heard.answer)
        return bool(heard and heard.counted)

    def take(self, number: int) -> t.Any:
        life, datagram = self.recorded[number]
        heard = self.sink.take(datagram)
        assert heard
        assert len(heard.answer) <= len(datagram)
        if heard.counted:
            name = hashlib.sha256(datagram).hexdigest()
            assert name not in self.counted, "counted twice"
            assert number >= self.stale, "it was said before the receiver started"
            assert life >= self.newest, "a newer life has counted"
            self.counted.add(name)
            self.newest = life
        return heard


@examples(200)
@given(ACTIONS)
def test_whatever_is_played_again_nothing_counts_twice_or_late_and_the_host_is_heard_again(
    actions: list[t.Any],
) -> None:
    world = World()
    for number, action in enumerate(actions):
        if action == "host starts":
            world.start_host()
        elif action == "receiver starts":
            world.start_receiver(number)
        elif action in ("beat", "answer is lost"):
            world.beat(answered=action == "beat")
        elif world.recorded:
            world.take(action[1] % len(world.recorded))
    assert world.beat() | world.beat() | world.beat(), "a network that works for two beats is enough"
