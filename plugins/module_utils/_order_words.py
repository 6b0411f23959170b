# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Orders of operators as text and numbers. PRIVATE to this collection: may change at any time.

Pure: no clock, no journal.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError

Order = t.Mapping[str, t.Any]

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_VERBS = {"pause": "paused", "disarm": "disarmed"}


def seconds(text: str, option: str) -> float:
    """A duration: seconds, or numbers with the units s, m, h, d, such as 1h30m."""
    text = text.strip().lower()
    parts = _PART.findall(text)
    if re.fullmatch(r"\d+(\.\d+)?", text):
        found = float(text)
    elif parts and "".join(number + unit for number, unit in parts) == text:
        found = sum(float(number) * _UNITS[unit] for number, unit in parts)
    else:
        raise ConfigError(f"{option}: {text!r} is not a duration; write 90 (seconds), 30m, 2h, 1h30m or 1d")
    if found <= 0:
        raise ConfigError(f"{option}: must be longer than 0 seconds, not {text!r}")
    return found


def span(length: float) -> str:
    """A duration for people."""
    for unit, name in (("d", "days"), ("h", "h"), ("m", "min")):
        if length >= 2 * _UNITS[unit]:
            return f"{length / _UNITS[unit]:.0f} {name}"
    return f"{max(0.0, length):.0f} s"


def covered(order: Order) -> str:
    """What an order is about."""
    return f"{order['scope']} {order['name']}" if order.get("name") else "the whole cloud"


def covers(order: Order, host: str, segment: str | None) -> bool:
    """Whether an order is about a host of a segment."""
    return order["scope"] == "cloud" or order["name"] == {"segment": segment, "host": host}[order["scope"]]


def words(order: Order) -> str:
    """An order in one line."""
    limits = ", ".join(f"{key} {value}" for key, value in sorted((order.get("limits") or {}).items()) if value)
    left = order.get("left")
    rest = "until it is ended" if left is None else f"for another {span(left)}"
    what = f"{order['kind']} ({limits})" if limits else order["kind"]
    number, owner, reason = order["number"], order["owner"], order["reason"]
    return f"order {number}: {what} of {covered(order)} by {owner} {rest}: {reason}"


def stops(order: Order) -> str:
    """Why something is not begun."""
    return f"{_VERBS[order['kind']]} by {order['owner']} (order {order['number']}, {covered(order)}): {order['reason']}"


def ending(order: Order) -> str:
    """What whoever reads the orders first is told when one ends by itself."""
    if order["left"] > 0:
        return f"ends in {span(order['left'])}: {words({**order, 'left': None})}".replace(" until it is ended", "")
    return f"has ended {span(-order['left'])} ago: {words({**order, 'left': None})}".replace(" until it is ended", "")


def same(order: Order, wanted: Order) -> bool:
    """Whether an order is what is wanted, whatever is left of its time."""
    keys = ("scope_region", "kind", "scope", "name", "owner", "reason", "limits", "seconds")
    return all(order.get(key) == wanted.get(key) for key in keys)
