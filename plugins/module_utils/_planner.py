# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which VM goes where, in which order. Pure. PRIVATE to this collection: may change at any time.

Nova's scheduler looks at each request alone and would put a burst of evacuations on one host; the
plan spreads them over the segment from Placement's numbers. Nova still checks every target.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _restart_order
from ansible_collections.openstack_ha.recovery.plugins.module_utils._capacity import Amounts, Room
from ansible_collections.openstack_ha.recovery.plugins.module_utils._restart_order import Rank

#: How the recovery methods (Masakari's words) order the roles of target hosts.
ROLE_ORDER = {
    "auto": ("active",),
    "reserved_host": ("reserved",),
    "auto_priority": ("active", "reserved"),
    "rh_priority": ("reserved", "active"),
}

_ALTERNATES = 10  # other targets named per VM; a VM refused by so many hosts is not helped by one more


@dataclasses.dataclass
class Vm:
    """One VM of a failed host, as far as planning needs it.

    :param step: ``evacuate``, ``follow``, ``skip`` or ``pending``; this, ``reason``, ``former``, ``reset`` and ``note``
        as in :class:`_vmstate.Step`. ``done``: an earlier run has verified it, and others wait until it is ready.
    :param zone: Availability zone it is pinned to (``zone_is_pinned``) or merely was in.
    :param need: Resource class → amount, from its Placement allocation.
    :param floor: Evacuation records with ids up to this one belong to the past.
    :param method: How it is rescued, in the policy's words. :param deadline: Seconds that its owner has to rescue it
        before ``otherwise`` is done. :param group: Its restart group. :param after: The groups that are started before
        it. :param ready: When it counts as ready, see :mod:`_restart_order`. :param because: What the policy says.
    :param local_disk_loss: Whether its local disks may be lost; None: as its segment says.
    :param policy_notes: What in the policy contradicts itself or is not understood. Its owner is not told.
    """

    id: str
    name: str
    project: str
    host: str
    segment: str
    step: str = "evacuate"
    reason: str = ""
    former: str = "running"
    reset: bool = False
    note: str = ""
    priority: int = 500
    need: Amounts = dataclasses.field(default_factory=dict)
    zone: str = ""
    zone_is_pinned: bool = False
    target: str | None = None
    floor: int = 0
    method: str = "evacuate"
    otherwise: str | None = None
    deadline: float | None = None
    group: str | None = None
    after: tuple[str, ...] = ()
    ready: dict[str, t.Any] | None = None
    because: str = ""
    local_disk_loss: bool | None = None
    policy_notes: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Host:
    """A host that may take VMs.

    :param joins: It will join the aggregates, and with them the zone, of the first host that it helps.
    """

    name: str
    segment: str
    role: str = "active"
    zone: str = ""
    joins: bool = False


@dataclasses.dataclass
class Group:
    """A server group: its policy and where its members are (on hosts that live)."""

    policy: str
    members: set[str]
    hosts: dict[str, int] = dataclasses.field(default_factory=dict)
    max_per_host: int = 1


def plan(
    vms: t.Iterable[Vm],
    hosts: t.Iterable[Host],
    methods: t.Mapping[str, str],
    room: Room,
    groups: t.Iterable[Group] = (),
    restart: dict[str, t.Any] | None = None,
) -> list[dict[str, t.Any]]:
    """Make the lines of a plan, in order; books the room and the groups it is given.

    :param methods: Recovery method of each segment.
    :param restart: The section of the policy, complete. Without it only what VMs say themselves makes them wait.
    """
    targets = list(hosts)
    group_list = list(groups)
    given = list(vms)
    ranks = _restart_order.arrange(given, restart or _restart_order.NOTHING_SAID)
    lines = []
    for order, vm in enumerate(sorted(given, key=lambda vm: _importance(vm, ranks[vm.id])), 1):
        line = {**dataclasses.asdict(vm), **_order_of(vm, ranks[vm.id]), "order": order, "alternates": []}
        here = [group for group in group_list if vm.id in group.members]
        lines.append(_placed(line, vm, targets, methods[vm.segment], room, here))
    return lines


