from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _open_objects
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Nova


@pytest.fixture
def journal(tmp_path: Path) -> t.Iterator[Journal]:
    with open_journal(f"sqlite:///{tmp_path}/journal.db") as opened:
        yield opened


@pytest.fixture
def nova() -> Nova:
    found = Nova(Clock(), ["cmp01", "cmp02"], [])
    for number, host in enumerate(("cmp01", "cmp02"), 1):
        found.add(f"id-{number}", host)
        found.servers[f"id-{number}"]["name"] = f"vm-{number}"
    return found


def places(nova: Nova, journal: Journal, kind: str, hosts: t.Sequence[str], *objects: str) -> list[str]:
    return _open_objects.places(t.cast(t.Any, FakeCloud(nova, {})), journal, kind, hosts, objects)


def test_vms_are_named_by_id_or_by_a_name_that_only_one_has(nova: Nova, journal: Journal) -> None:
    assert places(nova, journal, "instance", [], "id-1", "vm-2", "vm-1") == ["cmp01/id-1", "cmp02/id-2"]
    nova.servers["id-2"]["name"] = "vm-1"
    with pytest.raises(ConfigError, match="'vm-1' is the name of 2 servers"):
        places(nova, journal, "instance", [], "vm-1")


def test_a_vm_that_is_on_no_host_is_none_that_can_be_recovered(nova: Nova, journal: Journal) -> None:
    nova.servers["id-1"]["OS-EXT-SRV-ATTR:host"] = None
    with pytest.raises(ConfigError, match="id-1 is on no host"):
        places(nova, journal, "instance", [], "id-1")


def test_units_are_named_for_each_host_and_networks_by_their_hosts(nova: Nova, journal: Journal) -> None:
    both = ["cmp02", "cmp01"]
    assert places(nova, journal, "process", both, "ovs") == ["cmp01/ovs", "cmp02/ovs"]
    assert places(nova, journal, "network", both) == ["cmp01", "cmp02"]


def test_a_playbook_is_shown_host_object_and_what_is_to_be_done() -> None:
    verdicts = {"cmp01/ovs": {"reaction": "disable", "reason": "it has failed", "gate": None}, "cmp02": {}}
    assert _open_objects.shown(["cmp01/ovs", "cmp02"], verdicts) == [
        {"host": "cmp01", "object": "ovs", "reaction": "disable", "reason": "it has failed"},
        {"host": "cmp02", "object": "", "reaction": None, "reason": None},
    ]
