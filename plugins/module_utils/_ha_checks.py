# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong or odd in the section ``ha`` of a policy, and no schema can say. PRIVATE: may change at any time."""

from __future__ import annotations

import itertools
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _selectors
from ansible_collections.openstack_ha.recovery.plugins.module_utils._config import nearest
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._ha_words import KEYS

Json = t.Dict[str, t.Any]
_LEVELS = ("regions", "cells", "zones", "aggregates", "projects", "flavors", "images")
_MEMBERS = ("segments", "zones", "aggregates")


def errors(ha: Json, segments: t.Collection[str]) -> t.Iterator[ConfigError]:
    """What cannot be, or does not exist.

    :param ha: The section, complete. :param segments: Those of the segments file.
    """
    for name, rule in ha["exclude"].items():
        for key in ("when", "because"):
            if key not in rule:
                yield ConfigError(f"ha.exclude.{name}.{key}: is missing; only entries of the default list have one.")
        yield from _selector(rule, f"ha.exclude.{name}.when")
    for number, rule in enumerate(ha["vms"]):
        yield from _selector(rule, f"ha.vms[{number}].when")
    for name, cell in ha["cells"].items():
        for number, segment in enumerate(cell["segments"]):
            if segment not in segments:
                hint = nearest(segment, segments, "Its segments")
                where = f"ha.cells.{name}.segments[{number}]"
                yield ConfigError(f"{where}: the segments file has no segment '{segment}'. {hint}")


def _selector(rule: Json, path: str) -> t.Iterator[ConfigError]:
    wrong = _selectors.check(rule["when"]) if "when" in rule else ""
    if wrong:
        yield ConfigError(f"{path}: {wrong}")


def warnings(ha: Json) -> t.Iterator[str]:
    """What is allowed and probably not meant."""
    rules = list(_rules(ha))
    said = {key for _path, rule in rules for key in rule}
    for path, rule in rules:
        if not any(key in rule for key in KEYS):
            yield f"{path}: says nothing about its VMs."
        for there, missing in (("otherwise", "deadline"), ("deadline", "otherwise")):
            if there in rule and missing not in said:
                yield f"{path}.{there}: has no effect where VMs have no '{missing}', and no rule gives them any."
    for name, cell in ha["cells"].items():
        if not any(cell[kind] for kind in _MEMBERS):
            yield f"ha.cells.{name}: no VM is ever in it; say which {', '.join(_MEMBERS)} belong to it."
    yield from _twice(ha["vms"])


def _rules(ha: Json) -> t.Iterator[tuple[str, Json]]:
    for level in _LEVELS:
        yield from ((f"ha.{level}.{name}", rule) for name, rule in ha[level].items())
    yield from ((f"ha.vms[{number}]", rule) for number, rule in enumerate(ha["vms"]))


def _twice(rules: list[Json]) -> t.Iterator[str]:
    for (first, one), (second, two) in itertools.combinations(enumerate(rules), 2):
        differ = [key for key in KEYS if key in one and key in two and one[key] != two[key]]
        if one["when"] == two["when"] and differ:
            about = ", ".join(differ)
            yield f"ha.vms[{second}]: contradicts ha.vms[{first}], which picks the same VMs, so none decides {about}."
