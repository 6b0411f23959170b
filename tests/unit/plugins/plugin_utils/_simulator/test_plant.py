"""Harm is seen in hosts and guests."""

from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.links import Links
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.log import Log
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.plant import Host, Plant


def plant() -> Plant:
    clock = Clock()
    links = Links(["admin", "storage"])
    found = Plant(clock, links, Log(lambda: clock.time))
    for name in ("cmp01", "cmp02"):
        links.attach(name, links.networks)
        found.hosts[name] = Host(name, "rack1", None)
    found.hosts["cmp01"].guests["vm"] = True
    return found


def test_a_vm_that_is_started_while_it_runs_elsewhere_runs_twice() -> None:
    found = plant()
    found.start_guest("vm", "cmp02")
    assert found.harm == ["vm runs twice: on cmp01 and on cmp02"]


def test_guests_of_a_host_that_hangs_count_as_running() -> None:
    found = plant()
    found.set_system(["cmp01"], "hung")
    found.start_guest("vm", "cmp02")
    assert found.harm == ["vm runs twice: on cmp01 and on cmp02"]


def test_a_vm_of_a_host_without_power_may_be_started_elsewhere() -> None:
    found = plant()
    found.die(["cmp01"])
    found.start_guest("vm", "cmp02")
    assert found.harm == []
    assert found.where("vm") == ["cmp02"]


def test_to_switch_a_healthy_host_off_is_harm() -> None:
    found = plant()
    found.cut_power("cmp01")
    assert found.harm == ["cmp01 was healthy and was switched off with 1 VMs: vm"]
    found.cut_power("cmp02")
    assert found.harm[1:] == ["cmp02 was healthy and was switched off"]


def test_to_switch_off_what_is_off_hung_or_without_its_storage_is_none() -> None:
    for spoil in (
        lambda found: found.die(["cmp01"]),
        lambda found: found.set_system(["cmp01"], "hung"),
        lambda found: found.links.split(["cmp01"], ["storage"]),
    ):
        found = plant()
        spoil(found)
        found.cut_power("cmp01")
        assert found.harm == []


def test_to_cut_a_crash_dump_short_is_harm() -> None:
    found = plant()
    found.hosts["cmp01"].dumping_until = found.clock.time + 60
    found.set_system(["cmp01"], "crashed")
    found.cut_power("cmp01")
    assert found.harm == ["the crash dump of cmp01 was cut short"]


def test_to_rebuild_a_local_disk_from_its_image_is_harm_unless_it_is_on_shared_storage() -> None:
    found = plant()
    found.local_disks.add("vm")
    found.die(["cmp01"])
    found.start_guest("vm", "cmp02")
    assert found.harm == []
    found.hosts["cmp02"].shared_storage = False
    del found.hosts["cmp02"].guests["vm"]
    found.start_guest("vm", "cmp02")
    assert found.harm == ["vm was rebuilt on cmp02 from its image: the data on its local disk is lost"]


def test_a_host_that_boots_starts_only_guests_that_nova_still_has_there() -> None:
    found = plant()
    found.hosts["cmp01"].guests["moved"] = True
    found.die(["cmp01"])
    found.start_guest("moved", "cmp02")
    found.ours = lambda vm, host: vm != "moved"
    found.boot(["cmp01"])
    assert (found.where("vm"), found.where("moved"), found.harm) == (["cmp01"], ["cmp02"], [])


def test_what_has_no_power_does_not_boot() -> None:
    found = plant()
    found.hosts["cmp01"].domain = "rack-a"
    found.dark.add("rack-a")
    found.die(["cmp01"])
    found.boot(["cmp01"])
    assert not found.hosts["cmp01"].lives
