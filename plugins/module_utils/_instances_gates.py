# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gates between "a VM seems to have failed" and a restart of it. PRIVATE: may change at any time.

Pure. A fact that is missing is never read as good news: of a host that is not known to be heard nothing is begun.
"""

from __future__ import annotations

import functools
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates_scene import OPERATOR, Objection
from ansible_collections.openstack_ha.recovery.plugins.module_utils._ha_policy import Protection, protection
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.states import LINE_UNDER_WAY

Json = t.Dict[str, t.Any]
Facts = t.Mapping[str, t.Any]

#: What a run does with a VM: restarts it on its host; moves it; or moves it if the restart has not helped.
HERE, ELSEWHERE, EITHER = "recover", "elsewhere", "recover_or_elsewhere"
#: Reactions of those that are not restarted by us.
NOTIFY, HEAT, STORAGE = "notify", "heat", "storage_suspect"

#: States in Nova of VMs that ran, as far as Nova knows, or that Nova itself stopped when it found them off.
_RAN = ("active", "stopped", "error")
_OWNERS = {
    "paused": "its owner had paused it, and what it had in memory is lost",
    "suspended": "its owner had suspended it",
    "rescued": "it is in rescue mode; unrescue it",
    "resized": "a resize of it is not confirmed; confirm or revert it",
    "building": "it is still being built: create it again",
    "shelved": "its owner had shelved it",
    "shelved_offloaded": "its owner had shelved it",
    "soft-delete": "its owner has deleted it",
    "deleted": "its owner has deleted it",
}
_GONE = ("shelved", "shelved_offloaded", "soft-delete", "deleted", "building", "suspended")
_DELETING = ("deleting", "soft-deleting")
#: Steps of a run in which a VM may be on its new host, or on none.
MOVING = ("migrate", "confirm", "shelve", "offload", "unshelve")
_ON_ITS_WAY = ("resized", "shelved", "shelved_offloaded")
_BUSY_LOOK = 5.0
_SOURCE_LOOK = 5.0
#: A VM that hangs in a task for longer is nothing that ends by itself.
_BUSY_MOST = 900.0
#: Actions of a watchdog that end the hang; the hypervisor has done them.
_DONE_BY_HYPERVISOR = ("reset", "poweroff", "shutdown")


def is_moving(begun: Facts | None) -> bool:
    """Whether a run has asked for a move of a VM, and has not ended its incident: only a run can go on with that."""
    step = (begun or {}).get("step")
    return bool(begun and begun["state"] != "skipped" and begun.get("target")) and step in (*MOVING, "start")


class Case:
    """One VM in front of the gates."""

    def __init__(self, place: str, snapshot: Facts, policy: Facts) -> None:
        self.place, self.snapshot, self.policy = place, snapshot, policy
        self.rules: Facts = policy["instances"]
        self.facts: Facts = snapshot["places"][place]
        self.host: Facts = (snapshot.get("hosts") or {}).get(self.facts["host"]) or {}
        self.data: Facts = self.facts.get("data") or {}
        self.server: Facts | None = self.facts.get("server")
        self.vm: Facts = self.facts.get("facts") or {}

    @property
    def by_hand(self) -> bool:
        """A person is there to be asked."""
        return self.snapshot.get("caller") == OPERATOR

    def either(self, by_hand: str, else_: str) -> str:
        """The verdict, by who decides."""
        return by_hand if self.by_hand else else_

    @property
    def word(self) -> str:
        """What its monitor says: ``crashed``, ``io_error``, …; empty when only a person says that it has failed."""
        return str(self.facts.get("type") or "").rpartition(".")[2]

    @property
    def moving(self) -> bool:
        """Whether an earlier run has it on its way to another host, or there."""
        server = self.server or {}
        away = server.get("host") != self.facts["host"] or server.get("vm_state") in _ON_ITS_WAY
        return is_moving(self.facts.get("begun")) and away

    @property
    def interrupted(self) -> bool:
        """Whether the run that moves it has died: to go on is no other try."""
        return self.moving and self.facts["begun"]["state"] in LINE_UNDER_WAY

    @property
    def left_off(self) -> bool:
        """Whether nothing is wrong any more only because a run has stopped it, and has not got it up again."""
        domain = (self.data.get("domain") or {}).get("state")
        return domain not in (None, "running") and bool((self.facts.get("begun") or {}).get("step"))

    @property
    def age(self) -> float:
        """Seconds since it was said first."""
        return float(self.facts.get("age") or 0.0)

    @functools.cached_property
    def protection(self) -> Protection | None:
        """What the policy says of it; None if its facts are not known."""
        segment = (self.snapshot.get("segments") or {}).get(self.host.get("segment")) or {}
        return protection(self.vm, self.policy, segment) if self.vm else None

    @property
    def method(self) -> str:
        """Its rescue method; what was left to its owner for long enough is rescued as the policy says then."""
        said = self.protection
        if said is None:
            return "none"
        over = said.method == "notify" and said.deadline is not None and self.age >= said.deadline
        return (said.otherwise or "none") if over else said.method

    @property
    def watchdog(self) -> str:
        """The action that its hypervisor takes when its watchdog fires; as Nova reads it, the image comes first."""
        image, flavor = self.vm.get("image") or {}, self.vm.get("flavor") or {}
        of_image = (image.get("properties") or {}).get("hw_watchdog_action")
        found = of_image or (flavor.get("extra_specs") or {}).get("hw:watchdog_action")
        return str(found or "disabled")

    def recent(self) -> list[float]:
        """Seconds since each recovery of it that still counts, the last one first."""
        return sorted(age for age in self.facts.get("history") or [] if age < self.rules["within"])


def orders(case: Case) -> Objection | None:
    """What an operator has ordered beats all that the machine knows."""
    given = case.snapshot.get("orders")
    if given is None:
        return Objection(case.either("ask", "hold"), "it is not known whether an order forbids it", _SOURCE_LOOK)
    for kind, verdict, word in (("disarm", "ignore", "disarmed"), ("pause", "hold", "paused")):
        found = [order for order in given if order["kind"] == kind and _covers(order, case)]
        if found:
            reason = "; ".join(f"{word} by {it['owner']} (order {it['number']}): {it['reason']}" for it in found)
            rests = [it["left"] for it in found]
            return Objection(case.either("ask", verdict), reason, None if None in rests else max(rests))
    return None


def _covers(order: Facts, case: Case) -> bool:
    mine = {"segment": case.host.get("segment"), "host": case.facts["host"]}
    return order["scope"] not in mine or mine[order["scope"]] == order.get("name")


def known(case: Case) -> Objection | None:
    """Something else than a VM of Nova on a host of ours is left alone."""
    host = case.facts["host"]
    if not case.host.get("known"):
        return Objection("alert", f"host {host} stands in no segments file")
    if case.server is None:
        return Objection("hold", "Nova has not told what it knows of it", _BUSY_LOOK, unknown=True)
    if not case.server:
        return Objection("ignore", "Nova knows no such VM: it was deleted, or it is none of Nova's")
    if case.server.get("host") not in (None, host) and not case.moving:
        return Objection("ignore", f"Nova shows it on {case.server['host']}, not on {host}")
    return None


def trouble(case: Case) -> Objection | None:
    """Which failures call for a restart is policy; by hand a person has said so."""
    if case.by_hand or case.moving or not case.word:
        return None
    if case.facts.get("state") == "ok":
        return None if case.left_off else Objection("ignore", "its monitor says that it is well")
    wanted = case.rules["types"].get(case.word, "alert")
    if wanted != "recover":
        return Objection(
            wanted, f"instances.types.{case.word}: {wanted}; {case.facts.get('reason') or ''}".rstrip("; ")
        )
    action = case.data.get("action")
    if case.word == "io_error" and action not in (None, "pause"):
        return Objection("alert", f"I/O error, action {action}: its operating system was told, and it runs on")
    return None


def hypervisor(case: Case) -> Objection | None:
    """What the hypervisor does by itself is not done twice."""
    if case.by_hand:
        return None
    if case.word == "watchdog":
        return _watchdog(case, str(case.data.get("action") or case.watchdog))
    if case.word == "guest_silent" and case.watchdog in _DONE_BY_HYPERVISOR:
        left = case.rules["watchdog"]["wait"] - case.age
        if left > 0:
            return Objection("hold", f"if it hangs, its watchdog does {case.watchdog}; that is waited for", left)
    return None


def _watchdog(case: Case, action: str) -> Objection | None:
    key = {"pause": "pause", "poweroff": "poweroff", "shutdown": "poweroff", "reset": "reset"}.get(action, "none")
    wanted = case.rules["watchdog"][key]
    if wanted == "recover":
        return None
    done = {"reset": "the hypervisor has restarted it", "poweroff": "the hypervisor has powered it off, as its "
            "flavor or image wants"}.get(key, "it is left as it is")  # fmt: skip
    return Objection(wanted, f"its watchdog fired, action {action}: {done}")


def owner(case: Case) -> Objection | None:
    """What its owner or Nova is doing with it goes first."""
    server = case.server or {}
    state, task = server.get("vm_state"), server.get("task_state")
    if task in _DELETING:
        return Objection("ignore", "its owner is deleting it")
    if state not in _RAN and not case.moving:
        why = _OWNERS.get(str(state), f"vm_state is {state}")
        return Objection("ignore" if state in _GONE else "alert", why)
    if server.get("locked") and case.rules["locked"] != "recover" and not case.by_hand:
        return Objection(case.rules["locked"], "it is locked")
    if task:
        busy = server.get("updated_age")
        if busy is not None and busy > _BUSY_MOST:
            return Objection("alert", f"Nova is at it since {busy:.0f} s: task_state {task}")
        return Objection("hold", f"Nova is at it: task_state {task}", _BUSY_LOOK)
    return None


def protected(case: Case) -> Objection | None:
    """Who wants no restart gets none."""
    if case.by_hand:
        return None
    said, method = case.protection, case.method
    if said is None:
        return Objection("hold", "it is not known what the policy says of it", _BUSY_LOOK, unknown=True)
    because = f"; {said.because}" if said.because else ""
    if not said.protected:
        return Objection("ignore", f"it is not protected{because}")
    if method == "notify":
        left = None if said.deadline is None else said.deadline - case.age
        return Objection("alert" if left is None else "hold", f"left to its owner{because}", left, reaction=NOTIFY)
    if method == "heat":
        return Objection("alert", f"left to its stack{because}", reaction=HEAT)
    return Objection("ignore", f"its rescue method is none{because}") if method == "none" else None


def source(case: Case) -> Objection | None:
    """A VM of a host that does not answer may run: that is a matter of its host, with its own gates and fencing."""
    host, name = case.host, case.facts["host"]
    silent = [
        *(["nova-compute is forced down"] if host.get("forced_down") else []),
        *([f"nova-compute is {host.get('nova_state') or 'unknown'}"] if host.get("nova_state") != "up" else []),
        *(["no heartbeat is heard"] if host.get("heard") is False else []),
    ]
    if host.get("host_run") or host.get("host_incident") == "recovering":
        return Objection("hold", f"a run is at work on its host {name}, which decides about this VM, too", _SOURCE_LOOK)
    if silent:
        reason = f"its host {name} does not answer ({', '.join(silent)}): this becomes an incident of the host"
        return Objection("hold", reason, _SOURCE_LOOK)
    why = host.get("maintenance")
    if why or why is None:
        reason = f"its host is in maintenance: {why}" if why else "it is not known whether its host is in maintenance"
        return Objection(case.either("ask", "hold"), reason, 60.0, unknown=why is None)
    return None


def storage(case: Case) -> Objection | None:
    """Many VMs of one host with I/O errors: it is the host's path to the storage."""
    if case.by_hand or case.word != "io_error":
        return None
    reason = storage_suspects(case.snapshot, case.policy).get(case.facts["host"])
    return Objection("hold", reason, 30.0, reaction=STORAGE) if reason else None


