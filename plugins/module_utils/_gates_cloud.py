# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gates about the cloud and about whoever looks at it. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates_scene import Case, Objection, Scene

CONTROL = ("nova-conductor", "nova-scheduler")


def observer(case: Case) -> Objection | None:
    """Who is cut off sees everybody else dead."""
    seen = case.scene.observer
    if not seen.get("api"):
        return Objection(
            "hold", "the observer cannot reach the API: it may be cut off itself", unknown=seen.get("api") is None
        )
    found = reached(case)
    cut = [name for name, answers in found.items() if not answers]
    if cut:
        unknown = any(found[name] is None for name in cut)
        return Objection(
            "hold", f"the observer may be cut off itself: it does not reach {', '.join(cut)}", unknown=unknown
        )
    return None


def reached(case: Case) -> dict[str, bool | None]:
    """By network of the host on which the observer can test whether it is cut off itself."""
    watched = case.scene.matrix(case.facts.get("segment")).watched
    return {name: (case.scene.observer.get("networks") or {}).get(name) for name in watched}


def everything_stale(case: Case) -> Objection | None:
    """When all are silent at once, the source is broken."""
    total = len(case.scene.hosts)
    if total > 1 and not case.scene.silence.heard:
        return Objection("hold", f"none of {total} hosts is heard: the source is broken, not the hosts")
    return None


def control_plane(case: Case) -> Objection | None:
    """Evacuations pass the conductor and the scheduler."""
    control = case.scene.snapshot.get("control")
    dead = [binary for binary in CONTROL if not (control or {}).get(binary)]
    if dead:
        reason = f"Nova reports no living {' and no '.join(dead)}: evacuations could not be carried out"
        return Objection("hold", reason, unknown=any(binary not in (control or {}) for binary in dead))
    return None


def start_grace(case: Case) -> Objection | None:
    """What has just begun to watch has not seen enough."""
    up_for, grace = case.scene.observer.get("up_for"), case.scene.gates["start_grace"]
    if case.by_hand or (up_for is not None and up_for >= grace):
        return None
    rest = None if up_for is None else grace - up_for
    return Objection("hold", "the observer has only just begun to watch", rest, unknown=up_for is None)


def power_restored(case: Case) -> Objection | None:
    """After a power failure of the site hosts are late, not dead."""
    rules, back = case.scene.gates["power_restored"], case.scene.returned
    # One host that comes back is no site: in a small cloud it would be half of all.
    many = max(2, -(-len(case.scene.hosts) * rules["percent"] // 100))
    if len(back) < many:
        return None
    rest = rules["within"] - back[len(back) - many]
    return Objection("hold", f"{len(back)} of {len(case.scene.hosts)} hosts have just come back: power returns", rest)


def mass_silence(case: Case) -> Objection | None:
    """Many silent hosts are more often one broken switch than many broken hosts."""
    where = crowded(case.scene, case.facts.get("segment"))
    if not where:
        return None
    reason = f"too many are silent: {'; '.join(where)}"
    domain = case.scene.silence.domain
    if domain:
        return Objection("ask", f"{reason}; all of them in failure domain {domain}, the rest of the cloud is well")
    lasts, after = (case.scene.storm or {}).get("silent_for"), case.scene.gates["mass_silence"]["ask_after"]
    if case.by_hand or (lasts is not None and lasts >= after):
        return Objection("ask", reason)
    return Objection("hold", reason, None if lasts is None else after - lasts)


def crowded(scene: Scene, segment: str | None) -> list[str]:
    """Where too many hosts are silent: in the cloud, in this segment."""
    rules = scene.gates["mass_silence"]
    counts = {"the cloud": scene.silence.cloud()}
    if segment:
        counts[f"segment {segment}"] = scene.silence.segment(segment)
    return [
        f"{count['hosts']} of {count['of']} in {name}"
        for name, count in counts.items()
        if count["hosts"] >= rules["hosts"] and count["hosts"] * 100 >= rules["percent"] * count["of"]
    ]


def cool_down(case: Case) -> Objection | None:
    """Right after a storm half of what is known is old."""
    storm, rest = case.scene.storm, case.scene.gates["cool_down"]
    if storm is None:
        return Objection("hold", "it is not known when too many hosts were silent", unknown=True)
    ended = storm.get("ended_ago")
    if ended is None or ended >= rest:
        return None
    return Objection("hold", "too many hosts were silent until just now", rest - ended)


def budget(case: Case) -> Objection | None:
    """A wrong decision must stay small."""
    absent = [name for name in ("in_flight", "fences") if case.scene.snapshot.get(name) is None]
    if absent:
        return Objection(
            "ask", f"it is not known how many other hosts are being recovered ({', '.join(absent)})", unknown=True
        )
    if "domain" not in case.facts:
        return Objection("ask", "its failure domain is not known", unknown=True)
    over = [_said(where, count) for where, count in case.counts().items()]
    told = [word for words in over for word in words]
    return Objection("ask", "; ".join(told)) if told else None


def _said(where: str, count: t.Mapping[str, int]) -> list[str]:
    spans = (("at_once", "hosts at once"), ("per_hour", "hosts within an hour"))
    return [
        f"{count[key]} {span} in {where}, allowed without asking: {count[key + '_cap']}"
        for key, span in spans
        if count[key] > count[key + "_cap"]
    ]
