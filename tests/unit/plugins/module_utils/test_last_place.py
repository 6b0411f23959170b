from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.fakes.profiles import examples

from ansible_collections.openstack_ha.recovery.plugins.module_utils._capacity import Room
from ansible_collections.openstack_ha.recovery.plugins.module_utils._evacuation_contract import Line
from ansible_collections.openstack_ha.recovery.plugins.module_utils._last_place import Watch, displaced

HOSTS = ["h1", "h2", "h3"]


def line(name: str, rank: int, booked: str | None, state: str = "planned", need: int = 1, **more: t.Any) -> Line:
    choices = more.pop("choices", HOSTS)
    found = Line(id=name, name=name, host="dead", segment={}, state=state, rank=rank, target=booked, **more)
    found.need, found.booked, found.choices = {"VCPU": need}, booked, choices
    return found


def room(lines: list[Line], **total: int) -> Room:
    found = Room.of_free({host: {"VCPU": amount} for host, amount in total.items()})
    for it in lines:
        if it.booked:
            found.take(it.booked, it.need)
    return found


def kept_back(*lines: Line, **total: int) -> list[str]:
    watch = Watch(lines, room(list(lines), **total))
    return [it.name for it in lines if watch.keeps_back(it)]


def test_nobody_is_kept_back_while_there_is_another_place() -> None:
    high, low = line("high", 9, "h1", "requested"), line("low", 1, "h2")
    assert kept_back(high, low, h1=1, h2=1, h3=1) == []
    assert kept_back(high, low, h1=1, h2=2) == []


def test_the_last_other_place_is_left_to_the_important_one_until_it_has_landed() -> None:
    high, low = line("high", 9, "h1", "requested"), line("low", 1, "h2")
    assert kept_back(high, low, h1=1, h2=1) == ["low"]
    high.state = "landed"
    assert kept_back(high, low, h1=1, h2=1) == []


def test_a_host_that_has_refused_the_important_one_is_no_place_for_it() -> None:
    high, low = line("high", 9, "h1", "requested", refused=["h2"]), line("low", 1, "h2")
    assert kept_back(high, low, h1=1, h2=1) == []


def test_a_reserved_host_is_a_place() -> None:
    high, low = line("high", 9, "h1", "requested", reserves=["r1"]), line("low", 1, "h2")
    assert kept_back(high, low, h1=1, h2=1, r1=1) == []


def test_a_place_that_is_too_small_for_the_important_one_is_no_place_for_it() -> None:
    high, low = line("high", 9, "h1", "requested", need=2), line("low", 1, "h2")
    assert kept_back(high, low, h1=2, h2=1) == []
    assert kept_back(high, low, h1=2, h2=2) == ["low"]


def test_where_more_is_booked_than_there_is_the_important_one_goes_first() -> None:
    high, low = line("high", 9, "h1", "retry"), line("low", 1, "h1", "retry")
    assert kept_back(high, low, h1=1) == ["low"]


@pytest.mark.parametrize("state", ["planned", "retry", "unknown", "requesting", "requested"])
def test_equals_never_keep_each_other_back(state: str) -> None:
    assert kept_back(line("a", 5, "h1", state), line("b", 5, "h2", state), h1=1, h2=1) == []


# -- whose place is taken ---------------------------------------------------------------------------------------------


def names(found: tuple[str, list[Line]] | None) -> tuple[str, list[str]] | None:
    return (found[0], [it.name for it in found[1]]) if found else None


def test_the_least_important_goes_and_no_more_of_them_than_needed() -> None:
    lines = [line("a", 5, "h1"), line("b", 1, "h2"), line("c", 2, "h2"), line("d", 1, "h2", order=7)]
    high = line("high", 9, None)
    assert names(displaced(high, lines, room(lines, h1=1, h2=3), ())) == ("h2", ["d"])
    high.need = {"VCPU": 2}
    assert names(displaced(high, lines, room(lines, h1=1, h2=3), ())) == ("h2", ["d", "b"])


@pytest.mark.parametrize("state", ["requesting", "requested", "unknown", "landed", "started", "verified"])
def test_nobody_who_was_asked_for_is_displaced(state: str) -> None:
    lines = [line("low", 1, "h1", state)]
    assert displaced(line("high", 9, None), lines, room(lines, h1=1), ()) is None


def test_nobody_is_displaced_by_an_equal_or_where_it_does_not_help() -> None:
    lines = [line("low", 1, "h1")]
    assert displaced(line("same", 1, None), lines, room(lines, h1=1), ()) is None
    assert displaced(line("big", 9, None, need=3), lines, room(lines, h1=1), ()) is None
    assert displaced(line("high", 9, None, refused=["h1"]), lines, room(lines, h1=1), ()) is None
    assert displaced(line("high", 9, None), lines, room(lines, h1=1), {"low"}) is None


LINES = st.lists(
    st.builds(
        line,
        name=st.uuids().map(str),
        rank=st.integers(0, 3),
        booked=st.sampled_from(HOSTS),
        state=st.sampled_from(["planned", "retry", "requested", "landed"]),
        need=st.integers(0, 3),
    ),
    max_size=6,
)


@examples(200)
@given(LINES, st.integers(0, 3), st.integers(0, 3), st.lists(st.integers(0, 8), min_size=3, max_size=3))
def test_a_question_changes_no_room_and_what_is_displaced_is_enough(
    lines: list[Line], rank: int, need: int, total: list[int]
) -> None:
    here = room(lines, **dict(zip(HOSTS, total)))
    before = here.as_data()
    high = line("high", rank, None, need=need)
    found = displaced(high, lines, here, ())
    watch = Watch([*lines, high], here)
    assert all(not watch.keeps_back(it) for it in lines if it.rank == max(other.rank for other in [*lines, high]))
    assert here.as_data() == before
    if found:
        host, others = found
        for other in others:
            assert (other.booked, other.rank < rank) == (host, True)
            here.give(host, other.need)
        assert here.fits(host, high.need)
