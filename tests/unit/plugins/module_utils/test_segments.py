from __future__ import annotations

import typing as t

import pytest
import yaml

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _segments
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._segments import ComputeHost, Member
from ansible_collections.openstack_ha.recovery.plugins.module_utils._segments_file import parse


def service(host: str, **changes: t.Any) -> _segments.Json:
    return {
        "id": f"service-{host}",
        "host": host,
        "binary": "nova-compute",
        "zone": "nova",
        "state": "up",
        "status": "enabled",
        "disabled_reason": None,
        "forced_down": False,
        **changes,
    }


def hypervisor(host: str, **changes: t.Any) -> _segments.Json:
    return {
        "id": f"hypervisor-{host}",
        "service": {"host": host},
        "hypervisor_hostname": f"{host}.example.net",
        "host_ip": "192.0.2.1",
        "vcpus": 8,
        "vcpus_used": 2,
        **changes,
    }


def cloud(*names: str, **zones: str) -> list[ComputeHost]:
    hosts = [*names, *zones]
    return _segments.compute_hosts(
        [service(name, zone=zones.get(name, "nova")) for name in hosts], [hypervisor(name) for name in hosts]
    )


def aggregate(name: str, *hosts: str, **metadata: str) -> _segments.Json:
    return {"name": name, "hosts": list(hosts), "metadata": metadata}


def members(text: str, hosts: list[ComputeHost], *aggregates: _segments.Json) -> dict[str, Member]:
    assigned = _segments.assign(parse(yaml.safe_load(text), ()), hosts, list(aggregates))
    return {member.host.name: member for member in assigned}


def places(
    text: str, hosts: list[ComputeHost], *aggregates: _segments.Json
) -> dict[str, tuple[str | None, str | None]]:
    assigned = members(text, hosts, *aggregates)
    return {name: (m.segment.name if m.segment else None, m.role) for name, m in assigned.items()}


def refusal(text: str, hosts: list[ComputeHost], *aggregates: _segments.Json) -> str:
    with pytest.raises(ConfigError) as caught:
        members(text, hosts, *aggregates)
    return caught.value.message


def test_services_and_hypervisors_are_joined_by_service_host() -> None:
    (host,) = _segments.compute_hosts([service("cmp01")], [hypervisor("cmp01", id=7)])
    assert (host.name, host.hypervisor_hostname, host.hypervisor_id) == ("cmp01", "cmp01.example.net", "7")
    assert host.capacity["vcpus"] == 8
    assert host.capacity["running_vms"] is None


def test_a_service_without_hypervisor_is_a_host_without_capacity() -> None:
    (host,) = _segments.compute_hosts([service("cmp01")], [])
    assert (host.hypervisor_id, host.hypervisor_hostname, host.host_ip) == (None, None, None)
    assert set(host.capacity.values()) == {None}


def test_other_services_and_drivers_of_bare_metal_are_no_compute_hosts() -> None:
    services = [service("ctl", binary="nova-conductor"), service("ironic"), service("cmp01")]
    found = _segments.compute_hosts(services, [hypervisor("ironic"), hypervisor("ironic"), hypervisor("cmp01")])
    assert [host.name for host in found] == ["cmp01"]


def test_listed_hosts_are_members_by_whatever_name_is_unambiguous() -> None:
    found = places("segments: {r: {hosts: [a, b.example.net]}}", cloud("a", "b", "c"))
    assert found == {"a": ("r", "active"), "b": ("r", "active"), "c": (None, None)}


def test_an_aggregate_gives_its_members() -> None:
    found = places("segments: {r: {aggregate: x}}", cloud("a", "b"), aggregate("x", "a"), aggregate("y", "b"))
    assert found == {"a": ("r", "active"), "b": (None, None)}


def test_a_zone_gives_its_members() -> None:
    found = places("segments: {r: {availability_zone: az1}}", cloud(a="az1", b="az2"))
    assert found == {"a": ("r", "active"), "b": (None, None)}


