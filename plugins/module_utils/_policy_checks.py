# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong or odd in a policy, and no schema can say. PRIVATE: may change at any time.

Pure; all functions take the complete policy, whose types and bounds are right.
"""

from __future__ import annotations

import dataclasses
import itertools
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _ha_checks, _networks, _restart_order
from ansible_collections.openstack_ha.recovery.plugins.module_utils._config import (
    below,
    is_endpoint,
    is_template,
    nearest,
    wrong,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError

try:
    import netaddr
except ImportError:
    netaddr = None  # reported by _network()

Json = t.Dict[str, t.Any]
_Errors = t.Iterator[ConfigError]
_MANY = 5
_CAPS = ("at_once", "per_hour")
_NEEDED_TO_MIGRATE = ("nova-compute", "openstack-nova-compute", "libvirtd", "virtqemud")


@dataclasses.dataclass(frozen=True)
class World:
    """The names that exist."""

    networks: t.Collection[str]
    segments: t.Collection[str]
    failure_domains: t.Collection[str]


def errors(policy: Json, given: Json, world: World) -> list[ConfigError]:
    """What cannot be, or does not exist.

    :param given: What the file says; what is inherited is not told twice.
    """
    found = (_gates(policy), _budgets(policy, world), _ranges(policy), _tables(given, policy, world), _ask(policy))
    ha = _ha_checks.errors(policy["ha"], world.segments)
    return list(itertools.chain(*found, _restart_order.errors(policy), ha))


def _gates(policy: Json) -> _Errors:
    kdump = policy["gates"]["kdump"]
    if kdump["quiet"] >= kdump["timeout"]:
        yield ConfigError(
            f"gates.kdump.quiet: must be less than gates.kdump.timeout ({kdump['timeout']}), not {kdump['quiet']}."
        )


def _ask(policy: Json) -> _Errors:
    if policy["ask"]["default"] == "recover" and not policy["ask"]["wait"]:
        yield ConfigError("ask.default: recover needs an ask.wait of more than 0 seconds, or nobody could say no.")


def _budgets(policy: Json, world: World) -> _Errors:
    yield from _unknown(policy["budgets"]["segments"], world.segments, "budgets.segments", "segment")
    if not any(is_template(domain) for domain in world.failure_domains):
        domains = policy["budgets"]["failure_domains"]
        yield from _unknown(domains, world.failure_domains, "budgets.failure_domains", "failure domain")


def _unknown(names: t.Iterable[str], known: t.Collection[str], path: str, what: str) -> _Errors:
    for name in names:
        if name not in known:
            hint = nearest(name, known, f"Its {what}s")
            yield ConfigError(f"{below(path, name)}: the segments file has no {what} '{name}'. {hint}")


def _ranges(policy: Json) -> _Errors:
    for name, network in policy["networks"].items():
        for number, cidr in enumerate(network["cidrs"]):
            yield from _cidr(cidr, f"networks.{name}.cidrs[{number}]")
        for number, address in enumerate(network["isolation_addresses"]):
            if not is_endpoint(address):
                yield wrong(f"networks.{name}.isolation_addresses[{number}]", "tcp://address:port", address)
    for number, cidr in enumerate(policy["restart"]["probe_networks"]):
        yield from _cidr(cidr, f"restart.probe_networks[{number}]")


def _cidr(text: str, path: str) -> _Errors:
    network = _network(text)
    if network is None:
        yield wrong(path, "an address range as 192.0.2.0/24", text)
    elif network.ip != network.network:
        yield ConfigError(f"{path}: {text} is an address in a range; the range is {network.cidr}.")


def _network(text: str) -> t.Any:
    """The range, or None if it is none."""
    if netaddr is None:
        raise RecoveryError("The Python package netaddr is needed to check the networks of the policy; install it.")
    try:
        return netaddr.IPNetwork(text) if "/" in text else None
    except (ValueError, netaddr.AddrFormatError):
        return None


def _tables(given: Json, policy: Json, world: World) -> _Errors:
    yield from _unknown(policy["segments"], world.segments, "segments", "segment")
    yield from _table(given.get("reactions"), "reactions", world.networks)
    for name, segment in given.get("segments", {}).items():
        yield from _undefined(segment.get("networks"), f"segments.{name}.networks", world.networks)
        existing = world.networks if segment.get("networks") is None else segment["networks"]
        yield from _table(segment.get("reactions"), f"segments.{name}.reactions", existing)


def _table(rules: list[Json] | None, path: str, networks: t.Collection[str]) -> _Errors:
    for number, rule in enumerate(rules or []):
        lost, alive = rule.get("lost", []), rule.get("alive", [])
        yield from _undefined(lost, f"{path}[{number}].lost", networks)
        yield from _undefined(alive, f"{path}[{number}].alive", networks)
        both = sorted(set(lost) & set(alive))
        if both:
            yield ConfigError(f"{path}[{number}]: {', '.join(both)} cannot be lost and alive at once.")


def _undefined(names: list[str] | None, path: str, networks: t.Collection[str]) -> _Errors:
    for number, name in enumerate(names or []):
        if name not in networks:
            hint = nearest(name, networks, "The networks here")
            yield ConfigError(f"{path}[{number}]: there is no network '{name}' here. {hint}")


def warnings(policy: Json, given: Json) -> list[str]:
    """What is allowed and probably not meant.

    :param given: What the file says; of defaults nothing is told.
    """
    caps = _never_reached(policy["budgets"], given.get("budgets", {}))
    others = (_never_probed(policy), _never_moved(policy), _ha_checks.warnings(policy["ha"]))
    return [*_answers_itself(policy), *caps, *_overlaps(policy), *_matrix(policy, given), *itertools.chain(*others)]


def _never_probed(policy: Json) -> t.Iterator[str]:
    if not policy["restart"]["probe_networks"]:
        for path in _restart_order.probed(policy):
            yield f"{path}.ready: is never so, because restart.probe_networks names no network in which VMs are probed."


def _never_moved(policy: Json) -> t.Iterator[str]:
    for unit, said in policy["processes"]["units"].items():
        if said.get("then") == "migrate" and unit.split(".")[0] in _NEEDED_TO_MIGRATE:
            yield f"processes.units.{unit}.then: migrate: nothing can be moved alive without this very service."


def _answers_itself(policy: Json) -> t.Iterator[str]:
    ask = policy["ask"]
    if ask["default"] == "recover":
        yield f"ask.default: recover: hosts about which nobody answers within {ask['wait']} s are powered off."


def _never_reached(budgets: Json, given: Json) -> t.Iterator[str]:
    for path, caps, said in _scopes(budgets, given):
        for key in _CAPS:
            most = budgets["cloud"][key]
            if key in said and caps[key] > most:
                yield f"budgets.{path}.{key}: {caps[key]} is never reached, budgets.cloud.{key} is {most}."
        if said and caps["at_once"] > caps["per_hour"]:
            yield f"budgets.{path}.at_once: {caps['at_once']} is never reached, per_hour there is {caps['per_hour']}."


def _scopes(budgets: Json, given: Json) -> t.Iterator[tuple[str, Json, Json]]:
    """Where there are caps: the path, the complete caps, and what the file says of them."""
    for path in ("cloud", "segment", "failure_domain"):
        yield path, budgets[path], given.get(path, {})
    for each in ("segments", "failure_domains"):
        for name, said in given.get(each, {}).items():
            yield f"{each}.{name}", budgets[each][name], said


def _overlaps(policy: Json) -> t.Iterator[str]:
    ranges = [(name, _network(cidr)) for name, network in policy["networks"].items() for cidr in network["cidrs"]]
    for (name, one), (other, two) in itertools.combinations(ranges, 2):
        if name != other and (one in two or two in one):
            yield f"networks.{other}.cidrs: {two} overlaps {one} of the network {name}."


def _matrix(policy: Json, given: Json) -> t.Iterator[str]:
    yield from _incomplete(policy, "reactions")
    if given.get("reactions"):
        yield from _shadowed(policy, "reactions")
    for name, segment in given.get("segments", {}).items():
        here = {"networks": policy["segments"][name]["networks"], "reactions": policy["segments"][name]["reactions"]}
        yield from _incomplete(here, f"segments.{name}.reactions")
        if segment.get("reactions"):
            yield from _shadowed(here, f"segments.{name}.reactions")


def _incomplete(place: Json, path: str) -> t.Iterator[str]:
    cases = _networks.uncovered(place["networks"], place["reactions"] or [])
    for case in cases[:_MANY]:
        yield f"{path}: no rule says what follows when {_in_words(case)}; a person is asked."
    if len(cases) > _MANY:
        yield f"{path}: {len(cases) - _MANY} more cases have no rule; end the table with one whose lost is []."


def _in_words(case: t.Mapping[str, list[str]]) -> str:
    parts = [
        f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} {state}" for state, names in case.items() if names
    ]
    return " and ".join(parts)


def _shadowed(place: Json, path: str) -> t.Iterator[str]:
    for number in _networks.shadowed(place["networks"], place["reactions"]):
        yield f"{path}[{number}]: never decides anything, because the rules before it fit whenever it does."
