# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Nova and probes say, asked for before it is needed. PRIVATE to this collection: may change at any time.

A decision waits only for what is too old; a Nova that hangs is waited for so long and no longer.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import threading
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._probe import SILENT, probe

Json = dict[str, t.Any]
Probe = t.Callable[[t.Sequence[str], float], dict[str, str]]

PATIENCE = 3.0  # seconds that a decision waits for Nova


@dataclasses.dataclass(frozen=True)
class Services:
    """What Nova said of its services last, and whether it answers now."""

    found: list[Json]
    answers: bool

    @functools.cached_property
    def computes(self) -> dict[str, Json]:
        """Each nova-compute by its host."""
        return {service["host"]: service for service in self.found if service["binary"] == "nova-compute"}


class Sources:
    """Keeps the last answers, with the moment before which they were asked for. Safe to use from several threads."""

    def __init__(
        self,
        cloud: Cloud,
        clock: t.Callable[[], float],
        probe_timeout: float,
        patience: float = PATIENCE,
        ask: Probe = probe,
    ) -> None:
        self.cloud = cloud
        self._clock, self._timeout, self._patience, self._ask = clock, probe_timeout, patience, ask
        self._pool = concurrent.futures.ThreadPoolExecutor(4, "sources")
        self._lock = threading.Lock()
        self._asking: concurrent.futures.Future[None] | None = None
        self._services: list[Json] = []
        self._services_at: float | None = None
        self._answers: dict[str, tuple[str, float]] = {}
        self._error: RecoveryError | None = None

    def close(self) -> None:
        """Ask nothing any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def prefetch(self, urls: t.Collection[str]) -> None:
        """Ask now for what a decision will need soon; waits for nothing."""
        self._ask_nova()
        if urls:
            self._pool.submit(self._probe, sorted(urls))

    def services(self, max_age: float) -> Services:
        """Nova's services, asked for anew if they are older than that."""
        oldest = self._clock() - max_age
        for _try in range(2):  # what is under way may have been asked for too long ago
            if self._younger(oldest):
                break
            done, _waiting = concurrent.futures.wait([self._ask_nova()], timeout=self._patience)
            if not done:
                break
        return Services(self._services, self._younger(oldest))

    def answers(self, urls: t.Collection[str], max_age: float) -> dict[str, str]:
        """What each of these answers to a probe that is not older.

        :raises RecoveryError: This machine could not even try.
        """
        oldest = self._clock() - max_age
        missing = sorted(url for url in urls if self._answers.get(url, ("", oldest - 1))[1] < oldest)
        if missing:
            self._probe(missing)
            if self._error:
                raise self._error
        return {url: self._answers.get(url, (SILENT, 0.0))[0] for url in urls}

    def _younger(self, than: float) -> bool:
        return self._services_at is not None and self._services_at >= than

    def _ask_nova(self) -> concurrent.futures.Future[None]:
        """Ask, unless that is under way."""
        with self._lock:
            if self._asking is None or self._asking.done():
                self._asking = self._pool.submit(self._read_nova, self._clock())
            return self._asking

    def _read_nova(self, asked: float) -> None:
        try:
            found = _compute.services(self.cloud)
        except RecoveryError:  # that nobody answers is seen by the age of the last answer
            return
        self._services, self._services_at = found, asked

    def _probe(self, urls: list[str]) -> None:
        asked = self._clock()
        try:
            found = self._ask(urls, self._timeout)
        except RecoveryError as error:
            self._error = error
            return
        self._error = None
        self._answers.update({url: (answer, asked) for url, answer in found.items()})
