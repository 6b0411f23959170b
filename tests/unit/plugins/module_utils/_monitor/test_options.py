from __future__ import annotations

import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.options import Option, check

TABLE = {
    "name": Option(least=1, most=5),
    "number": Option("int", default=3, least=1, most=9),
    "seconds": Option("float", default=None),
    "on": Option("bool", default=False),
    "mode": Option(default="a", choices=("a", "b")),
    "list": Option("list", default=[], most=2, each=Option("int")),
    "map": Option("map", default={}, each=Option("object", options={"deep": Option("int", default=1)})),
    "inner": Option("object", options={"value": Option("int", default=5)}),
}


def test_what_is_left_out_has_its_default() -> None:
    assert check({"name": "x"}, TABLE) == {
        "name": "x", "number": 3, "seconds": None, "on": False, "mode": "a", "list": [], "map": {},
        "inner": {"value": 5},
    }  # fmt: skip


def test_defaults_are_not_shared() -> None:
    check({"name": "x"}, TABLE)["list"].append(1)
    assert check({"name": "x"}, TABLE)["list"] == []


def test_what_is_given_is_kept() -> None:
    given = {"name": "x", "seconds": 2, "list": [1, 2], "map": {"k": {"deep": 7}}, "inner": {"value": 0}}
    found = check(given, TABLE)
    assert (found["seconds"], found["list"], found["map"], found["inner"]) == (
        2.0,
        [1, 2],
        {"k": {"deep": 7}},
        {"value": 0},
    )
    assert isinstance(found["seconds"], float)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "configuration: must be an object"),
        ({}, "name: is missing"),
        ({"name": "x", "nmae": 1}, "nmae: no such option; there are inner, list"),
        ({"name": ""}, "name: must be at least 1 characters, not 0"),
        ({"name": "longer"}, "name: must be at most 5 characters, not 6"),
        ({"name": 1}, "name: must be a text, not 1"),
        ({"name": "x", "number": 0}, "number: must be at least 1, not 0"),
        ({"name": "x", "number": 10}, "number: must be at most 9, not 10"),
        ({"name": "x", "number": True}, "number: must be a whole number, not True"),
        ({"name": "x", "number": 1.5}, "number: must be a whole number"),
        ({"name": "x", "seconds": float("nan")}, "seconds: must be a number"),
        ({"name": "x", "seconds": 10**400}, "seconds: must be a number"),
        ({"name": "x", "on": 1}, "on: must be true or false"),
        ({"name": "x", "mode": "c"}, "mode: must be one of a, b, not 'c'"),
        ({"name": "x", "list": [1, "2"]}, r"list\[1\]: must be a whole number"),
        ({"name": "x", "list": {}}, "list: must be a list"),
        ({"name": "x", "list": [1, 2, 3]}, "list: must be at most 2 elements, not 3"),
        ({"name": "x", "map": {"k": {"depe": 1}}}, "map.k.depe: no such option"),
        ({"name": "x", "map": []}, "map: must be an object"),
        ({"name": "x", "inner": {"value": "5"}}, "inner.value: must be a whole number"),
    ],
)
def test_what_is_wrong_is_refused_with_its_path(given: t.Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        check(given, TABLE)
