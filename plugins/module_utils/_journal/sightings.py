# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When each host was last heard, by whom. PRIVATE: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import ages, rows
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.database import Database
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.rows import Row
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.schema import table

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported by Database()


class Sightings:
    """The part of the journal that knows the last sign of life of each host."""

    database: Database

    def sight(self, scope: str, host: str, source: str, armed: bool) -> None:
        """Write that a witness heard a host now.

        :param armed: Whether the host said that its watchdog would switch it off when it loses its networks.
        """
        key = {"scope": scope, "host": host, "source": source}
        values = {"armed": armed, "heard_at": rows.now(), "heard_mark": ages.mark(self.database)}
        rows.upsert(self.database, "sightings", key, values)

    def sight_all(self, scope: str, source: str, armed: t.Mapping[str, bool]) -> None:
        """The same of many hosts, in one transaction."""
        sightings = table("sightings")
        values: Row = {"heard_at": rows.now(), "heard_mark": ages.mark(self.database)}

        def work(connection: sa.Connection) -> None:
            for host in sorted(armed):
                key = {"scope": scope, "host": host, "source": source}
                this = [sightings.c[column] == value for column, value in key.items()]
                new = {**values, "armed": armed[host]}
                if connection.execute(sightings.update().where(*this).values(new)).rowcount != 1:
                    connection.execute(sightings.insert(), {**key, **new})

        if armed:
            self.database.write(work)

    def sightings(self, scope: str, host: str | t.Sequence[str]) -> list[Row]:
        """The last time each witness heard a host: ``source``, ``armed``, ``heard_at``, ``age`` in seconds."""
        hosts = [host] if isinstance(host, str) else list(host)
        query = rows.matching("sightings", {"scope": scope, "host": hosts}, ["host", "source"])
        return [
            {**it, "age": ages.age(self.database, it["heard_mark"], it["heard_at"])}
            for it in rows.rows(self.database, query)
        ]
