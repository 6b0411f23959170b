# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the facts that the gates reason about. PRIVATE to this collection: may change at any time.

:func:`take` reads the cloud and the network, :func:`compose` takes what was read before, :func:`merge` adds what the
journal knows. What was not asked is None.
"""

from __future__ import annotations

import concurrent.futures
import socket
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud, Json
from ansible_collections.openstack_ha.recovery.plugins.module_utils._probe import ANSWERS, probe, signs_of_life

OPERATOR = "operator"
_CONTROL = ("nova-conductor", "nova-scheduler")


def take(
    cloud: Cloud,
    topology: Json,
    suspects: t.Sequence[str],
    caller: str,
    probe_timeout: float,
    policy: t.Mapping[str, t.Any] | None = None,
    vouched: bool = True,
) -> Json:
    """One snapshot of the cloud, for a decision about these hosts.

    :param caller: Who says that they have failed: ``operator`` or ``responder``.
    :param probe_timeout: Seconds to wait for what does not answer; all is asked at once, and beside Nova.
    :param policy: The complete policy; its networks tell what the observer itself must reach.
    :param vouched: Whether an ``operator`` says now that the suspects have failed: then that is one witness.
    """
    urls = urls_of(topology, suspects, policy)
    with concurrent.futures.ThreadPoolExecutor(1) as aside:
        asked = aside.submit(probe, urls, probe_timeout)
        services = _compute.services(cloud)
        answers = asked.result()
    return compose(services, answers, topology, suspects, caller, policy, vouched)


def urls_of(topology: Json, suspects: t.Iterable[str], policy: t.Mapping[str, t.Any] | None) -> list[str]:
    """What has to be probed for a snapshot."""
    known = topology["hosts"]
    addresses = isolation_addresses(policy or {})
    return sorted({url for host in suspects for url in _probes(known, host)}.union(*addresses.values()))


def compose(
    services: t.Sequence[Json],
    answers: t.Mapping[str, str],
    topology: Json,
    suspects: t.Sequence[str],
    caller: str,
    policy: t.Mapping[str, t.Any] | None = None,
    vouched: bool = True,
) -> Json:
    """The snapshot of what was read before: Nova's services, and what each of the :func:`urls_of` answered."""
    known: Json = topology["hosts"]
    computes = {service["host"]: service for service in services if service["binary"] == "nova-compute"}
    facts = {host: _facts(host, computes.get(host), known.get(host)) for host in sorted({*computes, *known, *suspects})}
    for host in suspects:
        heard = {url: answers[url] for url in _probes(known, host)}
        facts[host].update(_heard(facts[host], caller == OPERATOR and vouched, heard))
    return {
        "caller": caller,
        "suspects": sorted(set(suspects)),
        "observer": _observer(isolation_addresses(policy or {}), answers),
        "control": {
            binary: sum(service["state"] == "up" for service in services if service["binary"] == binary)
            for binary in _CONTROL
        },
        "hosts": facts,
    }


def _observer(addresses: t.Mapping[str, t.Sequence[str]], answers: t.Mapping[str, str]) -> Json:
    """How well this machine is connected; a refusal may come from a router of another network and proves nothing."""
    networks = {name: any(answers[url] == ANSWERS for url in urls) for name, urls in addresses.items()}
    return {"name": socket.gethostname(), "up_for": None, "api": True, "networks": networks}


def isolation_addresses(policy: t.Mapping[str, t.Any]) -> dict[str, list[str]]:
    """What must answer on each network that has such addresses; any one of them will do."""
    networks = {name: network.get("isolation_addresses") or [] for name, network in policy.get("networks", {}).items()}
    return {name: list(addresses) for name, addresses in sorted(networks.items()) if addresses}


def _probes(known: Json, host: str) -> list[str]:
    return known.get(host, {}).get("probe") or []


def _facts(host: str, service: Json | None, known: Json | None) -> Json:
    """What Nova and the segments file say of a host; the journal has more."""
    place = known or {}
    return {
        "known": known is not None,
        "names": [host] if known is not None else [],
        "segment": place.get("segment"),
        "domain": place.get("failure_domain"),
        "role": place.get("role"),
        **_service(service),
        "up_for": None,
        "networks": {},
        "kdump": None,
        "recoveries": None,
        "fencing": {"levels": place["fencing_levels"]} if "fencing_levels" in place else {},
    }


def _service(service: Json | None) -> Json:
    """What Nova says; a host that it does not know is not forced down, and nobody knows whether it is silent."""
    service = service or {}
    state, forced, reason = service.get("state"), bool(service.get("forced_down")), service.get("disabled_reason")
    by_reason = service.get("status") == "disabled" and "maintenance" in (reason or "").lower()
    return {
        "state": state,
        "status": service.get("status"),
        "disabled_reason": reason,
        "forced_down": forced,
        "last_heartbeat": service.get("updated_at"),
        "maintenance": reason if by_reason else False,
        "silent": (state == "down" and not forced) if state else None,
    }


def _heard(facts: Json, vouched: bool, answers: dict[str, str]) -> Json:
    """Who says what of a suspect."""
    living = signs_of_life(answers)
    witnesses = {"operator": "down"} if vouched else {}
    witnesses["nova"] = facts["state"] or "unknown"
    if answers:
        witnesses["probe"] = "up" if living else "down"
    unheard = bool(answers) and not living and not facts["forced_down"]
    return {
        "witnesses": witnesses,
        "signs_of_life": living,
        "probe": answers,
        "silent": True if unheard else facts["silent"],
    }


def merge(snapshot: Json, journal_facts: Json) -> Json:
    """The snapshot with what the journal knows; hosts that it alone knows are left out.

    :param journal_facts: ``in_flight``, ``fences``, ``orders``, ``storm``, ``answers``, and ``hosts`` with the facts of
        single hosts, of which ``fencing`` is merged key by key.
    """
    hosts = dict(snapshot["hosts"])
    for host, more in (journal_facts.get("hosts") or {}).items():
        if host in hosts:
            fencing = {**hosts[host].get("fencing", {}), **(more.get("fencing") or {})}
            hosts[host] = {**hosts[host], **more, "fencing": fencing}
    return {**snapshot, **journal_facts, "hosts": hosts}
