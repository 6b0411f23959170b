# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Placement knows about room on hosts. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import concurrent.futures
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud

Amounts = t.Dict[str, int]

_PARALLEL = 8


def allocations_on(cloud: Cloud, provider: str) -> dict[str, Amounts]:
    """What each consumer (server) holds on a resource provider (compute host): consumer → class → amount."""
    found = cloud.get("placement", f"/resource_providers/{provider}/allocations")["allocations"]
    return {consumer: dict(allocation["resources"]) for consumer, allocation in found.items()}


def room_on(cloud: Cloud, providers: t.Iterable[str]) -> dict[str, tuple[Amounts, Amounts]]:
    """Capacity (after reservation and overcommit) and usage by resource class, for each provider."""
    wanted = list(providers)
    with concurrent.futures.ThreadPoolExecutor(_PARALLEL) as pool:
        return dict(zip(wanted, pool.map(lambda provider: _room(cloud, provider), wanted)))


def _room(cloud: Cloud, provider: str) -> tuple[Amounts, Amounts]:
    inventories = cloud.get("placement", f"/resource_providers/{provider}/inventories")["inventories"]
    usages = cloud.get("placement", f"/resource_providers/{provider}/usages")["usages"]
    capacity = {
        name: int((inventory["total"] - inventory["reserved"]) * inventory["allocation_ratio"])
        for name, inventory in inventories.items()
    }
    return capacity, dict(usages)
