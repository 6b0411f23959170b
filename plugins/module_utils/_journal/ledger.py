# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The ledger: one line per VM of an incident. PRIVATE: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import rows, states
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.database import Database, Work
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.rows import Row
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.schema import table

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported by Database()


_TIMED = ("planned", "requesting", "requested", "landed", "started", "verified")
_FIELDS = (
    "name", "host", "position", "priority", "method", "target", "former_state",
    "attempts", "migration_id", "request_id", "reason", "facts",
)  # fmt: skip
_EMPTY = {**dict.fromkeys(_FIELDS), "attempts": 0, **{f"{state}_at": None for state in _TIMED}}


class Ledger:
    """The part of the journal that knows what becomes of each VM."""

    database: Database

    def plan_lines(self, run_id: str, lines: list[Row]) -> int:
        """Write the lines of a plan, all or none; return how many were written.

        A line that exists is replaced, unless Nova was already asked in the same incident.

        :param lines: For each VM ``incident_id``, ``server_id``, ``state`` (``planned`` if left out) and
            any other fields of the ledger.
        """
        prepared = [_prepare(run_id, line) for line in lines]

        def work(connection: sa.Connection) -> int:
            existing = _keys_of(connection, {line["incident_id"] for line in prepared})
            new = [line for line in prepared if _key(line) not in existing]
            again = [line for line in prepared if _key(line) in existing]
            if new:
                connection.execute(table("ledger").insert(), [{**_EMPTY, **line} for line in new])
            return len(new) + sum(_replace(connection, line) for line in again)

        return self.database.write(work)

    def set_line(
        self,
        incident_id: str,
        server_id: str,
        state: str,
        expect: str | tuple[str, ...] | None = None,
        **fields: t.Any,
    ) -> bool:
        """Change the state and fields of a line if its state is one of those expected; tell whether it was."""
        statement = _change(incident_id, server_id, state, fields)
        if expect is not None:
            expected = (expect,) if isinstance(expect, str) else expect
            statement = statement.where(table("ledger").c.state.in_(expected))
        return rows.update(self.database, statement)

    def line_change(self, incident_id: str, server_id: str, state: str, **fields: t.Any) -> Work[t.Any]:
        """Change a line whatever its state, as part of a transaction: see ``Lease.renew()``."""
        statement = _change(incident_id, server_id, state, fields)
        return lambda connection: connection.execute(statement)

    def lines(self, incident_ids: list[str]) -> list[Row]:
        """The lines of these incidents in the order of the plan."""
        query = rows.matching("ledger", {"incident_id": incident_ids}, ["position", "server_id"])
        return rows.rows(self.database, query)

    def counts(self, incident_ids: list[str]) -> dict[str, int]:
        """How many lines are in each state; states without a line are left out."""
        ledger = table("ledger")
        query = (
            sa.select(ledger.c.state, sa.func.count())
            .where(ledger.c.incident_id.in_(incident_ids))
            .group_by(ledger.c.state)
        )
        return self.database.read(lambda connection: {row[0]: row[1] for row in connection.execute(query)})


def _key(line: t.Any) -> tuple[str, str]:
    return (line["incident_id"], line["server_id"])


def _change(incident_id: str, server_id: str, state: str, fields: Row) -> sa.Update:
    ledger = table("ledger")
    this = sa.and_(ledger.c.incident_id == incident_id, ledger.c.server_id == server_id)
    return ledger.update().where(this).values(_checked({**fields, "state": state}))


def _checked(line: Row) -> Row:
    """The line with the time of its state; unknown states and fields are errors of the caller."""
    unknown = set(line) - {"incident_id", "server_id", "run_id", "state", *_FIELDS}
    if unknown:
        raise ValueError(f"unknown fields of a ledger line: {', '.join(sorted(unknown))}")
    state = states.known(states.LINE, line["state"])
    now = rows.now()
    stamped = {f"{state}_at": now} if state in _TIMED else {}
    return {**line, **stamped, "changed_at": now}


def _prepare(run_id: str, line: Row) -> Row:
    return {**_checked({"state": "planned", **line}), "run_id": run_id}


def _keys_of(connection: sa.Connection, incident_ids: set[str]) -> set[tuple[str, str]]:
    found = connection.execute(rows.matching("ledger", {"incident_id": list(incident_ids)})).mappings()
    return {_key(line) for line in found}


def _replace(connection: sa.Connection, line: Row) -> int:
    ledger = table("ledger")
    this = sa.and_(ledger.c.incident_id == line["incident_id"], ledger.c.server_id == line["server_id"])
    idle = ledger.c.state.not_in(states.LINE_UNDER_WAY)
    return connection.execute(ledger.update().where(this, idle).values(line)).rowcount
