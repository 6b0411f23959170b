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


def _made_by(monkeypatch: pytest.MonkeyPatch, number: int, url: str) -> None:
    """Make the journal as a collection with only the first revisions would, and fill a row of each changed table."""
    with monkeypatch.context() as older:
        older.setattr(migrate, "REVISIONS", migrate.REVISIONS[:number])
        older.setattr(migrate, "HEAD", migrate.REVISIONS[number - 1].revision)
        open_journal(url).close()
    at = "2026-01-02T03:04:05.678Z"
    made: list[tuple[str, dict[str, t.Any]]] = [
        ("incidents", {"id": "i", "scope": "R", "host": "cmp03", "kind": "host", "state": "held", "open_key": "k",
                       "opened_at": at, "changed_at": at}),
        ("runs", {"id": "r", "state": "closed", "check_mode": False, "holder": "{}", "opened_at": at}),
        ("run_hosts", {"run_id": "r", "host": "cmp03", "incident_id": "i"}),
        ("verdicts", {"id": "v", "run_id": "r", "number": 1, "result": "{}", "policy_hash": "abc", "snapshot": "{}",
                      "decided_at": at}),
        ("certificates", {"id": "c", "incident_id": "i", "number": 1, "run_id": "r", "host": "cmp03", "state": "valid",
                          "certificate": "{}", "made_at": at}),
    ]  # fmt: skip
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for name, row in made:
            columns = [sa.column(column) for column in row]
            connection.execute(sa.table(name, *columns).insert(), row)
    engine.dispose()


def test_an_older_journal_is_upgraded_with_what_is_in_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _made_by(monkeypatch, 1, url)
    with open_journal(url) as journal:
        assert differences(journal) == []
        report = journal.report("r")
        assert [it["attempts"] for it in report["incidents"]] == [0]
        assert [it["segments_hash"] for it in report["verdicts"]] == [None]
        assert journal.stopping_orders("r") == []
        (certificate,) = journal.recent_certificates("R", float("inf"))
        assert certificate["age"] > 0


def test_an_upgrade_that_died_in_the_middle_is_completed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _made_by(monkeypatch, 1, url)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE incidents ADD COLUMN opened_mark JSON"))
    engine.dispose()
    with open_journal(url) as journal:
        assert differences(journal) == []


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