def _importance(vm: Vm, rank: Rank) -> tuple[t.Any, ...]:
    """Higher class first; inside a class what others wait for, then the big ones, which find room least easily."""
    return (-rank.priority, rank.depth, -vm.need.get("MEMORY_MB", 0), -vm.need.get("VCPU", 0), vm.name, vm.id)


def _order_of(vm: Vm, rank: Rank) -> dict[str, t.Any]:
    """What a line says of the restart order, as plain data."""
    return {
        "after": list(vm.after),
        "rank": rank.priority,
        "keys": rank.keys,
        "waits": rank.waits,
        "awaited": rank.ready,
        "remarks": rank.remarks,
    }


def _placed(
    line: dict[str, t.Any], vm: Vm, targets: list[Host], method: str, room: Room, groups: list[Group]
) -> dict[str, t.Any]:
    if vm.step not in ("evacuate", "follow"):
        return line
    candidates = _candidates(vm, targets, method, groups)
    candidates.sort(key=lambda host: (not room.fits(host.name, vm.need), *_preference(vm, host, method, room, groups)))
    ranked = [host.name for host in candidates if host.name != vm.target]
    if vm.step == "follow":
        return {**line, "alternates": ranked[:_ALTERNATES]}
    if not ranked or not room.fits(ranked[0], vm.need):
        why_not = _why_not(vm, candidates, method, room)
        return {**line, "step": "pending", "reason": why_not, "alternates": ranked[:_ALTERNATES]}
    best = ranked[0]
    room.take(best, vm.need)
    if candidates[0].joins:
        candidates[0].zone, candidates[0].joins = vm.zone, False
    for group in groups:
        group.hosts[best] = group.hosts.get(best, 0) + 1
    return {**line, "target": best, "alternates": ranked[1 : 1 + _ALTERNATES]}


def _candidates(vm: Vm, targets: list[Host], method: str, groups: list[Group]) -> list[Host]:
    return [
        host
        for host in targets
        if host.segment == vm.segment
        and host.role in ROLE_ORDER[method]
        and (host.joins or not vm.zone_is_pinned or host.zone == vm.zone)
        and all(_allowed(group, host.name) for group in groups)
    ]


def _allowed(group: Group, host: str) -> bool:
    if group.policy == "anti-affinity":
        return group.hosts.get(host, 0) < group.max_per_host
    if group.policy == "affinity":
        return not group.hosts or host in group.hosts
    return True


def _preference(vm: Vm, host: Host, method: str, room: Room, groups: list[Group]) -> tuple[t.Any, ...]:
    """Role by the method, the VM's former zone, soft groups, then the freest host."""
    crowd = sum(group.hosts.get(host.name, 0) for group in groups if group.policy == "soft-anti-affinity")
    apart = sum(host.name not in group.hosts for group in groups if group.policy == "soft-affinity" and group.hosts)
    return (
        ROLE_ORDER[method].index(host.role),
        bool(vm.zone) and host.zone != vm.zone and not host.joins,
        crowd + apart,
        -room.freedom(host.name, vm.need),
        host.name,
    )


def _why_not(vm: Vm, candidates: list[Host], method: str, room: Room) -> str:
    if not candidates:
        zone = f" in zone {vm.zone}" if vm.zone_is_pinned else ""
        return (
            f"segment {vm.segment} has no usable {' or '.join(ROLE_ORDER[method])} host{zone} "
            "that its server groups allow"
        )
    best = max(candidates, key=lambda host: (room.freedom(host.name, vm.need), host.name))
    return f"no room in segment {vm.segment}; best host {best.name}: " + ", ".join(room.lacking(best.name, vm.need))
