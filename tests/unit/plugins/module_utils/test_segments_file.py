from __future__ import annotations

import dataclasses

import pytest
import yaml

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _segments_file
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._segments_file import SegmentsFile


def parsed(text: str) -> SegmentsFile:
    return _segments_file.parse(yaml.safe_load(text), {"plugin", "cloud", "compose"})


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    return caught.value.message


def test_what_is_not_said_has_the_safe_default() -> None:
    (segment,) = parsed("{plugin: x, segments: {rack1: {hosts: [cmp01]}}}").segments
    assert segment.recovery_method == "auto"
    assert not segment.shared_storage
    assert not segment.allow_local_disk_loss


def test_what_a_segment_does_not_say_about_its_vms_is_said_by_the_policy() -> None:
    file = parsed("segments: {a: {hosts: [x]}, b: {hosts: [y], protect: true, priority: 0}}")
    a, b = _segments_file.with_policy(file, {"protect": False, "priority": 7}).segments
    assert (a.protect, a.priority) == (False, 7)
    assert (b.protect, b.priority) == (True, 0)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    assert refusal(
        """
        segmnts: {}
        segments: {a: {hosts: [1, x, 2], hots: []}, b: {}}
        hosts: {x: {probe: [x]}, 1: {}}
        fencing: none
        """
    ).splitlines() == [
        "segmnts: unknown key. Did you mean 'segments'?",
        "segments.a.hosts[0]: must be a string (in quotes, if YAML takes it for something else), not 1.",
        "segments.a.hosts[2]: must be a string (in quotes, if YAML takes it for something else), not 2.",
        "segments.a.hots: unknown key. Did you mean 'hosts'?",
        "segments.b: has nothing that says which hosts are in it; give exactly one of "
        "hosts, aggregate, availability_zone, aggregate_metadata.",
        "hosts.1: a name must be a string; put it in quotes.",
        "fencing: must be a list of fencing levels, not 'none'.",
    ]


def test_names_are_found_also_in_a_file_that_is_wrong() -> None:
    text = "{segments: {a: {failure_domain: d1}, b: 5}, hosts: {x: {failure_domain: d2}, y: {failure_domain: d1}}}"
    assert _segments_file.names(yaml.safe_load(text)) == (["a", "b"], ["d1", "d2"])
    assert _segments_file.names({"segments": ["a"]}) == ([], [])


def test_everything_that_is_said_is_kept() -> None:
    file = parsed(
        """
        segments:
          r-1:
            aggregate_metadata: {ha: "1"}
            reserved_aggregate: spare
            recovery_method: rh_priority
            shared_storage: true
            allow_local_disk_loss: true
            protect: false
            priority: 0
            failure_domain: rack-a
        hosts:
          cmp01: {failure_domain: rack-b, identity: {uuid: 2D5A9F0E9F5F4C5C8D3D0D5A1F6F7E11, serial: S1}, probe: []}
          cmp02:
        """
    )
    assert dataclasses.asdict(file.segments[0]) == {
        "name": "r-1",
        "hosts": None,
        "aggregate": None,
        "availability_zone": None,
        "aggregate_metadata": {"ha": "1"},
        "reserved_hosts": [],
        "reserved_aggregate": "spare",
        "recovery_method": "rh_priority",
        "shared_storage": True,
        "allow_local_disk_loss": True,
        "protect": False,
        "priority": 0,
        "failure_domain": "rack-a",
        "fencing": None,
    }
    assert file.segments[0].group == "segment_r_1"
    assert file.hosts[0].identity == {"uuid": "2d5a9f0e-9f5f-4c5c-8d3d-0d5a1f6f7e11", "serial": "S1"}
    assert file.hosts[0].probe == []
    assert file.hosts[1] == _segments_file.HostSettings("cmp02")


SEGMENT = "segments: {rack1: {hosts: [cmp01], %s}}"
HOST = "{segments: {rack1: {hosts: [cmp01]}}, hosts: {cmp01: %s}}"

