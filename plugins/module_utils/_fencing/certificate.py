# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The power certificate: the proof that a host is off. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.levels import Outcome

Certificate = t.Dict[str, t.Any]


def by_devices(host: str, outcome: Outcome, observed_at: str) -> Certificate:
    """What the devices of one level have proven."""
    kind = outcome.methods[0] if len(outcome.methods) == 1 else "mixed"
    return {**_common(host, outcome, observed_at), "kind": kind, "level": outcome.level}


def by_operator(host: str, outcome: Outcome, observed_at: str, by: str, reason: str) -> Certificate:
    """What a person answers for; ``observed_state`` stays what was seen last, which need not be off."""
    certificate = _common(host, outcome, observed_at)
    return {**certificate, "kind": "operator", "level": None, "confirmed_by": by, "confirmed_reason": reason}


def _common(host: str, outcome: Outcome, observed_at: str) -> Certificate:
    return {
        "host": host,
        "identity": outcome.identity,
        "observed_state": outcome.after,
        "observed_at": observed_at,
        "evidence": outcome.evidence,
        "confirmed_by": None,
        "confirmed_reason": None,
    }
