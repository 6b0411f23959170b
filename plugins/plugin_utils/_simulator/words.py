# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The small language of stories: durations, keys, and errors that say where. PRIVATE: may change at any time."""

from __future__ import annotations

import difflib
import re
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError

Json = t.Dict[str, t.Any]

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?)\s*(s|min|h|d)")


def seconds(value: t.Any, path: str) -> float:
    """``90``, ``30 s``, ``2 min``, ``1 h 30 min``."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    text = str(value).strip()
    if text and not _DURATION.sub("", text).strip():
        return sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))
    raise ConfigError(f"{path}: must be a time such as 30 s, 2 min or 1 h 30 min, not {value!r}.")


def mapping(value: t.Any, known: t.Mapping[str, t.Any] | None, path: str) -> Json:
    """A mapping with these keys and no others.

    :param known: None: any keys.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: must be a mapping, not {value!r}.")
    for key in value:
        if known is not None and key not in known:
            raise ConfigError(f"{path}.{key}: is not known. {_nearest(str(key), known)}")
    return dict(value)


def one_of(value: t.Any, choices: t.Collection[str], path: str) -> str:
    """One of some words."""
    if value not in choices:
        raise ConfigError(f"{path}: {value!r} is not known. {_nearest(str(value), choices)}")
    return str(value)


def listed(value: t.Any) -> list[t.Any]:
    """A list, also where one item was given alone."""
    return list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]


def whole(value: t.Any, path: str) -> int:
    """A whole number from 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(f"{path}: must be a whole number from 0, not {value!r}.")
    return value


def _nearest(word: str, known: t.Collection[str]) -> str:
    near = difflib.get_close_matches(word, list(known), 1)
    return f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