def storage_suspects(snapshot: Facts, policy: Facts) -> dict[str, str]:
    """By host why its path to the storage is suspected: so many of its VMs are paused because of I/O errors."""
    rules, failed = policy["instances"]["storage_suspect"], _with_io_errors(snapshot)
    found = {}
    for host, count in failed.items():
        vms = ((snapshot.get("hosts") or {}).get(host) or {}).get("vms")
        of_all = 100 if not vms else 100 * count / vms
        if count >= rules["vms"] and of_all >= rules["percent"]:
            found[host] = f"{count} VMs of {host} have I/O errors: its path to the storage is suspected"
    return dict(sorted(found.items()))


def _with_io_errors(snapshot: Facts) -> dict[str, int]:
    counts: dict[str, int] = {}
    for it in snapshot["places"].values():
        paused = (it.get("data") or {}).get("action") in (None, "pause")
        if str(it.get("type")).endswith(".io_error") and paused:
            counts[it["host"]] = counts.get(it["host"], 0) + 1
    return counts


def resuming(case: Case) -> Objection | None:
    """A guest that is paused on an I/O error has lost nothing: its monitor resumes it once the storage is back."""
    if case.by_hand or case.word != "io_error" or not case.data.get("resuming"):
        return None
    left = case.rules["resume_wait"] - case.age
    return Objection("hold", "its monitor resumes it when the storage is back", left) if left > 0 else None


