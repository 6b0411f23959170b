# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Opens and closes recovery runs in the journal. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import hashlib
import json
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _gates
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal

Json = t.Dict[str, t.Any]

#: The step after which nothing is left to do with the VMs of a host, in this run. Without it a host is not recovered.
EVACUATED = "evacuated"

#: What becomes of an incident when its host gets another verdict than ``recover``.
_INCIDENT_STATE = {"hold": "held", "ask": "held", "alert": "open", "ignore": "closed"}


def begin(
    journal: Journal,
    scope: str,
    hosts: t.Mapping[str, str | None],
    holder: Json,
    lease_seconds: float,
    say: t.Callable[[str], None],
) -> Json:
    """Open incidents and a run for the hosts and take the claims on them, or fail and change nothing.

    :param hosts: Segment by host. :raises ClaimHeld: another run is at work on one of them.
    """
    incidents = {host: journal.open_incident(host, scope, segment) for host, segment in hosts.items()}
    unfinished = [run for host in hosts for run in journal.unfinished_runs(host, scope)]
    entries = [{"host": host, "incident_id": incident["id"]} for host, incident in incidents.items()]
    run = journal.open_run(entries, holder, resumes=unfinished[0]["id"] if unfinished else None)
    try:
        claims.take(journal, [(scope, host) for host in hosts], run["id"], holder, lease_seconds, say=say)
    except RecoveryError as error:
        journal.close_run(run["id"], "closed", {"refused": error.message})
        raise
    for old in {run["id"] for run in unfinished}:
        journal.close_run(old, "abandoned", {"resumed_by": run["id"]})
    return run


def decide(journal: Journal, run_id: str, snapshot: Json, policy: Json) -> dict[str, Json]:
    """Give and journal the verdict; hosts that are not to be recovered are released at once."""
    verdicts = _gates.decide(snapshot, policy)
    journal.add_verdict(run_id, snapshot, digest(policy), verdicts)
    run = journal.run(run_id)
    for entry in run["hosts"]:
        verdict = verdicts[entry["host"]]
        if verdict["verdict"] == "recover":
            journal.set_incident(entry["incident_id"], "recovering")
        else:
            release(journal, run_id, entry, _INCIDENT_STATE[verdict["verdict"]], verdict["reason"])
    return verdicts


def in_flight(journal: Journal, scope: str, but: t.Container[str]) -> list[str]:
    """Other hosts that runs are at work on."""
    recovering = journal.incidents(scope=scope, state="recovering")
    return sorted(incident["host"] for incident in recovering if incident["host"] not in but)


def hold(journal: Journal, run_id: str, host: str, reason: str) -> None:
    """Give one host up for this run: nothing of it may be evacuated, and it must not be forgotten."""
    for entry in journal.run(run_id)["hosts"]:
        if entry["host"] == host:
            release(journal, run_id, entry, "held", reason)


def release(journal: Journal, run_id: str, entry: Json, state: str, reason: str) -> None:
    """End the run's work on one host before the run ends."""
    journal.set_run_host(run_id, entry["host"], "held", reason)
    journal.set_incident(entry["incident_id"], state, reason)
    claims.release(journal, run_id, [entry["host"]])


def finish(journal: Journal, run_id: str) -> Json:
    """End the run: outcome per host from the ledger, claims released. Returns the report."""
    run = journal.run(run_id)
    evacuated = {step["host"] for step in journal.steps(run_id) if step["name"] == EVACUATED}
    for entry in run["hosts"]:
        if entry["outcome"] != "held":
            left = _left(journal, entry) if entry["host"] in evacuated else "the run ended before all was evacuated"
            outcome = "partial" if left else "recovered"
            journal.set_run_host(run_id, entry["host"], outcome, left)
            journal.set_incident(entry["incident_id"], outcome, left)
    outcomes = {entry["host"]: entry["outcome"] for entry in journal.run(run_id)["hosts"]}
    counts = journal.counts([entry["incident_id"] for entry in run["hosts"]])
    journal.close_run(run_id, "closed", {"hosts": outcomes, "vms": counts})
    claims.release(journal, run_id, list(outcomes))
    return journal.report(run_id)


def _left(journal: Journal, entry: Json) -> str | None:
    """What of a host's VMs was not recovered."""
    counts = journal.counts([entry["incident_id"]])
    unfinished = sum(number for state, number in counts.items() if state not in ("verified", "skipped"))
    return f"{unfinished} VMs not recovered" if unfinished else None


def digest(data: Json) -> str:
    """A hash that is the same for the same data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