REFUSED = [
    ("segmnts: {}", "segmnts: unknown key. Did you mean 'segments'?"),
    ("zzz: 1", "zzz: unknown key. Known keys here: cloud, compose, fencing, hosts, plugin, segments."),
    ("plugin: x", "segments: is missing or empty;"),
    ("segments:", "segments: is missing or empty;"),
    ("segments: {}", "segments: is missing or empty;"),
    ("segments: [rack1]", "segments: must be a mapping, not a list."),
    ("segments: {1: {hosts: [a]}}", "segments.1: a name must be a string; put it in quotes."),
    ("segments: {'a b': {hosts: [a]}}", "segments.a b: the name of a segment is made of"),
    ("segments: {a-1: {hosts: [a]}, a.1: {hosts: [b]}}", "segments.a.1: would have the same inventory group"),
    ("segments: {rack1: }", "segments.rack1: has nothing that says which hosts are in it; give exactly one of hosts,"),
    ("segments: {rack1: cmp01}", "segments.rack1: must be a mapping, not 'cmp01'."),
    ("segments: {rack1: {reserved_hosts: [a]}}", "segments.rack1: has nothing that says which hosts are in it"),
    (SEGMENT % "aggregate: x", "segments.rack1: has hosts and aggregate; give exactly one of"),
    (SEGMENT % "hots: [x]", "segments.rack1.hots: unknown key. Did you mean 'hosts'?"),
    ("segments: {rack1: {hosts: cmp01}}", "segments.rack1.hosts: must be a list, not 'cmp01'."),
    ("segments: {rack1: {hosts: [cmp01, 2]}}", "segments.rack1.hosts[1]: must be a string (in quotes"),
    ("segments: {rack1: {aggregate: ''}}", "segments.rack1.aggregate: must be a string"),
    ("segments: {rack1: {aggregate_metadata: {}}}", "segments.rack1.aggregate_metadata: is empty"),
    ("segments: {rack1: {aggregate_metadata: {ha: yes}}}", "segments.rack1.aggregate_metadata.ha: must be a string"),
    (SEGMENT % "recovery_method: fast", "segments.rack1.recovery_method: must be one of auto, reserved_host,"),
    (SEGMENT % "recovery_method: [auto]", "segments.rack1.recovery_method: must be one of auto, reserved_host,"),
    (SEGMENT % "priority: 1001", "segments.rack1.priority: must be a whole number from 0 to 1000, not 1001."),
    (SEGMENT % "priority: -1", "segments.rack1.priority: must be a whole number"),
    (SEGMENT % "priority: true", "segments.rack1.priority: must be a whole number"),
    (SEGMENT % "priority: 1.5", "segments.rack1.priority: must be a whole number"),
    (SEGMENT % "priority: '5'", "segments.rack1.priority: must be a whole number"),
    (SEGMENT % "protect: 'yes'", "segments.rack1.protect: must be true or false, not 'yes'."),
    (SEGMENT % "shared_storage: 1", "segments.rack1.shared_storage: must be true or false, not 1."),
    (SEGMENT % "shared_storage: ", "segments.rack1.shared_storage: must be true or false, not None."),
    (SEGMENT % "fencing: {}", "segments.rack1.fencing: must be a list of fencing levels, not a mapping."),
    (HOST % "{uuid: x}", "hosts.cmp01.uuid: unknown key."),
    (HOST % "{identity: {uid: x}}", "hosts.cmp01.identity.uid: unknown key. Did you mean 'uuid'?"),
    (HOST % "{identity: {uuid: x}}", "hosts.cmp01.identity.uuid: must be a UUID"),
    (HOST % "{probe: tcp://a:1}", "hosts.cmp01.probe: must be a list"),
    (HOST % "{probe: [udp://a:1]}", "hosts.cmp01.probe[0]: must be tcp://address:port, not 'udp://a:1'."),
    (HOST % "{probe: ['tcp://a:99999']}", "hosts.cmp01.probe[0]: must be tcp://address:port"),
    (HOST % "{probe: ['tcp://a']}", "hosts.cmp01.probe[0]: must be tcp://address:port"),
    (HOST % "{probe: ['tcp://a:1/x']}", "hosts.cmp01.probe[0]: must be tcp://address:port"),
    ("{segments: {rack1: {hosts: [cmp01]}}, hosts: [cmp01]}", "hosts: must be a mapping, not a list."),
    ("{segments: {rack1: {hosts: [cmp01]}}, fencing: x}", "fencing: must be a list of fencing levels, not 'x'."),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[message for _text, message in REFUSED])
def test_a_wrong_file_is_refused_with_the_path_of_the_wrong_key(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{segments: {rack1: {hosts: [a]}}, fencing: [{devices: [{method: nosuch}]}]}", "fencing[0]"),
        ("segments: {rack1: {hosts: [a], fencing: [{devices: [{method: nosuch}]}]}}", "segments.rack1.fencing[0]"),
        (HOST % "{fencing: [{devices: [{method: nosuch}]}]}", "hosts.cmp01.fencing[0]"),
    ],
)
def test_fencing_levels_are_checked_wherever_they_stand(text: str, path: str) -> None:
    assert refusal(text).startswith(path)


def test_templates_are_accepted_where_their_value_is_not_known_yet() -> None:
    text = HOST % "{identity: {uuid: '{{ a }}'}, probe: ['{{ b }}']}"
    (host,) = parsed(text).hosts
    assert (host.identity, host.probe) == ({"uuid": "{{ a }}"}, ["{{ b }}"])


def test_a_vaulted_value_is_not_looked_into_and_kept_as_the_object_it_is() -> None:
    vaulted = object()
    levels = [{"devices": [{"method": "ipmi", "address": "a", "username": "u", "password": vaulted}]}]
    file = _segments_file.parse({"segments": {"r": {"hosts": ["a"]}}, "fencing": levels}, ())
    assert file.fencing[0]["devices"][0]["password"] is vaulted
