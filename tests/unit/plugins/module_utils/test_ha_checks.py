from __future__ import annotations

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _config, _policy_file
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import EXCLUDED


def parsed(text: str) -> _policy_file.Policy:
    return _policy_file.parse(_config.read(f"ha: {text}"), ["rack1"], [])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{vms: [{when: 'name ==', protect: true}]}", "ha.vms[0].when: is no JMESPath: "),
        ("{vms: [{when: hots, protect: true}]}", "ha.vms[0].when: a VM"),
        ("{vms: [{when: host, protect: true}]}", "ha.vms[0].when: asks for 'host', and a VM has no host here"),
        ("{vms: [{protect: true}]}", "ha.vms[0].when: is missing"),
        ("{exclude: {ci: {because: x}}}", "ha.exclude.ci.when: is missing"),
        ("{exclude: {ci: {when: name}}}", "ha.exclude.ci.because: is missing"),
        ("{exclude: {ci: {when: nme, because: x}}}", "ha.exclude.ci.when: a VM has no 'nme'. Did you mean 'name'?"),
        (
            "{cells: {c: {segments: [rak1]}}}",
            "ha.cells.c.segments[0]: the segments file has no segment 'rak1'. Did you",
        ),
        ("{zones: {az1: {priority: 1001}}}", "ha.zones.az1.priority: must be a whole number from 0 to 1000, not 1001."),
        ("{zones: {az1: {method: evacute}}}", "ha.zones.az1.method: must be one of evacuate, rebuild, restart, notify"),
        ("{zones: {az1: {otherwise: notify}}}", "ha.zones.az1.otherwise: must be one of evacuate, rebuild, heat, none"),
        (
            "{zones: {az1: {deadline: -1}}}",
            "ha.zones.az1.deadline: must be a number of seconds from 0 to 604800, not -1.",
        ),
        ("{zones: {az1: {group: 'a b'}}}", "ha.zones.az1.group: must be the name of a group, not 'a b'."),
        ("{zones: {az1: {ready: soon}}}", "ha.zones.az1.ready: must be landed, active, guest_agent, tcp:PORT"),
        ("{presets: [red hat]}", "ha.presets[0]: must be one of masakari, redhat"),
        ("{hosts: {cmp01: {protect: false}}}", "ha.hosts: unknown key."),
    ],
)
def test_what_is_wrong_is_refused_with_its_path(text: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed(text)
    assert caught.value.message.startswith(error)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("{zones: {az1: {}}}", "ha.zones.az1: says nothing about its VMs."),
        ("{cells: {c: {protect: true}}}", "ha.cells.c: no VM is ever in it"),
        ("{zones: {az1: {otherwise: none}}}", "ha.zones.az1.otherwise: has no effect where VMs have no 'deadline'"),
        ("{vms: [{when: name, deadline: 5}]}", "ha.vms[0].deadline: has no effect where VMs have no 'otherwise'"),
        (
            "{vms: [{when: name, priority: 5}, {when: name, priority: 6}]}",
            "ha.vms[1]: contradicts ha.vms[0], which picks the same VMs, so none decides priority.",
        ),
    ],
)
def test_what_is_probably_not_meant_is_warned_about(text: str, warning: str) -> None:
    found = parsed(text).warnings
    assert len(found) == 1
    assert found[0].startswith(warning)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{zones: {az1: {method: notify, deadline: 60, otherwise: rebuild}}}",
        "{zones: {az1: {deadline: 60}, az2: {otherwise: none}}}",
        "{vms: [{when: name, priority: 5}, {when: name, group: a}, {when: zone, priority: 6}]}",
        "{flavors: {'m1.large (gold)': {protect: true}}, images: {Ubuntu 24.04 LTS: {protect: true}}}",
    ],
)
def test_nobody_is_warned_about_what_is_meant(text: str) -> None:
    assert parsed(text).warnings == []


def test_the_default_exclusions_stay_and_can_be_changed_by_name() -> None:
    assert parsed("{}").values["ha"]["exclude"] == EXCLUDED
    mine = {"when": "name", "because": "x", "enabled": True}
    assert parsed("{exclude: {ci: {when: name, because: x}}}").values["ha"]["exclude"] == {**EXCLUDED, "ci": mine}
    changed = parsed("{exclude: {octavia: {enabled: false}}}").values["ha"]["exclude"]
    assert changed == {"octavia": {**EXCLUDED["octavia"], "enabled": False}}
