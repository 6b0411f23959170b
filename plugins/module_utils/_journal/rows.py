# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small helpers around rows. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import datetime
import typing as t
import uuid

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.database import Database
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.schema import table

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported by Database()

Row = t.Dict[str, t.Any]

_APPEND_TRIES = 20


def now(later: float = 0.0) -> str:
    """The time, for people; or what it will be so many seconds later."""
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=later)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_id() -> str:
    """A new id."""
    return str(uuid.uuid4())


def matching(name: str, filters: Row, order: t.Sequence[str] = ()) -> sa.Select:
    """SELECT of the rows whose columns have these values; a list or tuple means any of them."""
    found = table(name)
    query = sa.select(found).order_by(*(found.c[column] for column in order))
    for column, value in filters.items():
        wanted = found.c[column]
        query = query.where(wanted.in_(value) if isinstance(value, (list, tuple)) else wanted == value)
    return query


def rows(database: Database, query: sa.Select) -> list[Row]:
    """The rows of a query as plain dictionaries."""
    return database.read(lambda connection: [dict(row) for row in connection.execute(query).mappings()])


def one(database: Database, query: sa.Select) -> Row | None:
    """The first row of a query."""
    found = rows(database, query.limit(1))
    return found[0] if found else None


def insert(database: Database, name: str, row: Row) -> Row:
    """Insert a row and return it."""
    try:
        database.write(lambda connection: connection.execute(table(name).insert(), row))
    except sa.exc.IntegrityError as error:
        raise _refused(database, name, error) from error
    return row


def insert_if_missing(database: Database, name: str, row: Row) -> bool:
    """Insert a row unless its key is taken; tell whether it was inserted."""
    try:
        database.write(lambda connection: connection.execute(table(name).insert(), row))
    except sa.exc.IntegrityError:
        return False
    return True


def update(database: Database, statement: sa.Update) -> bool:
    """Run an UPDATE of one row; tell whether there was such a row."""
    return database.write(lambda connection: connection.execute(statement).rowcount) == 1


def upsert(database: Database, name: str, key: Row, values: Row) -> None:
    """Change the row with this key, or insert it; the last writer wins."""
    found = table(name)
    statement = found.update().where(*(found.c[column] == value for column, value in key.items())).values(values)
    # Twice at most: whoever inserts between our look and our insert has made a row that can be changed.
    while not update(database, statement) and not insert_if_missing(database, name, {**key, **values}):
        pass


def append(database: Database, name: str, parent: str, row: Row) -> Row:
    """Insert a row with the next ``number`` of its parent.

    Two writers may find the same number; the unique key refuses one of them, which counts again.
    """
    found = table(name)
    last = sa.select(sa.func.max(found.c.number)).where(found.c[parent] == row[parent])

    def work(connection: sa.Connection) -> Row:
        numbered = {**row, "number": (connection.scalar(last) or 0) + 1}
        connection.execute(found.insert(), numbered)
        return numbered

    tries = _APPEND_TRIES
    while True:
        try:
            return database.write(work)
        except sa.exc.IntegrityError as error:  # noqa: PERF203  # the rare case, and the point of the loop
            tries -= 1
            if not tries:
                raise _refused(database, name, error) from error


def _refused(database: Database, name: str, error: t.Any) -> JournalError:
    return JournalError(f"{database.name} refused a row of {name}: {error.orig}. Does its run exist there?")
