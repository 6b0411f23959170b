# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings the tables of a journal up to date. PRIVATE to this collection: may change at any time.

Alembic is imported only when something has to change: it costs more than all else that a run does
with the journal.
"""

from __future__ import annotations

import os
import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.database import Database
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.revisions import (
    r0001_initial,
    r0002_orders,
)

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported by Database()

REVISIONS: list[t.Any] = [r0001_initial, r0002_orders]
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
    return connection.scalar(sa.select(sa.column("version_num", sa.String)).select_from(sa.table(VERSION_TABLE)))


def _upgrade(connection: sa.Connection) -> None:
    try:
        from alembic.migration import MigrationContext
        from alembic.operations import Operations
        from alembic.util.exc import CommandError
    except ImportError as error:
        raise JournalError("To make its tables the journal needs the Python package alembic: install it") from error
    # Asking first begins the transaction, so that Alembic takes part in it instead of committing after each revision.
    if _revision(connection) == HEAD:
        return
    scripts = _scripts()
    options = {
        "version_table": VERSION_TABLE,
        "fn": lambda revision, context: scripts._upgrade_revs("head", revision),
    }
    context = MigrationContext.configure(connection, opts=options)
    try:
        with Operations.context(context), context.begin_transaction():
            context.run_migrations()
    except CommandError as error:  # another process was faster, where it cannot be kept out
        raise JournalError(f"The tables of the journal could not be upgraded: {error}") from error


def _scripts() -> t.Any:
    """Alembic's view of our revisions, which are imported modules.

    It would look for files in a directory; a module runs from inside a zip, where there is none.
    """
    from alembic.script import Script, ScriptDirectory
    from alembic.script.revision import RevisionMap

    scripts = ScriptDirectory(os.sep)
    scripts.revision_map = RevisionMap(lambda: [Script(it, it.revision, it.__file__) for it in REVISIONS])
    return scripts