def test_all_aggregates_with_all_pairs_of_metadata_give_their_members() -> None:
    found = places(
        "segments: {r: {aggregate_metadata: {ha: r, tier: '1'}}}",
        cloud("a", "b", "c"),
        aggregate("x", "a", ha="r", tier="1", more="m"),
        aggregate("y", "b", ha="r", tier="1"),
        aggregate("z", "c", ha="r"),
    )
    assert [name for name, place in found.items() if place[0]] == ["a", "b"]


def test_reserved_hosts_join_the_segment_and_lose_the_role_active() -> None:
    found = places("segments: {r: {hosts: [a, b], reserved_hosts: [b, c]}}", cloud("a", "b", "c"))
    assert found == {"a": ("r", "active"), "b": ("r", "reserved"), "c": ("r", "reserved")}


def test_a_reserved_aggregate_reserves_members_only() -> None:
    found = places(
        "segments: {r: {hosts: [a, b], reserved_aggregate: spare}}", cloud("a", "b", "c"), aggregate("spare", "b", "c")
    )
    assert found == {"a": ("r", "active"), "b": ("r", "reserved"), "c": (None, None)}


def test_a_host_in_two_segments_is_refused() -> None:
    message = refusal("segments: {r: {hosts: [a]}, s: {hosts: [a.example.net]}}", cloud("a"))
    assert message.startswith("segments.s: host 'a' is in this segment and in segments.r.")


def test_a_host_in_two_segments_through_overlapping_aggregates_is_refused() -> None:
    message = refusal(
        "segments: {r: {aggregate: x}, s: {aggregate: y}}",
        cloud("a", "b"),
        aggregate("x", "a"),
        aggregate("y", "a", "b"),
    )
    assert message.startswith("segments.s: host 'a' is in this segment and in segments.r.")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("segments: {r: {hosts: [a, x]}}", "segments.r.hosts[1]: Nova knows no compute host 'x'."),
        (
            "segments: {r: {hosts: [a], reserved_hosts: [x]}}",
            "segments.r.reserved_hosts[0]: Nova knows no compute host 'x'.",
        ),
        ("segments: {r: {hosts: []}}", "segments.r: has no compute host;"),
        ("segments: {r: {aggregate: empty}}", "segments.r: has no compute host;"),
        (
            "segments: {r: {aggregate: nosuch}}",
            "segments.r.aggregate: Nova has no host aggregate 'nosuch'. There are: empty.",
        ),
        ("segments: {r: {aggregate_metadata: {k: v}}}", "segments.r: has no compute host;"),
        (
            "segments: {r: {hosts: [a], reserved_aggregate: nosuch}}",
            "segments.r.reserved_aggregate: Nova has no host aggregate 'nosuch'.",
        ),
        (
            "segments: {r: {availability_zone: nosuch}}",
            "segments.r.availability_zone: no compute host is in availability zone 'nosuch'. There are: nova.",
        ),
        ("{segments: {r: {hosts: [a]}}, hosts: {x: }}", "hosts.x: Nova knows no compute host 'x'."),
        (
            "{segments: {r: {hosts: [a]}}, hosts: {a: , a.example.net: }}",
            "hosts.a.example.net: is the same host as hosts.a; merge the two.",
        ),
    ],
)
def test_what_nova_does_not_know_is_refused(text: str, message: str) -> None:
    assert refusal(text, cloud("a"), aggregate("empty", "gone")).startswith(message)


def test_the_more_special_failure_domain_wins() -> None:
    found = members(
        "{segments: {r: {hosts: [a, b], failure_domain: rack}}, hosts: {a: {failure_domain: pdu}}}",
        cloud("a", "b", "c"),
    )
    assert {name: member.failure_domain for name, member in found.items()} == {"a": "pdu", "b": "rack", "c": None}


