# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
import typing as t

import pytest
import sqlalchemy as sa

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import database
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError, JournalGone
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal

SECRET = "hunter2secret"


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:////x/y.db", "sqlite+pysqlite"),
        ("postgresql://u@h/d", "postgresql+psycopg"),
        ("mysql://u@h/d", "mysql+pymysql"),
        ("mariadb://u@h/d", "mariadb+pymysql"),
        ("mysql+mysqldb://u@h/d", "mysql+mysqldb"),
    ],
)
def test_a_url_without_driver_gets_the_tested_one(url: str, driver: str) -> None:
    assert database.parse(url).drivername == driver


@pytest.mark.parametrize("url", ["journal.db", "oracle://u:hunter2secret@h/d", "sqlite://", "sqlite:///relative.db"])
def test_an_unusable_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^journal_url: ") as caught:
        database.parse(url)
    assert SECRET not in str(caught.value)


def test_the_default_is_the_documented_file() -> None:
    assert database.describe(database.parse(None)) == "the journal in /var/lib/openstack_ha/journal.db"


def test_words_about_a_journal_have_no_password() -> None:
    words = database.describe(database.parse(f"postgresql://ha:{SECRET}@db.example/journal"))
    assert words == "the journal in postgresql database journal at db.example as ha"


@pytest.mark.parametrize("backend", ["postgresql", "mysql"])
def test_a_database_that_is_not_there_is_named_without_its_password(backend: str) -> None:
    with pytest.raises(JournalError, match=r"127\.0\.0\.1 as ha") as caught:
        open_journal(f"{backend}://ha:{SECRET}@127.0.0.1:1/journal")
    assert SECRET not in str(caught.value)


def test_a_missing_driver_is_named_as_its_package() -> None:
    code = (
        "import sys; sys.modules['pymysql'] = None\n"
        "from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal\n"
        "open_journal('mysql://u:hunter2secret@h/d')"
    )
    ended = _python(code)
    assert "install the missing Python package PyMySQL" in ended.stderr
    assert SECRET not in ended.stderr.splitlines()[-1]


def test_a_missing_sqlalchemy_is_reported_when_the_journal_is_opened() -> None:
    code = (
        "import sys; sys.modules['sqlalchemy'] = None\n"
        "from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims, lease\n"
        "from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal\n"
        "open_journal()"
    )
    assert "needs the Python package SQLAlchemy" in _python(code).stderr


def _python(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_directory_and_files_are_for_their_owner_only(tmp_path: t.Any) -> None:
    old = os.umask(0)
    try:
        with open_journal(f"sqlite:///{tmp_path}/new/journal.db"):
            modes = {it.name: stat.S_IMODE(it.stat().st_mode) for it in (tmp_path / "new").iterdir()}
    finally:
        os.umask(old)
    assert modes == {"journal.db": 0o600, "journal.db-wal": 0o600, "journal.db-shm": 0o600}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_a_place_that_cannot_be_written_is_named_with_the_way_out(tmp_path: t.Any) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=r"Cannot write the journal .*/file/journal.db .* journal_url"):
        open_journal(f"sqlite:///{tmp_path}/file/journal.db")


def test_a_file_that_is_no_database_is_named(tmp_path: t.Any) -> None:
    (tmp_path / "journal.db").write_text("no database at all, but long enough to be looked at " * 20)
    with pytest.raises(JournalError, match=r"journal\.db: file is not a database"):
        open_journal(f"sqlite:///{tmp_path}/journal.db")


def test_nothing_is_created_for_who_only_reads(tmp_path: t.Any) -> None:
    with pytest.raises(JournalError, match="There is no journal in"):
        open_journal(f"sqlite:///{tmp_path}/new/journal.db", create=False)
    assert not list(tmp_path.iterdir())


def test_sqlite_commits_survive_a_power_cut(journal: Journal) -> None:
    def ask(connection: sa.Connection) -> list[t.Any]:
        return [connection.exec_driver_sql(f"PRAGMA {it}").scalar() for it in ("journal_mode", "synchronous")]

    assert journal.database.read(ask) == ["wal", 2]


