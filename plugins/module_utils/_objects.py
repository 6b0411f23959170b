# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The facts that are decided from about VMs, units and networks of hosts. PRIVATE: may change at any time.

A snapshot is one JSON document; what is not known is None. ``caller`` (``operator`` or ``responder``), ``kind``, and

* ``orders``: of operators, in force; None: not known. ``answers``: of people, to questions about these places.
* ``segments``: of the hosts of the places, by name, as in ``ha_topology``.
* ``hosts``: by name ``segment``, ``known``, ``maintenance``, ``status``, ``disabled_reason``, ``forced_down``,
  ``nova_state`` (``up``, ``down``), ``heard`` (whether its heartbeats are), ``host_incident`` (state of the incident of
  the host itself), ``host_run`` (whether a run is at work on the host itself), ``failing`` (its units that have
  failed), ``vms`` (how many Nova shows there, where that was read).
* ``places``: by place ``host``, ``object``; ``type``, ``state``, ``reason``, ``data`` and ``age`` of the last word
  about it; ``incident`` (the state), ``attempts`` (in vain, in this incident), ``history`` (seconds since each run
  ended that acted on it, the last one first); ``begun`` (what a run that has not ended its incident has asked Nova for:
  ``state`` of its line, ``step``, ``target``); of VMs ``facts`` (see ``_vm_facts``) and ``server`` (see
  ``_instances.server_facts()``; None: Nova was not asked, or did not answer).

