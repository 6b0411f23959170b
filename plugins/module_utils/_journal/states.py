# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The states of everything in the journal. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

INCIDENT = {
    "open": "seen, nothing decided",
    "held": "must wait, see reason",
    "recovering": "a run works on it",
    "recovered": "every VM has its final line and none is pending or failed",
    "partial": "the run ended, some VMs are pending or failed",
    "closed": "an operator ended it",
}
INCIDENT_FINAL = ("recovered", "closed")

RUN = {
    "open": "at work",
    "closed": "ended by itself",
    "abandoned": "its process died or it lost its lease",
}

LINE = {
    "planned": "a place was found, nothing was asked of Nova",
    "requesting": "intent written, answer of Nova unknown",
    "requested": "Nova accepted",
    "landed": "on the target",
    "started": "in its former power state",
    "verified": "host, status, ports and volumes observed",
    "skipped": "policy or state says no",
    "pending": "could not go now",
    "failed": "Nova tried and gave up",
}
# A new plan must not overwrite what Nova was asked to do: the request may still be under way.
LINE_UNDER_WAY = ("requesting", "requested", "landed", "started", "verified")

RESERVED = {
    "taken": "enabled for a run",
    "consumed": "a VM landed on it",
    "returned": "nothing landed, disabled again",
}

ORDER_KIND = {
    "pause": "nothing is begun for what it covers; what Nova was asked for is followed to its end",
    "disarm": "failures of what it covers are recorded and nothing else",
    "budget": "other limits for what it covers",
}
ORDER_SCOPE = {
    "cloud": "every host",
    "segment": "the hosts of one failover segment",
    "host": "one host",
}

QUESTION = {
    "open": "nobody has answered",
    "answered": "a person answered",
    "expired": "nobody answered in time and the default was done, or the question was asked anew",
}
ANSWER = ("recover", "hold")

FENCE_CHECK = {
    "ok": "all that is configured to fence the host works, as far as reading can tell",
    "failed": "something of it does not",
    "mismatch": "a device says that it switches another machine",
}

SIGNAL = {
    "failed": "its monitor says that something is wrong",
    "unknown": "its monitor cannot tell, or says what nobody here knows",
    "ok": "its monitor says that nothing is wrong any more",
}
VERDICT = ("recover", "hold", "ask", "alert", "ignore")

NOTICE = {
    "pending": "not yet delivered",
    "sent": "delivered",
    "failed": "given up, see reason",
}


def known(table: dict[str, str], state: str) -> str:
    """Return the state, or refuse one that is not in its table."""
    if state not in table:
        raise ValueError(f"unknown state {state!r}; there are {', '.join(table)}")
    return state
