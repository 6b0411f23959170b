# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read from the journal for Masakari's API; called in threads. PRIVATE: may change at any time."""

from __future__ import annotations

import typing as t
import uuid

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.deps import Deps
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.masakari import paging, views

Json = t.Dict[str, t.Any]
Row = t.Dict[str, t.Any]

#: Filters and pages see the newest so many.
WINDOW = 10_000


class Stored:
    """The journal, by uuids."""

    def __init__(self, deps: Deps) -> None:
        self._deps, self._journal = deps, deps.journal

    def orders(self) -> list[Row]:
        """The orders in force."""
        return self._journal.orders(self._deps.scope)

    def signal(self, notification_uuid: str) -> Row | None:
        """The signal of a notification; None if there is none."""
        try:
            wanted = str(uuid.UUID(notification_uuid))
        except ValueError:
            return None
        found = self._journal.signals(id=wanted, scope=self._deps.scope, kind=list(views.TYPES))
        return found[0] if found else None

    def signal_of(self, row: Row) -> Row | None:
        """The signal under which something that was just accepted stands: its own, or the one it repeats."""
        scope = self._deps.scope
        own = self._journal.signals(scope=scope, source=row["source"], event_id=row["event_id"])
        last = own or self._journal.last_states(scope, [row["kind"]], [row["host"]])
        same = [it for it in last if (it["source"], it["object"]) == (row["source"], row["object"])]
        return same[0] if same else None

    def notifications(self, query: paging.Query) -> list[Json]:
        """The newest notifications: as many as may be needed to answer."""
        plain = all(query.get(name) is None for name in ("marker", "status", "type", "source_host_uuid", "sort_key"))
        newest = plain and query.get("sort_dir") is None and query.get("generated-since") is None
        most = max(1, paging.limit(query)) if newest else WINDOW
        signals = self._journal.signals(most, scope=self._deps.scope, kind=list(views.TYPES))
        incidents = self._incidents({it["incident_id"] for it in signals if it["incident_id"]})
        topology = self._deps.topology()
        return [views.notification(it, incidents.get(it["incident_id"]), topology) for it in signals]

    def notification(self, signal: Row, details: bool) -> Json:
        """One notification, with the steps of its runs if wanted."""
        incident = signal["incident_id"]
        found = views.notification(signal, self._incidents({incident} - {None}).get(incident), self._deps.topology())
        if details:
            runs = self._journal.runs_of(incident) if incident else []
            steps = [step for run in runs for step in self._journal.steps(run)]
            mine = [step for step in steps if step["host"] in (None, signal["host"])]
            found["recovery_workflow_details"] = views.workflow(signal, mine)
        return found

    def moves(self, signal: Row) -> list[Json]:
        """The VMs of the host that the signal is about."""
        lines = self._journal.lines([signal["incident_id"]]) if signal["incident_id"] else []
        return views.moves(signal, lines)

    def _incidents(self, ids: t.Collection[str]) -> dict[str, Row]:
        return {it["id"]: it for it in self._journal.incidents(id=list(ids))} if ids else {}
