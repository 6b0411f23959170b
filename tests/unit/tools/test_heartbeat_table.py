"""A day of heartbeats over a network that loses packets."""

from __future__ import annotations

import random
import sys

import pytest
from tree import ROOT

sys.path.insert(0, str(ROOT / "tests" / "tools"))

from heartbeat_table import DAY, Setting, lost_beats, overlaps, silences, simulate, sizes, trade_off, traffic

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.heartbeat import Receiver, Sender


def test_in_a_day_of_one_percent_loss_no_living_host_is_taken_for_dead() -> None:
    day = simulate(Setting(), hosts=40, seconds=DAY)
    assert day.beats == 40 * 6 * 172_800
    assert (day.down, day.verdicts) == (0, 0)
    assert day.words < 6, "single words of one responder about one network happen, as the table says"


def test_the_plug_of_a_host_is_noticed_in_time() -> None:
    assert Setting().worst <= 2.6


def test_as_much_is_lost_as_is_said() -> None:
    lost = list(lost_beats(1_000_000, 0.01, random.Random(3)))
    assert 9_700 < len(lost) < 10_300
    assert lost == sorted(set(lost))
    assert 0 <= lost[0] < lost[-1] < 1_000_000


@pytest.mark.parametrize("loss", [0.1, 0.2])
def test_the_table_tells_what_the_simulation_finds(loss: float) -> None:
    setting = Setting(loss=loss)
    seconds = 2_000_000.0
    found, expected = len(silences(setting, seconds, random.Random(4))), setting.false_in(seconds)
    assert abs(found - expected) < 5 * expected**0.5 + 1


def heard_by_the_real_thing(loss: float, beats: int) -> list[int]:
    """The numbers of beats that counted, when their answers are lost as often as they are."""
    chance = random.Random(5)
    source, sink = Sender("cmp01", "admin", b"key"), Receiver(lambda _host: [b"key"])
    counted = []
    for number in range(beats):
        datagram = source.beat(False, 1.0)
        if chance.random() < loss:
            continue
        heard = sink.take(datagram)
        assert heard
        if heard.counted:
            counted.append(number)
        if heard.answer and chance.random() >= loss:
            source.take(heard.answer)
    return counted


def test_every_beat_that_arrives_counts_whatever_becomes_of_the_answers() -> None:
    counted = heard_by_the_real_thing(0.3, 5_000)
    chance = random.Random(5)
    arrived = []
    for number in range(5_000):
        if chance.random() >= 0.3:
            arrived.append(number)
            chance.random()
    assert counted == arrived[arrived.index(counted[0]) :]
    assert counted[0] < 20, "as soon as the first answer has come"


def test_silences_at_the_same_time_are_found() -> None:
    assert overlaps([[(1.0, 4.0)], [(3.0, 5.0)], [(6.0, 7.0)]], 2) == [3.0]
    assert overlaps([[(1.0, 4.0)], [(3.0, 5.0)]], 1) == [1.0]
    assert overlaps([[(1.0, 2.0)], [(2.0, 3.0)]], 2) == []


def test_the_tables_can_be_made() -> None:
    assert len(trade_off()) == 2 + 4 * 3
    assert len(traffic()) == 4 + 2 * 4
    beat, answer = sizes()
    assert answer < beat < 200
