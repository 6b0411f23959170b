# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policy file: is it right, and what holds where it says nothing? PRIVATE: may change at any time.

Names, types and bounds are checked by the JSON Schema of :mod:`_policy_schema`, and errors are told in the words of
:mod:`_config`; what no schema can say is in :mod:`_policy_checks`.
"""

from __future__ import annotations

import copy
import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _networks, _policy_checks
from ansible_collections.openstack_ha.recovery.plugins.module_utils._config import (
    Tagged,
    below,
    digest,
    is_template,
    raise_all,
    unknown_key,
    wrong,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import SCHEMA, defaults, filled

Json = t.Dict[str, t.Any]
_Place = t.Tuple[t.Any, ...]
#: An error, and the keys that lead to what is wrong.
_Finding = t.Tuple[ConfigError, _Place]


@dataclasses.dataclass(frozen=True)
class Policy:
    """A valid policy, complete: every key of the schema has its value.

    :param warnings: What is allowed and probably not meant; each starts with the path of the key.
    """

    values: Json = dataclasses.field(default_factory=defaults)
    warnings: list[str] = dataclasses.field(default_factory=list)

    @property
    def hash(self) -> str:
        """Equal for policies that mean the same, however they are written down."""
        return digest(self.values)


def parse(config: t.Any, segments: t.Collection[str], failure_domains: t.Collection[str]) -> Policy:
    """Check the contents of a policy file, and fill in what it does not say.

    :param segments: The segments of the segments file; the policy may name no others.
    :param failure_domains: The failure domains of the segments file. Where one is a template, any may be named.
    :raises ConfigError: Naming the path of every key that is wrong, a line each.
    :raises RecoveryError: A Python package is missing.
    """
    given = {} if config is None else config  # a file of comments
    unreadable = list(_unreadable(given, "", ()))
    readable = _without(given, [place for _error, place in unreadable])
    invalid = _against_schema(readable)
    sound = _without(readable, [place for _error, place in invalid])
    values = _complete(sound)
    world = _policy_checks.World(_names(given), segments, failure_domains)
    raise_all([error for error, _place in unreadable + invalid] + _policy_checks.errors(values, sound, world))
    return Policy(values, _policy_checks.warnings(values, sound))


def _names(given: t.Any) -> list[str]:
    """The networks that are defined, also those whose definition is wrong."""
    networks = given.get("networks") if isinstance(given, dict) else None
    return list(networks) if isinstance(networks, dict) else []


def _unreadable(value: t.Any, path: str, place: _Place) -> t.Iterator[_Finding]:
    if isinstance(value, Tagged):
        yield ConfigError(f"{path}: is vaulted; the policy holds no secrets, write the value itself."), place
    elif isinstance(value, str) and is_template(value):
        yield ConfigError(f"{path}: is a template; the policy resolves none, write the value itself."), place
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                yield ConfigError(f"{below(path, str(key))}: a key must be a string; put it in quotes."), (*place, key)
            yield from _unreadable(item, below(path, str(key)), (*place, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _unreadable(item, below(path, number), (*place, number))


def _against_schema(config: t.Any) -> list[_Finding]:
    # A wrong type is also none of the choices, which says the same again.
    told = {
        error.message: (error, place) for it in _validator().iter_errors(config) for error, place in _told(it, config)
    }
    return list(told.values())


def _validator() -> t.Any:
    try:
        import jsonschema  # here, because without a policy file nobody needs to wait for it
    except ImportError:
        raise RecoveryError("The Python package jsonschema is needed to check the policy file; install it.") from None
    base = jsonschema.Draft202012Validator
    # JSON Schema takes 1.0 for an integer; Python's numbers differ in what is made of them.
    strict = base.TYPE_CHECKER.redefine("integer", lambda _, it: isinstance(it, int) and not isinstance(it, bool))
    return jsonschema.validators.extend(base, type_checker=strict)(SCHEMA)


def _told(error: t.Any, config: t.Any) -> t.Iterator[_Finding]:
    """What an error of jsonschema means, in the words of this collection."""
    place, value, schema = tuple(error.absolute_path), error.instance, error.schema
    path = _dotted(config, place)
    if error.validator == "additionalProperties":
        known = schema["properties"]
        yield from ((unknown_key(path, key, known), (*place, key)) for key in value if key not in known)
    elif error.validator == "required":
        for key in set(error.validator_value) - set(value):
            expected = _expected(schema["properties"][key])
            yield ConfigError(f"{below(path, key)}: is missing; must be {expected}."), place
    elif "propertyNames" in error.absolute_schema_path:
        how = "made of letters, digits, '_', '-' and '.', and does not begin with '-' or '.'"
        yield ConfigError(f"{below(path, value)}: a name is {how}."), (*place, value)
    elif error.validator == "uniqueItems":
        twice = sorted({str(it) for number, it in enumerate(value) if it in value[:number]})
        yield ConfigError(f"{path}: {', '.join(twice)} stands twice in the list."), place
    else:
        yield wrong(path or "the policy", _expected(schema), value), place


def _expected(schema: Json) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if schema["type"] == "integer":
        unit = f" of {schema['unit']}" if "unit" in schema else ""
        return f"a whole number{unit} from {schema['minimum']} to {schema['maximum']}"
    words = {
        "array": "a list",
        "boolean": "true or false",
        "object": "a mapping",
        "string": "a string (in quotes, if YAML takes it for something else)",
    }
    return words[schema["type"] if isinstance(schema["type"], str) else schema["type"][0]]


def _dotted(config: t.Any, place: _Place) -> str:
    path = ""
    for key in place:
        path = below(path, key if isinstance(config, list) else str(key))
        config = config[key]
    return path


def _without(config: t.Any, places: t.Collection[_Place]) -> t.Any:
    """A copy without what is wrong; of a list nothing is left, because the places of its items would shift."""
    return {} if () in places else _cut(config, (), places)


def _cut(value: t.Any, here: _Place, places: t.Collection[_Place]) -> t.Any:
    if not isinstance(value, dict):
        return value
    inner = {key: (*here, key) for key in value}
    return {key: _cut(value[key], place, places) for key, place in inner.items() if _sound(value[key], place, places)}


def _sound(value: t.Any, place: _Place, places: t.Collection[_Place]) -> bool:
    return place not in places and not (isinstance(value, list) and any(it[: len(place)] == place for it in places))


def _complete(config: Json) -> Json:
    values = t.cast(Json, filled(SCHEMA, config))
    budgets = values["budgets"]
    for each, one in (("segments", "segment"), ("failure_domains", "failure_domain")):
        budgets[each] = {name: {**budgets[one], **caps} for name, caps in budgets[each].items()}
    networks, table = list(values["networks"]), values["reactions"]
    for segment in values["segments"].values():
        segment["networks"] = list(networks) if segment["networks"] is None else segment["networks"]
        if segment["reactions"] is None:
            segment["reactions"] = _table(_about(table, segment["networks"]), segment["networks"])
    return {**values, "reactions": _table(table, networks)}


def _about(rules: list[Json] | None, networks: list[str]) -> list[Json] | None:
    """Without the rules that cannot fit, because they name networks that are not here."""
    if rules is None:
        return None
    return [copy.deepcopy(rule) for rule in rules if {*rule["lost"], *rule["alive"]} <= set(networks)]


def _table(rules: list[Json] | None, networks: list[str]) -> list[Json] | None:
    """The rules, or the default ones for these networks."""
    return [dict(rule) for rule in _networks.default_rules(networks)] if rules is None and networks else rules
