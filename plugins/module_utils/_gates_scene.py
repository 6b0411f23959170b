# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all gates see: one snapshot, counted once. PRIVATE to this collection: may change at any time.

Pure. A fact that is missing is never read as good news: a host of which it is not known whether it is silent counts as
silent, one of which it is not known whether it is forced down counts as forced down.
"""

from __future__ import annotations

import collections
import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._budgets import Budgets
from ansible_collections.openstack_ha.recovery.plugins.module_utils._networks import Rule, default_rules

Facts = t.Mapping[str, t.Any]
Snapshot = t.Mapping[str, t.Any]
Policy = t.Mapping[str, t.Any]

OPERATOR = "operator"
#: How a disabled_reason written by this collection begins, and one by Nova's libvirt driver when libvirtd is away
#: (DISABLE_PREFIX in nova/virt/libvirt/driver.py).
OUR_REASON = "openstack_ha:"
_NOT_THEIRS = (OUR_REASON, "AUTO: ")


@dataclasses.dataclass(frozen=True)
class Objection:
    """Why a gate stays closed, and the verdict that follows.

    :param reason: For ``ask`` without anything that changes by itself: an answer belongs to this very reason.
    :param look_again: Seconds until the gate may have opened, where that is known.
    :param reaction: What the network matrix wants to be done.
    :param unknown: Closed because a fact is missing.
    """

    verdict: str
    reason: str
    look_again: float | None = None
    reaction: str = "recover"
    unknown: bool = False


class Case:
    """One host in front of the gates."""

    __slots__ = ("_counts", "facts", "host", "scene")

    def __init__(self, host: str, scene: Scene) -> None:
        self.host = host
        self.scene = scene
        self.facts: Facts = scene.hosts.get(host, {})
        self._counts: dict[str, dict[str, int]] | None = None

    @property
    def by_hand(self) -> bool:
        """A person is there to be asked."""
        return self.scene.caller == OPERATOR

    def either(self, by_hand: str, else_: str) -> str:
        """The verdict, by who decides."""
        return by_hand if self.by_hand else else_

    def counts(self) -> dict[str, dict[str, int]]:
        """What the budgets count; all that are to be recovered must be known by then."""
        if self._counts is None:
            self._counts = self.scene.budgets.counts(self.host, self.facts)
        return self._counts

    def patiently(self, reason: str, unknown: bool = False) -> Objection:
        """Ask a person who is there; else wait for better facts, and ask when they do not come."""
        after, suspected = self.scene.gates["witnesses"]["ask_after"], self.facts.get("suspected_for")
        if self.by_hand or (suspected is not None and suspected >= after):
            return Objection("ask", reason, unknown=unknown)
        return Objection("hold", reason, None if suspected is None else after - suspected, unknown=unknown)


class Matrix(t.NamedTuple):
    """The networks of a segment, its rules, and the networks on which an observer can test itself."""

    names: list[str]
    rules: t.Sequence[Rule]
    watched: list[str]


class Scene:
    """All that the decisions about one snapshot have in common.

    :param returned: For how long those hosts are back that came back lately, longest first.
    """

    def __init__(self, snapshot: Snapshot, policy: Policy) -> None:
        self.snapshot, self.policy = snapshot, policy
        self.gates: Policy = policy["gates"]
        self.hosts: t.Mapping[str, Facts] = snapshot["hosts"]
        self.suspects: list[str] = sorted(set(snapshot["suspects"]))
        self.caller = snapshot.get("caller")
        self.observer: Facts = snapshot.get("observer") or {}
        self.orders: list[Facts] | None = _numbered(snapshot.get("orders"))
        #: The orders that stop something.
        self.stops: list[Facts] = [order for order in self.orders or [] if order["kind"] != "budget"]
        self.storm: Facts | None = snapshot.get("storm")
        self.silence = Silence(self.hosts)
        within = self.gates["power_restored"]["within"]
        back = (facts.get("up_for") for facts in self.hosts.values())
        self.returned = sorted((age for age in back if age is not None and age < within), reverse=True)
        self.budgets = self._budgets()
        self._matrices: dict[str | None, Matrix] = {}

    def _budgets(self) -> Budgets:
        away = [host for host, facts in self.hosts.items() if is_away(facts)]
        busy = [*away, *(self.snapshot.get("in_flight") or [])]
        return Budgets(self.hosts, self.policy["budgets"], self.orders or [], busy, self.snapshot.get("fences") or [])

    def matrix(self, segment: str | None) -> Matrix:
        """The networks of a segment, and its rules."""
        if segment not in self._matrices:
            own = self.policy["segments"].get(segment or "") or {}
            known, named = self.policy["networks"], own.get("networks")
            names = sorted(known if named is None else named)
            watched = [name for name in names if (known.get(name) or {}).get("isolation_addresses")]
            given = [table for table in (own.get("reactions"), self.policy["reactions"]) if table is not None]
            self._matrices[segment] = Matrix(names, given[0] if given else default_rules(names), watched)
        return self._matrices[segment]


class Silence:
    """Who is silent though nobody has arranged that, in the cloud and in each segment."""

    def __init__(self, hosts: t.Mapping[str, Facts]) -> None:
        self.names = sorted(host for host, facts in hosts.items() if is_silent(facts))
        silent = [hosts[host] for host in self.names]
        heard = [facts for facts in hosts.values() if is_heard(facts)]
        self.heard = len(heard)
        self._silent = collections.Counter(map(_segment, silent))
        self._heard = collections.Counter(map(_segment, heard))
        domains = {facts.get("domain") for facts in silent}
        alone = len(domains) == 1 and any(facts.get("domain") not in domains for facts in heard)
        #: The one failure domain that all silent hosts are in, while others are heard.
        self.domain: str | None = domains.pop() if alone else None

    def cloud(self) -> dict[str, int]:
        """Silent hosts, of those that should be heard."""
        return {"hosts": len(self.names), "of": self.heard + len(self.names)}

    def segment(self, name: str) -> dict[str, int]:
        """The same in a segment; a silent host of which no place is known is in each."""
        silent = self._silent[name] + self._silent[_NOWHERE]
        return {"hosts": silent, "of": self._heard[name] + silent}

    def segments(self) -> list[str]:
        """The segments with silent hosts."""
        return sorted(name for name in self._silent if name and name != _NOWHERE)


#: No name of a segment.
_NOWHERE = "?"


def _segment(facts: Facts) -> str:
    return facts.get("segment", _NOWHERE) or ""


def is_heard(facts: Facts) -> bool:
    """Somebody hears it for certain."""
    return facts.get("silent") is False and facts.get("forced_down") is False


def is_silent(facts: Facts) -> bool:
    """Nobody hears it, and nobody is known to have arranged that."""
    if facts.get("silent") is False or facts.get("forced_down") or facts.get("maintenance"):
        return False
    return not ({"role", "disabled_reason"} <= facts.keys() and disabled_by_operator(facts))


def is_away(facts: Facts) -> bool:
    """Forced down because it failed: its VMs and its room are missing already. Maintenance does not count."""
    return facts.get("forced_down") is not False and not facts.get("maintenance")


def disabled_by_operator(facts: Facts) -> bool:
    """Neither we, nor Nova by itself, nor its role as a reserved host are the reason."""
    reason = facts.get("disabled_reason") or ""
    return facts.get("status") == "disabled" and facts.get("role") != "reserved" and not reason.startswith(_NOT_THEIRS)


def _numbered(orders: t.Iterable[Facts] | None) -> list[Facts] | None:
    """In the order in which they were given, whatever the order in which they were read."""
    return None if orders is None else sorted(orders, key=lambda order: (order["number"], order["id"]))
