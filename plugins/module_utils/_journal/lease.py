# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lease of a run on its claims. PRIVATE to this collection: may change at any time.

Every mutating call is preceded by :meth:`Lease.renew`. Killing ansible-playbook does not stop the
task that is running (ansible-core 2.19 and later), so the renewal also looks whether the processes that
wanted the work are still there.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import LeaseLost, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims, rows
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import holder as holders
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.database import Work
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError, JournalGone
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.rows import Row
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.schema import table
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported when the journal is opened


class _Gone(Exception):
    """The row that a renewal must hit is not ours any more."""

    def __init__(self, claim: Row) -> None:
        super().__init__(claim["host"])
        self.claim = claim


class Lease:
    """The claims of one run on some hosts, as one task uses them. Safe to use from several threads."""

    def __init__(
        self,
        journal: Journal,
        run_id: str,
        held: list[Row],
        clock: t.Callable[[], float] = time.monotonic,
        sleep: t.Callable[[float], None] = time.sleep,
    ) -> None:
        self.run_id = run_id
        self.tokens = {claim["host"]: int(claim["token"]) for claim in held}
        self.seconds = min(float(claim["lease_seconds"]) for claim in held)
        self._journal = journal
        self._claims = {claim["host"]: claim for claim in held}
        self._clock, self._sleep = clock, sleep
        self._parent = os.getppid()
        self._last = clock()
        self._lost: LeaseLost | None = None

    @classmethod
    def of_run(
        cls,
        journal: Journal,
        run_id: str,
        hosts: t.Iterable[str],
        clock: t.Callable[[], float] = time.monotonic,
        sleep: t.Callable[[float], None] = time.sleep,
    ) -> Lease:
        """The lease that a run holds on these hosts.

        :raises LeaseLost: It does not hold all of them.
        """
        wanted = sorted(set(hosts))
        held = claims.held(journal, run_id, wanted)
        missing = [host for host in wanted if host not in [claim["host"] for claim in held]]
        if missing or not held:
            raise LeaseLost(
                f"Run {run_id} holds no claim on {', '.join(missing) or 'any host'}: {_now(journal, missing)}. "
                "Nothing was changed. Open a run with recovery_run first; if it had one, start the playbook again."
            )
        return cls(journal, run_id, held, clock, sleep)

    def renew(self, host: str | None = None, also: Work[t.Any] | None = None) -> None:
        """Beat once for one host or for all; return only while this run certainly holds them.

        A database that is away is asked again until the lease would have run out.

        :param also: What to write in the same transaction: only the holder writes it. It may run more than once.
        :raises LeaseLost: This run must not change anything any more; so does every later call.
        """
        self.check()
        beaten = [self._claims[host]] if host else list(self._claims.values())
        pause = 0.05
        while True:
            asked = self._clock()
            trouble = self._try_to_beat(beaten, also)
            # An answer that was long under way says little about now.
            if not trouble and self._clock() - asked < self.seconds / 2:
                self._last = asked
                return
            if self._clock() + pause - self._last > self.seconds:
                cause = trouble or "the journal answers too slowly"
                raise self._lose(f"it could not be renewed for {self.seconds:g} s: {cause}")
            self._sleep(pause)
            pause = min(pause * 2, 1.0)

    def check(self) -> None:
        """Raise LeaseLost if it is lost as far as this machine can tell; asks no database."""
        if self._lost:
            raise self._lost
        self._check_processes()

    @contextlib.contextmanager
    def keep(self, interval: float | None = None) -> t.Iterator[Lease]:
        """Renew in the background until the block ends; what fails there is raised by the next renewal.

        :param interval: Seconds between renewals; a third of the lease by default.
        """
        stop = threading.Event()
        arguments = (stop, interval or self.seconds / 3)
        thread = threading.Thread(target=self._renew_until, args=arguments, name="lease", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stop.set()
            thread.join()

    def _renew_until(self, stop: threading.Event, interval: float) -> None:
        while not stop.wait(interval):
            if not self._renewed():
                return

    def _renewed(self) -> bool:
        try:
            self.renew()
        except LeaseLost:
            return False
        except Exception as error:
            self._lose(f"it could not be renewed: {error}")
            raise
        return True

    def _check_processes(self) -> None:
        if os.getppid() != self._parent:
            raise self._lose("the process that started this one is gone, so nobody waits for this work")
        for claim in self._claims.values():
            if holders.is_alive(claim["holder"] or {}) is False:
                raise self._lose(f"{holders.words(claim['holder'])} is gone, which held it")

    def _try_to_beat(self, beaten: list[Row], also: Work[t.Any] | None) -> RecoveryError | None:
        try:
            self._journal.database.write(lambda connection: _beat(connection, beaten, also), patience=0)
        except JournalGone as error:
            raise self._lose(error.message) from error
        except JournalError as error:
            return error
        except _Gone as gone:
            raise self._lose(_now(self._journal, [gone.claim["host"]], gone.claim["scope"])) from gone
        return None

    def _lose(self, why: str) -> LeaseLost:
        self._lost = self._lost or LeaseLost(
            f"Run {self.run_id} lost its claim on {', '.join(self._claims)}: {why}. It changes nothing any more. "
            "Start the playbook again: it picks up what is unfinished."
        )
        return self._lost


def _beat(connection: sa.Connection, beaten: list[Row], also: Work[t.Any] | None) -> None:
    table_ = table("claims")
    for claim in beaten:
        same = [table_.c[key] == claim[key] for key in ("scope", "host", "run_id", "token")]
        if connection.execute(table_.update().where(*same).values(beats=table_.c.beats + 1)).rowcount != 1:
            raise _Gone(claim)
    if also:
        also(connection)


def _now(journal: Journal, hosts: list[str], scope: str | None = None) -> str:
    """Who holds these hosts now, in words."""
    filters: Row = {"host": hosts} if scope is None else {"host": hosts, "scope": scope}
    try:
        found = rows.rows(journal.database, rows.matching("claims", filters, ["scope", "host"]))
    except JournalError as error:
        return error.message
    taken = [it for it in found if it["run_id"]]
    if not taken:
        return "nobody holds it now"
    return "; ".join(f"{it['host']} is held by run {it['run_id']} of {holders.words(it['holder'])}" for it in taken)
