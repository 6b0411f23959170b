# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reactions to the loss of networks. PRIVATE to this collection: may change at any time.

Pure. A rule ``{"lost": [...], "alive": [...], "reaction": ...}`` fits when all of ``lost`` are lost and all of
``alive`` are alive; the first that fits wins. What is unknown may be either, so a rule wins only where no rule before
it could have led to something else.
"""

from __future__ import annotations

import dataclasses
import typing as t

Rule = t.Mapping[str, t.Any]
Rules = t.Sequence[Rule]
#: State by network: some of all cases, namely those that agree with it.
Cases = t.Dict[str, str]

LOST, ALIVE, UNKNOWN = "lost", "alive", "unknown"

#: As whom the VMs of a host speak about its networks.
VMS = "instances"

ADMIN = ("admin", "management", "internal")
TENANT = ("tenant", "project", "overlay")
STORAGE = ("storage",)
BMC = ("bmc", "ipmi", "oob")


@dataclasses.dataclass(frozen=True)
class Match:
    """What follows; ``reaction`` is None when no rule fits, or when it hangs on the networks in ``unclear``."""

    reaction: str | None
    rule: int | None = None
    unclear: tuple[str, ...] = ()


def state(report: t.Any) -> str:
    """Of one network of a host, as it was reported: ``{"state": …, "lost": [reporter, …], "alive": [reporter, …]}``."""
    said = report.get("state") if isinstance(report, t.Mapping) else None
    return said if said in (LOST, ALIVE) else UNKNOWN


def reporters(report: t.Any, word: str) -> list[str]:
    """Who says so."""
    return list(report.get(word) or ()) if isinstance(report, t.Mapping) else []


def reaction(networks: t.Mapping[str, str], rules: Rules) -> Match:
    """The reaction to the state of the networks; those that ``networks`` does not name are no part of this segment."""
    maybe: list[int] = []
    for number, rule in enumerate(rules):
        fits = _fits(networks, rule)
        if fits is None:
            maybe.append(number)
        elif fits:
            if all(rules[other]["reaction"] == rule["reaction"] for other in maybe):
                return Match(rule["reaction"], number)
            break
    return Match(None, None, _unknown(networks, [rules[number] for number in maybe]))


def _fits(networks: t.Mapping[str, str], rule: Rule) -> bool | None:
    """None: that is not known."""
    known = True
    for wanted, names in ((LOST, rule.get("lost") or ()), (ALIVE, rule.get("alive") or ())):
        for name in names:
            state = networks.get(name)
            if state not in (wanted, UNKNOWN):
                return False
            known = known and state == wanted
    return True if known else None


def _unknown(networks: t.Mapping[str, str], rules: Rules) -> tuple[str, ...]:
    named = {name for rule in rules for part in (LOST, ALIVE) for name in rule.get(part) or ()}
    return tuple(sorted(name for name in named if networks.get(name) == UNKNOWN))


def default_rules(names: t.Iterable[str]) -> list[Rule]:
    """The table for these networks where the policy gives none; see the page on gates for why."""
    present = sorted(set(names))
    core = [name for name in present if name not in BMC]
    others = [name for name in core if name not in STORAGE]
    table = [_rule(core, "recover")] if len(core) > 1 else []
    table += [_rule([name], "recover") for name in core if name in STORAGE]
    if len(core) == 1:
        # A dead host and one that is cut off look the same on one network.
        table += [_rule([name], "ask") for name in others]
    else:
        table += _without_admin(core) + [_rule([name], "migrate") for name in others if name in TENANT]
        table += [_rule([name], "alert") for name in others if name not in TENANT]
    return table + [_rule([name], "alert") for name in present if name in BMC]


def _without_admin(core: list[str]) -> list[Rule]:
    """A live migration needs the admin network; that another one still lives is why its loss is not total."""
    pairs = [[tenant, admin] for tenant in core if tenant in TENANT for admin in core if admin in ADMIN]
    return [_rule(pair, "ask") for pair in pairs if len(core) > len(pair)]


def _rule(lost: list[str], then: str) -> Rule:
    return {"lost": lost, "alive": [], "reaction": then}


def uncovered(names: t.Iterable[str], rules: Rules) -> list[dict[str, list[str]]]:
    """The cases for which no rule is made, each as ``{"lost": [...], "alive": [...]}``; others may be either.

    That all networks live needs no rule: such a host is not cut off.
    """
    everything = list(names)
    left: list[Cases] = [{}]
    for rule in [_all_alive(everything), *rules]:
        left = _without(left, _cases(rule, everything))
    return [{part: sorted(name for name in case if case[name] == part) for part in (LOST, ALIVE)} for case in left]


def _all_alive(names: list[str]) -> Rule:
    return {"lost": [], "alive": names, "reaction": None}


def shadowed(names: t.Iterable[str], rules: Rules) -> list[int]:
    """Numbers of the rules that can never win: impossible ones, and those whose cases earlier rules have taken."""
    everything = list(names)
    before = [_all_alive(everything)]
    found = []
    for number, rule in enumerate(rules):
        cases = _cases(rule, everything)
        left = [] if cases is None else [cases]
        for earlier in before:
            left = _without(left, _cases(earlier, everything))
        if not left:
            found.append(number)
        before.append(rule)
    return found


def _cases(rule: Rule, names: t.Collection[str]) -> Cases | None:
    """The cases that a rule is about; None for a rule that fits never."""
    lost, alive = set(rule.get("lost") or ()), set(rule.get("alive") or ())
    if lost & alive or not (lost | alive) <= set(names):
        return None
    return {**dict.fromkeys(sorted(lost), LOST), **dict.fromkeys(sorted(alive), ALIVE)}


def _without(cases: list[Cases], taken: Cases | None) -> list[Cases]:
    """Cut ``taken`` out of each, in pieces that do not overlap."""
    if taken is None:
        return cases
    left: list[Cases] = []
    for case in cases:
        if any(case.get(name, state) != state for name, state in taken.items()):
            left.append(case)
            continue
        inside = dict(case)
        for name, state in taken.items():
            if name not in case:
                left.append({**inside, name: ALIVE if state == LOST else LOST})
                inside[name] = state
    return left
