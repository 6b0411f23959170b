# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gates about one host: may it be touched, is it dead, can it be fenced? PRIVATE: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates_scene import (
    Case,
    Facts,
    Objection,
    disabled_by_operator,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._networks import (
    ALIVE,
    LOST,
    UNKNOWN,
    VMS,
    reaction,
    reporters,
    state,
)

#: Of two orders in force, the one that leaves the incident open decides.
_ORDERED = (("pause", "hold", "paused"), ("disarm", "ignore", "disarmed"))


def orders(case: Case) -> Objection | None:
    """What an operator has ordered beats all that the machine knows."""
    if case.scene.orders is None:
        return Objection(case.either("ask", "hold"), "it is not known whether an order forbids it", unknown=True)
    in_force = covering(case)
    for kind, verdict, word in _ORDERED:
        found = [order for order in in_force if order["kind"] == kind]
        if found:
            reason = "; ".join(f"{word} by {_signed(order)}" for order in found)
            return Objection(case.either("ask", verdict), reason, _longest([order.get("left") for order in found]))
    return None


def covering(case: Case) -> list[Facts]:
    """The pauses and disarms that cover this host; one for something that is not known here covers all."""
    mine = {"segment": case.facts.get("segment"), "host": case.host}
    return [order for order in case.scene.stops if order["scope"] not in mine or mine[order["scope"]] == order["name"]]


def _signed(order: Facts) -> str:
    where = f"{order['scope']} {order['name']}" if order.get("name") else order["scope"]
    return f"{order['owner']} (order {order['number']}, {where}): {order['reason']}"


def _longest(rests: list[float | None]) -> float | None:
    known = [rest for rest in rests if rest is not None]
    return max(known) if len(known) == len(rests) else None


def known_host(case: Case) -> Objection | None:
    """A name that may mean another host must never lead to a power button."""
    if not case.facts.get("known"):
        return Objection("alert", "stands in no segments file", unknown=case.facts.get("known") is None)
    names = case.facts.get("names")
    if names is None:
        return Objection("alert", "it is not known which host this name means", unknown=True)
    if list(names) != [case.host]:
        return Objection("alert", f"this name may mean: {', '.join(sorted(names)) or 'no host'}")
    return None


def segment(case: Case) -> Objection | None:
    """Without a segment there is nowhere to go."""
    if case.facts.get("segment"):
        return None
    return Objection(
        "alert", "is in no failover segment, so its VMs have nowhere to go", unknown="segment" not in case.facts
    )


def maintenance(case: Case) -> Objection | None:
    """Somebody works on it."""
    why = case.facts.get("maintenance")
    if why is None:
        return Objection(case.either("ask", "hold"), "it is not known whether it is in maintenance", unknown=True)
    return Objection(case.either("ask", "ignore"), f"is in maintenance: {why}") if why else None


def planned(case: Case) -> Objection | None:
    """Somebody had taken it out of service."""
    status, why = case.facts.get("status"), case.facts.get("disabled_reason")
    if status is None:
        return Objection("ask", "Nova does not say whether its nova-compute was enabled", unknown=True)
    if disabled_by_operator(case.facts):
        verdict = case.either("ask", case.scene.gates["planned"])
        return Objection(verdict, f"an operator had disabled it before ({why or 'no reason given'})")
    return None


def kdump(case: Case) -> Objection | None:
    """Cutting the power would cut the crash dump short."""
    dump = case.facts.get("kdump")
    if dump is None:
        return None
    rules, last, since = case.scene.gates["kdump"], dump.get("last"), dump.get("for")
    rests = [limit - age for limit, age in ((rules["quiet"], last), (rules["timeout"], since)) if age is not None]
    if any(rest <= 0 for rest in rests):
        return None
    return Objection("hold", "its crashed kernel is writing a dump", min(rests, default=None), unknown=not rests)


def witnesses(case: Case) -> Objection | None:
    """One witness may be wrong, and a witness that hears it is right."""
    said, living = case.facts.get("witnesses"), case.facts.get("signs_of_life")
    if said is None or living is None:
        return case.patiently("it is not known who hears it", unknown=True)
    rules = case.scene.gates["witnesses"]
    against = sorted(name for name, word in said.items() if word == "down")
    contrary = _contrary(case)
    if contrary:
        cut_off = _cut_off(case)
        return None if cut_off else case.patiently(_lives(case, contrary), unknown=cut_off is None)
    needed = needed_witnesses(case)
    if needed is None:
        return case.patiently("it is not known how many responders there are", unknown=True)
    if len(against) < needed:
        return case.patiently(f"only {len(against)} of {needed} independent witnesses say that it is down"
                              f": {', '.join(against) or 'none'}")  # fmt: skip
    absent = [name for name in rules["required"] if name not in against]
    return case.patiently(f"required witnesses do not say that it is down: {', '.join(absent)}") if absent else None


