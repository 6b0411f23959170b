# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""First HA policy: is a VM protected, and how important is it? PRIVATE: may change at any time.

Pure. Finer beats coarser: VM metadata, then flavor extra specs, then the segment's default.
"""

from __future__ import annotations

import dataclasses
import typing as t

PROTECT = "openstack_ha:protect"
PRIORITY = "openstack_ha:priority"
MASAKARI = "HA_Enabled"  # what Masakari's operators have set already

_TRUE = {"true", "yes", "on", "1", "t", "y"}
_FALSE = {"false", "no", "off", "0", "f", "n"}


@dataclasses.dataclass(frozen=True)
class Protection:
    """What the policy says about one VM, and the level that said it."""

    protected: bool
    priority: int
    because: str


def protection(server: t.Mapping[str, t.Any], segment: t.Mapping[str, t.Any]) -> Protection:
    """Decide for one server (Nova's document, 2.47 or newer) in its segment.

    An unreadable value does not decide: the next coarser level does, and ``because`` says so.
    """
    notes: list[str] = []
    levels = _levels(server, segment)
    protected, source = _first(levels, (PROTECT, MASAKARI), _boolean, notes)
    priority, _source = _first(levels, (PRIORITY,), _class, notes)
    return Protection(protected, priority, "; ".join([source, *notes]))


def _levels(server: t.Mapping[str, t.Any], segment: t.Mapping[str, t.Any]) -> list[tuple[str, t.Mapping[str, t.Any]]]:
    default = {PROTECT: segment.get("protect", True), PRIORITY: segment.get("priority", 500)}
    return [
        ("VM metadata", server.get("metadata") or {}),
        ("flavor extra specs", (server.get("flavor") or {}).get("extra_specs") or {}),
        ("segment default", default),
    ]


def _first(
    levels: list[tuple[str, t.Mapping[str, t.Any]]],
    keys: tuple[str, ...],
    read: t.Callable[[t.Any], t.Any],
    notes: list[str],
) -> tuple[t.Any, str]:
    for level, values in levels:
        for key in keys:
            if key in values:
                value = read(values[key])
                if value is not None:
                    return value, f"{level} {key}={values[key]}"
                notes.append(f"{level} {key}={values[key]!r} is not understood")
    raise ValueError(f"the segment's default has none of {keys}")


def _boolean(value: t.Any) -> bool | None:
    text = str(value).strip().lower()
    return True if text in _TRUE else False if text in _FALSE else None


def _class(value: t.Any) -> int | None:
    try:
        number = int(str(value))
    except ValueError:
        return None
    return number if 0 <= number <= 1000 else None
