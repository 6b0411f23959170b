# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Watches that fenced hosts stay dead. PRIVATE to this collection: may change at any time.

A BMC can say "off" about a host that runs on, and somebody can switch a host on again. Whatever it does then is a sign
of life: a heartbeat of its nova-compute in Nova, an answer at its probe, a device that reports it on. docs/fencing.md
tells what is seen, and when.
"""

from __future__ import annotations

import concurrent.futures
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CertificateError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.certificate import proves, refuses
from ansible_collections.openstack_ha.recovery.plugins.module_utils._probe import probe, signs_of_life
from ansible_collections.openstack_ha.recovery.plugins.module_utils._run import Run

Json = t.Dict[str, t.Any]

#: Seconds between two looks.
LOOK = 1.0

#: Which devices that have proven a host off report it on, by its power certificate.
Power = t.Callable[[str, Json], t.List[str]]


def _nobody_reads(_host: str, _certificate: Json) -> list[str]:
    return []


#: What people change in Nova's record of a service; its ``updated_at`` moves with them as with a heartbeat.
_SETTINGS = ("status", "disabled_reason", "forced_down")


class Watch:
    """The hosts that a run evacuates.

    :param probes: Host to the ``tcp://address:port`` that answer while it lives.
    :param service: Reads Nova's record of the nova-compute on a host.
    :param silent_for: Seconds without a heartbeat that count as proof where there is no other; more than Nova's
        ``report_interval``.
    :param power: Must not wait for a device.
    """

    def __init__(
        self,
        run: Run,
        probes: t.Mapping[str, list[str]],
        service: t.Callable[[str], Json],
        silent_for: float,
        clock: t.Callable[[], float],
        wait: t.Callable[[float], None],
        say: t.Callable[[str], None],
        power: Power = _nobody_reads,
    ) -> None:
        self._run = run
        self._probes = probes
        self._service = service
        self._power = power
        self._silent_for = silent_for
        self._clock, self._wait, self._say = clock, wait, say
        self._seen: dict[str, Json] = {}
        self._certificates: dict[str, str] = {}
        self._proofs: dict[str, Json] = {}
        self._next_look = 0.0
        self._prober: concurrent.futures.Executor = concurrent.futures.ThreadPoolExecutor(1)
        self._asked: concurrent.futures.Future[dict[str, str]] | None = None

    def check(self) -> None:
        """Return only while each host counts as dead; the first time, not before that can be known.

        :raises CertificateError: There is no valid certificate, or a host shows life.
        """
        first = not self._seen
        if first or self._clock() >= self._next_look:
            self._look()
            self._next_look = self._clock() + LOOK
        if first:
            self._await_silence()

    def lives(self, host: str, sign: str) -> t.NoReturn:
        """Void the certificate of a host, for ever, and stop."""
        self._run.journal.void_certificate(self._certificates[host], sign)
        raise CertificateError(
            f"STOP: {host} shows life although it was fenced: {sign}. Its power certificate is void and nothing more "
            "is evacuated. Make sure that it is off, by other means if its BMC lied, then run again."
        )

    def _look(self) -> None:
        for host in self._probes:
            self._check_certificate(host)
        answers = self._answers(sorted({url for urls in self._probes.values() for url in urls}))
        for host, urls in self._probes.items():
            signs = self._from_nova(host)
            signs += signs_of_life({url: answers[url] for url in urls}, refuses(self._proofs[host]))
            signs += self._power(host, self._proofs[host])
            if signs:
                self.lives(host, "; ".join(signs))

    def _answers(self, urls: list[str]) -> dict[str, str]:
        """Ask, and tell what was answered last: silence takes a timeout to be known, and nobody is to wait for it."""
        asked, self._asked = self._asked, self._prober.submit(probe, urls, timeout=LOOK / 2)
        return (asked or self._asked).result()

    def _check_certificate(self, host: str) -> None:
        certificate = self._run.journal.certificate(self._run.id, host)
        if not certificate or certificate["run_id"] != self._run.id:
            # One that an earlier run made is as old as that run: the host may have been switched on since.
            raise CertificateError(f"{host} has no power certificate in this run: fence it first (host_fence).")
        if certificate["state"] != "valid":
            raise CertificateError(f"The power certificate of {host} is void: {certificate['void_reason']}.")
        if not proves(certificate["certificate"]):
            raise CertificateError(f"The power certificate of {host} does not prove that it is off. Fence it again.")
        self._certificates[host] = certificate["id"]
        self._proofs[host] = certificate["certificate"]

    def _from_nova(self, host: str) -> list[str]:
        """Nova's record of the service, compared only with itself: clocks of other machines say nothing here."""
        now = self._service(host)
        before = self._seen.get(host, now)
        self._seen[host] = now
        if before["forced_down"] and not now["forced_down"]:
            return ["somebody forced it up in Nova"]
        unchanged = all(before[name] == now[name] for name in _SETTINGS)
        if unchanged and before["updated_at"] != now["updated_at"]:
            return [f"its nova-compute reported to Nova again ({before['updated_at']} → {now['updated_at']})"]
        return []

    def _await_silence(self) -> None:
        doubtful = [host for host in self._probes if self._may_still_beat(host)]
        if not doubtful:
            return
        self._say(
            f"Waiting {self._silent_for:g} s for a heartbeat of {', '.join(doubtful)}: neither Nova nor a probe had "
            "found it silent before it was fenced, or its certificate was void before"
        )
        end = self._clock() + self._silent_for
        while self._clock() < end:
            self._wait(min(LOOK, max(0.0, end - self._clock())))
            self._look()

    def _may_still_beat(self, host: str) -> bool:
        """Whether only time can tell that no heartbeat will come."""
        incident = self._run.incident(host)
        if any(certificate["state"] == "void" for certificate in self._run.journal.certificates([incident])):
            return True
        return not self._probes[host] and not self._was_down(host)

    def _was_down(self, host: str) -> bool:
        """Whether Nova had missed its heartbeats already when the run was opened; "forced down" tells nothing."""
        facts = self._run.seen.get(host, {})
        return facts.get("state") == "down" and facts.get("forced_down") is False
