# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nova as an evacuation sees it, on a simulated clock. PRIVATE to this collection: may change at any time.

With the traps that were measured on the real one:

200 means "noted"; a missing host shows later; a second request while one runs ruins the VM; an error may
mean "done anyway"; what ends is seen in several places one after the other, and not at once.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._vmstate import UNDER_WAY
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock

Json = t.Dict[str, t.Any]

RUNNING, PAUSED, SHUTDOWN = 1, 3, 4
_POWER = {"active": RUNNING, "paused": PAUSED, "rescued": RUNNING, "resized": RUNNING}


@dataclasses.dataclass(frozen=True)
class Fate:
    """What becomes of one evacuation request.

    :param answer: What the client gets: 200, another status, or None for a timeout.
    :param obeyed: Whether Nova does it (always so with 200).
    :param late: Seconds until a request that got no good answer takes effect.
    :param ends: ``lands``; ``no_host`` (the scheduler finds none); ``breaks`` (the target host gives up);
        ``lost`` (the target host starts it and cannot tell: Nova takes it for failed).
    :param takes: Seconds until its end.
    :param lag: Seconds between the places in which the end is seen.
    :param said: Nova's sentence in a refusal.
    """

    answer: int | None = 200
    obeyed: bool = True
    late: float = 0.0
    ends: str = "lands"
    takes: float = 3.0
    lag: float = 0.0
    said: str = "The server could not comply."


LANDS = Fate()
NO_HOST = Fate(ends="no_host")
BREAKS = Fate(ends="breaks")
LOST = Fate(ends="lost")

#: What nova-compute's traceback ends with, by where the evacuation broke.
_FAULTS = {
    "no_host": {"message": "No valid host was found. "},
    "breaks": {"message": "RuntimeError", "details": "manager.py, in _rebuild_default_impl\n self.driver.spawn("},
    "lost": {"message": "MessagingTimeout", "details": "manager.py, in _do_rebuild_instance\n instance.save("},
}


def refuses(status: int, said: str) -> Fate:
    return Fate(answer=status, obeyed=False, said=said)


