"""A Nova that moves servers of a living host, as its API shows it; and the world of the executor of drains."""

from __future__ import annotations

import concurrent.futures
import typing as t

from unit.fakes.world import Crash, FakeLedger

from ansible_collections.openstack_ha.recovery.plugins.module_utils._drain_contract import Line
from ansible_collections.openstack_ha.recovery.plugins.module_utils._drain_states import COLD, LIVE
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError, LeaseLost, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock

Json = t.Dict[str, t.Any]

#: What becomes of one migration.
MOVES, REFUSED, ROLLED_BACK, STUCK, BREAKS, NO_HOST, UNANSWERED, LOST = (
    "moves", "refused", "rolled back", "stuck", "breaks", "no host", "unanswered", "lost",
)  # fmt: skip
FATES = (MOVES, REFUSED, ROLLED_BACK, STUCK, BREAKS, NO_HOST, UNANSWERED, LOST)


class MovingNova:
    """Servers, records, and what runs where.

    :param fates: By server what becomes of its migrations, one after the other; then they move.
    """

    def __init__(self, clock: Clock, source: str, fates: t.Mapping[str, t.Sequence[str]] | None = None) -> None:
        self.clock, self.source = clock, source
        self.fates = {server: list(its) for server, its in (fates or {}).items()}
        self.servers: dict[str, Json] = {}
        self.records: list[Json] = []
        self.requests: list[tuple[str, str, str]] = []
        self.seconds = 3.0
        self.broken: set[str] = set()

    def add(self, server_id: str, vm_state: str = "active") -> None:
        self.servers[server_id] = {
            "id": server_id,
            "OS-EXT-STS:vm_state": vm_state,
            "OS-EXT-STS:task_state": None,
            "OS-EXT-SRV-ATTR:host": self.source,
        }

    def migrate(self, server_id: str, target: str, way: str) -> str:
        server = self.servers[server_id]
        fate = self.fates[server_id].pop(0) if self.fates.get(server_id) else MOVES
        if fate == LOST:
            raise CloudError("no answer", status=None, answer="no answer")
        allowed = ("active", "paused") if way == LIVE else ("active", "stopped")
        if server["OS-EXT-STS:task_state"] or server["OS-EXT-STS:vm_state"] not in allowed:
            raise CloudError("Conflict", status=409, answer="Cannot migrate while it is in another state")
        if fate == NO_HOST:
            raise CloudError("Bad Request", status=400, answer=f"Compute host {target} could not be found.")
        self.requests.append((server_id, target, way))
        server["OS-EXT-STS:task_state"] = "migrating" if way == LIVE else "resize_prep"
        record = {
            "id": len(self.records) + 1,
            "instance_uuid": server_id,
            "status": "accepted",
            "dest_compute": target,
            "way": way,
        }
        self.records.append(record)
        self.clock.after(self.seconds / 3, lambda: self._go(server, record, fate))
        if fate == UNANSWERED:
            raise CloudError("no answer", status=None, answer="no answer")
        return f"req-{len(self.records)}"

    def _go(self, server: Json, record: Json, fate: str) -> None:
        if fate == REFUSED:
            server["OS-EXT-STS:task_state"], record["status"] = None, "error"
            return
        record["status"] = "running" if record["way"] == LIVE else "migrating"
        if fate != STUCK:
            self.clock.after(self.seconds, lambda: self._end(server, record, fate))

    def _end(self, server: Json, record: Json, fate: str) -> None:
        if fate == ROLLED_BACK:
            server["OS-EXT-STS:task_state"], record["status"] = None, "failed"
        elif fate == BREAKS:
            self.broken.add(server["id"])
            server.update({"OS-EXT-STS:task_state": None, "OS-EXT-STS:vm_state": "error"})
            record["status"] = "error"
        else:
            server.update({"OS-EXT-STS:task_state": None, "OS-EXT-SRV-ATTR:host": record["dest_compute"]})
            if record["way"] == COLD:
                server["former"], server["OS-EXT-STS:vm_state"] = server["OS-EXT-STS:vm_state"], "resized"
            record["status"] = "completed" if record["way"] == LIVE else "finished"

    def abort(self, server_id: str, record_id: int) -> None:
        (record,) = [record for record in self.records if record["id"] == record_id]
        if record["status"] != "running":
            raise CloudError("Conflict", status=409, answer="not running")

        def cancel() -> None:
            record["status"], self.servers[server_id]["OS-EXT-STS:task_state"] = "cancelled", None

        self.clock.after(1.0, cancel)

    def confirm(self, server_id: str) -> None:
        server = self.servers[server_id]
        if server["OS-EXT-STS:vm_state"] != "resized":
            raise CloudError("Conflict", status=409, answer="nothing to confirm")
        server["OS-EXT-STS:vm_state"] = server.pop("former")


