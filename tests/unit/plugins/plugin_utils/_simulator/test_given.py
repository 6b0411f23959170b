"""given.yml: defaults and errors."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator import given
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.build import build


def test_hosts_are_numbered_over_all_segments_and_the_last_are_reserved() -> None:
    found = given.read({"segments": {"a": {"hosts": 2, "reserved": 1}, "b": {"hosts": 1}}, "unassigned": 1})
    assert [(host.name, host.segment, host.role, host.vms) for host in found.hosts.values()] == [
        ("cmp01", "a", "active", 2),
        ("cmp02", "a", "reserved", 0),
        ("cmp03", "b", "active", 2),
        ("cmp04", None, "active", 2),
    ]


def test_what_is_special_about_a_host_beats_its_segment() -> None:
    settings = {"bmc": "slow", "vms": 5, "fencing": ["bmc", ["bmc", "pdu"]], "probe": False}
    host = given.read({"segments": {"a": {"bmc": "lying"}}, "hosts": {"cmp02": settings}}).hosts["cmp02"]
    assert (host.bmc, host.vms, host.levels, host.probe) == ("slow", 5, [["bmc"], ["bmc", "pdu"]], False)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "given.yml.segments: must name at least one"),
        ({"segments": {"a": {"host": 2}}}, "given.yml.segments.a.host: is not known. Did you mean hosts?"),
        ({"segments": {"a": {"hosts": -1}}}, "given.yml.segments.a.hosts: must be a whole number"),
        ({"segments": {"a": {"bmc": "slwo"}}}, "given.yml.segments.a.bmc: 'slwo' is not known. Did you mean slow?"),
        ({"segments": {"a": {}}, "hosts": {"cmp9": {}}}, "given.yml.hosts: 'cmp9' is not known"),
        ({"segments": {"a": {}}, "hosts": {"cmp01": {"fencing": ["gun"]}}}, "given.yml.hosts.cmp01.fencing: 'gun'"),
        ({"segments": {"a": {}}, "vms": {"db": {"host": "x"}}}, "given.yml.vms.db.host: 'x' is not known"),
        ({"segments": {"a": {}}, "lasts": "long"}, "given.yml.lasts: must be a time"),
        ({"segments": {"a": {}}, "controllers": "two"}, "given.yml.controllers: must be a whole number"),
    ],
)
def test_mistakes_are_told_with_their_path(data: dict[str, t.Any], said: str) -> None:
    with pytest.raises(ConfigError) as error:
        given.read(data)
    assert error.value.message.startswith(said)


def test_the_policy_of_a_story_is_checked_as_a_policy_file_is() -> None:
    wrong = given.read({"segments": {"a": {}}, "policy": {"gates": {"cool_dwon": 3}}})
    with pytest.raises(RecoveryError, match=r"gates\.cool_dwon"):
        build(wrong)


def test_a_foreign_policy_may_name_places_that_the_story_does_not_have() -> None:
    policy = {"budgets": {"segments": {"elsewhere": {"at_once": 3}}}, "segments": {"nowhere": {}}}
    assert build(given.read({"segments": {"a": {}}}), policy).policy["budgets"]["segments"]["elsewhere"]["at_once"] == 3
