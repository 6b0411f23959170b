# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the journal adds to a snapshot. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _recovery
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.site import Json, Site

_OURS = "openstack_ha:"
_UNSETTLED = ["open", "held", "recovering", "partial"]


def of_journal(site: Site, hosts: t.Sequence[str]) -> Json:
    """See ``_recovery.journal_facts``."""
    return _recovery.journal_facts(site.journal, site.region, hosts, site.policy)


def settled(site: Site) -> set[str]:
    """Hosts that are out of service because they were recovered: nothing is to be done until they return."""
    away = {name for name, service in site.nova.services.items() if service["forced_down"]}
    if not away:
        return set()
    ours = {name for name in away if (site.nova.services[name]["disabled_reason"] or "").startswith(_OURS)}
    unsettled = {incident["host"] for incident in site.journal.incidents(state=_UNSETTLED)}
    return ours - unsettled
