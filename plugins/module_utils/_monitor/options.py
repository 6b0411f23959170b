# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks options against a table. PRIVATE to this collection: may change at any time.

A table is a dictionary of :class:`Option`. What is not in it is refused with its path, numbers are never clamped.
"""

from __future__ import annotations

import copy
import dataclasses
import typing as t

from .errors import ConfigError

Json = t.Dict[str, t.Any]

REQUIRED: t.Any = object()
_WORDS = {"str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false"}


@dataclasses.dataclass(frozen=True)
class Option:
    """One option.

    :param type: ``str``, ``int``, ``float``, ``bool``, ``list`` (of ``each``), ``map`` (from names to ``each``) or
        ``object`` (with these ``options``).
    :param default: None means: not set. An object without a default has the defaults of its options.
    :param least: The least number, or the fewest elements; ``most``: the other end.
    """

    type: str = "str"
    default: t.Any = REQUIRED
    choices: t.Sequence[str] = ()
    least: float | None = None
    most: float | None = None
    each: Option | None = None
    options: t.Mapping[str, Option] | None = None


Table = t.Mapping[str, Option]


def check(values: t.Any, table: Table, path: str = "") -> Json:
    """The values with the defaults of what was left out.

    :raises ConfigError: It starts with the path of what is wrong.
    """
    given = _need(values, dict, path or "configuration", "an object")
    for name in given:
        if name not in table:
            raise ConfigError(f"{_join(path, name)}: no such option; there are {', '.join(sorted(table)) or 'none'}")
    return {name: _one(given, name, option, path) for name, option in table.items()}


def _one(given: Json, name: str, option: Option, path: str) -> t.Any:
    where = _join(path, name)
    if given.get(name) is not None:
        return value(given[name], option, where)
    if option.default is not REQUIRED:
        return copy.deepcopy(option.default)
    if option.type == "object":
        return check({}, option.options or {}, where)
    raise ConfigError(f"{where}: is missing")


def value(given: t.Any, option: Option, path: str) -> t.Any:
    """One value, checked."""
    if option.type == "object":
        return check(given, option.options or {}, path)
    if option.type == "list":
        found: t.Any = [_each(it, option, f"{path}[{n}]") for n, it in enumerate(_need(given, list, path, "a list"))]
    elif option.type == "map":
        whole = _need(given, dict, path, "an object")
        found = {name: _each(it, option, _join(path, name)) for name, it in whole.items()}
    else:
        found = _plain(given, option.type, path)
    _bounds(found, option, path)
    return found


def _each(given: t.Any, option: Option, path: str) -> t.Any:
    return value(given, option.each or Option(), path)


def _plain(given: t.Any, kind: str, path: str) -> t.Any:
    right = {
        "str": isinstance(given, str),
        "bool": isinstance(given, bool),
        "int": isinstance(given, int) and not isinstance(given, bool),
        "float": isinstance(given, (int, float)) and not isinstance(given, bool) and abs(given) < 1e300,
    }[kind]
    if not right:
        raise ConfigError(f"{path}: must be {_WORDS[kind]}, not {given!r}")
    return float(given) if kind == "float" else given


def _bounds(found: t.Any, option: Option, path: str) -> None:
    if option.choices and found not in option.choices:
        raise ConfigError(f"{path}: must be one of {', '.join(option.choices)}, not {found!r}")
    size = found if option.type in ("int", "float") else len(found) if hasattr(found, "__len__") else 0
    unit = "" if option.type in ("int", "float") else " characters" if option.type == "str" else " elements"
    if option.least is not None and size < option.least:
        raise ConfigError(f"{path}: must be at least {option.least:g}{unit}, not {size:g}")
    if option.most is not None and size > option.most:
        raise ConfigError(f"{path}: must be at most {option.most:g}{unit}, not {size:g}")


def _need(given: t.Any, kind: type, path: str, word: str) -> t.Any:
    if not isinstance(given, kind):
        raise ConfigError(f"{path}: must be {word}, not {given!r}")
    return given


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
