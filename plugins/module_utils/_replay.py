# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides again what was decided before. PRIVATE to this collection: may change at any time.

A verdict depends on nothing but its snapshot and the policy, and the journal keeps the snapshot: so what another policy
would have said can be known exactly.
"""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _gates, _policy_file
from ansible_collections.openstack_ha.recovery.plugins.module_utils._config import read
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError

Json = t.Dict[str, t.Any]

_COMPARED = ("verdict", "gate", "reason")


def replay(verdict: t.Mapping[str, t.Any], policy: Json) -> list[Json]:
    """What was said of each host of a journaled verdict, and what the policy says now.

    :param verdict: A row of the journal. :param policy: The complete policy.
    """
    snapshot = verdict["snapshot"]
    if "suspects" not in snapshot:
        raise RecoveryError(
            f"The verdict of run {verdict['run_id']} was recorded by an older version of this collection, whose "
            "snapshots cannot be decided again."
        )
    now = _gates.decide(snapshot, policy)
    return [_compared(verdict, host, before, now[host]) for host, before in sorted(verdict["result"].items())]


def _compared(verdict: t.Mapping[str, t.Any], host: str, before: Json, after: Json) -> Json:
    differs = (before["verdict"], before["gate"]) != (after["verdict"], after["gate"])
    return {
        "run_id": verdict["run_id"],
        "number": verdict["number"],
        "decided_at": verdict["decided_at"],
        "host": host,
        "before": {key: before.get(key) for key in _COMPARED},
        "after": {key: after.get(key) for key in _COMPARED},
        "gates": after["gates"],
        "differs": differs,
    }


def places(snapshot: Json) -> tuple[set[str], set[str]]:
    """The failover segments and failure domains of the hosts of a snapshot."""
    hosts = snapshot.get("hosts", {}).values()
    return tuple({facts[key] for facts in hosts if facts.get(key)} for key in ("segment", "domain"))  # type: ignore


def read_policy(path: str) -> t.Any:
    """The contents of a policy file."""
    try:
        with open(path, encoding="utf-8") as file:
            return read(file.read())
    except OSError as error:
        raise ConfigError(f"policy_file: cannot read {path}: {error.strerror}.") from error


def complete(policy: t.Any, segments: t.Iterable[str], domains: t.Iterable[str]) -> Json:
    """A policy with everything filled in, checked apart from one thing: it may name places that do not exist here."""
    budgets = _mapping(_mapping(policy).get("budgets"))
    known_segments = {*segments, *_mapping(_mapping(policy).get("segments")), *_mapping(budgets.get("segments"))}
    known_domains = {*domains, *_mapping(budgets.get("failure_domains"))}
    return dict(_policy_file.parse(policy, known_segments, known_domains).values)


def _mapping(value: t.Any) -> dict[str, t.Any]:
    """What is no mapping is told by the check itself."""
    return value if isinstance(value, dict) else {}