The decider of a kind is pure: ``decide(snapshot, policy)`` gives by place ``verdict``, ``gate``, ``reason``,
``look_again`` and ``reaction``.
"""

from __future__ import annotations

import datetime
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import (
    _compute,
    _instances,
    _network_gates,
    _processes,
    _recovery,
    _snapshot,
    _vm_facts,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._instances_gates import is_moving
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.holder import is_alive
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

Json = t.Dict[str, t.Any]
Decide = t.Callable[[Json, Json], t.Dict[str, Json]]

DECIDERS: dict[str, Decide] = {
    INSTANCE: _instances.decide,
    PROCESS: _processes.decide,
    NETWORK: _network_gates.decide,
}

#: States of incidents that have not ended.
UNSETTLED = ("open", "held", "recovering", "partial")

_ONE_BY_ONE = 20  # VMs that Nova is asked about by their ids
_BEGUN = ("step", "target")
_HISTORY = 7 * 86400.0  # seconds; longer than any window in which recoveries are counted
_WORST = ("failed", "unknown", "ok")  # of several sources that speak about one thing, the worst counts
_NOTHING_SAID: Json = {"type": "", "state": "failed", "reason": "", "data": {}, "age": 0.0}


def said(words: t.Iterable[Json]) -> dict[str, Json]:
    """By place the word that counts, of the last words of all sources; see ``Journal.last_states()``."""
    found: dict[str, Json] = {}
    for word in words:
        about = place(word["host"], word["object"])
        if about not in found or _rank(word) < _rank(found[about]):
            found[about] = word
    return found


def _rank(word: Json) -> tuple[int, float]:
    return _WORST.index(word["state"]), word["age"] if word["age"] is not None else float("inf")


def host_facts(services: t.Sequence[Json], topology: Json) -> dict[str, Json]:
    """What Nova and the segments file say of each host."""
    names = {it["host"] for it in services if it["binary"] == "nova-compute"}
    found = _snapshot.compose(services, {}, topology, [], _snapshot.OPERATOR)["hosts"]
    wanted = ("segment", "known", "maintenance", "status", "disabled_reason", "forced_down")
    return {
        host: {
            **{key: facts[key] for key in wanted}, "known": facts["known"] and host in names,
            "nova_state": facts["state"], "heard": None, "host_incident": None, "host_run": None, "failing": [],
            "vms": None,
        }
        for host, facts in found.items()
    }  # fmt: skip


def journal_facts(
    journal: Journal,
    scope: str,
    kind: str,
    places: t.Sequence[str],
    policy: Json,
    hosts: dict[str, Json],
    topology: Json,
) -> Json:
    """A snapshot without what Nova knows of VMs: about these places, and what else is wrong of this kind.

    :param hosts: See :func:`host_facts`; what the journal knows of them is added.
    """
    mine = {host_of(it) for it in places}
    # An update that breaks a service does so everywhere; of VMs only their host tells anything.
    about = None if kind == PROCESS else sorted(mine)
    hosts = {host: it for host, it in hosts.items() if about is None or host in mine}
    told = said(journal.last_states(scope, [kind], about))
    filters: Json = {"kind": kind, "state": list(UNSETTLED), **({} if about is None else {"host": about})}
    incidents = {place(it["host"], it["object"]): it for it in journal.incidents(scope=scope, **filters)}
    wanted = sorted({*places, *(it for it in incidents if host_of(it) in hosts)})
    history = journal.recoveries_of(scope, kind, wanted, _HISTORY)
    known = _recovery.journal_facts(journal, scope, [], policy)
    begun = _begun(journal, incidents) if kind == INSTANCE else {}
    return {
        "kind": kind,
        "orders": known["orders"],
        "answers": _recovery.answers(journal, scope, places, policy["ask"]["answer_valid"], together=False),
        "segments": {it: topology["segments"].get(it) or {} for it in sorted(_segments(hosts, mine))},
        "hosts": _with_incidents(journal, scope, kind, hosts, told),
        "places": {it: _place(it, told.get(it), incidents.get(it), history[it], begun.get(it)) for it in wanted},
    }


def _segments(hosts: t.Mapping[str, Json], wanted: t.Iterable[str]) -> set[str]:
    return {hosts[host]["segment"] for host in wanted if host in hosts and hosts[host]["segment"]}


def _begun(journal: Journal, incidents: t.Mapping[str, Json]) -> dict[str, Json]:
    """What a run that has not ended the incident of a VM has asked Nova for, see ``_instances_gates.Case.moving``."""
    places = {it["id"]: about for about, it in incidents.items()}
    lines = journal.lines(list(places)) if places else []
    return {
        places[it["incident_id"]]: {"state": it["state"], **{key: (it["facts"] or {}).get(key) for key in _BEGUN}}
        for it in lines
    }


def begun_at(journal: Journal, scope: str) -> dict[str, str]:
    """By VM on its way to another host, the host that it has failed on, and that its incident is about."""
    unended = journal.incidents(scope=scope, kind=INSTANCE, state=list(UNSETTLED))
    begun = _begun(journal, {place(it["host"], it["object"]): it for it in unended})
    return {object_of(about): host_of(about) for about, it in begun.items() if is_moving(it)}


def _place(
    name: str, word: Json | None, incident: Json | None, history: list[float], begun: Json | None = None
) -> Json:
    about = _NOTHING_SAID
    if word:
        data = word["data"] or {}
        about = {**{key: word[key] for key in ("type", "state", "age")}, "reason": data.get("reason"), "data": data}
    return {
        **about, "host": host_of(name), "object": object_of(name), "history": history, "facts": {}, "server": None,
        "incident": incident["state"] if incident else None, "attempts": incident["attempts"] if incident else 0,
        "begun": begun,
    }  # fmt: skip


def _with_incidents(
    journal: Journal, scope: str, kind: str, hosts: dict[str, Json], told: t.Mapping[str, Json]
) -> dict[str, Json]:
    of_hosts = {it["host"]: it["state"] for it in journal.incidents(scope=scope, kind=HOST, state=list(UNSETTLED))}
    at_work = {
        it["host"] for it in claims.taken(journal, scope)
        if it["kind"] == HOST and is_alive(it["holder"] or {}) is not False
    }  # fmt: skip
    failing: dict[str, list[str]] = {}
    for name, word in told.items():
        if word["state"] == "failed":
            failing.setdefault(host_of(name), []).append(object_of(name))
    more = kind == PROCESS
    return {
        host: {
            **facts, "host_incident": of_hosts.get(host), "host_run": host in at_work,
            "failing": sorted(failing.get(host, [])) if more else [],
        }
        for host, facts in hosts.items()
    }  # fmt: skip


# -- what Nova knows of VMs ----------------------------------------------------------------------------------------


def with_servers(cloud: Cloud, snapshot: Json, places: t.Sequence[str], policy: Json) -> Json:
    """The snapshot with what Nova knows of the VMs at these places; what it does not answer stays None."""
    about, hosts = dict(snapshot["places"]), dict(snapshot["hosts"])
    segments = {host: it["segment"] for host, it in hosts.items()}
    now = datetime.datetime.now(datetime.timezone.utc)  # compared with Nova's clock: for nothing that must be exact
    for host in sorted({host_of(it) for it in places}):
        try:
            count, found = _servers(cloud, host, {object_of(it) for it in places if host_of(it) == host})
            facts = _vm_facts.read(cloud, [it for it in found.values() if it], segments, policy)
        except CloudError:
            continue
        if host in hosts:
            hosts[host] = {**hosts[host], "vms": count}
        for id_, server in found.items():
            known = {"server": _instances.server_facts(server, now), "facts": facts.get(id_, {})}
            about[place(host, id_)] = {**about[place(host, id_)], **known}
    return {**snapshot, "places": about, "hosts": hosts}


def _servers(cloud: Cloud, host: str, wanted: set[str]) -> tuple[int, dict[str, Json | None]]:
    """How many VMs Nova shows on a host, and those that are wanted, wherever they are; None: there is no such VM."""
    there = _compute.servers_on(cloud, host)
    found: dict[str, Json | None] = {it["id"]: it for it in there if it["id"] in wanted}
    missing = sorted(wanted - set(found))
    # Of very many that are not there it is enough to know that; one by one would take minutes.
    found.update({it: _compute.server(cloud, it) if len(missing) <= _ONE_BY_ONE else None for it in missing})
    return len(there), found


def with_known(snapshot: Json, known: Json) -> Json:
    """The snapshot with what another one, taken a moment ago, knows from Nova of VMs."""
    about, hosts = snapshot["places"], snapshot["hosts"]
    before = known["places"]
    read = {at: {key: before[at][key] for key in ("facts", "server")} for at in about if at in before}
    vms = {host: {**it, "vms": known["hosts"].get(host, {}).get("vms")} for host, it in hosts.items()}
    return {**snapshot, "places": {at: {**it, **read.get(at, {})} for at, it in about.items()}, "hosts": vms}
