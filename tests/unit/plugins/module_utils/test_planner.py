from __future__ import annotations

import collections
import copy
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.fakes.profiles import examples

from ansible_collections.openstack_ha.recovery.plugins.module_utils._capacity import Room
from ansible_collections.openstack_ha.recovery.plugins.module_utils._planner import ROLE_ORDER, Group, Host, Vm, plan

FREE = {"VCPU": 8, "MEMORY_MB": 8192}
SMALL = {"VCPU": 1, "MEMORY_MB": 1024}


def vm(name: str, **facts: t.Any) -> Vm:
    return Vm(**{"id": name, "name": name, "project": "p", "host": "dead", "segment": "s1", "need": SMALL, **facts})


def room(*hosts: Host, **free: dict[str, int]) -> Room:
    return Room.of_free({host.name: free.get(host.name, FREE) for host in hosts})


def targets(lines: list[dict[str, t.Any]]) -> dict[str, str | None]:
    return {line["id"]: line["target"] for line in lines}


# -- examples ------------------------------------------------------------------------------------------


def test_nothing_to_place_is_an_empty_plan() -> None:
    assert plan([], [Host("a", "s1")], {"s1": "auto"}, Room({})) == []


@pytest.mark.parametrize(
    ("method", "goes_to"),
    [("auto", "active"), ("reserved_host", "reserved"), ("auto_priority", "active"), ("rh_priority", "reserved")],
)
def test_a_method_prefers_its_first_role(method: str, goes_to: str) -> None:
    hosts = [Host("active", "s1"), Host("reserved", "s1", "reserved")]
    assert targets(plan([vm("a")], hosts, {"s1": method}, room(*hosts))) == {"a": goes_to}


@pytest.mark.parametrize(("method", "other"), [("auto_priority", "reserved"), ("rh_priority", "active")])
def test_the_second_role_takes_what_the_first_has_no_room_for(method: str, other: str) -> None:
    hosts = [Host("active", "s1"), Host("reserved", "s1", "reserved")]
    first = ROLE_ORDER[method][0]
    assert targets(plan([vm("a")], hosts, {"s1": method}, room(*hosts, **{first: {"VCPU": 0}}))) == {"a": other}


@pytest.mark.parametrize(("method", "unused"), [("auto", "reserved"), ("reserved_host", "active")])
def test_a_method_of_one_role_never_uses_the_other(method: str, unused: str) -> None:
    hosts = [Host(unused, "s1", unused)]
    line = plan([vm("a")], hosts, {"s1": method}, room(*hosts))[0]
    assert line["step"] == "pending"
    assert "no usable" in line["reason"]


def test_the_reason_names_the_best_host_and_what_it_lacks() -> None:
    hosts = [Host("a", "s1"), Host("b", "s1")]
    rooms = Room({"a": (FREE, FREE), "b": (FREE, {"VCPU": 7, "MEMORY_MB": 7680})})
    assert plan([vm("x")], hosts, {"s1": "auto"}, rooms)[0]["reason"] == (
        "no room in segment s1; best host b: MEMORY_MB: needs 1024, free 512"
    )


def test_a_pinned_zone_is_kept_and_a_former_zone_is_preferred() -> None:
    hosts = [Host("a", "s1", zone="z1"), Host("b", "s1", zone="z2")]
    rooms = room(*hosts, b={"VCPU": 1, "MEMORY_MB": 1024})
    lines = plan(
        [vm("1", zone="z2", zone_is_pinned=True), vm("2", zone="z2"), vm("3", zone="z2", zone_is_pinned=True)],
        hosts,
        {"s1": "auto"},
        rooms,
    )
    assert targets(lines) == {"1": "b", "2": "a", "3": None}
    assert "in zone z2" in lines[2]["reason"] or "best host b" in lines[2]["reason"]


def test_a_host_that_joins_aggregates_helps_one_zone_only() -> None:
    hosts = [Host("r", "s1", role="reserved", zone="nova", joins=True)]
    pinned = [vm(name, zone=zone, zone_is_pinned=True) for name, zone in (("1", "z1"), ("2", "z2"), ("3", "z1"))]
    lines = plan(pinned, hosts, {"s1": "reserved_host"}, room(*hosts))
    assert targets(lines) == {"1": "r", "2": None, "3": "r"}


