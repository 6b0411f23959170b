# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The power certificate: the proof that a host cannot run its VMs. PRIVATE: may change at any time.

Who reads one asks here what it proves.
"""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import OFF, Wait
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.levels import Outcome
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.methods import METHODS

Certificate = t.Dict[str, t.Any]

_MIXED = "mixed"
_OPERATOR = "operator"


def proves(certificate: Certificate) -> bool:
    """Whether it says what a certificate of its kind must say: no other word, and no kind that is not known."""
    kind = certificate.get("kind")
    if kind == _OPERATOR:
        return bool(certificate.get("confirmed_by") and certificate.get("confirmed_reason"))
    proof = OFF if kind == _MIXED else METHODS[kind].PROOF if kind in METHODS else ""
    return bool(proof) and certificate.get("observed_state") == proof


def refuses(certificate: Certificate) -> bool:
    """Whether the host, dead as it is, may still refuse connections: its crash kernel does."""
    method = METHODS.get(certificate["kind"])
    return bool(method and issubclass(method, Wait) and method.REFUSES)


def by_level(host: str, outcome: Outcome, observed_at: str) -> Certificate:
    """What one level has proven."""
    kind = outcome.methods[0] if len(outcome.methods) == 1 else _MIXED
    certificate = _common(host, outcome, observed_at)
    return {**certificate, "kind": kind, "level": outcome.level, "observed_state": outcome.proof}


def by_operator(host: str, outcome: Outcome, observed_at: str, by: str, reason: str) -> Certificate:
    """What a person answers for; ``observed_state`` stays what was seen last, which need not be off."""
    certificate = _common(host, outcome, observed_at)
    return {**certificate, "kind": _OPERATOR, "level": None, "confirmed_by": by, "confirmed_reason": reason}


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
