"""A real Nova answers what the simulated one is made after; ``NOVA_ANSWERS=write`` records it anew."""

from __future__ import annotations

import json
import os
import typing as t

import pytest
from bed.client import Bed
from driver import until
from unit.fakes.conformance import QUESTIONS, RECORD, Json, Lab, recorded

from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import connect

_ACTS: dict[str, Json] = {
    "stopped": {"os-stop": None},
    "paused": {"pause": None},
    "suspended": {"suspend": None},
    "rescued": {"rescue": {}},
}


class RealLab:
    """The bed."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.cloud = connect({})

    def make(self, host: str, state: str = "active") -> str:
        [vm] = self.bed.fill(host, 1)
        if state == "error":
            self.bed.edit_server(vm, vm_state="error")
        elif state in _ACTS:
            self.bed.action(vm, _ACTS[state])
            self.bed.await_server(vm, lambda one: one["OS-EXT-STS:vm_state"] == state)
        return vm

    def delete(self, vm: str) -> None:
        self.bed.request("DELETE", f"/servers/{vm}")

    def die(self, host: str) -> None:
        self.bed.crash(host)

    def slow(self) -> None:
        self.bed.knobs(spawn_delay=3)

    def fill_up(self, host: str) -> None:
        path = f"/resource_providers/{self.provider(host)}/inventories"
        memory = self.bed.request("GET", path, service="placement")["inventories"]["MEMORY_MB"]
        self.bed.fill(host, 1, ram=int((memory["total"] - memory["reserved"]) * memory["allocation_ratio"]))

    def until(self, what: t.Callable[[], t.Any]) -> None:
        until(what)

    def provider(self, host: str) -> str:
        found = self.bed.request("GET", f"/resource_providers?name={host}", service="placement")["resource_providers"]
        return str(found[0]["uuid"])


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.__name__)
def test_nova_answers_as_recorded(cloud: Bed, question: t.Callable[[Lab], Json]) -> None:
    answer = json.loads(json.dumps(question(RealLab(cloud))))
    if os.environ.get("NOVA_ANSWERS") == "write":
        found = {**(recorded() if RECORD.exists() else {}), question.__name__: answer}
        RECORD.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    assert answer == recorded()[question.__name__]