def test_the_more_special_fencing_levels_win_as_a_whole() -> None:
    found = members(
        """
        segments: {r: {hosts: [a, b], fencing: []}, s: {hosts: [c]}}
        hosts: {a: {fencing: [{devices: [{method: fence_agent, agent: fence_x}], tries: 2}]}}
        fencing: [{devices: [{method: fence_agent, agent: fence_x}], tries: 3}]
        """,
        cloud("a", "b", "c", "d"),
    )
    tries = {name: [level["tries"] for level in member.fencing] for name, member in found.items()}
    assert tries == {"a": [2], "b": [], "c": [3], "d": [3]}


@pytest.mark.parametrize(
    ("host_ip", "probe"),
    [
        ("192.0.2.1", ["tcp://192.0.2.1:22"]),
        ("2001:db8::1", ["tcp://[2001:db8::1]:22"]),
        ("127.0.0.1", []),
        ("::1", []),
        ("0.0.0.0", []),
        ("::", []),
        ("cmp01", []),
        (None, []),
    ],
)
def test_the_default_probe_is_ssh_of_an_address_that_can_be_the_hosts_own(
    host_ip: str | None, probe: list[str]
) -> None:
    assert _segments.default_probe(host_ip) == probe


def test_a_given_probe_replaces_the_default_even_when_it_is_empty() -> None:
    found = members("{segments: {r: {hosts: [a, b]}}, hosts: {a: {probe: []}}}", cloud("a", "b"))
    assert {name: member.probe for name, member in found.items()} == {"a": [], "b": ["tcp://192.0.2.1:22"]}


@pytest.mark.parametrize(
    ("changes", "groups"),
    [
        ({}, ["segment_r"]),
        ({"state": "down"}, ["segment_r", "ha_down"]),
        ({"state": "down", "forced_down": True}, ["segment_r", "ha_down", "ha_forced_down"]),
        ({"status": "disabled", "disabled_reason": "broken"}, ["segment_r"]),
        ({"status": "disabled", "disabled_reason": "Rack Maintenance"}, ["segment_r", "ha_maintenance"]),
        ({"status": "enabled", "disabled_reason": "maintenance"}, ["segment_r"]),
    ],
)
def test_groups_follow_the_state_of_the_service(changes: dict[str, t.Any], groups: list[str]) -> None:
    hosts = _segments.compute_hosts([service("a", **changes)], [hypervisor("a")])
    assert _segments.groups_of(members("segments: {r: {hosts: [a]}}", hosts)["a"]) == groups


def test_hosts_in_no_segment_are_grouped_and_no_part_of_the_topology() -> None:
    text = "segments: {r: {hosts: [a], reserved_hosts: [b], protect: true, priority: 500}}"
    file = parse(yaml.safe_load(text), ())
    assigned = _segments.assign(file, cloud("a", "b", "c"), [])
    assert [_segments.groups_of(member) for member in assigned] == [
        ["segment_r"],
        ["segment_r", "ha_reserved"],
        ["ha_unassigned"],
    ]
    assert _segments.topology(file, assigned) == {
        "segments": {
            "r": {
                "recovery_method": "auto",
                "shared_storage": False,
                "allow_local_disk_loss": False,
                "protect": True,
                "priority": 500,
            }
        },
        "hosts": {
            name: {
                "segment": "r",
                "role": role,
                "zone": "nova",
                "failure_domain": None,
                "hypervisor_hostname": f"{name}.example.net",
                "hypervisor_id": f"hypervisor-{name}",
                "host_ip": "192.0.2.1",
                "probe": ["tcp://192.0.2.1:22"],
                "fencing_levels": 0,
            }
            for name, role in (("a", "active"), ("b", "reserved"))
        },
    }


def test_what_is_cached_of_aggregates_is_what_is_used() -> None:
    raw = {"id": 1, "uuid": "u", "name": "x", "hosts": ["a"], "metadata": {"k": "v"}, "availability_zone": None}
    assert _segments.aggregate_facts([raw]) == [{"name": "x", "hosts": ["a"], "metadata": {"k": "v"}}]
