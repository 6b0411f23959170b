# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import typing as t

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import migrate, schema
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal


def differences(journal: Journal) -> list[t.Any]:
    """What the revisions made that the models do not say, and the other way round."""
    options = {"version_table": migrate.VERSION_TABLE, "compare_type": True}
    return journal.database.read(
        lambda connection: compare_metadata(MigrationContext.configure(connection, opts=options), schema.metadata())
    )


def test_revisions_make_what_the_models_say(journal: Journal) -> None:
    assert differences(journal) == []


def test_revisions_follow_each_other() -> None:
    parents = [revision.down_revision for revision in migrate.REVISIONS]
    assert parents == [None, *[revision.revision for revision in migrate.REVISIONS[:-1]]]


def test_a_half_made_journal_is_completed(journal: Journal, url: str) -> None:
    def damage(connection: sa.Connection) -> None:
        connection.execute(sa.text("DROP TABLE steps"))
        connection.execute(sa.text(f"DROP TABLE {migrate.VERSION_TABLE}"))

    journal.database.write(damage)
    with open_journal(url) as again:
        assert differences(again) == []


def test_a_newer_journal_is_refused(journal: Journal, url: str) -> None:
    journal.database.write(
        lambda connection: connection.execute(sa.text(f"UPDATE {migrate.VERSION_TABLE} SET version_num = '9999'"))
    )
    with pytest.raises(JournalError, match=r"revision 9999, made by a newer openstack_ha\.recovery"):
        open_journal(url)


def test_opening_a_current_journal_does_not_import_alembic(journal: Journal, url: str) -> None:
    code = (
        "import sys\n"
        "from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal\n"
        "open_journal(sys.argv[1]).runs()\n"
        "print([name for name in sys.modules if name.startswith('alembic')])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", code, url], env=environment, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "[]"


def _open(url: str, barrier: t.Any) -> None:
    barrier.wait(60)
    with open_journal(url) as journal:
        journal.open_incident("cmp01", "R", None)


def test_processes_that_open_a_new_journal_at_once_all_succeed(url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(6)
    processes = [spawn.Process(target=_open, args=(url, barrier), daemon=True) for _index in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 6
    with open_journal(url) as journal:
        assert len(journal.incidents()) == 1
