# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each responder hears, for the others. PRIVATE: may change at any time."""

from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import ages, rows
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.database import Database
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.rows import Row
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.schema import table

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported by Database()


class Observers:
    """The part of the journal that knows the responders."""

    database: Database

    def observe(self, scope: str, name: str, holder: Row, view: Row, decided: bool) -> None:
        """Write that a responder is there now, and what it hears.

        :param view: What others should know of it. :param decided: Whether it has just ended a look without trouble.
        """
        now, mark = rows.now(), ages.mark(self.database)
        values: Row = {"holder": holder, "view": view, "seen_at": now, "seen_mark": mark}
        if decided:
            values.update(decided_at=now, decided_mark=mark)
        observers = table("observers")
        this = sa.and_(observers.c.scope == scope, observers.c.name == name)
        beat = observers.update().where(this).values({**values, "beats": observers.c.beats + 1})
        first = {"scope": scope, "name": name, **values, "beats": 1}
        while not rows.update(self.database, beat) and not rows.insert_if_missing(self.database, "observers", first):
            pass

    def observers(self, scope: str) -> list[Row]:
        """What each responder has written last, with ``age`` and ``decided_age`` in seconds."""
        return [
            {
                **it,
                "age": ages.age(self.database, it["seen_mark"], it["seen_at"]),
                "decided_age": ages.age(self.database, it["decided_mark"], it["decided_at"]),
            }
            for it in rows.rows(self.database, rows.matching("observers", {"scope": scope}, ["name"]))
        ]