def limits(case: Case) -> Objection | None:
    """A VM that dies again and again is not started for ever."""
    recent, rules = case.recent(), case.rules
    if case.by_hand or case.interrupted or not recent:
        return None
    most = rules["tries"] + (rules["elsewhere"]["tries"] if _may_leave(case) else 0)
    if len(recent) >= most:
        reason = f"recovered {len(recent)} times within {rules['within']} s: it does not stay up"
        return Objection("alert", reason, rules["within"] - recent[most - 1])
    left = back_off(rules, len(recent)) - recent[0]
    if left > 0:
        return Objection("hold", f"recovered {recent[0]:.0f} s ago; tried again in {left:.0f} s", left)
    return None


def back_off(rules: Facts, tries: int) -> float:
    """Seconds that must have passed since the last of so many tries."""
    return float(min(rules["back_off"] * 2 ** (tries - 1), rules["back_off_most"])) if tries else 0.0


def reaction(case: Case) -> str:
    """What a run does with it. Who watches decides after each try; a person wants to see it done."""
    if not _may_leave(case):
        return HERE
    if case.by_hand:
        return EITHER
    return ELSEWHERE if len(case.recent()) >= case.rules["tries"] else HERE


def _may_leave(case: Case) -> bool:
    """Whether it may go to another host when restarts do not help."""
    return case.rules["then"] == "elsewhere" and (case.by_hand or case.method != "restart")
