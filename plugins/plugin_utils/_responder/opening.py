# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Opens runs: claim, look, decide, journal, hand over. PRIVATE to this collection: may change at any time.

To take a claim may mean to watch another run for as long as its lease, so each opening has a thread of its own, and the
responder goes on listening meanwhile. What the gates say to what is known after the claim was taken is what counts.
"""

from __future__ import annotations

import threading
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute, _recovery, _snapshot
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.site import Site

Json = dict[str, t.Any]
#: A snapshot about these hosts without what the journal knows, and what it was made from.
Look = t.Callable[[t.Sequence[str]], tuple[Json, Site]]


_DEAD = "its host is to be recovered"


class Opened(t.NamedTuple):
    """A run whose hosts are to be recovered, and what was decided."""

    run_id: str
    going: list[str]
    verdicts: dict[str, Json]


class Opener:
    """Opens runs in the journal.

    :param look: See :data:`Look`. :param storm: Adds the fact ``storm`` to a snapshot, and journals it.
    :param cancel: Ends a run of this responder, for a reason.
    """

    def __init__(
        self,
        journal: Journal,
        scope: str,
        cloud: Cloud,
        look: Look,
        storm: t.Callable[[Json, Site], Json],
        lease: float,
        say: t.Callable[[str], None],
        cancel: t.Callable[[str, str], t.Any],
    ) -> None:
        self._journal, self._scope, self._cloud, self._cancel = journal, scope, cloud, cancel
        self._look, self._storm, self._lease, self._say = look, storm, lease, say
        self._left: dict[str, list[str]] = {}
        self._lock = threading.Lock()

    def open(self, hosts: t.Sequence[str], site: Site, among: t.Sequence[str] = ()) -> Opened:
        """Claim the hosts and journal the verdict on them.

        :param among: All suspects, where the verdict that was made about all of them is only to be written down.
        :raises RecoveryError: Nothing was begun, or all that was begun is given back.
        """
        if not among:
            for run_id in _recovery.revoke(self._journal, self._scope, hosts, _DEAD):
                self._say(f"run {run_id} ends: {_DEAD}")
                self._cancel(run_id, _DEAD)
        segments = {host: site.segment(host) for host in hosts}
        run = _recovery.begin(self._journal, self._scope, segments, claims.opener(), self._lease, self._say)
        try:
            verdicts = self._decide(run["id"], among or hosts)
            going = [host for host in hosts if verdicts[host]["verdict"] == "recover"]
            if not going:
                _recovery.finish(self._journal, run["id"])
        except BaseException as error:
            self.give_up(run["id"], hosts, str(error))
            raise
        return Opened(run["id"], going, verdicts)

    def give_up(self, run_id: str, hosts: t.Sequence[str], why: str) -> None:
        """Close a run that never began, as soon as the journal can be written."""
        with self._lock:
            self._left[run_id] = list(hosts)
        self._say(f"run {run_id} on {', '.join(hosts)} is given up: {why}")
        try:
            self.clear()
        except RecoveryError as error:
            self._say(f"it is closed later: {error.message}")

    def clear(self) -> None:
        """Close what was given up while the journal was away: nobody else may, as this process lives."""
        with self._lock:
            left = dict(self._left)
        for run_id, hosts in left.items():
            self._journal.close_run(run_id, "closed", {"refused": "it could not be decided"})
            claims.release(self._journal, run_id, hosts)
            with self._lock:
                self._left.pop(run_id, None)

    def _decide(self, run_id: str, suspects: t.Sequence[str]) -> dict[str, Json]:
        snapshot, site = self._look(suspects)
        known = _recovery.journal_facts(self._journal, self._scope, suspects, site.policy, self._say)
        snapshot = self._storm(_snapshot.merge(snapshot, known), site)
        verdicts = _recovery.decide(self._journal, run_id, snapshot, site.policy, site.policy_hash, site.segments_hash)
        _recovery.ask(self._journal, run_id, verdicts, self._count_vms, 0.0, site.policy["ask"]["default"])
        return verdicts

    def _count_vms(self, host: str) -> int | None:
        try:
            return len(_compute.servers_on(self._cloud, host))
        except CloudError:
            return None
