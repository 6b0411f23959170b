# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What people and other programs are told, and whether it arrived. PRIVATE: may change at any time."""

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

#: The target of what a run has to tell: a responder hands it on to each channel that wants it.
EVERYBODY = "*"


class Notices:
    """The part of the journal that knows notices."""

    database: Database

    def add_notice(
        self,
        scope: str,
        target: str,
        event: str,
        body: Row,
        incident_id: str | None = None,
        run_id: str | None = None,
    ) -> Row:
        """Write what is to be told, before it is tried.

        :param target: The name of a channel, or :data:`EVERYBODY`. :param event: What happened: ``run_started``, …
        """
        notice = {
            "id": rows.new_id(), "scope": scope, "incident_id": incident_id, "run_id": run_id, "target": target,
            "event": event, "body": body, "state": "pending", "attempts": 0, "reason": None, "made_at": rows.now(),
            "made_mark": ages.mark(self.database), "ended_at": None,
        }  # fmt: skip
        return rows.insert(self.database, "notices", notice)

    def take_notice(self, notice_id: str, attempts: int) -> bool:
        """Count an attempt before it is made; tell whether nobody else has made it meanwhile.

        :param attempts: How many there were when it was read.
        """
        notices = table("notices")
        same = sa.and_(notices.c.id == notice_id, notices.c.state == "pending", notices.c.attempts == attempts)
        return rows.update(self.database, notices.update().where(same).values(attempts=attempts + 1))

    def end_notice(self, notice_id: str, state: str, reason: str | None = None) -> bool:
        """Say how an attempt ended, ``pending`` if there will be another; tell whether it was still to be made."""
        notices = table("notices")
        values: Row = {"state": states.known(states.NOTICE, state), "reason": reason}
        if state != "pending":
            values["ended_at"] = rows.now()
        pending = sa.and_(notices.c.id == notice_id, notices.c.state == "pending")
        return rows.update(self.database, notices.update().where(pending).values(values))

    def pending_notices(self, scope: str) -> list[Row]:
        """What is still to be told, oldest first, with ``age`` in seconds."""
        return self.notices(scope=scope, state="pending")

    def notices(self, **filters: t.Any) -> list[Row]:
        """Notices whose columns have these values, oldest first, with ``age`` in seconds."""
        found = rows.rows(self.database, rows.matching("notices", filters, ["made_at", "id"]))
        return [{**it, "age": ages.age(self.database, it["made_mark"], it["made_at"])} for it in found]
