# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Incidents: one failure of one host, VM, unit or network, from first look to end. PRIVATE: may change at any time."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import ages, rows, states
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.database import Database
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import HOST
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.rows import Row
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.schema import table

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported by Database()

_LONGEST_KEY = 528


class Incidents:
    """The part of the journal that knows incidents."""

    database: Database

    def open_incident(
        self,
        host: str,
        scope: str,
        segment: str | None,
        kind: str = HOST,
        object: str = "",
    ) -> Row:
        """The incident of the host that has not ended, or a new one.

        :param object: The VM, unit or network of the host that it is about; empty: the host itself.
        """
        new = self._new(scope, host, kind, object, segment)
        while True:
            found = rows.one(self.database, rows.matching("incidents", {"open_key": new["open_key"]}))
            if found:
                return found
            # False: another process opened it between our look and our insert.
            if rows.insert_if_missing(self.database, "incidents", new):
                return new

    def open_incidents(self, scope: str, wanted: t.Sequence[Row]) -> list[Row]:
        """The same for many: those that have not ended, or new ones, in this order; ``new`` tells which these are.

        :param wanted: Each with ``host``, ``segment``, ``kind`` and ``object``.
        """
        new = [self._new(scope, it["host"], it["kind"], it["object"], it["segment"]) for it in wanted]
        by_key = {it["open_key"]: it for it in new}
        incidents = table("incidents")

        def work(connection: sa.Connection) -> dict[str, Row]:
            query = sa.select(incidents).where(incidents.c.open_key.in_(sorted(by_key)))
            known = {str(row["open_key"]): dict(row) for row in connection.execute(query).mappings()}
            missing = [it for key, it in by_key.items() if key not in known]
            if missing:
                connection.execute(incidents.insert(), missing)
            return {**{key: {**it, "new": True} for key, it in by_key.items()}, **known}

        while new:
            # Another process may open one between our look and our insert; then we look again.
            with contextlib.suppress(sa.exc.IntegrityError):
                found = self.database.write(work)
                return [{"new": False, **found[it["open_key"]]} for it in new]
        return []

    def _new(self, scope: str, host: str, kind: str, about: str, segment: str | None) -> Row:
        now = rows.now()
        return {
            "id": rows.new_id(), "scope": scope, "host": host, "kind": kind, "object": about, "segment": segment,
            "state": "open", "reason": None, "open_key": _open_key(scope, host, kind, about), "opened_at": now,
            "changed_at": now, "opened_mark": ages.mark(self.database), "attempts": 0, "next_look_at": None,
            "look_after": None, "held_mark": None,
        }  # fmt: skip

    def set_incident(
        self, incident_id: str, state: str, reason: str | None = None, attempts: int | None = None
    ) -> bool:
        """Change the state of an incident that has not ended; tell whether there was one.

        :param attempts: How often it was tried in vain so far, if that has changed.
        """
        incidents = table("incidents")
        values: Row = {"state": states.known(states.INCIDENT, state), "reason": reason, "changed_at": rows.now()}
        if attempts is not None:
            values.update(attempts=attempts, look_after=None, next_look_at=None)
        if state in states.INCIDENT_FINAL:
            values["open_key"] = None
        still_open = sa.and_(incidents.c.id == incident_id, incidents.c.open_key.is_not(None))
        return rows.update(self.database, incidents.update().where(still_open).values(values))

    def close_incidents(self, reasons: t.Mapping[str, str]) -> list[str]:
        """End incidents, each for its reason; return the ids of those that had not ended."""
        incidents = table("incidents")
        statement = (
            incidents.update()
            .where(incidents.c.id == sa.bindparam("row"), incidents.c.open_key.is_not(None))
            .values(state="closed", reason=sa.bindparam("why"), changed_at=rows.now(), open_key=None)
        )

        def work(connection: sa.Connection) -> list[str]:
            given = ({"row": incident_id, "why": reason} for incident_id, reason in reasons.items())
            return [it["row"] for it in given if connection.execute(statement, it).rowcount == 1]

        return self.database.write(work) if reasons else []

    def hold_incident(self, incident_id: str, reason: str, attempts: int, look_after: float) -> bool:
        """Hold an incident that has not ended and say in how many seconds somebody should try again."""
        incidents = table("incidents")
        values = {
            "state": "held", "reason": reason, "changed_at": rows.now(), "attempts": attempts,
            "next_look_at": rows.now(look_after), "look_after": look_after, "held_mark": ages.mark(self.database),
        }  # fmt: skip
        still_open = sa.and_(incidents.c.id == incident_id, incidents.c.open_key.is_not(None))
        return rows.update(self.database, incidents.update().where(still_open).values(values))

    def retries(self, scope: str | None = None, kind: str = HOST) -> list[Row]:
        """Held incidents that wait for another try; ``due_in`` is how many seconds are left, 0 when it is due."""
        incidents = table("incidents")
        filters = {"state": "held", "kind": kind, **({} if scope is None else {"scope": scope})}
        query = rows.matching("incidents", filters, ["scope", "host"]).where(incidents.c.look_after.is_not(None))
        return [{**it, "due_in": self._due_in(it)} for it in rows.rows(self.database, query)]

    def _due_in(self, incident: Row) -> float:
        if incident["state"] != "held" or incident["look_after"] is None:
            return 0.0
        return max(0.0, incident["look_after"] - (ages.age(self.database, incident["held_mark"]) or 0.0))

    def recoveries(self, scope: str, hosts: t.Sequence[str], within: float) -> dict[str, int]:
        """By host, how many incidents that have ended began within so many seconds and had a power certificate."""
        incidents, certificates = table("incidents"), table("certificates")
        query = rows.matching("incidents", {"scope": scope, "host": list(hosts)}).where(
            incidents.c.open_key.is_(None), incidents.c.id.in_(sa.select(certificates.c.incident_id))
        )
        counts = dict.fromkeys(hosts, 0)
        for it in rows.rows(self.database, query):
            counts[it["host"]] += (ages.age(self.database, it["opened_mark"], it["opened_at"]) or 0.0) <= within
        return counts

    def unended_incidents(self, **filters: t.Any) -> list[Row]:
        """Incidents that have not ended and whose columns have these values, oldest first, with ``age`` and ``due_in``.

        Both in seconds: since it was opened, and until it is to be tried again.
        """
        query = rows.matching("incidents", filters, ["opened_at", "id"])
        found = rows.rows(self.database, query.where(table("incidents").c.open_key.is_not(None)))
        age = functools.partial(ages.age, self.database, now=ages.mark(self.database))
        return [{**it, "age": age(it["opened_mark"], it["opened_at"]), "due_in": self._due_in(it)} for it in found]

    def incidents(self, **filters: t.Any) -> list[Row]:
        """Incidents whose columns have these values (a list or tuple: any of them), oldest first."""
        return rows.rows(self.database, rows.matching("incidents", filters, ["opened_at", "id"]))


def _open_key(scope: str, host: str, kind: str, about: str) -> str:
    """Unique while the incident goes on; what is too long for an index is told apart by its digest."""
    key = "/".join([scope, host, kind, *([about] if about else [])])
    return key if len(key) <= _LONGEST_KEY else hashlib.sha256(key.encode()).hexdigest()
