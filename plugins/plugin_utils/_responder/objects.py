# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides about VMs, units and networks of hosts, and has runs started. PRIVATE: may change at any time.

What is open stands in the journal; a look finds which of it is due. It is decided in a thread for each host and kind,
as Nova is asked there, and decisions about hosts wait for nothing. What has come at once on a host is one run.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _objects, _recovery
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._ha_policy import protection
from ansible_collections.openstack_ha.recovery.plugins.module_utils._instances_gates import NOTIFY
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims, rows
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import ClaimHeld
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import (
    INSTANCE,
    NETWORK,
    PROCESS,
    claim_of,
    host_of,
    object_of,
    place,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.claimed import Claimed
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.correlate import Correlator, as_verdict
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.ending import Endings, Key, Look
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.launch import PLAYBOOKS
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.metrics import Metrics
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.opening import Opener
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.site import Site

Json = dict[str, t.Any]
KINDS = (INSTANCE, PROCESS, NETWORK)
#: Seconds that are given to what fails together on a host to be told together.
GATHER, GATHER_MOST = 0.3, 1.0
#: Seconds until the next look at what got this verdict, where the verdict does not say; and after trouble.
_LOOKS = {"hold": 10.0, "ask": 10.0, "alert": 60.0}
_AGAIN, _REFUSED = 5.0, 30.0
_LONGEST = 3600.0
#: Verdicts that are journaled at once, with what they were made from.
MOST = 50
_FRESH = 2.0  # seconds for which it counts what Nova has said of VMs


@dataclasses.dataclass(frozen=True)
class Parts:
    """What it works with.

    :param hosts: What is known of hosts now, see ``_objects.host_facts()``, and of the site.
    :param start: Has a run started: its id, what it has claimed, playbook and variables.
    """

    scope: str
    journal: Journal
    cloud: Cloud
    claimed: Claimed
    correlator: Correlator
    opener: Opener
    metrics: Metrics
    hosts: t.Callable[[], tuple[dict[str, Json], Site]]
    start: t.Callable[[str, t.Sequence[str], str, Json], None]
    tell: t.Callable[..., None]
    say: t.Callable[[str], None]
    clock: t.Callable[[], float]
    spawn: t.Callable[[str, t.Callable[[], None]], None]
    wake: t.Callable[[], None]
    lease: float


@dataclasses.dataclass
class _Kept:
    """What was said of a place last, from what, and when it is looked at again."""

    said: tuple[t.Any, ...]
    seen: t.Any
    at: float
    reaction: str | None = None


class Objects:
    """The part of a responder that knows VMs, units and networks."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._kept: dict[Key, _Kept] = {}
        self._busy: set[Key] = set()
        self._runs: dict[str, list[Key]] = {}
        self._lost: dict[str, str] = {}
        self._lock = threading.RLock()
        self._endings = Endings(parts.journal, parts.scope, parts.correlator, parts.tell)

    # -- for the loop ----------------------------------------------------------------------------------------------

    def look(self, seen: Look) -> float | None:
        """Have decided what is due; seconds until something else will be, None if nothing waits."""
        self._lost = dict(seen.lost)
        open_, words, decided = self._endings.settle(seen, self._at_work)
        self.parts.metrics.decided(decided, seen.signals)
        self._forget(open_)
        now, waits = self.parts.clock(), self._waits(seen, open_)
        marks = {key: self._mark(seen, words, key, it) for key, it in open_.items()}
        due, left = [], []
        for key, incident in open_.items():
            wait = max(waits.get(key, 0.0), self._left(key, incident, marks[key], now))
            left.append(wait) if wait > 0 else due.append(key)
        with self._lock:
            self._busy.update(due)
        for (kind, host), places in _grouped(due).items():
            work = functools.partial(self._work, kind, host, places, {it: open_[kind, it] for it in places}, marks)
            self.parts.spawn(f"decide {kind} {host}", work)
        return min(left, default=None)

    def suspicions(self, kind: str, reaction: str) -> set[str]:
        """The hosts of places whose last verdict had this reaction."""
        with self._lock:
            return {host_of(at) for (its, at), it in self._kept.items() if (its, it.reaction) == (kind, reaction)}

    def ended(self, run_id: str) -> list[str] | None:
        """A run has ended: its places are looked at again at once. None: it is none of these."""
        with self._lock:
            keys = self._runs.pop(run_id, None)
            if keys is None:
                return None
            for key in keys:
                self._kept.pop(key, None)
            self._busy.difference_update(keys)
        return [at for _kind, at in keys]

    # -- what is due -----------------------------------------------------------------------------------------------

    def _at_work(self, kind: str, at: str) -> bool:
        with self._lock:
            mine = (kind, at) in self._busy
        return mine or self.parts.claimed.works(kind, at)

    def _forget(self, open_: t.Container[Key]) -> None:
        with self._lock:
            self._kept = {key: it for key, it in self._kept.items() if key in open_ or key in self._busy}

    def _left(self, key: Key, incident: Json, mark: t.Any, now: float) -> float:
        """Seconds until a place is to be decided about."""
        with self._lock:
            kept = self._kept.get(key)
        if kept is None or kept.seen != mark:
            return float(incident["due_in"])
        return max(incident["due_in"], kept.at - now, 0.0)

    def _waits(self, seen: Look, open_: t.Mapping[Key, Json]) -> dict[Key, float]:
        """Seconds for which VMs of a host wait for others that fail with them."""
        ages: dict[str, list[float]] = {}
        for it in seen.signals:
            key = (it["kind"], place(it["host"], it["object"]))
            if it["kind"] == INSTANCE and it["state"] == "failed" and key in open_:
                ages.setdefault(it["host"], []).append(it["age"] or 0.0)
        left = {host: min(GATHER - min(its), GATHER_MOST - max(its)) for host, its in ages.items()}
        return {key: left.get(host_of(key[1]), 0.0) for key in open_ if key[0] == INSTANCE and key not in self._kept}

    def _mark(self, seen: Look, words: t.Mapping[Key, Json], key: Key, incident: Json) -> t.Any:
        """What a decision hangs on; when it changes it is made anew."""
        kind, at = key
        host = seen.hosts.get(host_of(at), {})
        word = words.get(key) or {}
        state = tuple(host.get(it) for it in ("heard", "forced_down", "nova_state", "host_incident", "host_run"))
        return (
            state, incident["id"], word.get("id"), word.get("state"), seen.lost.get(at) if kind == NETWORK else None,
            host.get("disabled_reason"), seen.site.policy_hash, seen.site.segments_hash,
        )  # fmt: skip

    # -- in a thread of its own ------------------------------------------------------------------------------------

    def _work(
        self, kind: str, host: str, places: list[str], incidents: dict[str, Json], marks: t.Mapping[Key, t.Any]
    ) -> None:
        going: list[str] = []
        try:
            going = self._decide(kind, places, incidents, marks)
        except RecoveryError as error:
            self.parts.say(f"{kind} of {host}: {error.message}")
            self._later(kind, places, marks)
        except Exception as error:  # whatever it is: it is tried again
            self.parts.say(f"{kind} of {host}: {error!r}")
            self.parts.metrics.failed(error)
            self._later(kind, places, marks)
        finally:
            with self._lock:
                self._busy.difference_update((kind, at) for at in places if at not in going)
            self.parts.wake()

    def _postpone(self, keys: t.Iterable[Key]) -> None:
        """What could not be begun is tried again after a while."""
        with self._lock:
            for key in keys:
                self._kept[key].at = self.parts.clock() + _REFUSED

    def _later(self, kind: str, places: list[str], marks: t.Mapping[Key, t.Any]) -> None:
        with self._lock:
            for key in ((kind, at) for at in places):
                before = self._kept.get(key)
                if before and before.at > self.parts.clock() + _AGAIN:
                    continue
                said, reaction = (before.said, before.reaction) if before else ((), None)
                self._kept[key] = _Kept(said, marks[key], self.parts.clock() + _AGAIN, reaction)

    def _decide(
        self, kind: str, places: list[str], incidents: dict[str, Json], marks: t.Mapping[Key, t.Any]
    ) -> list[str]:
        """Decide; where the verdict is new, in the journal and with the claim. Return what a run has begun with."""
        began = self.parts.clock()
        snapshot, site = self._snapshot(kind, places, None)
        verdicts = _verdicts(snapshot, places, site.policy)
        ignored = {at: it for at, it in verdicts.items() if it["verdict"] == "ignore"}
        self._ignore(kind, ignored, incidents)
        news = [at for at, it in verdicts.items() if at not in ignored and self._is_news((kind, at), it)][:MOST]
        same = {at: it for at, it in verdicts.items() if at not in ignored and not self._is_news((kind, at), it)}
        self._sign(kind, same, incidents)
        self._keep(kind, same, marks)
        if not news:
            return []
        known = snapshot if self.parts.clock() - began < _FRESH else None
        try:
            return self._open(kind, news, incidents, marks, known)
        except ClaimHeld:
            if any(verdicts[at]["verdict"] in ("recover", "ask") for at in news):
                raise
            # Somebody is at work on the host itself, and there is nothing to be done here but to say so.
            told = {at: verdicts[at] for at in news}
            self._sign(kind, told, incidents)
            self._keep(kind, told, marks)
            return []

    def _snapshot(self, kind: str, places: t.Sequence[str], known: Json | None) -> tuple[Json, Site]:
        """All that is known. :param known: A snapshot with what Nova has just said of VMs."""
        parts = self.parts
        hosts, site = parts.hosts()
        found = _objects.journal_facts(parts.journal, parts.scope, kind, places, site.policy, hosts, site.topology)
        found["caller"] = "responder"
        if kind == NETWORK:
            told = {at: {**it, "reason": self._lost.get(at) or it["reason"]} for at, it in found["places"].items()}
            return {**found, "places": told}, site
        if kind != INSTANCE:
            return found, site
        if known is None:
            return _objects.with_servers(parts.cloud, found, places, site.policy), site
        return _objects.with_known(found, known), site

    def _is_news(self, key: Key, verdict: Json) -> bool:
        with self._lock:
            kept = self._kept.get(key)
        return verdict["verdict"] == "recover" or kept is None or kept.said != _said(verdict)

    def _ignore(self, kind: str, ignored: t.Mapping[str, Json], incidents: t.Mapping[str, Json]) -> None:
        """Nothing is to be done, and nothing is open any more; who was told nothing before is told nothing now."""
        self._sign(kind, ignored, incidents)
        ids = {incidents[at]["id"]: at for at in ignored}
        closed = self.parts.journal.close_incidents({id_: ignored[at]["reason"] for id_, at in ids.items()})
        for id_ in closed:
            at = ids[id_]
            if incidents[at]["reason"]:
                body = {"host": host_of(at), "kind": kind, "object": object_of(at), "reason": ignored[at]["reason"]}
                self.parts.tell("incident_closed", body, incident_id=id_)

    def _sign(self, kind: str, verdicts: t.Mapping[str, Json], incidents: t.Mapping[str, Json]) -> None:
        """Write the verdict on signals for which no run is opened."""
        if not verdicts:
            return
        hosts = sorted({host_of(at) for at in verdicts})
        waiting = self.parts.journal.undecided_signals(self.parts.scope, kind=kind, state="failed", host=hosts)
        decisions = [
            as_verdict(it, verdicts[at], incidents[at]["id"])
            for it in waiting
            if (at := place(it["host"], it["object"])) in verdicts
        ]
        self.parts.metrics.decided(self.parts.correlator.decide(decisions), waiting)

    def _keep(self, kind: str, verdicts: t.Mapping[str, Json], marks: t.Mapping[Key, t.Any]) -> None:
        now = self.parts.clock()
        with self._lock:
            for at, it in verdicts.items():
                after = it["look_again"] if it["look_again"] is not None else _LOOKS.get(it["verdict"], _AGAIN)
                after = min(max(after, GATHER), _LONGEST)
                self._kept[kind, at] = _Kept(_said(it), marks[kind, at], now + after, it.get("reaction"))

    # -- runs ------------------------------------------------------------------------------------------------------

    def _open(
        self,
        kind: str,
        places: list[str],
        incidents: dict[str, Json],
        marks: t.Mapping[Key, t.Any],
        known: Json | None,
    ) -> list[str]:
        parts = self.parts
        _hosts, site = parts.hosts()
        claimed = sorted({claim_of(kind, at) for at in places})
        segments = {at: site.segment(host_of(at)) for at in places}
        run = _recovery.begin(parts.journal, parts.scope, segments, claims.opener(), parts.lease, parts.say, kind)
        try:
            _same(parts.journal, run, incidents)
            snapshot, site = self._snapshot(kind, places, known)
            verdicts = _verdicts(snapshot, places, site.policy)
            hashes = (site.policy_hash, site.segments_hash)
            going = _recovery.decide_objects(parts.journal, run["id"], verdicts, snapshot, site.policy, *hashes)
            if not going:
                _recovery.finish(parts.journal, run["id"])
        except BaseException as error:
            parts.opener.give_up(run["id"], claimed, str(error))
            raise
        signals = parts.journal.undecided_signals(parts.scope, kind=kind, host=sorted({host_of(at) for at in places}))
        parts.metrics.decided(parts.correlator.decided(run["id"], verdicts), signals)
        parts.metrics.object_verdicts(kind, verdicts)
        self._keep(kind, verdicts, marks)
        self._tell(kind, verdicts, incidents, snapshot)
        owned = {at: it for at, it in verdicts.items() if it.get("reaction") == NOTIFY}
        self._tell_owners(owned, snapshot, site.policy, incidents)
        if going:
            self._start(kind, run["id"], going, verdicts)
        return going

    def _start(self, kind: str, run_id: str, going: list[str], verdicts: t.Mapping[str, Json]) -> None:
        parts, claimed = self.parts, sorted({claim_of(kind, at) for at in going})
        with self._lock:
            self._runs[run_id] = [(kind, at) for at in going]
        try:
            parts.start(run_id, claimed, PLAYBOOKS[kind], _variables(kind, going))
        except BaseException as error:
            with self._lock:
                self._runs.pop(run_id, None)
            parts.opener.give_up(run_id, claimed, str(error))
            self._postpone((kind, at) for at in going)
            raise
        parts.say(f"run {run_id} on {kind} {', '.join(going)}")
        parts.tell("run_started", {"kind": kind, "hosts": sorted({host_of(at) for at in going}), "objects": going},
                   run_id=run_id)  # fmt: skip

    def _tell(self, kind: str, verdicts: t.Mapping[str, Json], incidents: t.Mapping[str, Json], snapshot: Json) -> None:
        for at, it in verdicts.items():
            self.parts.say(f"{kind} {at}: {it['verdict']} ({it['gate']}): {it['reason']}")
            if it["verdict"] == "hold" and not it.get("reaction"):
                continue
            told = {key: it.get(key) for key in ("verdict", "gate", "reason", "reaction")}
            body = {"host": host_of(at), "kind": kind, "object": object_of(at), **told}
            facts = snapshot["places"][at].get("facts")
            if facts:  # for its owner, who sees nothing of the rest
                vm = {"id": facts["id"], "name": facts["name"], "state": "failed"}
                body["projects"] = {facts["project"]["id"]: [vm]}
            self.parts.tell("verdict", body, incident_id=incidents[at]["id"])

    def _tell_owners(
        self, verdicts: t.Mapping[str, Json], snapshot: Json, policy: Json, incidents: t.Mapping[str, Json]
    ) -> None:
        """VMs that are left to their owners."""
        for at, it in verdicts.items():
            facts, left = snapshot["places"][at]["facts"], it["look_again"]
            vm: Json = {"id": object_of(at), "name": facts["name"], "state": "failed", "note": it["reason"]}
            if left is not None:
                segment = snapshot["segments"].get(snapshot["hosts"][host_of(at)]["segment"]) or {}
                otherwise = protection(facts, policy, segment).otherwise
                vm.update(deadline=left, until=rows.now(left), otherwise=otherwise)
            body = {"kind": INSTANCE, "hosts": [host_of(at)], "projects": {facts["project"]["id"]: [vm]}}
            self.parts.tell("vm_notify", body, incident_id=incidents[at]["id"])


def _same(journal: Journal, run: Json, incidents: t.Mapping[str, Json]) -> None:
    """Refuse to work on an incident that began only now: another run has ended the one that was decided on."""
    other = [entry for entry in run["hosts"] if entry["incident_id"] != incidents[entry["host"]]["id"]]
    journal.close_incidents({it["incident_id"]: "another run came first" for it in other})
    if other:
        raise RecoveryError(f"Another run came first: {', '.join(it['host'] for it in other)}.")


def _verdicts(snapshot: Json, places: t.Iterable[str], policy: Json) -> dict[str, Json]:
    found = _objects.DECIDERS[snapshot["kind"]](snapshot, policy)
    return {at: found[at] for at in places}


def _said(verdict: Json) -> tuple[t.Any, ...]:
    reason = verdict["reason"] if verdict["verdict"] == "ask" else ""
    return verdict["verdict"], verdict["gate"], reason, verdict.get("reaction")


def _variables(kind: str, going: t.Sequence[str]) -> Json:
    """What the playbook of a kind is told beside the hosts."""
    objects = [object_of(at) for at in going]
    return {} if kind == NETWORK else {"failed_instances" if kind == INSTANCE else "failed_processes": objects}


def _grouped(due: t.Iterable[Key]) -> dict[Key, list[str]]:
    groups: dict[Key, list[str]] = {}
    for kind, at in sorted(due):
        groups.setdefault((kind, host_of(at)), []).append(at)
    return groups