class MovingWorld:
    """Checks with each call that changes something that it was allowed.

    :param crash_in: The run is killed at this write to the ledger, or call that changes something.
    """

    def __init__(self, nova: MovingNova, ledger: FakeLedger | None = None) -> None:
        self.nova, self.clock, self.ledger = nova, nova.clock, ledger or FakeLedger()
        self.crash_in: int | None = None
        self.alive = self.lease = True
        self.stopped = ""
        self.unlawful: list[str] = []
        self.told: list[str] = []
        self.lacking: dict[str, list[str]] = {}
        self._permitted = False
        self._gone = False

    def now(self) -> float:
        return self.clock.time

    def wait(self, seconds: float, calls: t.Collection[concurrent.futures.Future[t.Any]] = ()) -> None:
        self.clock.advance(seconds, lambda: any(call.done() for call in calls))

    def submit(self, function: t.Callable[..., t.Any], /, *args: t.Any) -> concurrent.futures.Future[t.Any]:
        future: concurrent.futures.Future[t.Any] = concurrent.futures.Future()

        def work() -> None:
            if self._gone or not future.set_running_or_notify_cancel():
                return
            self._permitted = False
            try:
                future.set_result(function(*args))
            except Exception as error:
                future.set_exception(error)

        self.clock.after(0.0, work)
        return future

    def before_call(self, host: str) -> None:
        if not self.lease:
            raise LeaseLost("another run holds the claim")
        self._permitted = True

    def check(self) -> None:
        if not self.alive:
            raise RecoveryError("STOP: cmp01 does not answer any more")

    def paused(self, host: str) -> str:
        return self.stopped

    def _mutating(self, name: str, server_id: str) -> None:
        row = self.ledger.rows.get(server_id, {})
        if not self._permitted:
            self.unlawful.append(f"{name} of {server_id} without a renewal")
        if name == "migrate" and row.get("state") != "requesting":
            self.unlawful.append(f"{name} of {server_id} before the intent was written")
        self._permitted = False
        self._maybe_crash()

    def _maybe_crash(self) -> None:
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in < 0:
                self._gone = True
                raise Crash

    def migrate(self, server_id: str, target: str, way: str) -> str:
        self._mutating("migrate", server_id)
        answer = self.nova.migrate(server_id, target, way)
        self._maybe_crash()
        return answer

    def confirm(self, server_id: str) -> None:
        self._mutating("confirm", server_id)
        self.nova.confirm(server_id)

    def abort(self, server_id: str, migration_id: int) -> None:
        self._mutating("abort", server_id)
        self.nova.abort(server_id, migration_id)

    def server(self, server_id: str) -> Json | None:
        found = self.nova.servers.get(server_id)
        return dict(found) if found else None

    def migrations(self, host: str) -> list[Json]:
        return [dict(record) for record in reversed(self.nova.records)]

    def why(self, server_id: str, request_id: str) -> str:
        return "Nova's words"

    def problems(self, server: Json) -> list[str]:
        return self.lacking.get(server["id"], [])

    def record(self, line: Line) -> None:
        self._maybe_crash()
        row = self.ledger.rows.setdefault(line.id, {"server_id": line.id, "host": line.host})
        row.update(state=line.ledger_state(), target=line.target, reason=line.reason, method=line.way)
        row["attempts"] = line.attempts or row.get("attempts", 0)

    def progress(self, message: str) -> None:
        self.told.append(message)
