# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which hosts others are at work on, and which they have left in the middle. PRIVATE: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.holder import is_alive
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import (
    HOST,
    KINDS,
    NETWORK,
    PROCESS,
    claim_of,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal

Json = dict[str, t.Any]


class Claimed:
    """The claims of runs, as one look has found them.

    :ivar at_work: Hosts that a run about hosts is at work on, as far as can be told.
    :ivar abandoned: Hosts of runs that never ended, whose process is gone or has not renewed its claim. To take such a
        claim means to watch it for a whole lease once more.
    :ivar of_kind: By other kinds the places that runs are at work on, and the runs by these.
    """

    def __init__(self, journal: Journal, scope: str, clock: t.Callable[[], float]) -> None:
        self._journal, self._scope, self._clock = journal, scope, clock
        self._seen: dict[tuple[t.Any, ...], float] = {}
        self.at_work: set[str] = set()
        self.abandoned: set[str] = set()
        self.of_kind: dict[str, dict[str, str]] = {}

    def look(self) -> None:
        """Look again."""
        now, taken = self._clock(), claims.taken(self._journal, self._scope)
        marks = {it["host"]: tuple(it[key] for key in ("host", "run_id", "token", "beats")) for it in taken}
        self._seen = {mark: self._seen.get(mark, now) for mark in marks.values()}
        working = [it for it in taken if self._works(it, now - self._seen[marks[it["host"]]])]
        self.at_work = {it["host"] for it in working if it["kind"] == HOST}
        self.of_kind = {kind: {} for kind in KINDS if kind != HOST}
        for it in working:
            self.of_kind.get(it["kind"], {})[it["host"]] = it["run_id"]
        self.abandoned = self._abandoned(taken, working)

    @property
    def on_hosts(self) -> set[str]:
        """Hosts that are claimed by runs which are not about them."""
        return {*self.of_kind.get(PROCESS, {}), *self.of_kind.get(NETWORK, {})}

    def works(self, kind: str, place: str) -> bool:
        """Whether a run of this kind, which is not about hosts, is at work there."""
        return claim_of(kind, place) in self.of_kind.get(kind, {})

    def _abandoned(self, taken: t.Sequence[Json], working: t.Sequence[Json]) -> set[str]:
        claimed = {it["run_id"] for it in working}
        stalled = {str(it["run_id"]) for it in taken} - claimed
        dead = [
            run
            for run in self._journal.open_runs(self._scope)
            if run["kind"] == HOST
            and run["id"] not in claimed
            and (is_alive(run["holder"]) is False or run["id"] in stalled)
        ]
        return {entry["host"] for run in dead for entry in run["hosts"] if entry["outcome"] is None} - self.at_work

    def _works(self, claim: Json, still: float) -> bool:
        alive = is_alive(claim["holder"] or {})
        # A holder renews three times within its lease.
        return still < claim["lease_seconds"] / 2 if alive is None else alive
