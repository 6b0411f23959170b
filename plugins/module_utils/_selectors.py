# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Selectors: JMESPath expressions over the facts of a VM. Pure. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import functools
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._config import nearest
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError

try:
    import jmespath
    from jmespath.exceptions import JMESPathError
except ImportError:
    jmespath = None  # reported by _compiled()
    JMESPathError = ValueError

#: What a selector can see of a VM, see :mod:`_vm_facts`.
FACTS = (
    "id",
    "name",
    "project",
    "user_id",
    "region",
    "cell",
    "zone",
    "aggregates",
    "flavor",
    "image",
    "metadata",
    "tags",
    "boot_from_volume",
    "local_disk",
    "segment",
)
#: In these, what comes after the first part is about what that has found.
_SCOPED = (
    "subexpression",
    "index_expression",
    "pipe",
    "projection",
    "filter_projection",
    "value_projection",
    "flatten",
)
_ALL = "@"
_HOSTS = ("host", "hosts", "hostname", "hypervisor", "hypervisor_hostname", "compute", "node", "OS-EXT-SRV-ATTR:host")


def matches(selector: str, facts: t.Mapping[str, t.Any]) -> bool:
    """Whether a selector picks a VM: its result is neither false nor empty.

    :raises ConfigError: It cannot be evaluated for this VM.
    """
    try:
        found = _compiled(selector).search(facts)
    except JMESPathError as error:
        raise ConfigError(_one_line(error)) from None
    return found is not None and found is not False and found not in ("", [], {})


def check(selector: str) -> str:
    """What is wrong with a selector, or nothing.

    :raises RecoveryError: A Python package is missing.
    """
    try:
        names = _names(_compiled(selector).parsed, at_root=True)
    except JMESPathError as error:
        return f"is no JMESPath: {_one_line(error)}."
    unknown = next((name for name in names if name not in (*FACTS, _ALL, "null")), None)
    if unknown in _HOSTS:
        return (
            f"asks for '{unknown}', and a VM has no host here: whether it is protected must not depend on where the "
            "scheduler has put it. Select by aggregate or zone."
        )
    return f"a VM has no '{unknown}'. {nearest(unknown, FACTS, 'What it has')}" if unknown else ""


def mentions(selector: str, fact: str) -> bool:
    """Whether a selector may look at a fact."""
    return not {fact, _ALL}.isdisjoint(_names(_compiled(selector).parsed, at_root=True))


@functools.lru_cache(maxsize=1024)
def _compiled(selector: str) -> t.Any:
    if jmespath is None:
        raise RecoveryError("The Python package jmespath is needed for the selectors of the policy; install it.")
    return jmespath.compile(selector)


def _names(node: t.Any, at_root: bool) -> t.Iterator[str]:
    """The names that an expression looks up in the facts themselves, and not further down; ``@`` where it takes all."""
    kind, children = node["type"], node.get("children", [])
    if kind in ("field", "current"):
        yield from [node.get("value", _ALL)] if at_root else []
    elif kind in _SCOPED:
        still = at_root and children[0]["type"] == "current"
        yield from [] if still else _names(children[0], at_root)
        for child in children[1:]:
            yield from _names(child, still)
    elif kind != "expref":
        for child in children:
            yield from _names(child, at_root)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
