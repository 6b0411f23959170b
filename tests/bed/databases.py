# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SQLite files of the bed: made once from Nova's and Placement's migrations, copied, saved and put back."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import shutil
import sqlite3
import typing as t
from pathlib import Path

from bed import patches
from bed.config import Options, database_url

NAMES = ("api", "cell0", "cell1", "placement")


def prepare(options: Options, migrate: t.Callable[[], None]) -> None:
    """Put empty, migrated databases in place; the migrations are run only for versions not seen before."""
    folder = options.directory / "db"
    folder.mkdir(parents=True, exist_ok=True)
    template = options.template / _version_key()
    if template.is_dir():
        for name in NAMES:
            shutil.copy(template / f"{name}.db", folder)
        return
    for name in NAMES:
        _use_wal(folder / f"{name}.db")
    migrate()
    _keep_as_template(folder, template)
    shutil.copy(template / "cell0.db", folder)


def _version_key() -> str:
    versions = [f"{name}-{importlib.metadata.version(name)}" for name in ("nova", "openstack-placement")]
    here = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
    return "_".join([*versions, here])


def _use_wal(path: Path) -> None:
    """Readers and the one writer do not wait for each other."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _keep_as_template(folder: Path, template: Path) -> None:
    building = template.with_name(f"{template.name}.{folder.parent.name}.new")
    building.mkdir(parents=True)
    for name in ("api", "cell1", "placement"):
        with contextlib.closing(sqlite3.connect(folder / f"{name}.db")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(folder / f"{name}.db", building)
    shutil.copy(building / "cell1.db", building / "cell0.db")
    try:
        building.rename(template)
    except OSError:  # another bed was faster; its template is as good
        shutil.rmtree(building)


def save(directory: Path, target: Path) -> None:
    """Copy the content of all databases."""
    target.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        (target / f"{name}.db").unlink(missing_ok=True)
        with (
            patches.database_lock(database_url(directory, name)),
            contextlib.closing(sqlite3.connect(directory / "db" / f"{name}.db")) as source,
            contextlib.closing(sqlite3.connect(target / f"{name}.db")) as copy,
        ):
            source.backup(copy)


def put_back(directory: Path, saved: Path) -> None:
    """Replace every row by the saved ones, in one transaction per database, under the open connections."""
    for name in NAMES:
        with (
            patches.database_lock(database_url(directory, name)),
            contextlib.closing(sqlite3.connect(directory / "db" / f"{name}.db", timeout=60)) as connection,
        ):
            _replace_rows(connection, saved / f"{name}.db")


def server_states(directory: Path, reservation: str) -> list[tuple[str, str, str | None]]:
    """(uuid, vm_state, task_state) of the servers made by one request; far cheaper than asking the API."""
    found: list[tuple[str, str, str | None]] = []
    for cell in ("cell0", "cell1"):  # cell0 has those for which no host was found
        with contextlib.closing(sqlite3.connect(directory / "db" / f"{cell}.db", timeout=60)) as connection:
            found += connection.execute(
                "SELECT uuid, vm_state, task_state FROM instances WHERE reservation_id = ? AND deleted = 0",
                (reservation,),
            ).fetchall()
    return found


def _replace_rows(connection: sqlite3.Connection, saved: Path) -> None:
    connection.isolation_level = None
    connection.execute("ATTACH DATABASE ? AS saved", (str(saved),))
    tables = [
        row[0]
        for row in connection.execute(
            "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
    ]
    connection.execute("BEGIN IMMEDIATE")
    for table in tables:
        connection.execute(f'DELETE FROM main."{table}"')
        connection.execute(f'INSERT INTO main."{table}" SELECT * FROM saved."{table}"')
    connection.execute("COMMIT")
