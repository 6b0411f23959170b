# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The policy file: is it right, and what holds where it says nothing? PRIVATE: may change at any time.

Names, types and bounds are checked by the JSON Schema of :mod:`_policy_schema`; what no schema can say is in
:mod:`_policy_checks`.
"""

from __future__ import annotations

import copy
import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _networks, _policy_checks
from ansible_collections.openstack_ha.recovery.plugins.module_utils._config import digest, raise_all
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import (
    EXCLUDED,
    SCHEMA,
    defaults,
    filled,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._schema import check

Json = t.Dict[str, t.Any]


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
    sound, errors = check(given, SCHEMA, "the policy")
    values = _complete(sound)
    world = _policy_checks.World(_names(given), segments, failure_domains)
    raise_all(errors + _policy_checks.errors(values, sound, world))
    return Policy(values, _policy_checks.warnings(values, sound))


def _names(given: t.Any) -> list[str]:
    """The networks that are defined, also those whose definition is wrong."""
    networks = given.get("networks") if isinstance(given, dict) else None
    return list(networks) if isinstance(networks, dict) else []


def _complete(config: Json) -> Json:
    values = t.cast(Json, filled(SCHEMA, config))
    budgets = values["budgets"]
    for each, one in (("segments", "segment"), ("failure_domains", "failure_domain")):
        budgets[each] = {name: {**budgets[one], **caps} for name, caps in budgets[each].items()}
    given = values["ha"]["exclude"]
    values["ha"]["exclude"] = {
        name: {**EXCLUDED.get(name, {}), **given.get(name, {})} for name in {**EXCLUDED, **given}
    }
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
