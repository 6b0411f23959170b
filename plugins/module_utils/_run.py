# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The run that a task belongs to: its journal, its lease, its step times. PRIVATE: may change at any time."""

from __future__ import annotations

import contextlib
import functools
import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _order_words
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import Paused, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.lease import Lease
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.options import JOURNAL_SPEC
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import claim_of
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal

Json = t.Dict[str, t.Any]

#: Options of every task that takes part in a run.
RUN_SPEC: dict[str, t.Any] = {"run_id": {"type": "str"}, **JOURNAL_SPEC}

#: Seconds between renewals while a long task works; a fraction of the lease.
KEEP_INTERVAL = 10.0


class Run:
    """One recovery run, as a task sees it. Its hosts are places, see ``places``."""

    def __init__(self, journal: Journal, run_id: str, hosts: t.Sequence[str] | None = None) -> None:
        self.journal = journal
        self.id = run_id
        self.record = journal.run(run_id)
        self.kind: str = self.record["kind"]
        self._hosts = {entry["host"]: entry for entry in self.record["hosts"]}
        wanted = [place for host in hosts for place in self.places(host)] if hosts else list(self._hosts)
        self._working_on = [place for place in wanted if not self.is_held(place)]

    def places(self, host: str) -> list[str]:
        """The place itself, or those on this host that the run is about, where it acts on the host."""
        found = [it for it in self._hosts if host in (it, claim_of(self.kind, it))]
        if not found:
            raise RecoveryError(f"Run {self.id} is not about {host}, but about {', '.join(self._hosts)}.")
        return found

    @functools.cached_property
    def lease(self) -> Lease:
        """The claims on those places that the run has not given up."""
        return Lease.of_run(self.journal, self.id, {claim_of(self.kind, place) for place in self._working_on})

    def check(self, orders: bool = True) -> None:
        """Renew the lease; a run that lost it, or that an operator has stopped, fails here, before it acts.

        :param orders: Whether this step must not be begun while a newer order stops all of its hosts.
        :raises Paused: An operator has stopped it.
        """
        if not self._working_on:
            return
        self.lease.renew()
        stopped = self.stopped() if orders else {}
        if stopped.keys() >= set(self._working_on):
            raise Paused(f"{', '.join(self._working_on)}: {'; '.join(sorted(set(stopped.values())))}")

    def stopped(self) -> dict[str, str]:
        """By host of the run, which order that is newer than the verdict stops it, in words."""
        return {order["covers"]: _order_words.stops(order) for order in self.journal.stopping_orders(self.id)}

    def incident(self, host: str) -> str:
        """The id of a host's incident, or of the first on that host that the run is about."""
        return str(self._hosts[self.places(host)[0]]["incident_id"])

    def is_held(self, host: str) -> bool:
        """Whether an earlier task of this run gave the host up."""
        return self._hosts[host]["outcome"] == "held"

    def ledger(self, hosts: t.Sequence[str]) -> list[Json]:
        """The ledger lines of some hosts' incidents, also those that earlier runs wrote."""
        return self.journal.lines([self.incident(host) for host in hosts])

    @functools.cached_property
    def seen(self) -> dict[str, Json]:
        """What was known of each host when this run was decided on."""
        verdicts = self.journal.verdicts(self.id)
        return verdicts[-1]["snapshot"].get("hosts", {}) if verdicts else {}

    def silent(self) -> list[str]:
        """The hosts that nobody heard then."""
        return sorted(host for host, facts in self.seen.items() if facts.get("silent") or facts.get("heard") is False)

    def step(self, name: str, host: str | None = None, at: float | None = None) -> None:
        """Journal that a step was reached, with the seconds since the run was opened.

        :param at: Moment on the monotonic clock, which all processes of a machine share; default now.
        """
        started = self.record["holder"]["monotonic"]
        self.journal.add_step(self.id, host, name, round((at or time.monotonic()) - started, 3))


@contextlib.contextmanager
def joined(params: t.Mapping[str, t.Any], hosts: t.Sequence[str] | None = None, orders: bool = True) -> t.Iterator[Run]:
    """Join the run named by the options ``run_id`` and ``journal_url``.

    The lease is renewed on entry, so a run that lost it fails before it acts.

    :param orders: See :meth:`Run.check`.
    """
    if not params.get("run_id"):
        raise RecoveryError("run_id: this needs a run. Open one with recovery_run, state=open.")
    with open_journal(params["journal_url"]) as journal:
        run = Run(journal, params["run_id"], hosts)
        run.check(orders)
        yield run


@contextlib.contextmanager
def attached(
    params: t.Mapping[str, t.Any], hosts: t.Sequence[str] | None = None, orders: bool = True
) -> t.Iterator[Run | None]:
    """Join the run if there is one."""
    if not params.get("run_id"):
        yield None
        return
    with joined(params, hosts, orders) as run:
        yield run
