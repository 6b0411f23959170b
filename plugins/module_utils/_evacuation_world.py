# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connects the executor of evacuations with Nova, the journal and the clock. PRIVATE: may change at any time."""

from __future__ import annotations

import concurrent.futures
import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute
from ansible_collections.openstack_ha.recovery.plugins.module_utils._attachments import Attachments
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud, Json
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CertificateError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._evacuation import Line
from ansible_collections.openstack_ha.recovery.plugins.module_utils._probe import probe, signs_of_life
from ansible_collections.openstack_ha.recovery.plugins.module_utils._run import Run

#: Seconds between two looks for signs of life of the same hosts.
_LOOK = 1.0


class RealWorld:
    """See :class:`_evacuation.World`."""

    def __init__(
        self,
        cloud: Cloud,
        run: Run,
        probes: t.Mapping[str, list[str]],
        pool: concurrent.futures.ThreadPoolExecutor,
        progress: t.Callable[[str], None],
    ) -> None:
        self._cloud = cloud
        self._run = run
        self._probes = probes
        self._pool = pool
        self._attachments = Attachments(cloud)
        self._seen: dict[str, t.Any] = {}
        self._certificates: dict[str, str] = {}
        self._next_look = 0.0
        self._reached: set[str] = set()
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
        """Each host has a valid certificate, no heartbeat since the first look, and answers no probe."""
        if self.now() < self._next_look:
            return
        self._next_look = self.now() + _LOOK
        for host in self._probes:
            self._check_certificate(host)
        for host in self._probes:
            signs = self._heartbeat(host) + signs_of_life(probe(self._probes[host], timeout=_LOOK / 2))
            if signs:
                self._void(host, "; ".join(signs))

    def _check_certificate(self, host: str) -> None:
        certificate = self._run.journal.certificate(self._run.id, host)
        if not certificate or certificate["run_id"] != self._run.id:
            # One that an earlier run made is as old as that run: the host may have been switched on since.
            raise CertificateError(f"{host} has no power certificate in this run: fence it first (host_fence).")
        if certificate["state"] != "valid":
            raise CertificateError(f"The power certificate of {host} is void: {certificate['void_reason']}.")
        if not _proves_off(certificate["certificate"]):
            raise CertificateError(f"The power certificate of {host} does not prove that it is off. Fence it again.")
        self._certificates[host] = certificate["id"]

    def _heartbeat(self, host: str) -> list[str]:
        """Nova's time of the last heartbeat, compared only with itself."""
        seen = _compute.compute_service(self._cloud, host)["updated_at"]
        before = self._seen.setdefault(host, seen)
        return [f"its nova-compute reported to Nova again ({before} → {seen})"] if seen != before else []

    def _void(self, host: str, sign: str) -> None:
        self._run.journal.void_certificate(self._certificates[host], sign)
        raise CertificateError(
            f"{host} LIVES although it was fenced: {sign}. Its power certificate is void and nothing more is "
            "evacuated. Cut its power by other means now, then run again."
        )

    def evacuate(self, server_id: str, target: str, land_stopped: bool) -> str:
        """Nova notes the request at most once per call of this."""
        return _compute.evacuate(self._cloud, server_id, target, land_stopped).request_id

    def reset_state(self, server_id: str) -> None:
        """In Nova's database only."""
        _compute.reset_state(self._cloud, server_id)

    def stop(self, server_id: str) -> None:
        """Power it off."""
        _compute.stop(self._cloud, server_id)

    def server(self, server_id: str) -> Json | None:
        """Nova's document of it."""
        return _compute.server(self._cloud, server_id)

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
        change = self._run.journal.line_change(
            self._run.incident(line.host),
            line.id,
            line.ledger_state(),
            run_id=self._run.id,
            target=line.target,
            reason=line.reason,
            attempts=line.attempts,
            request_id=line.request_id,
        )
        self._run.lease.renew(line.host, also=change)

    def reached(self, step: str) -> None:
        """Journal the first time only."""
        if step not in self._reached:
            self._reached.add(step)
            self._run.step(step)


def _proves_off(certificate: Json) -> bool:
    """Read back as off, or answered for by a named person with a reason."""
    if certificate["kind"] == "operator":
        return bool(certificate["confirmed_by"] and certificate["confirmed_reason"])
    return bool(certificate["observed_state"] == "off")
