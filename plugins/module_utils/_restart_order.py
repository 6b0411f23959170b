# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which VM is started after which. Pure. PRIVATE to this collection: may change at any time.

VMs wait for *keys*: a restart group, or all VMs of a tier of priority classes. What has the key must be ready, or be
given up, before what waits for it is started; :mod:`_turns` sees to that while a plan is carried out.
"""

from __future__ import annotations

import dataclasses
import graphlib
import re
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError

Json = t.Dict[str, t.Any]

#: Kinds of readiness that ask the VM itself.
PROBED = ("tcp", "http", "https")
#: How ``ready`` is written in the policy, in metadata and in tags; without blanks, for it becomes part of a request.
READY_PATTERN = (
    r"^(landed|active|guest_agent|tcp:[0-9]{1,5}|https?:[0-9]{1,5}(/[!-~]*)?|task:[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})\Z"
)
#: A policy without a word about it.
NOTHING_SAID: Json = {"tiers": [], "ready": "active", "groups": {}}
READINESS = "landed, active, guest_agent, tcp:PORT, http:PORT/PATH, https:PORT/PATH or task:NAME"

_HIGHEST_PORT = 65535


class Vm(t.Protocol):
    """What :class:`_planner.Vm` has of it."""

    id: str
    name: str
    project: str
    step: str
    former: str
    priority: int
    group: str | None
    after: tuple[str, ...]
    ready: Json | None


@dataclasses.dataclass
class Rank:
    """When a VM is started.

    :param priority: Its own, or that of the most important VM that waits for it.
    :param depth: How many have to be started one after the other before it.
    :param keys: What others may wait for. :param waits: The keys that it waits for.
    :param ready: When it counts as ready; None if nobody waits for it.
    :param remarks: What the plan must tell of it.
    """

    priority: int
    depth: int = 0
    keys: list[str] = dataclasses.field(default_factory=list)
    waits: list[str] = dataclasses.field(default_factory=list)
    ready: Json | None = None
    remarks: list[str] = dataclasses.field(default_factory=list)


def read_ready(value: t.Any) -> Json | None:
    """``tcp:5432`` as ``{"is": "tcp", "port": 5432}``; None if it is not understood."""
    text = str(value).strip()
    if not re.match(READY_PATTERN, text):
        return None
    what, _colon, rest = text.partition(":")
    if what == "task":
        return {"is": what, "name": rest}
    if what not in PROBED:
        return {"is": what}
    port, slash, path = rest.partition("/")
    if not 0 < int(port) <= _HIGHEST_PORT:
        return None
    return {"is": what, "port": int(port), **({} if what == "tcp" else {"path": slash + path or "/"})}


def ready_text(ready: Json) -> str:
    """As it is written in policy and metadata: ``tcp:5432``."""
    parts = [str(ready[key]) for key in ("name", "port") if key in ready]
    return ":".join([ready["is"], *parts]) + str(ready.get("path", ""))


def arrange(vms: t.Iterable[Vm], restart: Json) -> dict[str, Rank]:
    """The rank of each VM, by its id.

    :param restart: The section of the policy, complete.
    """
    return _Arrangement(list(vms), restart).result()


class _Arrangement:
    """VMs that are skipped take no part; those that were off are not waited for, and wait for nobody."""

    def __init__(self, vms: list[Vm], restart: Json) -> None:
        self._vms = vms
        self._groups: Json = restart["groups"]
        self._restart = restart
        self._ranks = {vm.id: Rank(vm.priority) for vm in vms}
        self._running = [vm for vm in vms if vm.step != "skip" and vm.former == "running"]
        self._members: dict[str, list[Vm]] = {}
        for vm in self._running:
            if vm.group:
                self._members.setdefault(self._key(vm, vm.group), []).append(vm)

    def result(self) -> dict[str, Rank]:
        wanted = {vm.id: self._wanted(vm) for vm in self._running}
        allowed = self._allowed(wanted)
        for vm in self._running:
            self._settle(vm, wanted[vm.id], allowed)
        self._inherit()
        self._deepen()
        self._tiers()
        self._awaited()
        return self._ranks

    def _key(self, vm: Vm, group: str) -> str:
        """Groups of different projects are different, unless the policy says that they share one."""
        shared = self._groups.get(group, {}).get("shared")
        return f"group {group}" if shared else f"group {group} of project {vm.project}"

    def _wanted(self, vm: Vm) -> dict[str, str]:
        """The groups that it is to wait for: key and name; what it says itself beats what its group says."""
        of_group = self._groups.get(vm.group, {}).get("after", []) if vm.group else []
        return {self._key(vm, name): name for name in vm.after or of_group}

    def _allowed(self, wanted: dict[str, dict[str, str]]) -> dict[str, set[str]]:
        """By group the groups that it waits for, without circles: what the policy says comes first, then by name."""
        edges = set()
        for vm in self._running:
            if vm.group:
                mine = self._key(vm, vm.group)
                by_policy = self._groups.get(vm.group, {}).get("after", [])
                here = {key: name for key, name in wanted[vm.id].items() if key in self._members}
                edges |= {(name not in by_policy, mine, key) for key, name in here.items()}
        found: dict[str, set[str]] = {}
        for _not_policy, waits, first in sorted(edges):
            if not _leads(found, first, waits):
                found.setdefault(waits, set()).add(first)
        return found

    def _settle(self, vm: Vm, wanted: dict[str, str], allowed: dict[str, set[str]]) -> None:
        rank = self._ranks[vm.id]
        mine = self._key(vm, vm.group) if vm.group else ""
        rank.keys = [mine] if mine else []
        for key, name in sorted(wanted.items()):
            if key in self._members and (not mine or key in allowed.get(mine, ())):
                rank.waits.append(key)
            elif key in self._members:
                rank.remarks.append(f"does not wait for the group {name}, which waits for {vm.group}: a circle")
            elif name not in self._groups:
                rank.remarks.append(
                    f"waits for no VM of the group {name}: none is here, and no policy names that group"
                )

    def _inherit(self) -> None:
        """Who is waited for is as important as who waits."""
        for vm in sorted(self._running, key=lambda vm: (-vm.priority, vm.id)):
            todo = [vm]
            while todo:
                todo += self._raised(todo.pop(), vm)

    def _raised(self, waits: Vm, important: Vm) -> list[Vm]:
        """Raise what a VM waits for."""
        found = []
        for first in (vm for key in self._ranks[waits.id].waits for vm in self._members[key]):
            rank = self._ranks[first.id]
            if rank.priority < important.priority:
                rank.priority = important.priority
                rank.remarks.append(f"goes with priority {rank.priority}, because {important.name} waits for it")
                found.append(first)
        return found

    def _deepen(self) -> None:
        graph = {
            key: {other for vm in members for other in self._ranks[vm.id].waits}
            for key, members in self._members.items()
        }
        depths: dict[str, int] = {}
        for key in graphlib.TopologicalSorter(graph).static_order():
            depths[key] = 1 + max((depths[other] for other in graph[key]), default=0)
        for vm in self._running:
            rank = self._ranks[vm.id]
            rank.depth = max((depths[key] for key in rank.waits), default=0)

    def _tiers(self) -> None:
        """Each tier waits for the next higher one that has VMs."""
        bounds = sorted(self._restart["tiers"], reverse=True)
        tiers: dict[str, list[Vm]] = {}
        for vm in sorted(self._running, key=lambda vm: -self._ranks[vm.id].priority if bounds else 0):
            reached = [bound for bound in bounds if self._ranks[vm.id].priority >= bound]
            if bounds:
                tiers.setdefault(f"priority {reached[0]} and higher" if reached else "", []).append(vm)
        above = ""
        for tier, vms in tiers.items():
            for vm in vms:
                self._ranks[vm.id].keys += [tier] if tier else []
                self._ranks[vm.id].waits += [above] if above else []
            above = tier

    def _awaited(self) -> None:
        waits = {key for rank in self._ranks.values() for key in rank.waits}
        for vm in self._running:
            rank = self._ranks[vm.id]
            rank.keys = [key for key in rank.keys if key in waits]
            if rank.keys:
                of_group = self._groups.get(vm.group, {}).get("ready") if vm.group else None
                rank.ready = vm.ready or read_ready(of_group or self._restart["ready"])


def _leads(edges: t.Mapping[str, t.Iterable[str]], start: str, end: str) -> bool:
    """Whether one can get from one to the other, or is there already."""
    seen, todo = {start}, [start]
    while todo:
        here = todo.pop()
        if here == end:
            return True
        new = set(edges.get(here, ())) - seen
        seen |= new
        todo += sorted(new)
    return False


def errors(policy: Json) -> t.Iterator[ConfigError]:
    """What is wrong with groups and readiness in a policy.

    :param policy: The complete policy. Groups may be named in ``restart.groups``, and anywhere in the section ``ha``.
    """
    rules = _rules(policy)
    yield from _unknown(rules, {it["group"] for _path, it in rules if isinstance(it.get("group"), str)})
    yield from _circles(rules)
    yield from _unreadable(policy["restart"], rules)


def probed(policy: Json) -> list[str]:
    """Where a policy says that VMs are probed."""
    rules = [("restart", policy["restart"]), *_rules(policy)]
    found = [(path, read_ready(it["ready"])) for path, it in rules if isinstance(it.get("ready"), str)]
    return [path for path, ready in found if ready and ready["is"] in PROBED]


def _rules(policy: Json) -> list[tuple[str, Json]]:
    """What is said of groups, with its path."""
    groups = policy["restart"]["groups"]
    of_groups = [(f"restart.groups.{name}", {"group": name, **it}) for name, it in groups.items()]
    return [*of_groups, *_said(policy.get("ha", {}), "ha")]


def _said(value: t.Any, path: str) -> t.Iterator[tuple[str, Json]]:
    """Every mapping that says something of groups or readiness."""
    if isinstance(value, dict):
        if any(isinstance(value.get(key), (str, list)) for key in ("group", "after", "ready")):
            yield path, value
        for key, item in value.items():
            yield from _said(item, f"{path}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _said(item, f"{path}[{number}]")


def _after(rule: Json) -> list[str]:
    found = rule.get("after")
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _unknown(rules: list[tuple[str, Json]], known: t.Collection[str]) -> t.Iterator[ConfigError]:
    for path, rule in rules:
        for name in _after(rule):
            if name not in known:
                yield ConfigError(
                    f"{path}.after: there is no group '{name}'. Groups are named in restart.groups, or given to VMs by "
                    f"'group' in the section ha; there are {', '.join(sorted(known)) or 'none'}."
                )


def _circles(rules: list[tuple[str, Json]]) -> t.Iterator[ConfigError]:
    edges: dict[str, set[str]] = {}
    for path, rule in rules:
        group = rule.get("group")
        for name in _after(rule) if isinstance(group, str) else []:
            if _leads(edges, name, t.cast(str, group)):
                yield ConfigError(f"{path}.after: {group} cannot wait for {name}, which waits for {group}: a circle.")
            else:
                edges.setdefault(t.cast(str, group), set()).add(name)


def _unreadable(restart: Json, rules: list[tuple[str, Json]]) -> t.Iterator[ConfigError]:
    for path, rule in [("restart", restart), *rules]:
        text = rule.get("ready")
        ready = read_ready(text) if isinstance(text, str) else None
        if isinstance(text, str) and ready is None:
            yield ConfigError(f"{path}.ready: must be {READINESS}, not {text!r}.")
        if ready and ready["is"] == "task" and ready["name"] not in restart["tasks"]:
            yield ConfigError(f"{path}.ready: restart.tasks has no task '{ready['name']}'.")
