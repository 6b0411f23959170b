# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connects the executor of evacuations with Nova, the journal and the clock. PRIVATE: may change at any time."""

from __future__ import annotations

import concurrent.futures
import functools
import threading
import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute, _reserved
from ansible_collections.openstack_ha.recovery.plugins.module_utils._attachments import Attachments
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud, Json
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError, Paused, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._evacuation_contract import Line
from ansible_collections.openstack_ha.recovery.plugins.module_utils._readiness import Readiness
from ansible_collections.openstack_ha.recovery.plugins.module_utils._run import Run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._watch import LOOK, Power, Watch

#: A list costs Nova as much as three servers one by one, and each server in it a tenth of that.
_SEVERAL = 3
#: How many may have landed on a host since it was decided which ones to look at.
_LANDED_SINCE = 5


class RealWorld:
    """See :class:`_evacuation_contract.World`."""

    def __init__(
        self,
        cloud: Cloud,
        run: Run,
        probes: t.Mapping[str, list[str]],
        silent_for: float,
        pool: concurrent.futures.ThreadPoolExecutor,
        progress: t.Callable[[str], None],
        join_aggregates: bool = False,
        power: Power = lambda _host, _certificate: [],
        readiness: Readiness | None = None,
    ) -> None:
        self._cloud = cloud
        self._run = run
        service = functools.partial(_compute.compute_service, cloud)
        self._watch = Watch(run, probes, service, silent_for, self.now, self.wait, progress, power)
        self._pool = pool
        self._attachments = Attachments(cloud)
        self._reached: set[str] = set()
        self._join_aggregates = join_aggregates
        self._taking = threading.Lock()
        self._stopped: dict[str, str] = {}
        self._next_orders = 0.0
        self._reserved_taken: set[str] = set()
        self._readiness = readiness or Readiness([], {})
        self.last_active: float | None = None
        self.progress = progress

    def submit(self, function: t.Callable[..., t.Any], /, *args: t.Any) -> concurrent.futures.Future[t.Any]:
        """Run it in a thread."""
        return self._pool.submit(function, *args)

    def now(self) -> float:
        """Seconds on a clock that nobody sets."""
        return time.monotonic()

    def wait(self, seconds: float, calls: t.Collection[concurrent.futures.Future[t.Any]] = ()) -> None:
        """Let time pass, but no longer than until one of the calls has ended."""
        if calls:
            concurrent.futures.wait(calls, seconds, concurrent.futures.FIRST_COMPLETED)
        else:
            time.sleep(seconds)

    def before_call(self, host: str) -> None:
        """One UPDATE that must hit: otherwise another run holds the claim."""
        self._run.lease.renew(host)

    def check_dead(self) -> None:
        """See :mod:`_watch`. Nobody waits for what a run without its claim would see."""
        self._run.lease.check()
        self._watch.check()

    def paused(self, host: str) -> str:
        """As the journal said within the last second: dozens of requests may be begun at once."""
        if self.now() >= self._next_orders:
            self._stopped, self._next_orders = self._run.stopped(), self.now() + LOOK
        return self._stopped.get(host, "")

    def lives(self, host: str, sign: str) -> t.NoReturn:
        """Void its certificate and stop."""
        self._watch.lives(host, sign)

    def evacuate(self, server_id: str, target: str, land_stopped: bool) -> str:
        """Nova notes the request at most once per call of this."""
        return _compute.evacuate(self._cloud, server_id, target, land_stopped).request_id

    def lands_stopped(self) -> bool:
        """From 2.95 on."""
        return self._cloud.supports("2.95")

    def take_reserved(self, host: str, instead_of: str) -> str:
        """One thread takes it, the others find it taken."""
        with self._taking:
            if host in self._reserved_taken:
                return ""
            try:
                service = _compute.compute_service(self._cloud, host)
                taking = _reserved.taking(self._cloud, service, instead_of if self._join_aggregates else None)
            except RecoveryError as error:
                return error.message
            try:
                taking.carry_out(self._cloud, self._run)
            except Paused as error:  # what is under way must be followed all the same
                return error.message
            self._reserved_taken.add(host)
            self.progress(f"Took reserved host {host} into service: other targets had refused")
            return ""

    def reset_state(self, server_id: str) -> None:
        """In Nova's database only."""
        _compute.reset_state(self._cloud, server_id)

    def stop(self, server_id: str) -> None:
        """Power it off."""
        _compute.stop(self._cloud, server_id)

    def start(self, server_id: str) -> None:
        """Power it on."""
        _compute.start(self._cloud, server_id)

    def ready(self, how: Json, server: Json) -> str:
        """See :mod:`_readiness`."""
        return self._readiness.missing(how, server)

    def server(self, server_id: str) -> Json | None:
        """Nova's document of it."""
        return _compute.server(self._cloud, server_id)

    def servers(self, host: str, server_ids: t.Sequence[str]) -> dict[str, Json | None]:
        """With one call where that is the cheaper way; what it does not show is asked for by itself."""
        newest = self._newest_on(host, len(server_ids) + _LANDED_SINCE) if len(server_ids) >= _SEVERAL else {}
        return {server_id: newest.get(server_id) or self.server(server_id) for server_id in server_ids}

    def _newest_on(self, host: str, count: int) -> dict[str, Json]:
        try:
            return {server["id"]: server for server in _compute.newest_servers_on(self._cloud, host, count)}
        except CloudError:
            return {}

    def migrations(self, host: str) -> list[Json]:
        """Evacuation records from a host."""
        return _compute.evacuations_from(self._cloud, host)

    def problems(self, server: Json) -> list[str]:
        """Ports and volumes."""
        return self._attachments.problems(server)

    def record(self, line: Line) -> None:
        """Write the line to the ledger, whatever its state there was, if this run still holds the claim."""
        if line.state == "started":
            self.last_active = self.now()
        # what is only followed was asked for by an earlier run, whose request stays on record
        asked: Json = {"attempts": line.attempts, "request_id": line.request_id} if line.attempts else {}
        if line.facts:
            asked["facts"] = line.facts
        change = self._run.journal.line_change(
            self._run.incident(line.host),
            line.id,
            line.ledger_state(),
            run_id=self._run.id,
            target=line.target,
            reason=line.reason,
            **asked,
        )
        self._run.lease.renew(line.host, also=change)

    def reached(self, step: str) -> None:
        """Journal the first time only."""
        if step not in self._reached:
            self._reached.add(step)
            self._run.step(step)
