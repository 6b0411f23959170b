from __future__ import annotations

import subprocess
import sys
import typing as t

import jsonschema
import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _policy_schema
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import SCHEMA, defaults

Json = dict[str, t.Any]


def leaves(schema: Json, path: str = "") -> t.Iterator[tuple[str, Json]]:
    """All keys of the schema that hold a value, with their paths."""
    for key, it in schema.get("properties", {}).items():
        here = f"{path}.{key}".lstrip(".")
        if "properties" not in it:
            yield here, it
        yield from leaves(it, here)
    for each in (schema.get("additionalProperties"), schema.get("items")):
        if isinstance(each, dict):
            yield from leaves(each, f"{path}[]")


LEAVES = dict(leaves(SCHEMA))


def at(values: Json, path: str) -> t.Any:
    for key in path.split("."):
        values = values[key]
    return values


def test_the_schema_is_a_valid_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_defaults_are_valid_by_their_own_schema() -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(defaults())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("gates.planned", "ask"),
        ("gates.witnesses", {"needed": 2, "required": [], "ask_after": 300}),
        ("gates.start_grace", 60),
        ("gates.power_restored", {"percent": 50, "within": 1200}),
        ("gates.kdump", {"timeout": 300, "quiet": 25}),
        ("gates.flapping", {"recoveries": 3, "within": 86400}),
        ("gates.fence_ready", {"max_age": 172800}),
        ("gates.mass_silence", {"hosts": 3, "percent": 30, "ask_after": 600}),
        ("gates.cool_down", 300),
        ("budgets.cloud", {"at_once": 1, "at_once_percent": 100, "per_hour": 3}),
        ("budgets.segment", {"at_once": 1, "at_once_percent": 100, "per_hour": 3}),
        ("budgets.failure_domain", {"at_once": 1, "at_once_percent": 100, "per_hour": 3}),
        ("budgets.segments", {}),
        ("budgets.failure_domains", {}),
        ("networks", {}),
        ("reactions", None),
        ("segments", {}),
        ("ask", {"wait": 0, "default": "hold", "answer_valid": 900}),
        ("vms", {"protect": True, "priority": 500}),
    ],
)
def test_without_a_policy_these_values_hold(path: str, value: t.Any) -> None:
    assert at(defaults(), path) == value


def test_nothing_else_holds() -> None:
    assert defaults().keys() == SCHEMA["properties"].keys()
    assert len(defaults()["gates"]) == 9
    assert len(defaults()["budgets"]) == 5


def test_whoever_changes_the_defaults_changes_only_his_copy() -> None:
    defaults()["gates"]["witnesses"]["required"].append("x")
    defaults()["budgets"]["segments"]["x"] = {}
    assert defaults()["gates"]["witnesses"]["required"] == []
    assert defaults()["budgets"]["segments"] == {}


@pytest.mark.parametrize(("path", "schema"), LEAVES.items(), ids=LEAVES)
def test_every_key_says_what_it_means_and_what_it_takes(path: str, schema: Json) -> None:
    assert schema["description"].endswith(".")
    if schema["type"] == "integer":
        assert schema["minimum"] <= schema.get("default", schema["minimum"]) <= schema["maximum"]
        assert "unit" in schema or path.endswith(".priority")


def test_no_mapping_of_the_schema_takes_unknown_keys() -> None:
    def mappings(schema: t.Any) -> t.Iterator[Json]:
        if isinstance(schema, dict):
            if schema.get("type") == "object":
                yield schema
            for it in schema.values():
                yield from mappings(it)

    found = list(mappings(SCHEMA))
    assert len(found) > 15
    assert all("additionalProperties" in it and it["additionalProperties"] is not True for it in found)


def test_the_defaults_cost_no_import_of_other_packages() -> None:
    program = f"import sys; import {_policy_schema.__name__} as it; it.defaults(); print('jsonschema' in sys.modules)"
    path = [entry for entry in sys.path if entry]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
