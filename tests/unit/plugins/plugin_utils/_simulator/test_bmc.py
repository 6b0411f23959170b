"""Each kind of BMC does what is said of it, under the real fencing levels."""

from __future__ import annotations

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.levels import Fencing, Outcome
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator import given, play
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.bmc import KINDS
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.build import build
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.executor import (
    fencing_levels,
    fencing_world,
)
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.seams import simulated
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.site import Site


def fence(kind: str, switches: str | None = None, off: bool = False) -> tuple[Outcome, Site, float]:
    """What comes of it, and how long it takes."""
    settings = {"bmc": kind, **({"switches": switches} if switches else {})}
    site = build(given.read({"segments": {"a": {"hosts": 2}}, "hosts": {"cmp01": settings}}))
    world = fencing_world(site, "ctl1")
    if off:
        site.plant.die(["cmp01"])
    start = site.clock.time
    with play._journal(site), simulated(site):
        outcome = Fencing("cmp01", {"serial": "cmp01"}, world).run(fencing_levels(site, "ctl1", "cmp01", world))
    return outcome, site, site.clock.time - start


@pytest.mark.parametrize(("kind", "seconds"), [("normal", 2.0), ("slow", 25.0), ("objects", 2.0), ("grumbles", 2.0)])
def test_an_honest_one_switches_its_host_off_in_its_time(kind: str, seconds: float) -> None:
    outcome, site, took = fence(kind)
    assert (outcome.off, site.plant.hosts["cmp01"].power) == (True, False)
    assert seconds <= took < seconds + 2.0


def test_one_that_lies_reads_off_while_its_host_runs() -> None:
    outcome, site, _took = fence("lying")
    assert (outcome.off, site.plant.hosts["cmp01"].power) == (True, True)


@pytest.mark.parametrize("kind", ["deaf", "unreachable", "locked", "very_slow"])
def test_one_that_does_not_get_it_done_proves_nothing(kind: str) -> None:
    assert not fence(kind)[0].off


def test_one_that_tells_who_it_belongs_to_is_seen_before_anything_is_switched_off() -> None:
    outcome, site, _took = fence("wrong", switches="cmp02")
    assert (outcome.off, outcome.identity, site.plant.hosts["cmp02"].power) == (False, "mismatch", True)


def test_one_that_does_not_tell_hurts_another_host() -> None:
    outcome, site, _took = fence("wrong_mute", switches="cmp02")
    assert (outcome.off, outcome.identity) == (True, "unreadable")
    assert site.plant.harm == ["cmp02 was healthy and was switched off with 2 VMs: cmp02-vm1, cmp02-vm2"]


def test_one_that_gets_its_power_from_the_host_can_never_prove_that_it_is_off() -> None:
    outcome, site, _took = fence("same_power")
    assert (outcome.off, site.plant.hosts["cmp01"].power) == (False, False)
    assert not fence("same_power", off=True)[0].off


def test_every_kind_is_tried_here() -> None:
    honest = {"normal", "slow", "objects", "grumbles"}
    useless = {"deaf", "unreachable", "locked", "very_slow", "same_power"}
    assert honest | useless | {"lying", "wrong", "wrong_mute"} == set(KINDS)
