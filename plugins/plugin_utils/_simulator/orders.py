# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``timeline.yml``: what people and controllers do. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import functools
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.controller import Controller
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.events import Act, Event
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.log import names
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.recovery import Recovery
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.site import Json, Site
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.stage import Stage
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.words import (
    listed,
    mapping,
    one_of,
    seconds,
)

_WHO = "ada"
_ORDER_KEYS = {"scope": "", "name": "", "reason": "", "by": "", "for": "", "at_once": "", "per_hour": ""}
_ANSWERS = ("recover", "hold")
#: What a run journals; the steps of VMs are those of the first one that gets there.
STEPS = (
    "claimed", "forced_down", "fencing", "fenced", "reserved_taken", "planned", "requesting", "requested", "landed",
    "started", "verified", "evacuated",
)  # fmt: skip


def pause(stage: Stage, what: t.Any, path: str) -> Act:
    """An operator pauses a scope: ``cloud`` unless told."""
    return _order(stage, "pause", what, path)


def disarm(stage: Stage, what: t.Any, path: str) -> Act:
    """An operator disarms a scope."""
    return _order(stage, "disarm", what, path)


def budget(stage: Stage, what: t.Any, path: str) -> Act:
    """An operator gives a scope another budget."""
    return _order(stage, "budget", what, path)


def _order(stage: Stage, kind: str, what: t.Any, path: str) -> Act:
    given = mapping(what, _ORDER_KEYS, path)
    scope = one_of(given.get("scope", "cloud"), ("cloud", "segment", "host"), f"{path}.scope")
    lasts = seconds(given["for"], f"{path}.for") if "for" in given else None
    limits: Json | None = {key: given[key] for key in ("at_once", "per_hour") if key in given} or None
    by, reason = str(given.get("by", _WHO)), str(given.get("reason", "planned work"))

    def act() -> None:
        site = stage.site
        site.journal.add_order(site.region, kind, scope, given.get("name"), by, reason, lasts, limits)

    where = f"{scope} {given['name']}" if "name" in given else scope
    return stage.told(f"{by} orders: {kind} {where} ({reason})", act)


def resume(stage: Stage, what: t.Any, path: str) -> Act:
    """An operator ends all orders, or those of a kind."""
    given = mapping(what if isinstance(what, dict) else {}, {"kind": "", "by": ""}, path)
    by = str(given.get("by", _WHO))

    def act() -> None:
        for order in stage.site.journal.orders(stage.site.region):
            if given.get("kind") in (None, order["kind"]):
                stage.site.journal.end_order(order["id"], by, "resume")

    return stage.told(f"{by} ends the orders", act)


def answer(stage: Stage, what: t.Any, path: str) -> Act:
    """An operator answers the open question about hosts: ``recover`` or ``hold``."""
    given = mapping(what, {"hosts": "", "verdict": "", "by": "", "reason": ""}, path)
    hosts, by = stage.hosts(given.get("hosts"), f"{path}.hosts"), str(given.get("by", _WHO))
    verdict = one_of(given.get("verdict", "recover"), _ANSWERS, f"{path}.verdict")

    def act() -> None:
        site, reason = stage.site, str(given.get("reason", "looked at it"))
        asked = [question for question in site.journal.open_questions(site.region) if question["host"] in hosts]
        for question in asked:
            site.journal.answer_question(question["id"], verdict, by, reason)
            site.log.say(f"{by} answers {verdict} for {question['host']} ({question['gate']})")
        if not asked:
            site.log.say(f"{by} finds nothing to answer about {names(hosts)}")

    return act


def recover(stage: Stage, what: t.Any, path: str) -> Act:
    """An operator runs recover_host by hand on a controller."""
    known = {"hosts": "", "controller": "", "by": "", "answer": "", "reason": "", "confirmed": ""}
    given = mapping(what if isinstance(what, dict) else {"hosts": what}, known, path)
    hosts, by = stage.hosts(given.get("hosts"), f"{path}.hosts"), str(given.get("by", _WHO))
    machine = one_of(given.get("controller", next(iter(stage.controllers))), stage.controllers, f"{path}.controller")
    if "answer" in given:
        one_of(given["answer"], _ANSWERS, f"{path}.answer")
    work = functools.partial(_by_hand, stage, machine, hosts, by, given)
    name = f"{by} on {' '.join(hosts)}"
    return stage.told(f"{by} runs recover_host {names(hosts)}", lambda: _spawn(stage, name, machine, work))


def _spawn(stage: Stage, name: str, machine: str, work: t.Callable[[str], None]) -> None:
    stage.site.processes.spawn(name, machine, functools.partial(work, name))


def _by_hand(stage: Stage, machine: str, hosts: list[str], by: str, given: Json, process: str) -> None:
    controller, reason = stage.controllers[machine], str(given.get("reason", "looked at it"))
    answer_ = {"verdict": given["answer"], "operator": by, "reason": reason} if "answer" in given else None
    confirmed = (by, str(given["confirmed"])) if "confirmed" in given else None
    try:
        going = controller.open(hosts, process, "operator", answer_)
        if going:
            Recovery(stage.site, machine, *going, confirmed).work()
    except RecoveryError as error:
        controller.say(f"{names(hosts)}: {error.message.split('. ')[0]}")


