from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.fakes.profiles import examples

from ansible_collections.openstack_ha.recovery.plugins.module_utils._capacity import Room

AMOUNTS = st.dictionaries(st.sampled_from(["VCPU", "MEMORY_MB", "DISK_GB"]), st.integers(0, 9))


@pytest.fixture
def room() -> Room:
    return Room({"a": ({"VCPU": 8, "MEMORY_MB": 100}, {"VCPU": 6}), "b": ({"VCPU": 8, "DISK_GB": 10}, {})})


def test_what_is_used_is_not_free(room: Room) -> None:
    assert room.as_data() == {"a": {"VCPU": 2, "MEMORY_MB": 100}, "b": {"VCPU": 8, "DISK_GB": 10}}


@pytest.mark.parametrize(
    ("host", "need", "lacking"),
    [
        ("a", {"VCPU": 2}, []),
        ("a", {"VCPU": 3}, ["VCPU: needs 3, free 2"]),
        ("a", {"VCPU": 3, "MEMORY_MB": 101}, ["MEMORY_MB: needs 101, free 100", "VCPU: needs 3, free 2"]),
        ("a", {"DISK_GB": 999}, []),
        ("b", {"DISK_GB": 11}, ["DISK_GB: needs 11, free 10"]),
        ("a", {"PCPU": 1}, ["PCPU: needs 1, free 0"]),
        ("a", {"PCPU": 0}, []),
        ("c", {}, ["no figures in Placement"]),
    ],
)
def test_what_a_host_lacks_is_told_per_class_and_shared_disk_is_not_missed(
    room: Room, host: str, need: dict[str, int], lacking: list[str]
) -> None:
    assert room.lacking(host, need) == lacking
    assert room.fits(host, need) == (not lacking)


def test_freedom_is_the_scarcest_share_that_is_left(room: Room) -> None:
    assert room.freedom("a", {"VCPU": 1, "MEMORY_MB": 50}) == pytest.approx(1 / 8)
    assert room.freedom("b", {"VCPU": 0}) == 1.0
    assert room.freedom("c", {"VCPU": 1}) < room.freedom("a", {"VCPU": 9})


@examples(200)
@given(AMOUNTS, AMOUNTS, AMOUNTS)
def test_what_is_taken_and_given_leaves_the_room_as_it_was(
    free: dict[str, int], one: dict[str, int], two: dict[str, int]
) -> None:
    room = Room.of_free({"a": free})
    room.take("a", one)
    room.take("a", two)
    room.give("a", one)
    room.give("a", two)
    assert room.as_data() == {"a": free}


@examples(200)
@given(AMOUNTS, st.lists(AMOUNTS))
def test_taking_only_what_fits_never_goes_below_nothing(free: dict[str, int], needs: list[dict[str, int]]) -> None:
    room = Room.of_free({"a": free})
    for need in needs:
        if room.fits("a", need):
            room.take("a", need)
    assert all(amount >= 0 for amount in room.as_data()["a"].values())
