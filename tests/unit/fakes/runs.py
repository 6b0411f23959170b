"""One recovery run after another over a simulated Nova, as recover_host would make them."""

from __future__ import annotations

import types
import typing as t

from unit.fakes.world import FakeLedger, FakeWorld

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _policy_file
from ansible_collections.openstack_ha.recovery.plugins.module_utils._capacity import Room
from ansible_collections.openstack_ha.recovery.plugins.module_utils._evacuation import Evacuation
from ansible_collections.openstack_ha.recovery.plugins.module_utils._evacuation_contract import Limits, Line
from ansible_collections.openstack_ha.recovery.plugins.module_utils._planning import make_plan
from ansible_collections.openstack_ha.recovery.plugins.modules import host_evacuate
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud, topology
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Fate, Json, Nova

DEAD = "cmp01"
ROOM = {"VCPU": 64, "MEMORY_MB": 65536}
_RUN = t.cast(t.Any, types.SimpleNamespace(incident=lambda host: f"incident-{host}"))


class Site:
    """A segment with one dead host, the VMs on it, and the ledger of its incident."""

    def __init__(
        self,
        targets: int = 2,
        newest: str = "2.96",
        room: Json | None = None,
        segment: Json | None = None,
        policy: Json | None = None,
    ) -> None:
        self.policy = _policy_file.parse(policy, ["rack1"], []).values
        self.targets = [f"cmp{number:02}" for number in range(2, 2 + targets)]
        self.clock = Clock()
        self.nova = Nova(self.clock, [DEAD, *self.targets], [DEAD], newest)
        self.cloud = FakeCloud(self.nova, {host: dict(room or ROOM) for host in [DEAD, *self.targets]})
        self.cloud.projects = {"p1": "tenant"}
        self.topology = topology(DEAD, *self.targets, segment=segment)
        self.ledger = FakeLedger()

    def vm(self, server_id: str, vm_state: str = "active", *fates: Fate, **more: t.Any) -> Json:
        self.nova.fates[server_id] = list(fates)
        return self.nova.add(server_id, DEAD, vm_state, **more)

    def plan(self) -> Json:
        return make_plan(t.cast(t.Any, self.cloud), self.topology, [DEAD], self.ledger.lines(), policy=self.policy)

    def world(self, latency: t.Sequence[float] = ()) -> FakeWorld:
        return FakeWorld(self.nova, self.ledger, latency)

    def evacuation(self, world: FakeWorld, plan: Json | None = None, **limits: t.Any) -> Evacuation:
        """What host_evacuate makes of a plan."""
        plan = plan or self.plan()
        self.ledger.plan([host_evacuate._ledger_line(entry, _RUN) for entry in plan["lines"]])
        lines = host_evacuate._lines(plan["lines"], self.topology, self.ledger.lines())
        limits = {"tier_timeout": float(self.policy["restart"]["tier_timeout"]), **limits}
        return Evacuation(world, lines, Room.of_free(plan["room"]), Limits(**limits))

    def recover(self, world: FakeWorld | None = None, plan: Json | None = None, **limits: t.Any) -> dict[str, Line]:
        """One run; its lines by server."""
        return {line.id: line for line in self.evacuation(world or self.world(), plan, **limits).run()}

    def where(self, server_id: str) -> tuple[str, str]:
        server = self.nova.servers[server_id]
        return server["OS-EXT-SRV-ATTR:host"], server["OS-EXT-STS:vm_state"]
