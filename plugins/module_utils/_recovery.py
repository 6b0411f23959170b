# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Opens and closes recovery runs in the journal. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import hashlib
import json
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _gates, _order_words
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.holder import is_alive, words
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.notices import EVERYBODY
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.orders import in_force
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import (
    HOST,
    NETWORK,
    PROCESS,
    claim_of,
    host_of,
    object_of,
    place,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.states import INCIDENT_FINAL
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal

Json = t.Dict[str, t.Any]

#: The step after which nothing is left to do with the VMs of a host, in this run. Without it a host is not recovered.
EVACUATED = "evacuated"

#: What becomes of an incident when its host gets another verdict than ``recover``.
_INCIDENT_STATE = {"hold": "held", "ask": "held", "alert": "open", "ignore": "closed"}

#: Seconds until a host that could not be fenced is tried again, by attempt; the last one for ever.
_BACK_OFF = (30.0, 60.0, 120.0, 300.0, 600.0, 900.0)

#: Of a network of a host that is lost, and whose VMs need it no more.
MOVED = "its VMs were moved away"

#: Kinds of runs that claim hosts without being about them.
_ON_HOSTS = (PROCESS, NETWORK)

_NOT_FENCED = "not fenced"
_HOUR = 3600.0  # budgets count power certificates of the last hour


def begin(
    journal: Journal,
    scope: str,
    places: t.Mapping[str, str | None],
    holder: Json,
    lease_seconds: float,
    say: t.Callable[[str], None],
    kind: str = HOST,
) -> Json:
    """Open incidents and a run for the places and take the claims on them, or fail and change nothing.

    :param places: Segment by place. :param kind: What the run is about, see ``places.KINDS``.
    :raises ClaimHeld: another run is at work on one of them.
    :raises RecoveryError: another run has ended the work on one of them while this one waited for its claim.
    """
    wanted = [
        {"host": host_of(at), "object": object_of(at), "kind": kind, "segment": segment}
        for at, segment in places.items()
    ]
    incidents = dict(zip(places, journal.open_incidents(scope, wanted)))
    unfinished = [run for at in places for run in journal.unfinished_runs(at, scope, kind)]
    # A run that gave the host up may still be at work on others.
    resumed = [run["id"] for run in unfinished if run["outcome_of_host"] != "held"]
    entries = [{"host": at, "incident_id": incident["id"]} for at, incident in incidents.items()]
    run = journal.open_run(entries, holder, resumes=resumed[0] if resumed else None, kind=kind)
    claimed = {claim_of(kind, at) for at in places}
    try:
        claims.take(journal, [(scope, at) for at in claimed], run["id"], holder, lease_seconds, say=say)
        _refuse_ended(journal, incidents)
    except RecoveryError as error:
        claims.release(journal, run["id"], claimed)
        journal.close_run(run["id"], "closed", {"refused": error.message})
        raise
    for old in unfinished:
        if not _at_work(journal, old):
            journal.close_run(old["id"], "abandoned", {"resumed_by": run["id"]})
    return run


def revoke(journal: Journal, scope: str, hosts: t.Container[str], why: str) -> list[str]:
    """End the runs that work on these hosts for the sake of their units or networks; return their ids.

    They have lost their claims then, and change nothing any more. Who has found that a host is dead does not wait.
    """
    runs = {it["run_id"] for it in claims.taken(journal, scope) if it["host"] in hosts and it["kind"] in _ON_HOSTS}
    for run_id in sorted(runs):
        run = journal.run(run_id)
        for entry in run["hosts"]:
            if entry["outcome"] is None and journal.set_run_host(run_id, entry["host"], "held", why):
                journal.set_incident(entry["incident_id"], "held", why)
        journal.close_run(run_id, "closed", {"canceled": why})
        claims.release(journal, run_id, {claim_of(run["kind"], entry["host"]) for entry in run["hosts"]})
    return sorted(runs)


def _refuse_ended(journal: Journal, incidents: t.Mapping[str, Json]) -> None:
    """What was decided on before the claim was ours may be done: to do it again would fence a host that is back."""
    known = [incident["id"] for incident in incidents.values()]
    ended = journal.incidents(id=known, state=list(INCIDENT_FINAL))
    if ended:
        told = "; ".join(f"{place(it['host'], it['object'])} is {it['state']}{_because(it)}" for it in ended)
        raise RecoveryError(f"Another run came first: {told}. Nothing was claimed; look, and run again if need be.")


def _because(incident: Json) -> str:
    return f" ({incident['reason']})" if incident["reason"] else ""


def _at_work(journal: Journal, unfinished: Json) -> bool:
    """Whether a run, whose claim on this host is ours now, may still be at work: on other hosts, or on its end."""
    gave_up = unfinished["outcome_of_host"] == "held"
    return bool(claims.of_run(journal, unfinished["id"])) or (gave_up and is_alive(unfinished["holder"]) is True)


def journal_facts(
    journal: Journal,
    scope: str,
    suspects: t.Sequence[str],
    policy: Json,
    warn: t.Callable[[str], None] | None = None,
) -> Json:
    """What the journal adds to a snapshot; see ``_snapshot.merge()``.

    :param policy: The complete policy. :param warn: Told once of each order that has ended by itself or soon will.
    """
    unended = journal.unended_orders(scope)
    if warn:
        for order in journal.announce_orders(unended):
            warn(f"An order {_order_words.ending(order)}")
    checks = journal.fence_checks(scope)
    within = policy["gates"]["flapping"]["within"]
    recoveries = journal.recoveries(scope, suspects, within) if suspects else {}
    return {
        "in_flight": in_flight(journal, scope, suspects),
        "fences": [_fence(certificate) for certificate in journal.recent_certificates(scope, _HOUR)],
        "orders": [_order(order) for order in unended if in_force(order)],
        "storm": journal.storm(scope),
        "answers": answers(journal, scope, suspects, policy["ask"]["answer_valid"]),
        "hosts": {
            host: {"recoveries": recoveries[host], "fencing": _fence_check(checks.get(host))} for host in suspects
        },
    }


def no_facts(suspects: t.Iterable[str]) -> Json:
    """The same of a journal in which nothing was ever written."""
    nothing = {"recoveries": 0, "fencing": _fence_check(None)}
    return {
        "in_flight": [], "fences": [], "orders": [], "storm": {"silent_for": None, "ended_ago": None}, "answers": [],
        "hosts": dict.fromkeys(suspects, nothing),
    }  # fmt: skip


def _fence(certificate: Json) -> Json:
    """The failure domain stands in the snapshot."""
    return {key: certificate[key] for key in ("host", "segment", "age")}


def _order(order: Json) -> Json:
    return {key: order[key] for key in ("id", "number", "kind", "scope", "name", "owner", "reason", "left", "limits")}


def _fence_check(check: Json | None) -> Json:
    return {"check": check["result"], "age": check["age"], "said": check["said"]} if check else {"check": None}


def answers(journal: Journal, scope: str, suspects: t.Sequence[str], valid: float, together: bool = True) -> list[Json]:
    """Fresh answers to questions about these suspects; the gates compare what was asked.

    :param together: Only where it was asked about all of them, and no fewer.
    """
    found = journal.questions_about(scope, suspects) if suspects else []
    fresh = [it for it in found if it["state"] == "answered" and it["answer_age"] <= valid]
    return [
        {
            "host": it["host"], "gate": it["gate"], "question": it["digest"], "verdict": it["answer"],
            "by": it["answered_by"], "why": it["answer_reason"],
        }
        for it in fresh
        if not together or set(suspects) <= set((it["plan"] or {}).get("hosts", []))
    ]  # fmt: skip


def note_storm(journal: Journal, scope: str, snapshot: Json, policy: Json) -> None:
    """Keep whether too many hosts are silent, for who decides later. Only who watches all the time can tell its end."""
    journal.note_storm(scope, bool(_gates.storms(snapshot, policy)))


def decide(
    journal: Journal,
    run_id: str,
    snapshot: Json,
    policy: Json,
    policy_hash: str | None = None,
    segments_hash: str | None = None,
    wait: float = 0.0,
) -> dict[str, Json]:
    """Give and journal the verdict; hosts that are not to be recovered are released at once.

    :param policy_hash: Of the files that policy and segments stand in.
    :param wait: Keep the hosts to be asked about, if there is none to recover, because an answer is waited for.
    """
    verdicts = _gates.decide(snapshot, policy)
    seen = max((order["number"] for order in snapshot.get("orders") or []), default=0)
    journal.add_verdict(run_id, snapshot, policy_hash or digest(policy), verdicts, segments_hash, seen)
    asked = awaited(verdicts) if wait > 0 else []
    for entry in _undecided(journal, run_id):
        verdict = verdicts[entry["host"]]
        if verdict["verdict"] == "recover":
            journal.set_incident(entry["incident_id"], "recovering")
        elif entry["host"] in asked:
            journal.set_incident(entry["incident_id"], "held", f"asked: {verdict['reason']}")
        else:
            release(journal, run_id, entry, _INCIDENT_STATE[verdict["verdict"]], verdict["reason"])
    return verdicts


def decide_objects(
    journal: Journal,
    run_id: str,
    verdicts: t.Mapping[str, Json],
    snapshot: Json,
    policy: Json,
    policy_hash: str | None = None,
    segments_hash: str | None = None,
) -> list[str]:
    """Journal verdicts on the places of a run about VMs, units or networks; return those that are to be recovered.

    The others are released at once. What is to be asked is asked; nobody waits for the answer with a claim.

    :param verdicts: By place, see ``_objects``. :param snapshot: What they were made from.
    """
    seen = max((order["number"] for order in snapshot.get("orders") or []), default=0)
    journal.add_verdict(run_id, snapshot, policy_hash or digest(policy), dict(verdicts), segments_hash, seen)
    ask(journal, run_id, verdicts, lambda _at: 1, 0.0, policy["ask"]["default"])
    going = []
    for entry in _undecided(journal, run_id):
        verdict = verdicts[entry["host"]]
        if verdict["verdict"] == "recover":
            going.append(entry["host"])
            journal.set_incident(entry["incident_id"], "recovering")
        else:
            release(journal, run_id, entry, _INCIDENT_STATE[verdict["verdict"]], verdict["reason"])
    return going


def awaited(verdicts: t.Mapping[str, Json]) -> list[str]:
    """The hosts whose answer is worth waiting for: nobody else is to be recovered meanwhile."""
    if any(verdict["verdict"] == "recover" for verdict in verdicts.values()):
        return []
    return [host for host, verdict in verdicts.items() if verdict["verdict"] == "ask"]


def ask(
    journal: Journal,
    run_id: str,
    verdicts: t.Mapping[str, Json],
    vms: t.Callable[[str], int | None],
    wait: float,
    default: str,
) -> list[Json]:
    """Journal the questions that these verdicts ask.

    :param vms: How many VMs are on a host, as far as that can be told.
    """
    asked = {host: verdict for host, verdict in verdicts.items() if verdict["verdict"] == "ask"}
    plan = {"hosts": sorted(verdicts), "vms": {host: vms(host) for host in asked}}
    waits = wait if awaited(verdicts) else 0.0
    return [
        _ask(journal, run_id, entry, asked[entry["host"]], plan, waits, default)
        for entry in journal.run(run_id)["hosts"]
        if entry["host"] in asked
    ]


def _ask(journal: Journal, run_id: str, entry: Json, verdict: Json, plan: Json, wait: float, default: str) -> Json:
    gate, reason = verdict["gate"], verdict["reason"]
    return journal.ask(run_id, entry, gate, _gates.question(gate, reason), reason, plan, wait, default)


def _undecided(journal: Journal, run_id: str) -> list[Json]:
    return [entry for entry in journal.run(run_id)["hosts"] if entry["outcome"] is None]


def in_flight(journal: Journal, scope: str, but: t.Container[str]) -> list[str]:
    """Other hosts that runs are at work on, or are just deciding about: of two that decide at once, one sees the other.

    A claim is taken before the journal is asked. One whose process is known to be dead decides nothing any more.
    """
    recovering = [incident["host"] for incident in journal.incidents(scope=scope, kind=HOST, state="recovering")]
    taken = [claim for claim in claims.taken(journal, scope) if claim["kind"] == HOST]
    claimed = [claim["host"] for claim in taken if is_alive(claim["holder"] or {}) is not False]
    return sorted({host for host in recovering + claimed if host not in but})


def back_off(attempts: int) -> float:
    """Seconds until the next attempt after so many."""
    return _BACK_OFF[min(max(attempts, 1), len(_BACK_OFF)) - 1]


def hold(journal: Journal, run_id: str, host: str, reason: str) -> None:
    """Give one place up for this run: nothing of it may be evacuated, and it must not be forgotten.

    Without a certificate of this run a host was not fenced, and is to be tried again.
    """
    run = journal.run(run_id)
    for entry in run["hosts"]:
        if entry["host"] == host and run["kind"] != HOST:
            release(journal, run_id, entry, "held", reason, again=True)
        elif entry["host"] == host:
            proof = journal.certificate(run_id, host)
            fenced = proof is not None and proof["run_id"] == run_id and proof["state"] == "valid"
            why = reason if fenced or reason.startswith(_NOT_FENCED) else f"{_NOT_FENCED}: {reason}"
            release(journal, run_id, entry, "held", why, again=not fenced)


def release(journal: Journal, run_id: str, entry: Json, state: str, reason: str, again: bool = False) -> None:
    """End the run's work on one place before the run ends.

    :param again: Whether it is to be tried again by itself; a host that was to be is, until it is recovered or ended.
    """
    journal.set_run_host(run_id, entry["host"], "held", reason)
    (incident,) = journal.incidents(id=entry["incident_id"])
    if state == "held" and (again or (incident["attempts"] and incident["kind"] == HOST)):
        attempts = incident["attempts"] + 1
        journal.hold_incident(entry["incident_id"], reason, attempts, back_off(attempts))
    else:
        journal.set_incident(entry["incident_id"], state, reason)
    _release_claim(journal, run_id, entry["host"])


def _release_claim(journal: Journal, run_id: str, at: str) -> None:
    """Free the claim on a place, unless the run is at work on another one that the same claim covers."""
    run = journal.run(run_id)
    claim = claim_of(run["kind"], at)
    if not any(it["outcome"] is None and claim_of(run["kind"], it["host"]) == claim for it in run["hosts"]):
        claims.release(journal, run_id, [claim])


def close(journal: Journal, incident_id: str, by: str, reason: str) -> bool:
    """End an incident because a person says so; tell whether it had not ended.

    :raises RecoveryError: There is none, or a run may be at work on it.
    """
    found = journal.incidents(id=incident_id)
    if not found:
        raise RecoveryError(f"There is no incident {incident_id}. recovery_run_info shows which have not ended.")
    incident = found[0]
    at = place(incident["host"], incident["object"])
    for claim in claims.taken(journal, incident["scope"]):
        same = (claim["kind"], claim["host"]) == (incident["kind"], claim_of(incident["kind"], at))
        if same and is_alive(claim["holder"] or {}) is not False:
            raise RecoveryError(
                f"Incident {incident_id} was not closed: run {claim['run_id']} of {words(claim['holder'])} is at work "
                f"on {at}. Wait for its end, or end that process; then close it."
            )
    told = f"{by} has closed it: {reason}"
    if not journal.set_incident(incident_id, "closed", told):
        return False
    body = {**{key: incident[key] for key in ("host", "kind", "object")}, "reason": told}
    journal.add_notice(incident["scope"], EVERYBODY, "incident_closed", body, incident_id)
    return True


def finish(journal: Journal, run_id: str) -> Json:
    """End the run: outcome per place, of a host from the ledger; claims released. Returns the report."""
    run = journal.run(run_id)
    _end_hosts(journal, run) if run["kind"] == HOST else _end_objects(journal, run)
    outcomes = {entry["host"]: entry["outcome"] for entry in journal.run(run_id)["hosts"]}
    counts = journal.counts([entry["incident_id"] for entry in run["hosts"]])
    journal.close_run(run_id, "closed", {"hosts": outcomes, "vms": counts})
    claims.release(journal, run_id, {claim_of(run["kind"], at) for at in outcomes})
    return journal.report(run_id)


def _end_hosts(journal: Journal, run: Json) -> None:
    run_id = run["id"]
    evacuated = {step["host"] for step in journal.steps(run_id) if step["name"] == EVACUATED}
    unwanted = {order["covers"]: _order_words.stops(order) for order in journal.stopping_orders(run_id)}
    for entry in run["hosts"]:
        if entry["outcome"] != "held":
            cut_off = unwanted.get(entry["host"], "the run ended before all was evacuated")
            left = _left(journal, entry) if entry["host"] in evacuated else cut_off
            outcome = "partial" if left else "recovered"
            journal.set_run_host(run_id, entry["host"], outcome, left)
            journal.set_incident(entry["incident_id"], outcome, left)


def _end_objects(journal: Journal, run: Json) -> None:
    """What the executor has said with ``set_run_host()``; what it said nothing of is not done."""
    for entry in run["hosts"]:
        (incident,) = journal.incidents(id=entry["incident_id"])
        if incident["state"] != "recovering":
            continue
        outcome, reason = entry["outcome"], entry["reason"]
        if outcome is None:
            outcome, reason = "partial", "the run ended before this was done"
            journal.set_run_host(run["id"], entry["host"], outcome, reason)
        _end_object(journal, run, incident, outcome, reason)


def _end_object(journal: Journal, run: Json, incident: Json, outcome: str, reason: str | None) -> None:
    attempts = incident["attempts"] + 1
    if outcome == "recovered" and run["kind"] == NETWORK and run["holder"].get("opened_by"):
        # What it was about goes on: who watches ends it when the network is back.
        journal.set_incident(incident["id"], "held", reason or MOVED, attempts=0)
    elif outcome == "recovered":
        journal.set_incident(incident["id"], outcome, reason)
    elif run["kind"] == NETWORK:
        journal.hold_incident(incident["id"], reason or outcome, attempts, back_off(attempts))
    else:
        journal.set_incident(incident["id"], outcome, reason, attempts)


def _left(journal: Journal, entry: Json) -> str | None:
    """What of a host's VMs was not recovered."""
    counts = journal.counts([entry["incident_id"]])
    unfinished = sum(number for state, number in counts.items() if state not in ("verified", "skipped"))
    return f"{unfinished} VMs not recovered" if unfinished else None


def digest(data: Json) -> str:
    """A hash that is the same for the same data."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