def needed_witnesses(case: Case) -> int | None:
    """As many as the policy says, and more than half of the responders: those that are cut off together are fewer.

    A person who decides is alone.
    """
    needed, responders = int(case.scene.gates["witnesses"]["needed"]), case.scene.snapshot.get("responders")
    if case.by_hand:
        return needed
    return None if responders is None else max(needed, int(responders) // 2 + 1)


def _contrary(case: Case) -> list[str]:
    """Signs of life, or who hears it.

    Nova learns of a silence a minute late, so that it still believes in a host contradicts nobody.
    """
    said = case.facts.get("witnesses") or {}
    living = case.facts.get("signs_of_life") or sorted(
        name for name, word in said.items() if word == "up" and name != "nova"
    )
    return list(living)


def _lives(case: Case, signs: list[str]) -> str:
    reports = case.facts.get("networks") or {}
    doubtful = [name for name in _networks_of(case) if state(reports.get(name)) == LOST != _state(case, name)]
    doubt = f"; not enough reporters say that it lost: {', '.join(doubtful)}" if doubtful else ""
    return f"it shows signs of life: {', '.join(signs)}{doubt}"


def _cut_off(case: Case) -> bool | None:
    """Whether it has lost some networks and not others: then what that calls for is the question, not that it lives.

    None: it may have, and be one more that has failed.
    """
    states = {_state(case, name) for name in _networks_of(case)}
    if {LOST, ALIVE} <= states:
        return True
    nobody_reports = case.by_hand and case.facts.get("networks") == {}
    return None if UNKNOWN in states and not nobody_reports else False


def _networks_of(case: Case) -> list[str]:
    return case.scene.matrix(case.facts.get("segment")).names


def _state(case: Case, name: str) -> str:
    """What counts: of a host that lives, a network is lost only by the word of enough others, and of nobody else.

    Who has lost a network itself finds it lost on everybody.
    """
    report = (case.facts.get("networks") or {}).get(name) or {}
    said = state(report)
    if said != LOST or not _contrary(case):
        return said
    others = {*reporters(report, LOST)} - {case.host}
    # That its VMs cannot read their disks may have other reasons, and is never enough alone.
    enough = len(others) >= case.scene.gates["witnesses"]["needed"] and bool(others - {VMS})
    return LOST if enough and not reporters(report, ALIVE) else UNKNOWN


def networks(case: Case) -> Objection | None:
    """What the loss of these networks calls for."""
    names, rules, _watched = case.scene.matrix(case.facts.get("segment"))
    if not names:
        return None
    reports = case.facts.get("networks")
    if reports is None:
        return case.patiently("nothing is known about its networks", unknown=True)
    if not reports and case.by_hand:
        return None
    return _by_matrix(case, {name: _state(case, name) for name in names}, rules)


def _by_matrix(case: Case, states: dict[str, str], rules: t.Any) -> Objection | None:
    lost = [name for name, state in states.items() if state == LOST]
    told = f"networks lost: {', '.join(lost)}; alive: {', '.join(n for n, s in states.items() if s == ALIVE) or 'none'}"
    if not lost:
        return case.patiently("nobody has found any of its networks lost", unknown=UNKNOWN in states.values())
    match = reaction(states, rules)
    if match.reaction is None:
        if match.unclear:
            return case.patiently(f"{told}; what to do depends on: {', '.join(match.unclear)}", unknown=True)
        return Objection("ask", f"{told}; no rule says what to do")
    if match.reaction == "recover":
        return None
    verdict = "alert" if match.reaction == "migrate" else match.reaction
    return Objection(case.either("ask", verdict), f"{told}; reaction: {match.reaction}", reaction=match.reaction)


def flapping(case: Case) -> Objection | None:
    """A host that fails again and again does not get better by being recovered again."""
    times = case.facts.get("recoveries")
    if times is None:
        return Objection("ask", "it is not known how often it was recovered lately", unknown=True)
    if times >= case.scene.gates["flapping"]["recoveries"]:
        return Objection("ask", f"it was recovered {times} times lately")
    return None


def fence_ready(case: Case) -> Objection | None:
    """To begin what cannot be ended takes the host out of service and brings no VM back."""
    ready = case.facts.get("fencing") or {}
    if not ready.get("levels"):
        return Objection(
            case.either("ask", "alert"),
            "there is no fencing level: only a person can vouch that it is off",
            unknown=ready.get("levels") is None,
        )
    if ready.get("check") == "mismatch":
        return Objection("ask", f"its BMC is not that of this host: {ready.get('said') or 'identity differs'}")
    return None


def fencing_doubt(case: Case) -> str:
    """What is said although the gate is open."""
    ready = case.facts.get("fencing") or {}
    if ready.get("check") == "failed":
        return f"the last fence_check failed: {ready.get('said') or 'no reason known'}"
    age = ready.get("age")
    if ready.get("check") is None or age is None or age > case.scene.gates["fence_ready"]["max_age"]:
        return "no fresh result of fence_check"
    return ""