class Nova:
    """Servers, services and migration records; ``fates`` are used up request by request, then all land."""

    def __init__(self, clock: Clock, hosts: t.Iterable[str], dead: t.Iterable[str], newest: str = "2.96") -> None:
        self.clock = clock
        self.newest = newest
        self.services = {host: _service(host, host in set(dead)) for host in hosts}
        self.servers: dict[str, Json] = {}
        self.records: list[Json] = []
        self.fates: dict[str, list[Fate]] = {}
        self.bindings: dict[str, str] = {}
        self.requests: list[tuple[str, str]] = []
        self.ruined: set[str] = set()
        self.unknown: dict[str, str] = {}
        self.twice: set[str] = set()
        self.reset_while_rebuilding: list[str] = []
        self.most_at_once = 0
        self.most_per_target = 0
        self._busy: dict[str, int] = {}
        #: Told of each guest that is started somewhere, also where Nova does not know it.
        self.on_start: t.Callable[[str, str], None] = lambda server_id, host: None
        #: Whether the nova-compute of a host does what it is asked to.
        self.works: t.Callable[[str], bool] = lambda host: True
        #: Whether there is room for a server on a host.
        self.fits: t.Callable[[Json, str], bool] = lambda server, host: True

    def add(self, server_id: str, host: str, vm_state: str = "active", task: str | None = None, **more: t.Any) -> Json:
        server = {
            "id": server_id,
            "name": f"vm-{server_id}",
            "tenant_id": "p1",
            "OS-EXT-STS:vm_state": vm_state,
            "OS-EXT-STS:task_state": task,
            "OS-EXT-STS:power_state": _POWER.get(vm_state, SHUTDOWN),
            "OS-EXT-SRV-ATTR:host": host,
            "OS-EXT-AZ:availability_zone": "nova",
            "flavor": {"vcpus": 1, "ram": 1024, "disk": 10, "ephemeral": 0, "swap": 0, "extra_specs": {}},
            "image": {"id": "image"},
            "metadata": {},
            **more,
        }
        self.servers[server_id] = server
        self.bindings[server_id] = host
        return server

    # -- reading ------------------------------------------------------------------------------------

    def server(self, server_id: str) -> Json | None:
        server = self.servers.get(server_id)
        return dict(server) if server else None

    def migrations(self, host: str) -> list[Json]:
        """Newest first."""
        return [dict(record) for record in reversed(self.records) if record["source_compute"] == host]

    def problems(self, server: Json) -> list[str]:
        host = server["OS-EXT-SRV-ATTR:host"]
        bound = self.bindings[server["id"]]
        return [] if bound == host else [f"port is bound to {bound} instead of {host}"]

    # -- acting ---------------------------------------------------------------------------------------

    def evacuate(self, server_id: str, target: str, land_stopped: bool) -> str:
        server = self._present(server_id)
        self.requests.append((server_id, target))
        fates = self.fates.get(server_id)
        fate = fates.pop(0) if fates else LANDS
        if fate.obeyed:
            self._accept(server, target, land_stopped and self.newest >= "2.95", fate)
        if fate.answer != 200:
            said = "no answer" if fate.answer is None else fate.said
            raise CloudError(f"POST compute: {said}", status=fate.answer, answer=said)
        return f"req-{len(self.requests)}"

    def reset_state(self, server_id: str) -> None:
        server = self._present(server_id)
        if server["OS-EXT-STS:task_state"] == "rebuilding" or server_id in self._busy:
            self.reset_while_rebuilding.append(server_id)
        server.update({"OS-EXT-STS:vm_state": "active", "OS-EXT-STS:task_state": None})

    def stop(self, server_id: str) -> None:
        server = self._present(server_id)
        if server["OS-EXT-STS:vm_state"] != "active" or server["OS-EXT-STS:task_state"]:
            said = f"Cannot 'stop' instance {server_id} while it is in vm_state {server['OS-EXT-STS:vm_state']}"
            raise CloudError(said, status=409, answer=said)
        server["OS-EXT-STS:task_state"] = "powering-off"
        self.clock.after(0.5, lambda: self._become(server, "stopped", SHUTDOWN))

    def start(self, server_id: str) -> None:
        server = self._present(server_id)
        if server["OS-EXT-STS:vm_state"] != "stopped" or server["OS-EXT-STS:task_state"]:
            said = f"Cannot 'start' instance {server_id} while it is in vm_state {server['OS-EXT-STS:vm_state']}"
            raise CloudError(said, status=409, answer=said)
        server["OS-EXT-STS:task_state"] = "powering-on"
        self.clock.after(0.5, lambda: self._power_on(server))

    def _power_on(self, server: Json) -> None:
        if server["OS-EXT-STS:task_state"] == "powering-on" and self.works(server["OS-EXT-SRV-ATTR:host"]):
            self._become(server, "active", RUNNING)
            self.on_start(server["id"], server["OS-EXT-SRV-ATTR:host"])

    def delete(self, server_id: str) -> None:
        self.servers.pop(server_id, None)

    # -- what happens then -------------------------------------------------------------------------------

    def _present(self, server_id: str) -> Json:
        if server_id not in self.servers:
            raise CloudError("not found", status=404, answer=f"Instance {server_id} could not be found.")
        return self.servers[server_id]

    def _accept(self, server: Json, target: str, stopped: bool, fate: Fate) -> None:
        source = self.services[server["OS-EXT-SRV-ATTR:host"]]
        if source["state"] == "up":
            said = f"Compute service of {source['host']} is still in use."
            raise CloudError(said, status=400, answer=said)
        if target not in self.services:
            said = f"Compute host {target} not found."
            raise CloudError(said, status=404, answer=said)
        state = server["OS-EXT-STS:vm_state"]
        if state not in ("active", "stopped", "error"):
            said = f"Cannot 'evacuate' instance {server['id']} while it is in vm_state {state}"
            raise CloudError(said, status=409, answer=said)
        self.clock.after(fate.late, lambda: self._begin(server, target, stopped, fate))

    def _begin(self, server: Json, target: str, stopped: bool, fate: Fate) -> None:
        self._busy[server["id"]] = self._busy.get(server["id"], 0) + 1
        if self._busy[server["id"]] > 1:
            self.ruined.add(server["id"])
        if not self._takes(target, server):
            fate = dataclasses.replace(fate, ends="no_host")
        record = {
            "id": len(self.records) + 1,
            "instance_uuid": server["id"],
            "source_compute": server["OS-EXT-SRV-ATTR:host"],
            "dest_compute": target,
            "status": "accepted",
        }
        self.records.append(record)
        self._count(target)
        landing = self._landing_state(server, stopped)
        server["OS-EXT-STS:task_state"] = "rebuilding"

        def end() -> None:
            """A host that died meanwhile never tells: the migration stays under way for ever."""
            if server["id"] not in self.servers:
                record["status"] = "error"
                self._ended(server)
                return
            if fate.ends == "lands" and self.works(target):
                self._land(server, record, fate, target, landing)
            elif fate.ends == "no_host" or self.works(target):
                self._fail(server, record, fate, target, landing)

        self.clock.after(fate.takes, end)

    def _takes(self, target: str, server: Json) -> bool:
        """What the scheduler goes by, also for a host that is named in the request."""
        service = self.services[target]
        return (service["state"], service["status"]) == ("up", "enabled") and self.fits(server, target)

    def held_on(self, host: str) -> list[Json]:
        """The servers that Placement holds room for there: those that are there, are coming, or have left.

        What an evacuation leaves behind is held until the host returns.
        """
        found = {it["id"] for it in self.servers.values() if it["OS-EXT-SRV-ATTR:host"] == host}
        for record in self.records:
            coming = record["dest_compute"] == host and record["status"] in UNDER_WAY
            if coming or (record["source_compute"] == host and record["status"] == "done"):
                found.add(record["instance_uuid"])
        return [server for server_id, server in self.servers.items() if server_id in found]

    def host_returns(self, host: str) -> None:
        """Its nova-compute starts and clears away what was evacuated."""
        for record in self.records:
            if record["source_compute"] == host and record["status"] == "done":
                record["status"] = "completed"

    def is_leaving(self, server_id: str, source: str) -> bool:
        """Whether a nova-compute that starts takes the guest for one that was evacuated, and destroys it."""
        return any(
            record["status"] in ("accepted", "pre-migrating", "done")
            for record in self.records
            if (record["instance_uuid"], record["source_compute"]) == (server_id, source)
        )

    def _count(self, target: str) -> None:
        running = [it for it in self.records if it["status"] in UNDER_WAY and self._is_at_source(it)]
        self.most_at_once = max(self.most_at_once, len(running))
        there = sum(record["dest_compute"] == target for record in running)
        self.most_per_target = max(self.most_per_target, there)

    def _is_at_source(self, record: Json) -> bool:
        server = self.servers.get(record["instance_uuid"])
        return server is not None and server["OS-EXT-SRV-ATTR:host"] == record["source_compute"]

    def _landing_state(self, server: Json, stopped: bool) -> tuple[str, int]:
        """2.95 stops on landing, but not what was in ERROR; older ones bring up all that was not stopped."""
        state = server["OS-EXT-STS:vm_state"]
        down = state == "stopped" or (stopped and state != "error")
        return ("stopped", SHUTDOWN) if down else ("active", RUNNING)

    def _land(self, server: Json, record: Json, fate: Fate, target: str, landing: tuple[str, int]) -> None:
        """As nova.compute.manager does: power state, then host, then record; ports when Neutron gets to it."""
        self._become(server, *landing)
        if landing[1] == RUNNING:
            self.on_start(server["id"], target)
        if self.unknown.get(server["id"], target) != target:
            self.twice.add(server["id"])
        if server["id"] in self.ruined:
            self._become(server, "error", SHUTDOWN)

        def moved() -> None:
            server["OS-EXT-SRV-ATTR:host"] = target
            self.clock.after(fate.lag, done)

        def done() -> None:
            record["status"] = "done"
            self._ended(server)
            self.clock.after(fate.lag, lambda: self.bindings.update({server["id"]: target}))

        self.clock.after(fate.lag, moved)

    def _fail(self, server: Json, record: Json, fate: Fate, target: str, landing: tuple[str, int]) -> None:
        """As nova.conductor.manager does: the record first, the server's ERROR after it."""
        record["status"] = "error" if fate.ends == "no_host" else "failed"
        if fate.ends == "lost":
            self.unknown[server["id"]] = target
            self.on_start(server["id"], target)

        def error() -> None:
            server["fault"] = _FAULTS[fate.ends]
            self._become(server, "error", server["OS-EXT-STS:power_state"])
            self._ended(server)

        self.clock.after(fate.lag, error)

    def _ended(self, server: Json) -> None:
        self._busy[server["id"]] -= 1
        if not self._busy[server["id"]]:
            del self._busy[server["id"]]

    @staticmethod
    def _become(server: Json, vm_state: str, power: int) -> None:
        server.update({"OS-EXT-STS:vm_state": vm_state, "OS-EXT-STS:task_state": None, "OS-EXT-STS:power_state": power})


def _service(host: str, dead: bool) -> Json:
    return {
        "id": f"service-{host}",
        "binary": "nova-compute",
        "host": host,
        "zone": "nova",
        "state": "down" if dead else "up",
        "status": "disabled" if dead else "enabled",
        "disabled_reason": "openstack_ha: failed" if dead else None,
        "forced_down": dead,
        "updated_at": "2026-01-01T00:00:00",
    }
