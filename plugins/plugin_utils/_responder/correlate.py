# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gives every accepted signal its verdict. PRIVATE to this collection: may change at any time.

Signals about hosts are facts for the gates, and get the verdict that these give. Those about VMs and units are decided
in ``objects``. Others, as those about networks, are alerts: each opens an incident, and the word that all is well ends
it.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import (
    HOST,
    INSTANCE,
    PROCESS,
    host_of,
    place,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal

Json = dict[str, t.Any]
Tell = t.Callable[..., None]

MOST = 1000  # signals that one look decides about
#: Gate words for verdicts that no gate gives.
KIND, WELL, AT_WORK, SETTLED, SUPERSEDED, LATER = "kind", "well", "at_work", "settled", "superseded", "later"

UNSETTLED = ("open", "held", "recovering", "partial")


@dataclasses.dataclass(frozen=True)
class Hosts:
    """What one look has found about hosts.

    :param verdicts: Of the suspects; those in ``news`` are just being journaled, with their signals.
    :param busy: Hosts that runs are at work on. :param settled: Out of service because they were recovered.
    :param later: Hosts that are to be recovered, but not yet, by the seconds that are left.
    """

    verdicts: t.Mapping[str, Json]
    news: t.Collection[str]
    busy: t.Collection[str]
    settled: t.Collection[str]
    later: t.Mapping[str, float]


class Correlator:
    """Decides about signals that were accepted.

    :param tell: Told of an incident that was opened or closed: event, body, incident id.
    """

    def __init__(self, journal: Journal, scope: str, tell: Tell) -> None:
        self._journal, self._scope, self._tell = journal, scope, tell

    def undecided(self) -> list[Json]:
        """The signals that wait for a verdict, oldest first; so many of hosts, and of others as well."""
        return [
            *self._journal.undecided_signals(self._scope, MOST, kind=HOST),
            *self._journal.undecided_signals(self._scope, MOST, but=HOST),
        ]

    def decide_others(self, signals: t.Sequence[Json], segment: t.Callable[[str], str | None]) -> list[Json]:
        """Decide about those that are about no hosts, VMs or units; return the decisions that were new."""
        others = [it for it in signals if it["kind"] not in (HOST, INSTANCE, PROCESS)]
        failed = [it for it in others if it["state"] == "failed"]
        incidents = self.open(failed, segment)
        decisions = [_alert(signal, incident) for signal, incident in zip(failed, incidents)]
        well = [it for it in others if it["state"] != "failed"]
        known = self.known(well)
        decisions += [all_well(signal, known.get(key_of(signal))) for signal in well]
        new = self.decide(decisions)
        self._tell_of(new, failed, incidents)
        self._end([it for it in well if it["state"] == "ok"], known)
        return new

    def decide_hosts(self, signals: t.Sequence[Json], hosts: Hosts) -> list[Json]:
        """Decide about those about hosts whose verdict is not being journaled just now."""
        about = [it for it in signals if it["kind"] == HOST]
        if not about:
            return []
        names = sorted({it["host"] for it in about})
        open_ = self._journal.incidents(scope=self._scope, kind=HOST, host=names, state=list(UNSETTLED))
        incidents = {it["host"]: it for it in open_}
        decisions = [self._of_host(signal, hosts, incidents.get(signal["host"])) for signal in about]
        return self.decide([it for it in decisions if it])

    def decided(self, run_id: str, verdicts: t.Mapping[str, Json]) -> list[Json]:
        """In this run it was decided: so it is about the signals of its places."""
        run = self._journal.run(run_id)
        members = {entry["host"]: entry["incident_id"] for entry in run["hosts"]}
        hosts = sorted({host_of(at) for at in members})
        waiting = self._journal.undecided_signals(self._scope, MOST, kind=run["kind"], host=hosts)
        return self.decide(
            [
                as_verdict(it, verdict, members[at])
                for it in waiting
                if it["state"] == "failed" and (at := place(it["host"], it["object"])) in members
                if (verdict := verdicts.get(at))
            ]
        )

    def _of_host(self, signal: Json, hosts: Hosts, incident: Json | None) -> Json | None:
        host, open_ = signal["host"], incident["id"] if incident else None
        if signal["state"] != "failed":
            return all_well(signal, open_)
        if signal["newest_key"] is None:
            return decision(signal, "ignore", SUPERSEDED, "its reporter has said something else since", open_)
        if host in hosts.news:
            return None
        if host in hosts.busy:
            if incident and incident["state"] == "recovering":
                return decision(signal, "recover", AT_WORK, "a run is at work on the host", open_)
            return None  # a run is just being opened
        if host in hosts.later:
            return decision(signal, "hold", LATER, f"it is tried again in {hosts.later[host]:.0f} s", open_)
        if host in hosts.verdicts:
            verdict = hosts.verdicts[host]
            # That it is to be recovered is known when a run has been opened for it.
            return None if verdict["verdict"] == "recover" else as_verdict(signal, verdict, open_)
        if host in hosts.settled:
            return decision(signal, "ignore", SETTLED, "it was recovered, and is out of service", open_)
        return decision(signal, "ignore", SUPERSEDED, "nobody suspects the host any more", open_)

    def open(self, signals: t.Sequence[Json], segment: t.Callable[[str], str | None]) -> list[Json]:
        """The incidents that these signals are about, opened where they are not."""
        wanted = [
            {"host": it["host"], "segment": segment(it["host"]), "kind": it["kind"], "object": it["object"]}
            for it in signals
        ]
        return self._journal.open_incidents(self._scope, wanted)

    def known(self, signals: t.Sequence[Json]) -> dict[tuple[str, str, str], str]:
        """The open incidents that these may end."""
        if not signals:
            return {}
        filters = {"scope": self._scope, "host": sorted({it["host"] for it in signals}), "state": list(UNSETTLED)}
        kinds = sorted({it["kind"] for it in signals})
        return {key_of(it): it["id"] for it in self._journal.incidents(kind=kinds, **filters)}

    def _end(self, signals: t.Sequence[Json], known: t.Mapping[tuple[str, str, str], str]) -> None:
        """End the incidents about what is well again, by the last word of who had said that it was not."""
        for signal in signals:
            incident_id = known.get(key_of(signal))
            if (
                incident_id
                and self._is_well(signal)
                and self._journal.set_incident(incident_id, "closed", "it is well")
            ):
                self._tell("incident_closed", {**body_of(signal), "reason": "it is well"}, incident_id=incident_id)

    def _is_well(self, signal: Json) -> bool:
        last = self._journal.last_states(self._scope, [signal["kind"]], [signal["host"]])
        return all(it["state"] != "failed" for it in last if it["object"] == signal["object"])

    def decide(self, decisions: t.Sequence[Json]) -> list[Json]:
        """Write decisions; return those that are new."""
        changed = set(self._journal.decide_each(decisions))
        return [it for it in decisions if it["id"] in changed]

    def _tell_of(self, new: t.Sequence[Json], signals: t.Sequence[Json], incidents: t.Sequence[Json]) -> None:
        decided, told = {it["id"] for it in new}, set()
        for signal, incident in zip(signals, incidents):
            if signal["id"] in decided and incident["id"] not in told:
                told.add(incident["id"])
                self._tell("verdict", {**body_of(signal), "verdict": "alert"}, incident_id=incident["id"])


def key_of(row: Json) -> tuple[str, str, str]:
    """What a signal or an incident is about."""
    return row["host"], row["kind"], row["object"]


def body_of(signal: Json) -> Json:
    """What people are told of a signal."""
    reason = (signal["data"] or {}).get("reason")
    return {"type": signal["type"], "reason": reason, **{key: signal[key] for key in ("host", "kind", "object")}}


def decision(signal: Json, verdict: str, gate: str | None, reason: str, incident_id: str | None) -> Json:
    """A decision as the journal takes it."""
    return {"id": signal["id"], "verdict": verdict, "gate": gate, "reason": reason, "incident_id": incident_id}


def as_verdict(signal: Json, verdict: Json, incident_id: str | None) -> Json:
    """The decision that a verdict is."""
    return decision(signal, verdict["verdict"], verdict["gate"], verdict["reason"], incident_id)


def _alert(signal: Json, incident: Json) -> Json:
    return decision(signal, "alert", KIND, f"of kind {signal['kind']}: people are told", incident["id"])


def all_well(signal: Json, incident_id: str | None) -> Json:
    """The decision about a signal that nothing is wrong."""
    word = "says that all is well" if signal["state"] == "ok" else "cannot tell what is the matter"
    return decision(signal, "ignore", WELL, f"its source {word}", incident_id)
