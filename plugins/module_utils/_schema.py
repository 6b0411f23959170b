# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks what stands in a configuration file against its JSON Schema. PRIVATE: may change at any time.

Errors are told in the words of :mod:`_config`. Of a schema the annotations ``unit`` and ``expected`` are used for them.
"""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._config import (
    Tagged,
    below,
    is_template,
    unknown_key,
    wrong,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError

Json = t.Dict[str, t.Any]
_Place = t.Tuple[t.Any, ...]
#: An error, and the keys that lead to what is wrong.
_Finding = t.Tuple[ConfigError, _Place]


def check(given: t.Any, schema: Json, what: str) -> tuple[t.Any, list[ConfigError]]:
    """What is sound of the contents of a file, and what is wrong with the rest.

    :param what: The file in words, as ``the policy``.
    :raises RecoveryError: A Python package is missing.
    """
    unreadable = list(_unreadable(given, what, "", ()))
    readable = _without(given, [place for _error, place in unreadable])
    invalid = _against_schema(readable, schema, what)
    sound = _without(readable, [place for _error, place in invalid])
    return sound, [error for error, _place in unreadable + invalid]


def _unreadable(value: t.Any, what: str, path: str, place: _Place) -> t.Iterator[_Finding]:
    if isinstance(value, Tagged):
        yield ConfigError(f"{path}: is vaulted; {what} holds no secrets, write the value itself."), place
    elif isinstance(value, str) and is_template(value):
        yield ConfigError(f"{path}: is a template; {what} resolves none, write the value itself."), place
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                yield ConfigError(f"{below(path, str(key))}: a key must be a string; put it in quotes."), (*place, key)
            yield from _unreadable(item, what, below(path, str(key)), (*place, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _unreadable(item, what, below(path, number), (*place, number))


def _against_schema(config: t.Any, schema: Json, what: str) -> list[_Finding]:
    # A wrong type is also none of the choices, which says the same again.
    errors = _validator(schema, what).iter_errors(config)
    told = {error.message: (error, place) for it in errors for error, place in _told(it, config, what)}
    return list(told.values())


def _validator(schema: Json, what: str) -> t.Any:
    try:
        import jsonschema  # here, because without such a file nobody needs to wait for it
    except ImportError:
        raise RecoveryError(f"The Python package jsonschema is needed to check {what}; install it.") from None
    base = jsonschema.Draft202012Validator
    # JSON Schema takes 1.0 for an integer; Python's numbers differ in what is made of them.
    strict = base.TYPE_CHECKER.redefine("integer", lambda _, it: isinstance(it, int) and not isinstance(it, bool))
    return jsonschema.validators.extend(base, type_checker=strict)(schema)


def _told(error: t.Any, config: t.Any, what: str) -> t.Iterator[_Finding]:
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
        yield wrong(path or what, _expected(schema), value), place


def _expected(schema: Json) -> str:
    if "expected" in schema:
        return str(schema["expected"])
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if schema["type"] == "integer":
        unit = f" of {schema['unit']}" if "unit" in schema else ""
        return f"a whole number{unit} from {schema['minimum']} to {schema['maximum']}"
    if schema["type"] == "number":
        unit = f" of {schema['unit']}" if "unit" in schema else ""
        return f"a number{unit} from {schema['minimum']} to {schema['maximum']}"
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
