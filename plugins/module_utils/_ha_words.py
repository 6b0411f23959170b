# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The words of the HA policy: what may be said about a VM, and how it is read. Pure. PRIVATE: may change at any time.

Policy files say it in YAML; metadata, extra specs, properties and tags can only hold text. Both are read here.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._restart_order import read_ready

PREFIX = "openstack_ha:"
IMAGE_PREFIX = "openstack_ha_"  # properties of an image are also given as headers, which know no colon

METHODS = ("evacuate", "rebuild", "restart", "notify", "heat", "none")
#: What may be done once its owner has had the time to rescue a VM.
OTHERWISE = ("evacuate", "rebuild", "heat", "none")
LONGEST = 7 * 86400  # seconds

_TRUE = {"true", "yes", "on", "1", "t", "y"}
_FALSE = {"false", "no", "off", "0", "f", "n"}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


def read(key: str, said: t.Any) -> t.Any:
    """What a value means, or None where it cannot be understood."""
    return _READERS[key](said)


def truth(said: t.Any) -> bool | None:
    """Yes or no, as people write them."""
    text = str(said).strip().lower()
    return True if text in _TRUE else False if text in _FALSE else None


def _one_of(*choices: str) -> t.Callable[[t.Any], str | None]:
    def read_choice(said: t.Any) -> str | None:
        text = str(said).strip().lower()
        return text if text in choices else None

    return read_choice


def _priority(said: t.Any) -> int | None:
    try:
        number = int(str(said))
    except ValueError:
        return None
    return number if 0 <= number <= 1000 else None


def _seconds(said: t.Any) -> float | None:
    try:
        number = float(str(said))
    except ValueError:
        return None
    return number if 0 <= number <= LONGEST else None  # also false for nan


def _group(said: t.Any) -> str | None:
    text = str(said).strip()
    return text if _NAME.fullmatch(text) else None


def _groups(said: t.Any) -> tuple[str, ...] | None:
    """A list, or text with commas, semicolons (tags may hold no commas) or blanks between; nothing is no group."""
    names = [str(it) for it in said] if isinstance(said, (list, tuple)) else re.split(r"[\s,;]+", str(said).strip())
    given = [name for name in names if name]
    return tuple(sorted(set(given))) if all(map(_NAME.fullmatch, given)) else None


_READERS: dict[str, t.Callable[[t.Any], t.Any]] = {
    "protect": truth,
    "method": _one_of(*METHODS),
    "priority": _priority,
    "group": _group,
    "after": _groups,
    "ready": read_ready,
    "local_disk_loss": truth,
    "deadline": _seconds,
    "otherwise": _one_of(*OTHERWISE),
}
#: What is decided about a VM, in the order in which it is told.
KEYS = tuple(_READERS)
