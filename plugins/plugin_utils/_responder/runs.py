# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runs that this responder has started, from their claims to their end. PRIVATE: may change at any time.

A run is opened in the journal by who decided (``_recovery.begin()`` and ``_recovery.decide()``), with
``claims.opener()`` as its holder, and started here::

    run = _recovery.begin(journal, scope, segments, claims.opener(), lease_seconds, say)
    verdicts = _recovery.decide(journal, run["id"], ...)
    runs.start(run["id"], [host for host, it in verdicts.items() if it["verdict"] == "recover"])

Its claims are kept here until the playbook takes them over (``recovery_run`` with ``run_id``). What never came so far
is closed, and its hosts are tried again after a while.
"""

from __future__ import annotations

import dataclasses
import itertools
import threading
import time
import typing as t
from pathlib import Path

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _recovery
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import LeaseLost, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.lease import Lease
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import host_of
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import environment, retention
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.awx import AwxLauncher
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.launch import (
    RECOVER_HOST,
    Ended,
    Json,
    Launcher,
    Order,
    Progress,
    Say,
    write_secret,
)
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.run import LocalLauncher
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.warm import Warm

#: run id, hosts, status, return code, reason
OnEnd = t.Callable[[str, t.List[str], str, t.Optional[int], t.Optional[str]], None]

#: How a run may end: what :class:`launch.Ended` says, or ``lost``: its processes are gone and it is still open, so
#: somebody must take it up again.
STATUSES = ("successful", "failed", "canceled", "timeout", "lost")

START_WITHIN = 120.0  # seconds until a playbook must have taken its run over: what it was decided from is old then
_STOPS = "this responder stops"
_PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0)  # seconds between attempts to write an end into a journal that is away
_HOUR = 3600.0


class Config(t.Protocol):
    """What is needed of the configuration of the responder."""

    name: str
    runs: Json


class _Job:
    """One run, while it is at work."""

    def __init__(self, order: Order, progress: Progress) -> None:
        self.order, self.progress = order, progress
        self.began = time.monotonic()
        self.taken_over = False
        self.cancel_reason: str | None = None
        self.done = threading.Event()

    def canceled(self) -> str | None:
        """Why it is to end now."""
        return self.cancel_reason

    def cancel(self, reason: str) -> None:
        """End it soon; the first reason counts."""
        self.cancel_reason = self.cancel_reason or reason


class Runs:
    """Starts runs and sees them to their end.

    :param config: ``name`` and ``runs`` of the responder's configuration, complete with defaults.
    :param journal_url: Of the database, or ``file:`` and the path of a file that holds it.
    :param say: Told what people should read in the log.
    :param on_end: Told once of each run, from the run's thread: run id, hosts, one of :data:`STATUSES`, rc, reason.
    """

    def __init__(
        self, config: Config, journal_url: str, say: Say, on_end: OnEnd, start_within: float = START_WITHIN
    ) -> None:
        self._settings, self._say, self._on_end, self._start_within = config.runs, say, on_end, start_within
        self._journal = open_journal(journal_url)
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()
        self._turns = threading.BoundedSemaphore(int(self._settings["at_once"]))
        self._stopping = threading.Event()
        self._retained = time.monotonic() - _HOUR
        self._warm: Warm | None = None
        self._launcher = self._launcher_for(journal_url)

    def _launcher_for(self, journal_url: str) -> Launcher:
        if self._settings["awx"]:
            return AwxLauncher(self._settings["awx"])
        directory = str(self._settings["directory"])
        variables = environment.for_runs(_journal_file(directory, journal_url))
        self._warm = Warm(LocalLauncher(directory, "", variables).complete(), directory, self._say)
        if self._settings["warm"]:
            self._warm.start()
        return LocalLauncher(directory, self._settings["inventory"], {**variables, **self._warm.variables()})

    # -- what the responder asks for -------------------------------------------------------------------------------

    def start(
        self, run_id: str, hosts: t.Sequence[str], playbook: str = RECOVER_HOST, extra: Json | None = None
    ) -> None:
        """Start the playbook for an open run and return at once.

        :param hosts: The places that it has claimed, see ``places``. :param extra: More variables.
        :raises RecoveryError: This stops, or has started it already.
        """
        variables = {**self._settings["extra_vars"], **(extra or {})}
        failed = sorted({host_of(place) for place in hosts})
        variables.update(failed_hosts=failed, opened_run=run_id, attended=False)
        order = Order(run_id, tuple(hosts), playbook, variables, self._settings["timeout"])
        job = _Job(order, Progress(order, self._launcher.kind, self._say))
        with self._lock:
            if self._stopping.is_set() or run_id in self._jobs:
                raise RecoveryError(f"Run {run_id} was not started: {_STOPS}, or it is at work already.")
            self._jobs[run_id] = job
        threading.Thread(target=self._work, args=(job,), name=f"run {run_id}", daemon=True).start()

    def cancel(self, run_id: str, reason: str) -> bool:
        """End a run soon; tell whether it is one of these. Its hosts are held and tried again after a while."""
        with self._lock:
            job = self._jobs.get(run_id)
        if job:
            job.cancel(reason)
        return job is not None

    def active(self) -> dict[str, list[str]]:
        """Hosts by run."""
        with self._lock:
            return {run_id: list(job.order.hosts) for run_id, job in self._jobs.items()}

    def stop(self, grace: float) -> None:
        """Start nothing any more; give the runs so many seconds to end.

        Then those on this machine are cancelled and left open, their claims free, so that another responder, or this
        one when it is back, takes them up. Jobs of AWX that have taken over go on.
        """
        self._stopping.set()
        with self._lock:
            jobs = list(self._jobs.values())
        deadline = time.monotonic() + grace
        for job in jobs:
            job.done.wait(max(0.0, deadline - time.monotonic()))
        ended = [job for job in jobs if not (self._launcher.outlives and job.taken_over)]
        for job in ended:
            job.cancel(_STOPS)
        for job in ended:
            job.done.wait(_PAUSES[-1] * 3)
        if self._warm:
            self._warm.stop()

    def retain(self) -> int:
        """Remove artifacts that are too old or too many; return how many. Never those of what has not ended."""
        self._retained = time.monotonic()
        rules = retention.Rules(self._settings["keep_days"], self._settings["keep_count"])
        return retention.retain(Path(self._settings["directory"], "artifacts"), rules, self._journal, self.active())

    # -- one run, in its thread ------------------------------------------------------------------------------------

    def _work(self, job: _Job) -> None:
        try:
            ended = self._launched(job)
        except Exception as error:
            ended = Ended("failed", None, str(error))
        ended = self._settled(job, ended)
        with self._lock:
            del self._jobs[job.order.run_id]
        self._say(f"run {job.order.run_id}: {ended.status}{f': {ended.reason}' if ended.reason else ''}")
        try:
            self._on_end(job.order.run_id, list(job.order.hosts), ended.status, ended.rc, ended.reason)
        finally:
            job.done.set()
        self._retain_sometimes()

    def _launched(self, job: _Job) -> Ended:
        lease = Lease.of_run(self._journal, job.order.run_id, job.order.hosts)
        self._note(job)
        ended = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(job, lease, ended), daemon=True)
        keeper.start()
        try:
            while not self._turns.acquire(timeout=0.2):
                if job.cancel_reason:
                    return Ended("canceled", None, job.cancel_reason)
            try:
                return self._launcher.run(job.order, job.progress, job.canceled)
            finally:
                self._turns.release()
        finally:
            ended.set()
            keeper.join()

    def _keep(self, job: _Job, lease: Lease, ended: threading.Event) -> None:
        """Keep the claims until the playbook has them, and the journal informed until the end."""
        while not ended.wait(min(1.0, lease.seconds / 5)):
            self._keep_once(job, lease)

    def _keep_once(self, job: _Job, lease: Lease) -> None:
        try:
            if not job.taken_over:
                self._renew(job, lease)
            self._note(job)
        except JournalError as error:
            self._say(f"run {job.order.run_id}: {error.message}")

    def _renew(self, job: _Job, lease: Lease) -> None:
        try:
            lease.renew()
        except LeaseLost as lost:
            job.taken_over = self._is_taken_over(job)
            if not job.taken_over:
                job.cancel(lost.message)
        else:
            if time.monotonic() - job.began > self._start_within:
                job.cancel(f"no playbook took it over within {self._start_within:g} s")

    def _is_taken_over(self, job: _Job) -> bool:
        run = self._journal.run(job.order.run_id)
        return not run["holder"].get("hands_over")

    def _note(self, job: _Job) -> None:
        news = job.progress.news()
        if news:
            self._journal.set_launch(job.order.run_id, news)

    # -- its end ---------------------------------------------------------------------------------------------------

    def _settled(self, job: _Job, ended: Ended) -> Ended:
        """Write the end into the journal, however long that is away: the claims would be held for ever."""
        job.progress.set(status=ended.status, rc=ended.rc, reason=ended.reason)
        for pause in itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1])):
            settled = self._try_to_settle(job, ended)
            if settled:
                return settled
            if self._stopping.wait(pause):
                break
        return dataclasses.replace(ended, status="lost", reason="its end could not be written into the journal")

    def _try_to_settle(self, job: _Job, ended: Ended) -> Ended | None:
        try:
            return self._settle(job, ended)
        except RecoveryError as error:
            self._say(f"run {job.order.run_id}: its end could not be written: {error.message}")
            return None

    def _settle(self, job: _Job, ended: Ended) -> Ended:
        self._note(job)
        run = self._journal.run(job.order.run_id)
        if run["state"] != "open":
            return ended
        if job.cancel_reason == _STOPS:
            claims.release(self._journal, run["id"], job.order.hosts)
            return ended
        if run["holder"].get("hands_over"):
            return self._refuse(run, ended)
        if ended.status in ("canceled", "timeout"):
            self._close(run, ended.status, f"{ended.status}: {ended.reason}")
            return ended
        return dataclasses.replace(ended, status="lost", reason=ended.reason or "its playbook ended and left it open")

    def _refuse(self, run: Json, ended: Ended) -> Ended:
        """No playbook took it over, so nothing was done."""
        reason = f"not begun: {ended.reason or 'the playbook ended without taking the run over'}"
        self._close(run, "refused", reason)
        return Ended(ended.status if ended.status != "successful" else "failed", ended.rc, reason)

    def _close(self, run: Json, how: str, reason: str) -> None:
        if not self._journal.close_run(run["id"], "closed", {how: reason}):
            return
        for entry in run["hosts"]:
            if entry["outcome"] is None:
                _recovery.hold(self._journal, run["id"], entry["host"], reason)

    def _retain_sometimes(self) -> None:
        if time.monotonic() - self._retained < _HOUR:
            return
        try:
            self.retain()
        except (RecoveryError, OSError) as error:
            self._say(f"Artifacts of old runs could not be removed: {error}")


def _journal_file(directory: str, journal_url: str) -> str:
    """The file from which the playbooks read the URL; a password must not be in their environment."""
    if journal_url.startswith("file:"):
        return journal_url[len("file:") :]
    path = Path(directory, "journal_url")
    write_secret(path, journal_url)
    return str(path)
