# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The power certificate: the proof that a host is off. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import OFF
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.levels import Outcome
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.methods import METHODS

Certificate = t.Dict[str, t.Any]

OPERATOR = "operator"
KINDS = (*METHODS, "mixed")


def by_devices(host: str, outcome: Outcome, observed_at: str) -> Certificate:
    """What the devices of one level have proven."""
    kind = outcome.methods[0] if len(outcome.methods) == 1 else "mixed"
    return {**_common(host, outcome, observed_at), "kind": kind, "level": outcome.level}


def by_operator(host: str, outcome: Outcome, observed_at: str, by: str, reason: str) -> Certificate:
    """What a person answers for; ``observed_state`` stays what was seen last, which need not be off."""
    certificate = _common(host, outcome, observed_at)
    return {**certificate, "kind": OPERATOR, "level": None, "confirmed_by": by, "confirmed_reason": reason}


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


def refusal(certificate: t.Mapping[str, t.Any], host: str) -> str | None:
    """Why the certificate does not prove that the host is off; None when it does."""
    if certificate.get("host") != host:
        return f"it is about {certificate.get('host')}, not {host}"
    if certificate.get("kind") not in KINDS:
        return f"its kind {certificate.get('kind')!r} is not known"
    if certificate["kind"] == OPERATOR:
        named = certificate.get("confirmed_by") and certificate.get("confirmed_reason")
        return None if named else "it does not say who confirmed it and why"
    if certificate.get("observed_state") != OFF:
        return f"the power state read back was {certificate.get('observed_state')!r}"
    return None
