# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which incidents about VMs, units and networks begin and end with what is heard. PRIVATE: may change at any time.

An incident begins with a signal that nobody has dealt with, or when what a run has ended well is told to have failed
since. It ends with the last word of its monitors that all is well, or with the recovery of its host.
"""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _objects
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import (
    HOST,
    INSTANCE,
    NETWORK,
    PROCESS,
    host_of,
    object_of,
    place,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.correlate import (
    AT_WORK,
    SUPERSEDED,
    Correlator,
    all_well,
    decision,
)
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.site import Site

Json = dict[str, t.Any]
#: A kind and a place.
Key = tuple[str, str]

_TOLD = (INSTANCE, PROCESS)
#: Seconds after the end of a run: what is told to fail later than that fails still, or again.
_SINCE = 3.0


class Look(t.NamedTuple):
    """What one look of the loop has found.

    :param signals: Those without a verdict. :param hosts: See ``_objects.host_facts()``.
    :param lost: Why VMs are to be moved away, by host.
    """

    site: Site
    signals: t.Sequence[Json]
    hosts: dict[str, Json]
    lost: t.Mapping[str, str]


class Settled(t.NamedTuple):
    """What goes on.

    :param open: The incidents that no run is at work on. :param words: The words that count about them.
    :param decided: The decisions about signals that this has led to.
    """

    open: dict[Key, Json]
    words: dict[Key, Json]
    decided: list[Json]


class Endings:
    """Begins and ends incidents, as one look has found them."""

    def __init__(self, journal: Journal, scope: str, correlator: Correlator, tell: t.Callable[..., None]) -> None:
        self._journal, self._scope, self._correlator, self._tell = journal, scope, correlator, tell

    def settle(self, seen: Look, at_work: t.Callable[[str, str], bool]) -> Settled:
        """Begin and end what is to begin and to end."""
        found = self._journal.unended_incidents(scope=self._scope, kind=[*_TOLD, NETWORK])
        open_ = {_key(it): it for it in found if it["kind"] != NETWORK or not it["object"]}
        waiting, decisions = self._sorted(seen.signals, open_, at_work)
        covered = self._covered([key for key in waiting if key not in open_], waiting)
        decisions += [
            decision(it, "recover", AT_WORK, "a run that has ended since has recovered it", incident_id)
            for key, incident_id in covered.items()
            for it in waiting[key]
        ]
        new = self._undecided({key: its for key, its in waiting.items() if key not in open_ and key not in covered})
        new |= self._again({*open_, *waiting}, at_work)
        new |= {(NETWORK, host) for host in seen.lost if (NETWORK, host) not in open_}
        open_.update(self._opened(sorted(new), seen, waiting))
        decided = self._correlator.decide(decisions)
        idle = {key: it for key, it in open_.items() if not at_work(*key)}
        words = self._words(idle)
        return Settled(self._going_on(idle, seen, words), words, decided)

    def _words(self, keys: t.Iterable[Key]) -> dict[Key, Json]:
        hosts = sorted({host_of(at) for kind, at in keys if kind in _TOLD})
        found = self._journal.last_states(self._scope, _TOLD, hosts) if hosts else []
        said = {kind: _objects.said(it for it in found if it["kind"] == kind) for kind in _TOLD}
        return {(kind, at): word for kind, words in said.items() for at, word in words.items()}

    # -- beginnings ------------------------------------------------------------------------------------------------

    def _sorted(
        self, signals: t.Sequence[Json], open_: t.Mapping[Key, Json], at_work: t.Callable[[str, str], bool]
    ) -> tuple[dict[Key, list[Json]], list[Json]]:
        """By key the signals that call for a decision, and the decisions about those that do not.

        While a run is at work its end is waited for.
        """
        waiting: dict[Key, list[Json]] = {}
        decisions = []
        for it in signals:
            key = _key(it)
            incident_id = open_[key]["id"] if key in open_ else None
            if it["kind"] not in _TOLD:
                continue
            if it["state"] != "failed":
                decisions.append(all_well(it, incident_id))
            elif it["newest_key"] is None:
                why = "its source has said something else since"
                decisions.append(decision(it, "ignore", SUPERSEDED, why, incident_id))
            elif not at_work(*key):
                waiting.setdefault(key, []).append(it)
        return waiting, decisions

    def _covered(self, keys: t.Sequence[Key], waiting: t.Mapping[Key, list[Json]]) -> dict[Key, str]:
        """What was told before a run had seen that all is well, with the incident of that run."""
        found = {}
        for kind, last in self._last(keys).items():
            for at, it in last.items():
                if all((signal["age"] or 0.0) >= it["age"] for signal in waiting[kind, at]):
                    found[kind, at] = str(it["incident_id"])
        return found

    def _last(self, keys: t.Iterable[Key]) -> dict[str, dict[str, Json]]:
        by_kind: dict[str, list[str]] = {}
        for kind, at in keys:
            by_kind.setdefault(kind, []).append(at)
        return {kind: self._journal.last_recoveries(self._scope, kind, its) for kind, its in by_kind.items()}

    def _again(self, known: t.Container[Key], at_work: t.Callable[[str, str], bool]) -> set[Key]:
        """What a run has ended well, and what its monitor goes on to call failed."""
        words = self._journal.failed_after_recovery(self._scope, _TOLD)
        failed = {_key(it): it for it in words if _key(it) not in known and not at_work(*_key(it))}
        return {
            (kind, at)
            for kind, last in self._last(failed).items()
            for at, it in last.items()
            if it["incident_id"] == failed[kind, at]["incident_id"]
            and (failed[kind, at]["repeat_age"] or 0.0) + _SINCE < it["age"]
        }

    def _undecided(self, waiting: t.Mapping[Key, list[Json]]) -> set[Key]:
        """Those about which no other responder has decided meanwhile."""
        left = self._journal.still_undecided([it["id"] for its in waiting.values() for it in its])
        return {key for key, its in waiting.items() if any(it["id"] in left for it in its)}

    def _opened(self, keys: t.Sequence[Key], seen: Look, waiting: t.Mapping[Key, list[Json]]) -> dict[Key, Json]:
        wanted = [
            {"host": host_of(at), "object": object_of(at), "kind": kind, "segment": seen.site.segment(host_of(at))}
            for kind, at in keys
        ]
        found = {_key(it): it for it in self._journal.open_incidents(self._scope, wanted)}
        # Another responder may have decided, and ended its incident, since we looked.
        fresh = {key: waiting[key] for key, it in found.items() if it["new"] and key in waiting}
        late = fresh.keys() - self._undecided(fresh)
        self._journal.close_incidents({found[key]["id"]: "another responder came first" for key in late})
        return {key: {"age": 0.0, "due_in": 0.0, **it} for key, it in found.items() if key not in late}

    # -- ends ------------------------------------------------------------------------------------------------------

    def _going_on(self, idle: dict[Key, Json], seen: Look, words: t.Mapping[Key, Json]) -> dict[Key, Json]:
        followed = self._followed({at: it for (kind, at), it in idle.items() if kind == INSTANCE}, seen)
        moved = self._last(key for key in idle if key[0] == NETWORK).get(NETWORK, {})
        over = {key: why for key, it in idle.items() if (why := self._over(key, it, seen, words, followed))}
        closed = set(self._journal.close_incidents({idle[key]["id"]: why for key, why in over.items()}))
        for (kind, at), why in over.items():
            if idle[kind, at]["id"] in closed:
                body = {"host": host_of(at), "kind": kind, "object": object_of(at), "reason": why}
                self._tell("incident_closed", body, incident_id=idle[kind, at]["id"])
        return {
            key: it for key, it in idle.items()
            if key not in over and (key[0] != NETWORK or moved.get(key[1], {}).get("incident_id") != it["id"])
        }  # fmt: skip

    def _over(
        self,
        key: Key,
        incident: Json,
        seen: Look,
        words: t.Mapping[Key, Json],
        followed: t.Mapping[str, str],
    ) -> str | None:
        """Why an incident ends now. What a unit that is well again calls for is decided, see ``_processes``."""
        kind, at = key
        if kind == NETWORK:
            return self._network_is_back(at, incident, seen)
        if kind == PROCESS:
            return None
        word = words.get(key)
        if word and word["state"] == "ok" and (word["age"] or 0.0) < incident["age"]:
            return followed.get(at) if self._left_off(incident, word) else "it is well"
        return followed.get(at)

    def _left_off(self, incident: Json, word: Json) -> bool:
        """Whether it is only well because a run has stopped it, and has not got it up again."""
        domain = ((word["data"] or {}).get("domain") or {}).get("state")
        if domain in (None, "running"):
            return False
        return any((line["facts"] or {}).get("step") for line in self._journal.lines([incident["id"]]))

    def _network_is_back(self, host: str, incident: Json, seen: Look) -> str | None:
        if host in seen.lost or (incident["state"] not in ("open", "held") and self._by_hand(incident)):
            return None
        facts = seen.hosts.get(host) or {}
        if facts.get("forced_down"):
            return "its host was recovered"
        # One look says little: another responder may hear more, or be writing down its verdict just now.
        if facts.get("host_run") or facts.get("host_incident"):
            return None
        return "no network calls for it any more"

    def _by_hand(self, incident: Json) -> bool:
        """Whether a person has begun it, who may want to go on with it."""
        runs = self._journal.runs_of(incident["id"])
        holder = self._journal.run(runs[-1])["holder"] if runs else {}
        return not (holder.get("hands_over") or holder.get("opened_by"))

    def _followed(self, idle: t.Mapping[str, Json], seen: Look) -> dict[str, str]:
        """By place of VMs whose host was recovered since, what became of them there."""
        hosts = sorted({host_of(at) for at in idle if not (seen.hosts.get(host_of(at)) or {}).get("host_incident")})
        last = self._journal.last_recoveries(self._scope, HOST, hosts) if hosts else {}
        ends = [str(it["incident_id"]) for it in last.values()]
        lines = {(it["incident_id"], it["server_id"]): it for it in self._journal.lines(ends)} if ends else {}
        found = {}
        for at, incident in idle.items():
            end = last.get(host_of(at))
            line = lines.get((end["incident_id"], object_of(at))) if end and end["age"] < incident["age"] else None
            if end and line:
                why = f": {line['reason']}" if line["reason"] else ""
                found[at] = f"its host was recovered (run {end['run_id']}), and with it this VM is {line['state']}{why}"
        return found


def _key(row: Json) -> Key:
    return row["kind"], place(row["host"], row["object"])