def disable(stage: Stage, what: t.Any, path: str) -> Act:
    """An operator disables nova-compute on hosts, with a reason."""
    given = mapping(what if isinstance(what, dict) and "reason" in what else {"hosts": what}, _DISABLE, path)
    hosts, reason = stage.hosts(given.get("hosts"), path), str(given.get("reason", "no reason given"))
    change = {"status": "disabled", "disabled_reason": reason}
    return stage.told(f"{_WHO} disables {names(hosts)}: {reason}", lambda: _services(stage, hosts, change))


def enable(stage: Stage, what: t.Any, path: str) -> Act:
    """An operator takes hosts into service again: forced up and enabled."""
    hosts = stage.hosts(what, path)
    change = {"status": "enabled", "disabled_reason": None, "forced_down": False}
    return stage.told(f"{_WHO} enables {names(hosts)}", lambda: _services(stage, hosts, change))


_DISABLE = {"hosts": "", "reason": ""}


def _services(stage: Stage, hosts: list[str], change: Json) -> None:
    for host in hosts:
        stage.site.nova.services[host].update(change)


def fence_check(stage: Stage, what: t.Any, path: str) -> Act:
    """fence_check is run on hosts."""
    hosts = stage.hosts(what, path)

    def act() -> None:
        for host in hosts:
            stage.check_fencing(host)

    return stage.told(f"fence_check of {names(hosts)}", act)


def controller_dies(stage: Stage, what: t.Any, path: str) -> Act:
    """The program on controllers is killed, with all runs that it has started."""
    found = _controllers(stage, what, path)

    def act() -> None:
        for controller in found:
            controller.stop()

    return stage.told(f"{names(it.name for it in found)}: killed", act)


def controller_dies_at(stage: Stage, what: t.Any, path: str) -> Act:
    """The program on a controller is killed as soon as a run of it has journaled a step."""
    given = mapping(what, {"controller": "", "step": ""}, path)
    name = one_of(given.get("controller"), stage.controllers, f"{path}.controller")
    step = one_of(given.get("step"), STEPS, f"{path}.step")
    die = stage.told(f"{name}: killed, having written: {step.replace('_', ' ')}", stage.controllers[name].stop)
    return lambda: stage.site.traps.update({(name, step): die})


def controller_starts(stage: Stage, what: t.Any, path: str) -> Act:
    """The program on controllers starts again, with an empty memory."""
    found = _controllers(stage, what, path)

    def act() -> None:
        for controller in found:
            if not controller.on:
                controller.start()

    return stage.told(f"{names(it.name for it in found)}: starts", act)


def _controllers(stage: Stage, what: t.Any, path: str) -> list[Controller]:
    return [stage.controllers[one_of(name, stage.controllers, path)] for name in listed(what)]


def controller_reboots(stage: Stage, what: t.Any, path: str) -> Act:
    """Controllers go down; start them again with ``controller_starts``."""
    found = _controllers(stage, what, path)

    def act() -> None:
        for controller in found:
            controller.stop()
            clock = stage.site.clocks[controller.name]
            clock.boots, clock.since = clock.boots + 1, stage.site.clock.time

    return stage.told(f"{names(it.name for it in found)}: goes down", act)


def controller_freezes(stage: Stage, what: t.Any, path: str) -> Act:
    """The programs of controllers stand still and notice nothing; see ``controller_thaws``."""
    found = [one_of(name, stage.controllers, path) for name in listed(what)]
    return stage.told(f"{names(found)}: freezes", lambda: stage.site.processes.freeze(found))


def controller_thaws(stage: Stage, what: t.Any, path: str) -> Act:
    """Frozen programs go on where they stood."""
    found = [one_of(name, stage.controllers, path) for name in listed(what)]
    return stage.told(f"{names(found)}: goes on", lambda: stage.site.processes.thaw(found))


def enlist(stage: Stage, what: t.Any, path: str) -> Act:
    """Hosts are written into the segments file: into this segment, each under a name that means no other."""
    given = mapping(what, {"hosts": "", "segment": ""}, path)
    hosts = stage.hosts(given.get("hosts"), f"{path}.hosts")
    segment = one_of(given.get("segment"), stage.site.topology["segments"], f"{path}.segment")
    told = f"{names(hosts)}: written into the segments file, in {segment}"
    return stage.told(told, lambda: _enlist(stage.site, hosts, segment))


def _enlist(site: Site, hosts: list[str], segment: str) -> None:
    for name in hosts:
        site.plant.hosts[name].segment = segment
        site.meant.pop(name, None)
        before = site.topology["hosts"].get(name, {"role": "active", "zone": "nova", "probe": [f"tcp://{name}:22"]})
        site.topology["hosts"][name] = {
            **before,
            "segment": segment,
            "failure_domain": site.plant.hosts[name].domain,
            "hypervisor_hostname": name,
            "hypervisor_id": f"rp-{name}",
            "fencing_levels": len(site.levels[name]),
        }


def clock_jumps(stage: Stage, what: t.Any, path: str) -> Act:
    """The wall clock of a controller is set."""
    given = mapping(what, {"controller": "", "by": ""}, path)
    name = one_of(given.get("controller"), stage.controllers, f"{path}.controller")
    by = seconds(given.get("by"), f"{path}.by")

    def act() -> None:
        stage.site.clocks[name].ahead += by

    return stage.told(f"{name}: wall clock jumps by {by:g} s", act)


ORDERS: dict[str, Event] = {
    function.__name__: function
    for function in (
        pause, disarm, budget, resume, answer, recover, disable, enable, fence_check, controller_dies,
        controller_dies_at, controller_starts, controller_reboots, controller_freezes, controller_thaws,
        clock_jumps, enlist,
    )
}  # fmt: skip
