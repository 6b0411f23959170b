# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Incidents: one failure of one host, from the first look to its end. PRIVATE: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import ages, rows, states
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.database import Database
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.rows import Row
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.schema import table

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported by Database()


class Incidents:
    """The part of the journal that knows incidents."""

    database: Database

    def open_incident(self, host: str, scope: str, segment: str | None, kind: str = "host") -> Row:
        """The incident of the host that has not ended, or a new one."""
        key = f"{scope}/{host}/{kind}"
        new = {
            "id": rows.new_id(), "scope": scope, "host": host, "kind": kind, "segment": segment, "state": "open",
            "reason": None, "open_key": key, "opened_at": rows.now(), "changed_at": rows.now(),
            "opened_mark": ages.mark(), "attempts": 0, "next_look_at": None, "look_after": None, "held_mark": None,
        }  # fmt: skip
        while True:
            found = rows.one(self.database, rows.matching("incidents", {"open_key": key}))
            if found:
                return found
            # False: another process opened it between our look and our insert.
            if rows.insert_if_missing(self.database, "incidents", new):
                return new

    def set_incident(self, incident_id: str, state: str, reason: str | None = None) -> bool:
        """Change the state of an incident that has not ended; tell whether there was one."""
        incidents = table("incidents")
        values: Row = {"state": states.known(states.INCIDENT, state), "reason": reason, "changed_at": rows.now()}
        if state in states.INCIDENT_FINAL:
            values["open_key"] = None
        still_open = sa.and_(incidents.c.id == incident_id, incidents.c.open_key.is_not(None))
        return rows.update(self.database, incidents.update().where(still_open).values(values))

    def incidents(self, **filters: t.Any) -> list[Row]:
        """Incidents whose columns have these values (a list or tuple: any of them), oldest first."""
        return rows.rows(self.database, rows.matching("incidents", filters, ["opened_at", "id"]))
