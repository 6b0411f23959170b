"""The simulated Nova answers as a real one did: tests/real/test_conformance.py asks that one."""

from __future__ import annotations

import typing as t

import pytest
from unit.fakes.conformance import QUESTIONS, SOURCE, Json, Lab, recorded

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator import given
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.api import Api
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.build import build
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Fate

_ROOM = 20


class SimulatedLab:
    """The site of a story."""

    def __init__(self) -> None:
        self.site = build(given.read({"segments": {"rack1": {"hosts": 3, "vms": 0, "room": _ROOM}}}))
        self.cloud = Api("ctl1", self.site.cloud, self.site.beats, self.site.processes)
        self._takes = 3.0

    def make(self, host: str, state: str = "active") -> str:
        vm = f"vm{len(self.site.nova.servers) + 1}"
        flavor = {"vcpus": 1, "ram": 1024, "disk": 0, "ephemeral": 0, "swap": 0, "extra_specs": {}}
        server = self.site.nova.add(vm, host, state, flavor=flavor)
        if state == "error":
            server["OS-EXT-STS:power_state"] = 1
        return vm

    def delete(self, vm: str) -> None:
        self.site.nova.delete(vm)

    def die(self, host: str) -> None:
        self.site.plant.die([host])

    def slow(self) -> None:
        for vm in self.site.nova.servers:
            self.site.nova.fates[vm] = [Fate(takes=30.0)]

    def fill_up(self, host: str) -> None:
        for _number in range(_ROOM):
            self.make(host)

    def until(self, what: t.Callable[[], t.Any]) -> None:
        for _second in range(100):
            if what():
                return
            self.site.clock.advance(1.0)
        pytest.fail("not within 100 simulated seconds")

    def provider(self, host: str) -> str:
        return f"rp-{host}"


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.__name__)
def test_the_simulated_nova_answers_as_a_real_one(question: t.Callable[[Lab], Json]) -> None:
    assert question(SimulatedLab()) == recorded()[question.__name__]


def test_room_on_the_source_is_held_until_it_returns() -> None:
    lab = SimulatedLab()
    vm = lab.make(SOURCE)
    lab.die(SOURCE)
    lab.site.clock.advance(100.0)
    _compute.evacuate(lab.cloud, vm, "cmp02", land_stopped=False)
    lab.site.clock.advance(100.0)
    assert [it["id"] for it in lab.site.nova.held_on(SOURCE)] == [vm]
    lab.site.plant.boot([SOURCE])
    assert lab.site.nova.held_on(SOURCE) == []