def test_soft_groups_are_kept_while_there_is_a_choice() -> None:
    hosts = [Host(name, "s1") for name in "abc"]
    apart = Group("soft-anti-affinity", {"1", "2", "3", "4"})
    lines = plan([vm(name) for name in "1234"], hosts, {"s1": "auto"}, room(*hosts), [apart])
    assert len({line["target"] for line in lines[:3]}) == 3
    assert lines[3]["target"] is not None
    together = Group("soft-affinity", {"1", "2"})
    lines = plan([vm("1"), vm("2")], hosts, {"s1": "auto"}, room(*hosts), [together])
    assert len({line["target"] for line in lines}) == 1


def test_anti_affinity_counts_members_that_live_elsewhere_and_honours_max_per_host() -> None:
    hosts = [Host("a", "s1"), Host("b", "s1")]
    strict = Group("anti-affinity", {"1", "2", "9"}, {"a": 1})
    lines = plan([vm("1"), vm("2")], hosts, {"s1": "auto"}, room(*hosts), [strict])
    assert targets(lines) == {"1": "b", "2": None}
    assert "server groups" in lines[1]["reason"]
    loose = Group("anti-affinity", {"1", "2", "9"}, {"a": 1}, max_per_host=2)
    assert None not in targets(plan([vm("1"), vm("2")], hosts, {"s1": "auto"}, room(*hosts), [loose])).values()


def test_alternates_are_best_first_without_the_target_and_not_endless() -> None:
    hosts = [Host(f"h{number:02}", "s1") for number in range(20)]
    line = plan([vm("a")], hosts, {"s1": "auto"}, room(*hosts, h01={"VCPU": 0}))[0]
    assert line["target"] == "h00"
    assert line["alternates"] == [f"h{number:02}" for number in range(2, 12)]
    few = plan([vm("a")], hosts[:3], {"s1": "auto"}, room(*hosts, h01={"VCPU": 0}))[0]
    assert few["alternates"] == ["h02", "h01"]


def test_a_followed_vm_keeps_its_target_and_gets_others_without_booking_room() -> None:
    hosts = [Host("a", "s1"), Host("b", "s1")]
    rooms = room(*hosts)
    line = plan([vm("1", step="follow", target="a")], hosts, {"s1": "auto"}, rooms)[0]
    assert (line["target"], line["alternates"]) == ("a", ["b"])
    assert rooms.as_data() == {"a": FREE, "b": FREE}


@pytest.mark.parametrize("step", ["skip", "pending"])
def test_what_must_not_move_takes_no_room(step: str) -> None:
    rooms = room(Host("a", "s1"))
    line = plan([vm("1", step=step, reason="because")], [Host("a", "s1")], {"s1": "auto"}, rooms)[0]
    assert (line["step"], line["reason"], line["target"]) == (step, "because", None)
    assert rooms.as_data() == {"a": FREE}


# -- whatever the cloud looks like ---------------------------------------------------------------------------


class Cloud(t.NamedTuple):
    vms: list[Vm]
    hosts: list[Host]
    methods: dict[str, str]
    free: dict[str, dict[str, int]]
    groups: list[Group]

    def plan(self) -> list[dict[str, t.Any]]:
        vms, hosts, methods, free, groups = copy.deepcopy(tuple(self))
        return plan(vms, hosts, methods, Room.of_free(free), groups)


@st.composite
def clouds(draw: st.DrawFn) -> Cloud:
    hosts = [
        Host(
            f"h{number}",
            draw(st.sampled_from(["s1", "s1", "s2"])),
            draw(st.sampled_from(["active", "active", "reserved"])),
            draw(st.sampled_from(["z1", "z2"])),
        )
        for number in range(draw(st.integers(0, 6)))
    ]
    sizes = st.fixed_dictionaries({"VCPU": st.integers(0, 4), "MEMORY_MB": st.integers(0, 4)})
    vms = [
        vm(
            f"vm{number:02}",
            segment=draw(st.sampled_from(["s1", "s1", "s2"])),
            step=draw(st.sampled_from(["evacuate", "evacuate", "evacuate", "skip", "follow"])),
            reason="set before",
            priority=draw(st.sampled_from([0, 500, 1000])),
            need=draw(sizes),
            zone=draw(st.sampled_from(["", "z1", "z2"])),
            zone_is_pinned=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 10)))
    ]
    free = {host.name: draw(sizes.map(lambda size: {name: 3 * size[name] for name in size})) for host in hosts}
    some = st.sets(st.sampled_from([it.id for it in vms])) if vms else st.just(set())
    places = st.dictionaries(st.sampled_from([host.name for host in hosts] or ["elsewhere"]), st.integers(1, 2))
    policies = st.sampled_from(["anti-affinity", "affinity", "soft-anti-affinity", "soft-affinity"])
    groups = st.lists(st.builds(Group, policies, some, places, st.integers(1, 2)), max_size=2)
    methods = {name: draw(st.sampled_from(sorted(ROLE_ORDER))) for name in ("s1", "s2")}
    return Cloud(vms, hosts, methods, free, draw(groups))


