from __future__ import annotations

import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _order_words
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError

ORDER: dict[str, t.Any] = {
    "number": 3, "scope_region": "R", "kind": "pause", "scope": "segment", "name": "rack1", "owner": "al",
    "reason": "switch work", "limits": None, "seconds": 7200.0, "left": 1800.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found"),
    [("90", 90), ("0.5", 0.5), ("30m", 1800), (" 2H ", 7200), ("1h30m", 5400), ("1d", 86400), ("1.5h", 5400)],
)
def test_a_duration_is_seconds_or_has_units(text: str, found: float) -> None:
    assert _order_words.seconds(text, "until") == found


@pytest.mark.parametrize("text", ["", "soon", "2 hours", "h", "-5", "5x", "1h-5m", "nan", "inf", "30m!"])
def test_what_is_no_duration_is_refused_with_the_name_of_the_option(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^until: .*is not a duration"):
        _order_words.seconds(text, "until")


@pytest.mark.parametrize("text", ["0", "0m"])
def test_an_order_that_is_over_at_once_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="longer than 0 seconds"):
        _order_words.seconds(text, "until")


@pytest.mark.parametrize(
    ("length", "told"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7100, "118 min"), (7200, "2 h"), (2e5, "2 days")]
)
def test_people_read_durations_in_the_largest_unit_that_tells_enough(length: float, told: str) -> None:
    assert _order_words.span(length) == told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, "order 3: pause of segment rack1 by al for another 30 min: switch work"),
        ({"left": None}, "order 3: pause of segment rack1 by al until it is ended: switch work"),
        (
            {"kind": "budget", "scope": "cloud", "name": None, "limits": {"at_once": 5, "per_hour": None}},
            "order 3: budget (at_once 5) of the whole cloud by al for another 30 min: switch work",
        ),
    ],
)
def test_an_order_in_one_line(change: dict[str, t.Any], told: str) -> None:
    assert _order_words.words({**ORDER, **change}) == told


def test_what_an_order_stops_names_who_and_why() -> None:
    assert _order_words.stops(ORDER) == "paused by al (order 3, segment rack1): switch work"
    assert _order_words.stops({**ORDER, "kind": "disarm"}).startswith("disarmed by al")


@pytest.mark.parametrize(("left", "told"), [(240.0, "ends in 4 min: "), (-200.0, "has ended 3 min ago: ")])
def test_the_end_of_an_order_is_told(left: float, told: str) -> None:
    assert _order_words.ending({**ORDER, "left": left}) == f"{told}order 3: pause of segment rack1 by al: switch work"


def test_orders_are_the_same_whatever_is_left_of_their_time() -> None:
    assert _order_words.same(ORDER, {**ORDER, "left": 5.0, "number": 9})


@pytest.mark.parametrize("key", ["kind", "scope", "name", "owner", "reason", "limits", "seconds", "scope_region"])
def test_orders_that_differ_are_not_the_same(key: str) -> None:
    assert not _order_words.same(ORDER, {**ORDER, key: "other"})
