"""The world of the evacuation executor: a simulated Nova, a ledger, a lease and a power certificate."""

from __future__ import annotations

import concurrent.futures
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import (
    CertificateError,
    CloudError,
    LeaseLost,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._evacuation_contract import Line
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.states import LINE_UNDER_WAY
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Json, Nova


class Crash(BaseException):
    """kill -9: nothing that the executor could catch or clean up after."""


class FakeLedger:
    """The rules of the journal's ledger, in memory: a new plan does not replace what Nova was asked."""

    def __init__(self) -> None:
        self.rows: dict[str, Json] = {}

    def plan(self, planned: t.Iterable[Json]) -> None:
        for row in planned:
            if self.rows.get(row["server_id"], {}).get("state") not in LINE_UNDER_WAY:
                self.rows[row["server_id"]] = {"attempts": 0, **self.rows.get(row["server_id"], {}), **row}

    def lines(self) -> list[Json]:
        return [dict(row) for row in self.rows.values()]


class FakeWorld:
    """Checks with each mutating call that it was allowed.

    :param latency: Seconds that a call waits for its turn; 0 makes every call at once and in order.
    :param crash_in: The run is killed at this call (not at one that only reads).
    """

    def __init__(self, nova: Nova, ledger: FakeLedger | None = None, latency: t.Sequence[float] = ()) -> None:
        self.nova, self.clock = nova, nova.clock
        self.ledger = ledger or FakeLedger()
        self.lease = True
        self.certificate = True
        self.crash_in: int | None = None
        self.outages: list[tuple[float, float]] = []
        self.looks = 0
        self.pauses: dict[str, str] = {}
        self.told: list[str] = []
        self.steps: list[str] = []
        self.stopped = False
        self.unlawful: list[str] = []
        self.calls: list[tuple[str, str]] = []
        #: When a VM is ready, on the clock; those that are not named are at once.
        self.ready_at: dict[str, float] = {}
        self.asked_ready: list[str] = []
        self._latency = list(latency)
        self._permitted = False
        self._gone = False

    # -- time and threads -----------------------------------------------------------------------------

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

        self.clock.after(self._latency.pop(0) if self._latency else 0.0, work)
        return future

    def kill(self) -> None:
        """The process is gone, with its threads."""
        self._gone = True

    # -- permission -------------------------------------------------------------------------------------

    def before_call(self, host: str) -> None:
        if not self.lease:
            raise LeaseLost("another run holds the claim")
        self._permitted = True

    def check_dead(self) -> None:
        self.looks += 1
        if not self.certificate:
            self.stopped = True
            raise CertificateError("cmp01 LIVES although it was fenced")
        self._reachable()

    def paused(self, host: str) -> str:
        return self.pauses.get(host, "")

    def lives(self, host: str, sign: str) -> t.NoReturn:
        self.certificate, self.stopped = False, True
        raise CertificateError(f"{host} shows life: {sign}")

    def _mutating(self, name: str, server_id: str) -> None:
        self.calls.append((name, server_id))
        checks = {"lease": self.lease, "renewal": self._permitted, "certificate": not self.stopped}
        self.unlawful += [f"{name} of {server_id} without {what}" for what, held in checks.items() if not held]
        if not self.looks:
            self.unlawful.append(f"{name} of {server_id} before any look at the certificate")
        self._permitted = False

    def _reachable(self) -> None:
        if any(start <= self.clock.time < end for start, end in self.outages):
            raise CloudError("GET compute: no answer", status=None, answer="no answer")

    def _maybe_crash(self) -> None:
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in < 0:
                self.kill()
                raise Crash

    # -- Nova ---------------------------------------------------------------------------------------------

    def evacuate(self, server_id: str, target: str, land_stopped: bool) -> str:
        self._mutating("evacuate", server_id)
        self._maybe_crash()
        self._reachable()
        answer = self.nova.evacuate(server_id, target, land_stopped)
        self._maybe_crash()
        return answer

    def lands_stopped(self) -> bool:
        return self.nova.newest >= "2.95"

    def start(self, server_id: str) -> None:
        self._mutating("start", server_id)
        self._maybe_crash()
        self._reachable()
        self.nova.start(server_id)
        self._maybe_crash()

    def ready(self, how: Json, server: Json) -> str:
        self.asked_ready.append(server["id"])
        return "" if self.clock.time >= self.ready_at.get(server["id"], 0.0) else "nobody listens"

    def take_reserved(self, host: str, instead_of: str) -> str:
        self._mutating("take_reserved", host)
        service = self.nova.services[host]
        if service["state"] != "up":
            return "its nova-compute is down"
        service["status"] = "enabled"
        return ""

    def reset_state(self, server_id: str) -> None:
        self._mutating("reset_state", server_id)
        self._maybe_crash()
        self._reachable()
        self.nova.reset_state(server_id)
        self._maybe_crash()

    def stop(self, server_id: str) -> None:
        self._mutating("stop", server_id)
        self._maybe_crash()
        self._reachable()
        self.nova.stop(server_id)

    def server(self, server_id: str) -> Json | None:
        self._reachable()
        return self.nova.server(server_id)

    def servers(self, host: str, server_ids: t.Sequence[str]) -> dict[str, Json | None]:
        return {server_id: self.server(server_id) for server_id in server_ids}

    def migrations(self, host: str) -> list[Json]:
        self._reachable()
        return self.nova.migrations(host)

    def problems(self, server: Json) -> list[str]:
        return self.nova.problems(server)

    # -- the journal and the terminal -----------------------------------------------------------------------

    def record(self, line: Line) -> None:
        self._maybe_crash()
        row = self.ledger.rows.setdefault(line.id, {"server_id": line.id, "host": line.host})
        row.update(state=line.ledger_state(), target=line.target, reason=line.reason)
        row["attempts"] = line.attempts or row.get("attempts", 0)
        if line.facts:
            row["facts"] = dict(line.facts)

    def reached(self, step: str) -> None:
        self.steps.append(step)

    def progress(self, message: str) -> None:
        self.told.append(message)