@pytest.mark.parametrize("replaced", [False, True])
def test_nothing_is_written_to_a_file_that_is_not_there_any_more(
    journal: Journal, tmp_path: t.Any, replaced: bool
) -> None:
    (tmp_path / "journal.db").rename(tmp_path / "moved.db")
    if replaced:
        (tmp_path / "journal.db").touch()
    with pytest.raises(JournalGone, match=f"{tmp_path}/journal.db was removed or replaced"):
        journal.open_incident("cmp03", "R", "rack1")
    (tmp_path / "moved.db").rename(tmp_path / "journal.db")
    assert journal.incidents() == []
    journal.open_incident("cmp03", "R", "rack1")
    assert len(journal.incidents()) == 1


_WRITE_AND_LEAVE = """
import sys
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal
with open_journal(sys.argv[1]) as journal:
    journal.open_incident(sys.argv[2], "R", None)
"""


def test_a_journal_that_is_opened_twice_goes_on_seeing_what_other_processes_write(journal: Journal, url: str) -> None:
    journal.open_incident("cmp00", "R", None)
    with open_journal(url):
        pass
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for host in ("cmp01", "cmp02"):
        command = [sys.executable, "-c", _WRITE_AND_LEAVE, url, host]
        subprocess.run(command, env=environment, check=True, timeout=60)
        assert host in [incident["host"] for incident in journal.incidents()]


def test_what_a_read_writes_does_not_stay(journal: Journal, url: str) -> None:
    statement = sa.text("INSERT INTO claims (scope, host, token, beats, lease_seconds) VALUES ('R', 'h', 0, 0, 0)")
    journal.database.read(lambda connection: connection.execute(statement))
    assert journal.database.read(lambda connection: connection.scalar(sa.text("SELECT count(*) FROM claims"))) == 0


def test_a_failed_write_leaves_nothing(journal: Journal) -> None:
    def work(connection: sa.Connection) -> None:
        connection.execute(
            sa.text("INSERT INTO claims (scope, host, token, beats, lease_seconds) VALUES ('R', 'h', 0, 0, 0)")
        )
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        journal.database.write(work)
    assert journal.database.read(lambda connection: connection.scalar(sa.text("SELECT count(*) FROM claims"))) == 0


def test_a_writer_keeps_others_out_from_its_first_look(journal: Journal, url: str) -> None:
    # Otherwise what it looked at may be outdated when it writes, and SQLite refuses the write.
    with open_journal(f"{url}?timeout=0") as other:

        def work(connection: sa.Connection) -> None:
            connection.scalar(sa.text("SELECT count(*) FROM claims"))
            with pytest.raises(JournalError, match="database is locked"):
                other.open_incident("cmp03", "R", None)

        journal.database.write(work)


def test_a_transaction_that_lost_a_deadlock_is_tried_again(journal: Journal) -> None:
    calls = []

    def work(connection: sa.Connection) -> str:
        calls.append(1)
        if len(calls) < 3:
            raise sa.exc.OperationalError("UPDATE", {}, Exception(1213, "Deadlock found when trying to get lock"))
        return "done"

    assert journal.database.write(work) == "done"
    assert len(calls) == 3


def test_tries_end_when_patience_does(journal: Journal) -> None:
    def work(connection: sa.Connection) -> None:
        raise sa.exc.OperationalError("UPDATE", {}, Exception(1213, "Deadlock found when trying to get lock"))

    with pytest.raises(JournalError, match="Deadlock found"):
        journal.database.write(work, patience=0.1)


def test_another_error_is_not_tried_again(journal: Journal) -> None:
    calls = []

    def work(connection: sa.Connection) -> None:
        calls.append(1)
        connection.execute(sa.text("SELECT nonsense"))

    with pytest.raises(JournalError, match="no such column: nonsense"):
        journal.database.write(work)
    assert len(calls) == 1


def test_threads_write_side_by_side(journal: Journal, new_run: t.Any) -> None:
    run = new_run("cmp01")
    threads = [
        threading.Thread(target=lambda: [journal.add_step(run["id"], None, "s", 0.1) for _index in range(10)])
        for _thread in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [step["number"] for step in journal.steps(run["id"])] == list(range(1, 161))
