# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings the tables of a journal up to date. PRIVATE to this collection: may change at any time.

Alembic is imported only when something has to change: it costs more than all else that a run does
with the journal.
"""

from __future__ import annotations

import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.database import Database
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.revisions import (
    r0001_initial,
    r0002_orders,
    r0003_signals,
    r0004_places,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.schema import OPTIONS

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported by Database()

REVISIONS: list[t.Any] = [r0001_initial, r0002_orders, r0003_signals, r0004_places]
HEAD: str = REVISIONS[-1].revision
VERSION_TABLE = "journal_version"

_RACE_SECONDS = 30.0  # for another process that opened the same new journal to finish its tables


def ensure_current(database: Database) -> None:
    """Upgrade the tables if they are older than this code; refuse if they are newer."""
    found = database.read(_revision, patience=0)
    if found == HEAD:
        return
    _refuse_newer(database, found)
    deadline = time.monotonic() + _RACE_SECONDS
    while True:
        try:
            database.write(_upgrade)
            return
        except (JournalError, sa.exc.IntegrityError) as error:
            # SQLite lets one process in at a time. On the others two may create tables at once; then one fails.
            if time.monotonic() > deadline:
                raise JournalError(f"Cannot create the tables of {database.name}: {error}") from error
        time.sleep(0.2)
        if database.read(_revision) == HEAD:
            return


def _refuse_newer(database: Database, found: str | None) -> None:
    if found is not None and found not in [revision.revision for revision in REVISIONS]:
        raise JournalError(
            f"{database.name[0].upper()}{database.name[1:]} has tables of revision {found}, made by a newer "
            f"openstack_ha.recovery; this one knows up to {HEAD}. Install the newer collection here."
        )


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.scalar(sa.select(sa.func.max(_version().c.version_num)))


def _upgrade(connection: sa.Connection) -> None:
    """In one transaction, except on MariaDB, which commits with each definition.

    Alembic makes the definitions portable. Its own version keeping is not used: it expects to be alone, and two
    processes that start together on Galera would leave two versions.
    """
    try:
        from alembic.migration import MigrationContext
        from alembic.operations import Operations
    except ImportError as error:
        raise JournalError("To make its tables the journal needs the Python package alembic: install it") from error
    known = [revision.revision for revision in REVISIONS]
    found = _revision(connection)
    with Operations.context(MigrationContext.configure(connection)):
        for revision in REVISIONS[known.index(found) + 1 if found else 0 :]:
            revision.upgrade()
    _version().create(connection, checkfirst=True)
    connection.execute(_version().delete())
    connection.execute(_version().insert(), {"version_num": HEAD})


def _version() -> sa.Table:
    return sa.Table(
        VERSION_TABLE,
        sa.MetaData(),
        sa.Column("version_num", sa.String(32), primary_key=True),
        **t.cast(t.Any, OPTIONS),
    )
