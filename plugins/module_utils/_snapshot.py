# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the facts that the gates reason about. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud, Json
from ansible_collections.openstack_ha.recovery.plugins.module_utils._probe import probe, signs_of_life


def take(cloud: Cloud, topology: Json, hosts: t.Sequence[str], caller: str, probe_timeout: float) -> Json:
    """One snapshot of the cloud, for a decision about these hosts.

    :param caller: Who says that they have failed: ``operator``.
    :param probe_timeout: Seconds to wait for a host that does not answer; all are asked at once.
    """
    services = _compute.services(cloud)
    computes = {service["host"]: service for service in services if service["binary"] == "nova-compute"}
    urls = {host: topology["hosts"].get(host, {}).get("probe") or [] for host in hosts}
    answers = probe(sorted({url for host in hosts for url in urls[host]}), probe_timeout)
    return {
        "caller": caller,
        "control": {
            binary: sum(service["state"] == "up" for service in services if service["binary"] == binary)
            for binary in ("nova-conductor", "nova-scheduler")
        },
        "computes_total": len(computes),
        "computes_up": sum(service["state"] == "up" for service in computes.values()),
        "hosts": {
            host: _facts(
                computes.get(host), topology["hosts"].get(host, {}), caller, {u: answers[u] for u in urls[host]}
            )
            for host in hosts
        },
    }


def _facts(service: Json | None, known: Json, caller: str, answers: dict[str, str]) -> Json:
    service = service or {}
    reason = service.get("disabled_reason")
    witnesses = [caller]
    if service.get("state") == "down":
        witnesses.append("nova")
    living = signs_of_life(answers)
    if answers and not living:
        witnesses.append("probe")
    return {
        "segment": known.get("segment"),
        "role": known.get("role"),
        "state": service.get("state"),
        "status": service.get("status"),
        "disabled_reason": reason,
        "forced_down": service.get("forced_down"),
        "last_heartbeat": service.get("updated_at"),
        "maintenance": service.get("status") == "disabled" and "maintenance" in (reason or "").lower(),
        "probe": answers,
        "witnesses": witnesses,
        "signs_of_life": living,
    }