class Replay:
    """The same decisions, checked one by one with the plainest bookkeeping."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.free = copy.deepcopy(cloud.free)
        self.groups = copy.deepcopy(cloud.groups)
        self.vms = {it.id: it for it in cloud.vms}

    def possible(self, it: Vm) -> list[Host]:
        return [host for host in self.cloud.hosts if self._may(it, host) and self._fits(it, host)]

    def _fits(self, it: Vm, host: Host) -> bool:
        return all(amount <= self.free[host.name][name] for name, amount in it.need.items())

    def _may(self, it: Vm, host: Host) -> bool:
        for group in self.groups:
            if it.id in group.members:
                there = group.hosts.get(host.name, 0)
                if group.policy == "anti-affinity" and there >= group.max_per_host:
                    return False
                if group.policy == "affinity" and group.hosts and not there:
                    return False
        zone = host.zone == it.zone or not it.zone_is_pinned
        return host.segment == it.segment and host.role in ROLE_ORDER[self.cloud.methods[it.segment]] and zone

    def place(self, it: Vm, name: str) -> None:
        for resource, amount in it.need.items():
            self.free[name][resource] -= amount
        for group in self.groups:
            if it.id in group.members:
                group.hosts[name] = group.hosts.get(name, 0) + 1


@examples(300)
@given(clouds())
def test_each_vm_in_its_turn_gets_a_host_that_may_take_it_or_there_was_none(cloud: Cloud) -> None:
    lines, replay = cloud.plan(), Replay(cloud)
    for line in lines:
        it = replay.vms[line["id"]]
        if it.step != "evacuate":
            assert line["step"] == it.step
            continue
        possible = {host.name: host for host in replay.possible(it)}
        if not possible:
            assert (line["step"], line["target"]) == ("pending", None)
            assert line["reason"]
            continue
        assert line["step"] == "evacuate"
        assert line["target"] in possible
        roles = ROLE_ORDER[cloud.methods[it.segment]]
        first = min(roles.index(host.role) for host in possible.values())
        assert roles.index(possible[line["target"]].role) == first
        replay.place(it, line["target"])
    assert all(amount >= 0 for free in replay.free.values() for amount in free.values())


@examples(200)
@given(clouds())
def test_every_vm_has_one_line_in_the_order_of_priority(cloud: Cloud) -> None:
    lines = cloud.plan()
    assert sorted(line["id"] for line in lines) == sorted(it.id for it in cloud.vms)
    assert [line["order"] for line in lines] == list(range(1, len(lines) + 1))
    priorities = [line["priority"] for line in lines]
    assert priorities == sorted(priorities, reverse=True)


@examples(200)
@given(clouds())
def test_alternates_stay_in_the_segment_and_out_of_what_groups_forbid(cloud: Cloud) -> None:
    known = {host.name: host for host in cloud.hosts}
    for line in cloud.plan():
        assert line["target"] not in line["alternates"]
        assert all(known[name].segment == line["segment"] for name in line["alternates"])
        assert all(known[name].role in ROLE_ORDER[cloud.methods[line["segment"]]] for name in line["alternates"])


@examples(200)
@given(clouds(), st.randoms(use_true_random=False))
def test_the_plan_does_not_depend_on_the_order_in_which_nova_lists_things(cloud: Cloud, random: t.Any) -> None:
    shuffled = Cloud(*copy.deepcopy(tuple(cloud)))
    for part in (shuffled.vms, shuffled.hosts, shuffled.groups):
        random.shuffle(part)
    assert cloud.plan() == shuffled.plan() == cloud.plan()


@examples(100)
@given(st.integers(1, 6), st.integers(0, 40), st.booleans())
def test_equal_vms_are_spread_evenly_over_equal_hosts(hosts: int, vms: int, zoned: bool) -> None:
    places = [Host(f"h{number}", "s1", zone="z1") for number in range(hosts)]
    many = {"VCPU": 64, "MEMORY_MB": 65536}
    lines = plan(
        [vm(f"vm{number:02}", zone="z1" if zoned else "z9") for number in range(vms)],
        places,
        {"s1": "auto"},
        Room.of_free({host.name: many for host in places}),
    )
    count = collections.Counter({host.name: 0 for host in places})
    count.update(line["target"] for line in lines)
    assert max(count.values()) - min(count.values()) <= 1
