"""Hosts that reset themselves."""

from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator import given
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.build import build
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.site import Site
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.watchdogs import Watchdogs


def site(watchdog: str = "armed") -> Site:
    settings = {"hosts": {"cmp01": {"watchdog": watchdog}}}
    found = build(given.read({"segments": {"a": {"hosts": 2, "fencing": ["bmc", "watchdog"]}}, **settings}))
    Watchdogs(found)
    return found


def test_a_host_that_no_controller_hears_resets_itself_within_the_safe_time() -> None:
    found = site()
    found.links.split(["cmp01"], found.links.networks)
    found.clock.advance(100.0)
    assert found.plant.hosts["cmp01"].power
    found.clock.advance(50.0)
    assert (found.plant.hosts["cmp01"].power, found.plant.hosts["cmp02"].power) == (False, True)
    assert found.plant.where("cmp01-vm1") == []


def test_a_host_that_hangs_is_reset_by_its_device_and_boots() -> None:
    found = site()
    found.plant.set_system(["cmp01"], "hung")
    found.clock.advance(80.0)
    assert not found.plant.hosts["cmp01"].power
    found.clock.advance(130.0)
    assert found.plant.hosts["cmp01"].lives
    assert found.plant.where("cmp01-vm1") == ["cmp01"]


def test_one_network_is_enough_to_be_heard() -> None:
    found = site()
    found.links.split(["cmp01"], ["admin"])
    found.clock.advance(600.0)
    assert found.plant.hosts["cmp01"].lives


def test_what_is_not_armed_does_nothing() -> None:
    found = site("unarmed")
    found.links.split(["cmp01"], found.links.networks)
    found.clock.advance(600.0)
    assert found.plant.hosts["cmp01"].lives
