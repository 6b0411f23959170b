# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks, decides, has runs started: the heart of a responder. PRIVATE to this collection: may change at any time.

One thread, woken by whatever changes. Without the journal nothing is decided and nothing begun; what is heard meanwhile
is heard all the same. All times are monotonic.
"""

from __future__ import annotations

import dataclasses
import functools
import queue
import threading
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import (
    _gates,
    _objects,
    _owners,
    _recovery,
    _snapshot,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates_scene import OUR_REASON
from ansible_collections.openstack_ha.recovery.plugins.module_utils._instances_gates import STORAGE
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import ClaimHeld
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import INSTANCE, PROCESS
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._network_gates import MIGRATE
from ansible_collections.openstack_ha.recovery.plugins.module_utils._processes import RECOVER
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import core, objects
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.claimed import Claimed
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.correlate import (
    MOST,
    UNSETTLED,
    Correlator,
    Hosts,
)
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.facts import Scene
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.first_step import take_out
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.health import Health
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.hearing import (
    DOWN,
    UP,
    Changes,
    Hearing,
    expected,
)
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.launch import RECOVER_HOST
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.metrics import Metrics
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.opening import Opened, Opener
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.site import Keeper, Site
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.sources import Sources

Json = dict[str, t.Any]

#: Seconds between two looks at most: so often each responder says what it hears.
INTERVAL = 2.0
#: Kinds whose last words are facts about hosts.
FACTS = ("host", "network")
#: Seconds between two looks while a suspicion is young, and for how long it is; other responders are just finding out.
_SOON, _YOUNG = 0.3, 10.0
#: Seconds after which a host that is held is worth an incident.
_RIPE = 2.5
#: Seconds between two batches of sightings.
_SIGHT_EVERY = 5.0
#: Seconds of doubt after which people are told of a host that is held.
_TELL_HELD = 60.0
#: Seconds after the start, and between two times, that old signals are looked for.
_PRUNE_FIRST, _PRUNE_EVERY = 60.0, 3600.0
#: Answers of probes and of Nova that a decision is made from are never older than this and the silence of a host.
_OLD = 1.0


class Starter(t.Protocol):
    """What starts runs, see ``runs.Runs``."""

    def start(
        self, run_id: str, hosts: t.Sequence[str], playbook: str = RECOVER_HOST, extra: Json | None = None
    ) -> None:
        """Start the playbook for an open run and return at once."""

    def cancel(self, run_id: str, reason: str) -> bool:
        """End a run soon; tell whether it is one of these."""


Tell = t.Callable[..., None]
Spawn = t.Callable[[str, t.Callable[[], None]], None]


@dataclasses.dataclass
class Parts:
    """What the loop works with.

    :param responders: The names of all. :param me: The holder that stands for this process in the journal.
    :param tell: Tells people: event, body, ids of incident and run. :param spawn: Runs a function in a thread.
    :param look: Seconds between two questions to Nova while all is well. :param lease: Seconds of new claims.
    :param keep_days: How long signals are kept about which nothing goes on.
    """

    scope: str
    name: str
    responders: t.Sequence[str]
    me: Json
    journal: Journal
    keeper: Keeper
    hearing: Hearing
    sources: Sources
    metrics: Metrics
    health: Health
    tell: Tell
    say: t.Callable[[str], None]
    clock: t.Callable[[], float]
    lease: float
    look: float
    spawn: Spawn
    keep_days: float = 90.0


class Loop:
    """One responder."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.memory = core.Memory()
        self.runs: Starter | None = None
        self.busy: set[str] = set()
        self._recording: set[str] = set()
        # Hosts about which this process had something written, and that it has not seen well since.
        self._written: set[str] = set()
        self._suspected: dict[str, float] = {}
        self._told_held: set[str] = set()
        self._sighted: set[str] | None = None
        self._sighted_at = 0.0
        self._looked_back = False
        self._prune_at = parts.clock() + _PRUNE_FIRST
        self._inbox: queue.SimpleQueue[t.Callable[[], None]] = queue.SimpleQueue()
        self._wake = threading.Event()
        self._lock = threading.RLock()
        self._claimed = Claimed(parts.journal, parts.scope, parts.clock)
        self.correlator = Correlator(parts.journal, parts.scope, parts.tell)
        self._opener = Opener(
            parts.journal, parts.scope, parts.sources.cloud, self._look_at, self._with_storm, parts.lease, parts.say,
            self._cancel,
        )  # fmt: skip
        self.objects = objects.Objects(self._object_parts())

    def _object_parts(self) -> objects.Parts:
        parts = self.parts
        return objects.Parts(
            scope=parts.scope, journal=parts.journal, cloud=parts.sources.cloud, claimed=self._claimed,
            correlator=self.correlator, opener=self._opener, metrics=parts.metrics, hosts=self._hosts_now,
            start=self._start_objects, tell=parts.tell, say=parts.say, clock=parts.clock,
            spawn=parts.spawn, wake=self.wake, lease=parts.lease,
        )  # fmt: skip

    # -- from other threads --------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something has changed."""
        self._wake.set()

    def changed(self, changes: Changes) -> None:
        """Somebody has fallen silent, or is heard again; ask Nova and the host while it may still answer."""
        site = self.parts.keeper.current()
        if site and changes.late:
            self.parts.sources.prefetch(_snapshot.urls_of(site.topology, changes.late, site.policy))
        if changes.lost or changes.back or any(host in self._suspected for host in changes.late):
            self.wake()

    def ended(self, run_id: str, hosts: t.Sequence[str], status: str, rc: int | None, reason: str | None) -> None:
        """A run has ended; see ``runs.Runs``."""
        self._inbox.put(functools.partial(self._take_end, run_id, list(hosts), status, reason))
        self.wake()

    # -- the loop ------------------------------------------------------------------------------------------------

    def run(self, stopped: threading.Event) -> None:
        """Look again and again until the end."""
        while not stopped.is_set():
            self._wake.clear()
            delay = self.attempt()
            self._wake.wait(delay)

    def attempt(self) -> float:
        """One look; the seconds until the next. What fails is told, and tried again."""
        parts, began = self.parts, self.parts.clock()
        try:
            delay = self.step()
        except RecoveryError as error:
            parts.health.failed(error.message)
            parts.metrics.failed(error)
            delay = 1.0
        except Exception as error:  # whatever it is: a responder that stops to look recovers nobody
            parts.health.failed(repr(error))
            parts.metrics.failed(error)
            parts.say(f"a look failed: {error!r}")
            delay = 1.0
        else:
            parts.health.decided(delay)
            parts.metrics.looked(parts.clock() - began)
        return delay

    def step(self) -> float:
        """One look.

        :returns: Seconds until the next one.
        :raises RecoveryError: The journal is away, or nothing is known of segments yet.
        """
        self._take_in()
        site = self.parts.keeper.current()
        if site is None:
            raise RecoveryError("The segments are not known yet; see the log for what is wrong with them.")
        self._opener.clear()
        self._look_back(site)
        scene = self._scene(site)
        self._observe(scene)
        self._sight(scene)
        self._prune_sometimes()
        self._claimed.look()
        self.parts.metrics.journaled(self.parts.journal, self.parts.scope)
        undecided = self.correlator.undecided()
        self.parts.metrics.decided(self.correlator.decide_others(undecided, site.segment), undecided)
        verdicts, hosts = self._verdicts(scene)
        decided = self.correlator.decide_hosts(undecided, hosts)
        self.parts.metrics.decided(decided, undecided)
        wait = self._decide_objects(scene, undecided, hosts)
        self._ask_ahead(scene, verdicts)
        if len(undecided) >= MOST and decided:
            return 0.0
        return min(self._delay(verdicts), wait)

    def _decide_objects(self, scene: Scene, undecided: t.Sequence[Json], hosts: Hosts) -> float:
        """What is about VMs, units and networks; seconds until the next look at it."""
        lost = {
            host: it["reason"]
            for host, it in hosts.verdicts.items()
            if it.get("reaction") == MIGRATE and it["verdict"] == "alert" and host not in hosts.news
        }
        wait = self.objects.look(objects.Look(scene.site, undecided, self._host_facts(scene), lost))
        return INTERVAL if wait is None else max(wait, _SOON / 3)

    def _host_facts(self, scene: Scene) -> dict[str, Json]:
        found = _objects.host_facts(scene.services.found, scene.site.topology)
        heard = {UP: True, DOWN: False}
        unsettled = self.parts.journal.incidents(scope=self.parts.scope, kind="host", state=list(UNSETTLED))
        incidents = {it["host"]: it["state"] for it in unsettled}
        answers = scene.services.answers
        return {
            host: {
                **it, "heard": heard.get(scene.heard.raw(host)), "nova_state": it["nova_state"] if answers else None,
                "host_incident": incidents.get(host), "host_run": host in self._claimed.at_work,
            }
            for host, it in found.items()
        }  # fmt: skip

    def _hosts_now(self) -> tuple[dict[str, Json], Site]:
        """For a decision about VMs, units and networks."""
        site = self.parts.keeper.current()
        if site is None:
            raise RecoveryError("The segments are not known any more.")
        parts = self.parts
        heard, services = parts.hearing.look(), parts.sources.services(self._fresh())
        return self._host_facts(Scene(parts.name, parts.responders, site, heard, services)), site

    def _take_in(self) -> None:
        while not self._inbox.empty():
            self._inbox.get()()

    def _delay(self, verdicts: t.Mapping[str, Json]) -> float:
        now = self.parts.clock()
        delay = INTERVAL
        held = {host: it for host, it in verdicts.items() if it["verdict"] == "hold"}
        if any(now - self._suspected.get(host, now) < _YOUNG for host in held):
            delay = min(delay, _SOON)
        soonest = min((it["look_again"] for it in held.values() if it["look_again"] is not None), default=delay)
        return min(delay, max(soonest, _SOON))

    def _ask_ahead(self, scene: Scene, verdicts: t.Collection[str]) -> None:
        """Whoever is suspected now is decided about again soon."""
        if verdicts:
            self.parts.sources.prefetch(_snapshot.urls_of(scene.site.topology, verdicts, scene.site.policy))

    # -- what is known -------------------------------------------------------------------------------------------

    def _scene(self, site: Site, max_age: float | None = None) -> Scene:
        parts = self.parts
        heard = parts.hearing.look()
        age = parts.look if max_age is None else max_age
        return Scene(
            name=parts.name,
            responders=parts.responders,
            site=site,
            heard=heard,
            services=parts.sources.services(age),
            observers=parts.journal.observers(parts.scope),
            words=parts.journal.last_states(parts.scope, FACTS),
            cut=self.objects.suspicions(INSTANCE, STORAGE),
            ailing=self.objects.suspicions(PROCESS, RECOVER),
        )

    def _look_at(self, suspects: t.Sequence[str]) -> tuple[Json, Site]:
        """All but what the journal knows, for a decision about these hosts."""
        site = self.parts.keeper.current()
        if site is None:
            raise RecoveryError("The segments are not known any more.")
        scene = self._scene(site, self._fresh())
        return self._snapshot(scene, suspects), site

    def _fresh(self) -> float:
        """How old an answer may be that a decision is made from."""
        return self.parts.hearing.silence + _OLD

    def _snapshot(self, scene: Scene, suspects: t.Sequence[str]) -> Json:
        urls = _snapshot.urls_of(scene.site.topology, suspects, scene.site.policy)
        answers = self.parts.sources.answers(urls, self._fresh())
        now = self.parts.clock()
        since = {host: now - self._suspected.get(host, now) for host in suspects}
        return scene.snapshot(suspects, answers, since)

    def _suspects(self, scene: Scene, settled: set[str]) -> list[str]:
        with self._lock:
            busy = set(self.busy)
        but = busy | self._claimed.at_work | settled
        found = scene.suspects(but, self._unfinished(scene))
        now, before = self.parts.clock(), self._suspected
        # Who only writes a verdict down holds the claim for a moment, too.
        kept = {host: since for host, since in before.items() if host in self._claimed.at_work}
        self._suspected = {**kept, **{host: before.get(host, now) for host in found}}
        return found

    def _unfinished(self, scene: Scene) -> set[str]:
        """Hosts whose recovery was begun and has not ended, and that nobody works on any more, or not yet again."""
        journal, scope = self.parts.journal, self.parts.scope
        due = {it["host"] for it in journal.retries(scope) if it["due_in"] <= 0}
        begun = journal.incidents(scope=scope, kind="host", state=list(UNSETTLED))
        ours = {it["host"] for it in begun if _is_ours(scene.services.computes.get(it["host"]))}
        return due | ours | self._claimed.abandoned

    def _settled(self, scene: Scene) -> set[str]:
        """Hosts that are out of service because they were recovered: nothing is to be done until they return."""
        away = {host for host, service in scene.services.computes.items() if _is_ours(service)}
        if not away:
            return set()
        unsettled = self.parts.journal.incidents(scope=self.parts.scope, kind="host", state=list(UNSETTLED))
        return away - {incident["host"] for incident in unsettled}

    # -- deciding ------------------------------------------------------------------------------------------------

    def _verdicts(self, scene: Scene) -> tuple[dict[str, Json], Hosts]:
        """Decide, and have done what follows."""
        settled = self._settled(scene)
        suspects = self._suspects(scene, settled)
        verdicts = self._decide(scene, suspects)
        now = self.parts.clock()
        later, unripe = self._later(verdicts, now), self._unripe(verdicts, now)
        due = {host: it for host, it in verdicts.items() if host not in later and host not in unripe}
        self._written.update(core.heard_again(self.memory, due, suspects), self._left_open(scene, suspects))
        self._close(scene, self._written.difference(suspects))
        news = self._news(due, suspects)
        self._tell(scene, news, due)
        self._act(scene, news, due, suspects)
        with self._lock:
            busy, recording = set(self.busy), set(self._recording)
        found = Hosts(due, {*news, *recording, *unripe}, busy | self._claimed.at_work, settled, later)
        return verdicts, found

    def _decide(self, scene: Scene, suspects: list[str]) -> dict[str, Json]:
        with self._lock:
            idle = not suspects and not self.busy
        if idle:  # nothing that could be a storm either
            with self._lock:
                core.calm(self.memory, self.parts.clock())
            self._note_storm(False, scene.site)
            return {}
        parts, site = self.parts, scene.site
        known = (
            _recovery.journal_facts(parts.journal, parts.scope, suspects, site.policy, parts.say) if suspects else {}
        )
        snapshot = self._with_storm(_snapshot.merge(self._snapshot(scene, suspects), known), site)
        return _gates.decide(snapshot, site.policy) if suspects else {}

    def _later(self, verdicts: t.Mapping[str, Json], now: float) -> dict[str, float]:
        """Hosts that are to be recovered, but not yet again."""
        retries = {it["host"]: it["due_in"] for it in self.parts.journal.retries(self.parts.scope)}
        left = {
            host: max(self.memory.not_before.get(host, (0.0, 0))[0] - now, retries.get(host, 0.0))
            for host, it in verdicts.items()
            if it["verdict"] == "recover"
        }
        return {host: seconds for host, seconds in left.items() if seconds > 0}

    def _news(self, verdicts: dict[str, Json], suspects: list[str]) -> list[str]:
        """What has not been said yet; while somebody writes it down, it is not forgotten.

        While a host is worked on for the sake of its units or networks, it can only be said that it is dead.
        """
        claimed = self._claimed.at_work | self._claimed.on_hosts
        said = {host: it for host, it in self.memory.said.items() if host in claimed}
        sayable = {
            host: it for host, it in verdicts.items()
            if it["verdict"] == "recover" or host not in self._claimed.on_hosts
        }  # fmt: skip
        news = core.news(self.memory, sayable, suspects)
        self.memory.said = {**said, **self.memory.said}
        return news

    def _unripe(self, verdicts: t.Mapping[str, Json], now: float) -> set[str]:
        """Hosts that are held, but only for a moment: others are just finding out, and to write it takes a claim."""
        return {
            host
            for host, it in verdicts.items()
            if it["verdict"] == "hold" and now - self._suspected.get(host, now) < _RIPE
        }

    def _with_storm(self, snapshot: Json, site: Site) -> Json:
        with self._lock:
            mine = core.storm(self.memory, snapshot, site.policy, self.parts.clock())
        self._note_storm(mine["silent_for"] is not None, site)
        return {**snapshot, "storm": core.later(mine, self.parts.journal.storm(self.parts.scope))}

    def _note_storm(self, blowing: bool, site: Site) -> None:
        """For those who have not watched all the time: other responders, this one after a restart, people."""
        if blowing or (self.memory.storm_noted and self._watched(site)):
            self.parts.journal.note_storm(self.parts.scope, blowing)
            self.memory.storm_noted = blowing

    def _watched(self, site: Site) -> bool:
        return self.parts.hearing.look().watching_for >= float(site.policy["gates"]["start_grace"])

    # -- acting --------------------------------------------------------------------------------------------------

    def _act(self, scene: Scene, news: list[str], verdicts: t.Mapping[str, Json], suspects: list[str]) -> None:
        hosts = [host for host, it in verdicts.items() if it["verdict"] == "recover"]
        other = [host for host in news if verdicts[host]["verdict"] != "recover"]
        with self._lock:
            hosts, other = ([host for host in some if host not in self._recording] for some in (hosts, other))
            self.busy.update(hosts)
            self._recording.update(other)
        self._written.update(hosts, other)
        for group in core.together(hosts, scene.site.segment):
            self.parts.spawn(f"open {group[0]}", functools.partial(self._begin, group, scene.site))
        if other:
            self.parts.spawn(f"record {other[0]}", functools.partial(self._record, other, suspects, scene.site))

    def _begin(self, hosts: list[str], site: Site) -> None:
        going: list[str] = []
        try:
            left = self._not_recovered_meanwhile(hosts, site)
            if left:
                going = self._start(self._opener.open(left, site), site)
        except RecoveryError as error:
            self._refused(hosts, error)
        finally:
            self._free(set(hosts) - set(going))

    def _not_recovered_meanwhile(self, hosts: list[str], site: Site) -> list[str]:
        """A run may begin and end between two answers of Nova; then the last one says nothing of it yet."""
        if not self.parts.journal.incidents(scope=self.parts.scope, kind="host", host=hosts, state="recovered"):
            return hosts
        settled = self._settled(self._scene(site, 0.0))
        return [host for host in hosts if host not in settled]

    def _record(self, hosts: list[str], suspects: list[str], site: Site) -> None:
        """Journal a verdict that is not ``recover``, with its question if it asks one."""
        going: list[str] = []
        try:
            opened = self._opener.open(hosts, site, among=suspects)
            with self._lock:  # an answer or the end of an order may have come in between
                self.busy.update(opened.going)
            going = self._start(opened, site)
        except RecoveryError as error:
            self.parts.say(f"{', '.join(hosts)}: {error.message}")
        finally:
            with self._lock:
                self._recording.difference_update(hosts)
            self._free(set(hosts) - set(going))

    def _start(self, opened: Opened, site: Site) -> list[str]:
        """Hand a run over to its playbook; the hosts that it is at work on."""
        parts = self.parts
        self.correlator.decided(opened.run_id, opened.verdicts)
        parts.metrics.verdicts(opened.verdicts)
        if not opened.going or self.runs is None:
            return []
        if not site.policy["hooks"]["before_fence"]["files"]:  # they come before anything is done to a host
            computes = parts.sources.services(self._fresh()).computes
            services = {host: computes.get(host) for host in opened.going}
            take_out(parts.journal, parts.sources.cloud, opened.run_id, services, parts.say)
        try:
            self.runs.start(opened.run_id, opened.going)
        except RecoveryError as error:
            self._opener.give_up(opened.run_id, opened.going, error.message)
            raise
        parts.metrics.run_started(opened.going, self._suspected, parts.clock())
        parts.say(f"run {opened.run_id} on {', '.join(opened.going)}")
        parts.tell("run_started", {"hosts": opened.going}, run_id=opened.run_id)
        return opened.going

    def _refused(self, hosts: list[str], error: RecoveryError) -> None:
        """Try again after a while; or as soon as nobody else is at work on them."""
        self.parts.say(f"{', '.join(hosts)}: {error.message}")
        if not isinstance(error, ClaimHeld):
            self._inbox.put(functools.partial(self._note_ends, dict.fromkeys(hosts, "refused")))

    def _free(self, hosts: t.Collection[str]) -> None:
        with self._lock:
            self.busy.difference_update(hosts)
        self.wake()

    def _take_end(self, run_id: str, hosts: list[str], status: str, reason: str | None) -> None:
        """What a run has come to stands in the journal; while that is away, it counts as refused."""
        places = self.objects.ended(run_id)
        if places is not None:
            self._tell_end(run_id, places, status, reason)
            return
        outcomes = dict.fromkeys(hosts, "refused")
        try:
            entries = self.parts.journal.run(run_id)["hosts"]
            outcomes.update({it["host"]: it["outcome"] for it in entries if it["outcome"] and it["host"] in hosts})
        finally:
            self._note_ends(outcomes)
            with self._lock:
                self.busy.difference_update(hosts)
            self.parts.say(f"run {run_id} {status}: {', '.join(f'{h} {o}' for h, o in outcomes.items())}")
            self.parts.metrics.run_ended(status)
            body = {"hosts": outcomes, "status": status, "reason": reason}
            self.parts.tell("run_ended", body, run_id=run_id)

    def _tell_end(self, run_id: str, places: list[str], status: str, reason: str | None) -> None:
        """Of a run about VMs, units or networks."""
        self.parts.metrics.run_ended(status)
        run = self.parts.journal.run(run_id)
        outcomes = {it["host"]: it["outcome"] for it in run["hosts"] if it["host"] in places}
        self.parts.say(f"run {run_id} {status}: {', '.join(f'{at} {outcome}' for at, outcome in outcomes.items())}")
        body = {"kind": run["kind"], "hosts": outcomes, "status": status, "reason": reason}
        self.parts.tell("run_ended", body, run_id=run_id)

    def _start_objects(self, run_id: str, claimed: t.Sequence[str], playbook: str, extra: Json) -> None:
        if self.runs is None:
            raise RecoveryError("Runs cannot be started yet.")
        self.runs.start(run_id, claimed, playbook, extra)

    def _cancel(self, run_id: str, reason: str) -> None:
        if self.runs is not None:
            self.runs.cancel(run_id, reason)

    def _note_ends(self, outcomes: t.Mapping[str, str]) -> None:
        for host, outcome in outcomes.items():
            due_in = self._owners_wait(host) if outcome == "partial" else None
            core.ended(self.memory, host, outcome, self.parts.clock(), due_in)

    def _owners_wait(self, host: str) -> float | None:
        """Seconds until somebody's time to rescue a VM of the host himself is over."""
        try:
            return _owners.soonest(self.parts.journal, self.parts.scope, host)
        except RecoveryError as error:
            self.parts.say(f"{host}: deadlines of owners are not known: {error.message}")
            return None

    # -- telling -------------------------------------------------------------------------------------------------

    def _tell(self, scene: Scene, news: list[str], verdicts: t.Mapping[str, Json]) -> None:
        now = self.parts.clock()
        self._told_held.intersection_update(verdicts)
        for host, verdict in verdicts.items():
            held = verdict["verdict"] == "hold"
            long = held and host not in self._told_held and now - self._suspected.get(host, now) >= _TELL_HELD
            if long:
                self._told_held.add(host)
            if host in news:
                self.parts.say(f"{host}: {verdict['verdict']} ({verdict['gate']}): {verdict['reason']}")
            if long or (host in news and not held):
                told = {key: verdict[key] for key in ("verdict", "gate", "reason", "reaction")}
                self.parts.tell("verdict", {"host": host, "kind": "host", "segment": scene.site.segment(host), **told})

    def _close(self, scene: Scene, hosts: t.Collection[str]) -> None:
        """False alarms end, unless the host was taken out of service meanwhile; those that are being written, later."""
        away = {host for host, service in scene.services.computes.items() if service["forced_down"]}
        with self._lock:
            done = {host for host in hosts if host not in self.busy | self._recording | self._claimed.at_work}
        back = sorted(done - away)
        journal, open_ = self.parts.journal, ["open", "held"]
        for it in journal.incidents(scope=self.parts.scope, kind="host", host=back, state=open_) if back else ():
            if journal.set_incident(it["id"], "closed", "it is heard again"):
                self.parts.say(f"{it['host']}: heard again, closed")
                body = {"host": it["host"], "kind": "host", "reason": "it is heard again"}
                self.parts.tell("incident_closed", body, incident_id=it["id"])
        self._written.difference_update(done)

    def _left_open(self, scene: Scene, suspects: t.Container[str]) -> list[str]:
        """Once: hosts that are well, but about which a former process had left an incident open."""
        if self._looked_back or not self._watched(scene.site):
            return []
        self._looked_back = True
        open_ = self.parts.journal.incidents(scope=self.parts.scope, kind="host", state=["open", "held"])
        return [incident["host"] for incident in open_ if incident["host"] not in suspects]

    # -- the journal, for others ---------------------------------------------------------------------------------

    def _observe(self, scene: Scene) -> None:
        """What is heard here, for the other responders."""
        view = {**scene.heard.view(scene.site.hosts()), "interval": INTERVAL}
        decided = self.parts.health.look_succeeded
        self.parts.journal.observe(self.parts.scope, self.parts.name, self.parts.me, view, decided)

    def _prune_sometimes(self) -> None:
        """Old signals go, as old artifacts do; no look waits for it."""
        now = self.parts.clock()
        if now >= self._prune_at:
            self._prune_at = now + _PRUNE_EVERY
            self.parts.spawn("prune signals", self._prune)

    def _prune(self) -> None:
        try:
            gone = self.parts.journal.prune_signals(self.parts.scope, self.parts.keep_days)
        except RecoveryError as error:
            self.parts.say(f"old signals could not be removed: {error.message}")
        else:
            if gone:
                self.parts.say(f"{gone} signals older than {self.parts.keep_days:g} days were removed")

    def _look_back(self, site: Site) -> None:
        """Once: whom a former process heard, and of whose agents it has journaled that they were armed."""
        if self._sighted is not None:
            return
        parts = self.parts
        for row in parts.journal.observers(parts.scope):
            if row["name"] == parts.name:
                parts.hearing.expect(expected(row["view"] or {}, site.hosts()))
        # What a decision will ask for is asked for the first time now, which takes longer than each other time.
        _recovery.journal_facts(parts.journal, parts.scope, site.hosts()[:1], site.policy)
        found = parts.journal.sightings(parts.scope, site.hosts())
        self._sighted = {it["host"] for it in found if it["source"] == parts.name}

    def _sight(self, scene: Scene) -> None:
        """Journal of agents that would reset their host when they were heard, soon after a host is silent."""
        now, armed = self.parts.clock(), scene.heard.armed
        before = self._sighted or set()
        worth = {host: it for host, it in armed.items() if it or host in before}
        silent = any(scene.heard.raw(host) == "down" for host in worth)
        if worth and (silent or now - self._sighted_at >= _SIGHT_EVERY):
            self.parts.journal.sight_all(self.parts.scope, self.parts.name, worth)
            self._sighted, self._sighted_at = before | set(worth), now
            self.parts.hearing.sighted(armed)


def _is_ours(service: Json | None) -> bool:
    """Whether we have taken it out of service."""
    return bool(service and service["forced_down"] and (service["disabled_reason"] or "").startswith(OUR_REASON))


def me() -> Json:
    """The holder that stands for this process."""
    return holder.describe()
