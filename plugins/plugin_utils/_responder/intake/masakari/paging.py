# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filters, order and pages of lists, as Masakari does them. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.problems import Problem

Json = t.Dict[str, t.Any]

MOST = 1000  # items of one answer
_TRUE, _FALSE = ("1", "true", "yes", "on", "t", "y"), ("0", "false", "no", "off", "f", "n")


class Query(t.Protocol):
    """The parameters of a URL."""

    def get(self, name: str) -> str | None:
        """The last value."""

    def getlist(self, name: str) -> list[str]:
        """All values."""


def page(items: t.Sequence[Json], query: Query, filters: t.Collection[str], key: str, newest: str) -> list[Json]:
    """The items that are asked for.

    :param filters: Parameters that must be equal to what the items have under the same name.
    :param key: What ``marker`` is compared with, beside ``id``.
    :param newest: By what is sorted if nothing is said.
    """
    wanted = {name: query.get(name) for name in filters if query.get(name) is not None}
    found = [item for item in items if all(_same(item[name], value) for name, value in wanted.items())]
    keys = query.getlist("sort_key") or [newest]
    ways = query.getlist("sort_dir") or ["desc"]
    for number, name in reversed(list(enumerate(keys))):
        found = _sorted(found, name, ways[number] if number < len(ways) else ways[-1])
    return _after(found, query.get("marker"), key)[: limit(query)]


def limit(query: Query) -> int:
    """How many items an answer may have."""
    given = query.get("limit")
    if given is None:
        return MOST
    if not (given.isascii() and given.isdecimal() and len(given) < 10):
        raise Problem(400, "limit: must be a whole number from 0.")
    return min(MOST, int(given))


def _same(value: t.Any, wanted: str | None) -> bool:
    given = wanted or ""
    if isinstance(value, bool):
        if given.lower() not in _TRUE + _FALSE:
            raise Problem(400, f"{given[:80]!r} is neither true nor false.")
        return value == (given.lower() in _TRUE)
    return str(value) == given


def _sorted(items: list[Json], key: str, way: str) -> list[Json]:
    if way not in ("asc", "desc"):
        raise Problem(400, "sort_dir: must be asc or desc.")
    if any(isinstance(item.get(key, {}), (dict, list)) for item in items):
        raise Problem(400, f"sort_key: cannot sort by {key[:80]!r}.")
    return sorted(items, key=lambda item: (item[key] is not None, item[key]), reverse=way == "desc")


def _after(items: list[Json], marker: str | None, key: str) -> list[Json]:
    if marker is None:
        return items
    for number, item in enumerate(items):
        if marker in (item[key], str(item["id"])):
            return items[number + 1 :]
    raise Problem(400, f"marker: there is no {marker[:80]!r}.")
