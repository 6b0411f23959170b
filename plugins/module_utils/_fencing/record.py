# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run journals while it fences a host. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import contextlib
import threading

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.certificate import Certificate
from ansible_collections.openstack_ha.recovery.plugins.module_utils._run import Run

#: Steps of a run. From the first one on a device may be at work, until one of the others.
FENCING = "fencing"
FENCED = "fenced"
NOT_FENCED = "not fenced"


class Record:
    """The fencing of one host, as the journal sees it. Without a run there is nothing to see."""

    def __init__(self, run: Run | None, host: str) -> None:
        self._run, self._host = run, host
        self._commanded = False
        self._lock = threading.Lock()

    def before_power_off(self) -> None:
        """Go on only while the run holds its claim, and the first time only if nobody has paused it.

        The step is written before the orders are read, as an order is written before the steps are read: whichever
        comes later sees the other. What has been begun is finished, for half a power-off helps nobody.
        """
        if not self._run:
            return
        with self._lock:
            if self._commanded:
                self._run.lease.renew(self._host)
                return
            self._run.step(FENCING, self._host)
            self._run.check()
            self._commanded = True

    def while_waiting(self) -> None:
        """Go on only while the run holds its claim and, if no device was commanded yet, nobody has paused it."""
        if self._run and self._commanded:
            self._run.lease.renew(self._host)
        elif self._run:
            self._run.check()

    def fenced(self, proof: Certificate) -> None:
        """Keep the certificate."""
        if self._run:
            self._run.journal.add_certificate(self._run.id, self._host, proof)
            self._run.step(FENCED, self._host)

    def not_fenced(self) -> None:
        """Say that no device is at work any more; the error to report is another one, also if this cannot be said."""
        if self._run:
            with contextlib.suppress(RecoveryError):
                self._run.step(NOT_FENCED, self._host)
