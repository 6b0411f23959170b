# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Storms: times in which too many hosts were silent at once. PRIVATE: may change at any time."""

from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import ages, rows
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.database import Database
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.rows import Row
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.schema import table

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported by Database()


class Storms:
    """The part of the journal that knows since when too many hosts have been silent, and when that ended."""

    database: Database

    def note_storm(self, scope: str, blowing: bool) -> None:
        """Write that a storm is seen, or that none is; only a change is written."""
        last = self._last(scope)
        if blowing and (last is None or last["ended_at"]):
            storm = {
                "id": rows.new_id(), "scope": scope, "began_at": rows.now(), "began_mark": ages.mark(self.database),
                "ended_at": None, "ended_mark": None,
            }  # fmt: skip
            rows.append(self.database, "storms", "scope", storm)
        if not blowing and last and not last["ended_at"]:
            storms = table("storms")
            this = sa.and_(storms.c.id == last["id"], storms.c.ended_at.is_(None))
            over = {"ended_at": rows.now(), "ended_mark": ages.mark(self.database)}
            rows.update(self.database, storms.update().where(this).values(over))

    def storm(self, scope: str) -> Row:
        """``silent_for``: age of the storm that goes on; ``ended_ago``: seconds since the last one; else None."""
        last = self._last(scope)
        ended = last is not None and last["ended_at"] is not None
        return {
            "silent_for": ages.age(self.database, last["began_mark"], last["began_at"]) if last and not ended else None,
            "ended_ago": ages.age(self.database, last["ended_mark"], last["ended_at"]) if last and ended else None,
        }

    def _last(self, scope: str) -> Row | None:
        query = rows.matching("storms", {"scope": scope}).order_by(table("storms").c.number.desc())
        return rows.one(self.database, query)
