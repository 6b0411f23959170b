# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many hosts may be recovered without asking. PRIVATE to this collection: may change at any time.

Pure. Counted in the whole cloud, in each failover segment and in each failure domain; every cap holds.
"""

from __future__ import annotations

import collections
import typing as t

Facts = t.Mapping[str, t.Any]
Policy = t.Mapping[str, t.Any]
#: Kind and name: ("cloud", ""), ("segment", "rack1"), ("failure_domain", "pdu-a").
Scope = t.Tuple[str, str]
Count = t.Dict[str, int]

CLOUD: Scope = ("cloud", "")
HOUR = 3600
#: Where a budget stands that an order raises.
_OWN_CAPS = {"segment": "segments", "failure_domain": "failure_domains"}


def scopes(facts: Facts) -> list[Scope]:
    """What a host is part of."""
    found = [CLOUD]
    if facts.get("segment"):
        found.append(("segment", facts["segment"]))
    if facts.get("domain"):
        found.append(("failure_domain", facts["domain"]))
    return found


def title(scope: Scope) -> str:
    """For people."""
    kind, name = scope
    return f"{kind.replace('_', ' ')} {name}".strip() if name else "the cloud"


class Tally:
    """Hosts by scope, each counted once.

    One whose place is not known counts in every scope.
    """

    def __init__(self, hosts: t.Mapping[str, Facts]) -> None:
        self._facts = hosts
        self._members: dict[Scope, set[str]] = collections.defaultdict(set)
        self._anywhere: set[str] = set()
        self._counted: dict[Scope, set[str]] = {}

    def add(self, host: str, elsewhere: Facts | None = None) -> None:
        """Count a host.

        :param elsewhere: Who tells its place when the snapshot does not: the power certificate.
        """
        self._counted = {}
        facts = self._facts.get(host, elsewhere or {})
        if "segment" not in facts or "domain" not in facts:
            self._anywhere.add(host)
        for scope in scopes(facts):
            self._members[scope].add(host)

    def of(self, scope: Scope) -> set[str]:
        """The hosts of a scope."""
        if scope not in self._counted:
            self._counted[scope] = self._members[scope] | self._anywhere
        return self._counted[scope]


class Budgets:
    """Caps and counts of one snapshot.

    :param busy: Hosts that are away already or being recovered by other runs.
    :param fences: Power certificates of the last hour.
    :param orders: Those in force.
    """

    def __init__(
        self,
        hosts: t.Mapping[str, Facts],
        policy: Policy,
        orders: t.Iterable[Facts],
        busy: t.Iterable[str],
        fences: t.Iterable[Facts],
    ) -> None:
        self._policy = policy
        self._raises = [order for order in orders if order["kind"] == "budget"]
        self._sizes = collections.Counter(scope for facts in hosts.values() for scope in scopes(facts))
        self._at_once, self._per_hour = Tally(hosts), Tally(hosts)
        self._caps: dict[Scope, Count] = {}
        for host in busy:
            self._at_once.add(host)
        for fence in fences:
            if fence.get("age") is None or fence["age"] < HOUR:
                self._per_hour.add(fence["host"], fence)

    def want(self, hosts: t.Iterable[str]) -> None:
        """Count the hosts that are to be recovered together now."""
        for host in hosts:
            self._at_once.add(host)
            self._per_hour.add(host)

    def counts(self, host: str, facts: Facts) -> dict[str, Count]:
        """Counts and caps in each scope of a host, itself included."""
        return {title(scope): self._count(host, scope) for scope in scopes(facts)}

    def _count(self, host: str, scope: Scope) -> Count:
        caps, found = self.caps(scope), {}
        for key, tally in (("at_once", self._at_once), ("per_hour", self._per_hour)):
            members = tally.of(scope)
            found[key] = len(members) + (host not in members)
            found[f"{key}_cap"] = caps[f"{key}_cap"]
        return found

    def caps(self, scope: Scope) -> Count:
        """The caps of a scope as ``at_once_cap`` and ``per_hour_cap``; never below one host."""
        if scope not in self._caps:
            kind, name = scope
            own = self._policy.get(_OWN_CAPS.get(kind, ""), {}).get(name, {})
            wanted = {**self._policy[kind], **own}
            share = self._sizes[scope] * wanted["at_once_percent"] // 100
            self._caps[scope] = self._raised(scope, max(1, min(wanted["at_once"], share)), max(1, wanted["per_hour"]))
        return self._caps[scope]

    def _raised(self, scope: Scope, at_once: int, per_hour: int) -> Count:
        """An order for the cloud raises the caps of all its parts; one that allows n at once allows n in the hour."""
        for order in self._raises:
            if order["scope"] == "cloud" or (order["scope"], order.get("name")) == scope:
                limits = order.get("limits") or {}
                at_once = max(at_once, limits.get("at_once") or 0)
                per_hour = max(per_hour, limits.get("per_hour") or 0, limits.get("at_once") or 0)
        return {"at_once_cap": at_once, "per_hour_cap": per_hour}
