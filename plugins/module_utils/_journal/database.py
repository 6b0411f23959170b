# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A database of the journal: its URL, its engine, its transactions. PRIVATE: may change at any time."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import (
    JournalError,
    JournalGone,
    JournalMissing,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.options import resolve

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported by Database()

Answer = t.TypeVar("Answer")
Work = t.Callable[["sa.Connection"], Answer]

PATIENCE = 10.0  # seconds that a statement waits for a database that is restarting or failing over

_DRIVERS = {"sqlite": "pysqlite", "postgresql": "psycopg", "mysql": "pymysql", "mariadb": "pymysql"}
_PACKAGES = {"psycopg": "psycopg[binary]", "pymysql": "PyMySQL", "pymysql.cursors": "PyMySQL"}
# A silent network must not hang a renewal for longer than a lease; the URL's own query wins.
_TIMEOUTS: dict[str, dict[str, t.Any]] = {
    "pysqlite": {"timeout": 10},
    "psycopg": {"connect_timeout": 5, "tcp_user_timeout": 10000},
    "pymysql": {"connect_timeout": 5, "read_timeout": 15, "write_timeout": 10},
}
# Deadlock, lock wait timeout, node not ready, record changed (MariaDB; on Galera the first also
# means "another node was faster"), and PostgreSQL's serialization failure and deadlock. After each
# of them the transaction has changed nothing and may be tried again.
# https://galeracluster.com/library/kb/deadlock-found.html
_TRY_AGAIN = {1213, 1205, 1047, 1020, "40001", "40P01"}

# Seconds since 1970 by the clock of the server. Nodes of a Galera cluster have one each: keep them in step.
_CLOCKS = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    **dict.fromkeys(
        # Not unix_timestamp(): it takes local time, of which the night that ends summer time has an hour twice.
        ("mysql", "mariadb"),
        "SELECT timestampdiff(microsecond, '1970-01-01', utc_timestamp(6)) / 1000000",
    ),
}


def parse(url: str | None) -> sa.URL:
    """The URL with the driver that this collection is tested with filled in."""
    try:
        parsed = sa.make_url(resolve(url))
    except sa.exc.ArgumentError:
        raise ConfigError(
            "journal_url: this is not a database URL; write sqlite:////absolute/path, "
            "postgresql://user:password@host/database or mysql://user:password@host/database, "
            "or file:/absolute/path of a file in which it stands"
        ) from None
    backend = parsed.get_backend_name()
    if backend not in _DRIVERS:
        raise ConfigError(f"journal_url: {backend} is not supported; use one of {', '.join(sorted(_DRIVERS))}")
    if backend == "sqlite" and not os.path.isabs(parsed.database or ""):
        raise ConfigError(
            "journal_url: SQLite needs an absolute path, with four slashes: sqlite:////var/lib/…/journal.db"
        )
    if "+" not in parsed.drivername:
        parsed = parsed.set(drivername=f"{backend}+{_DRIVERS[backend]}")
    return parsed


def describe(url: sa.URL) -> str:
    """The journal in words: no password, and not the URL itself, which Ansible would mask."""
    if url.get_backend_name() == "sqlite":
        return f"the journal in {url.database}"
    user = f" as {url.username}" if url.username else ""
    return f"the journal in {url.get_backend_name()} database {url.database} at {url.host}{user}"


def _make_file(path: str) -> None:
    """Create the file for its owner only: SQLite itself would follow the umask.

    A file that exists is not opened here. Closing it again would end all locks that other connections of this process
    have on it (https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_),
    and the next process that leaves would remove the write-ahead log under them.
    """
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        if not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise JournalError(
            f"Cannot write the journal {path} as user id {os.geteuid()}: {error.strerror}. Run as its owner, make "
            "its directory writable, or name another one in journal_url or OPENSTACK_HA_JOURNAL."
        ) from error


def _identity(path: str) -> tuple[int, int] | None:
    """Which file a path means now; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _set_up_sqlite(connection: t.Any, record: t.Any) -> None:
    connection.isolation_level = None  # the driver would begin too late: see _begin
    cursor = connection.cursor()
    # FULL: a claim, certificate or intent must outlive a power cut. In WAL mode NORMAL loses the last
    # commits then (https://sqlite.org/pragma.html#pragma_synchronous); it would save one fsync per
    # commit, 0.2 ms on the disk where this was measured.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    # A transaction that starts as reader and then writes fails at once when another wrote in between;
    # one that starts as writer waits its turn.
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('sqlite_begin', '')}")


def _set_up_mysql(connection: t.Any, record: t.Any) -> None:
    """On Galera, let a read wait for what other nodes have already committed."""
    cursor = connection.cursor()
    cursor.execute("SHOW VARIABLES LIKE 'wsrep_sync_wait'")
    if cursor.fetchone():
        cursor.execute("SET SESSION wsrep_sync_wait = 1")
    cursor.close()


def _engine(url: sa.URL) -> sa.Engine:
    sqlite = url.get_backend_name() == "sqlite"
    defaults = _TIMEOUTS.get(url.get_driver_name(), {})
    arguments = {name: value for name, value in defaults.items() if name not in url.query}
    try:
        # hide_parameters: what is written may be long and is none of the log's business.
        engine = sa.create_engine(url, connect_args=arguments, hide_parameters=True, pool_pre_ping=not sqlite)
    except ImportError as error:
        package = _PACKAGES.get(error.name or "", error.name)
        raise JournalError(f"Cannot open {describe(url)}: install the missing Python package {package}") from error
    if sqlite:
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin)
    elif url.get_backend_name() in ("mysql", "mariadb"):
        sa.event.listen(engine, "connect", _set_up_mysql)
    return engine


def _may_try_again(error: sa.exc.SQLAlchemyError, committing: bool) -> bool:
    """Whether nothing of the transaction can have been written."""
    if not isinstance(error, sa.exc.DBAPIError):
        return False
    arguments = error.orig.args if error.orig else ()
    code = getattr(error.orig, "sqlstate", None) or (arguments[0] if arguments else None)
    return code in _TRY_AGAIN or (error.connection_invalidated and not committing)


class Database:
    """An open database: runs functions of a connection, each in one transaction.

    Safe to use from several threads; not across a fork.
    """

    def __init__(self, url: str | None, create: bool = True) -> None:
        if sa is None:
            raise JournalError("The journal needs the Python package SQLAlchemy (2.0 or newer), which is missing.")
        self.url = parse(url)
        self.name = describe(self.url)
        # Writers of one process queue here: SQLite's own waiting polls and is not fair.
        self._turn = threading.Lock() if self.url.get_backend_name() == "sqlite" else None
        self._file: tuple[int, int] | None = None
        if self._turn:
            self._find_file(create)
        self._reader = _engine(self.url)
        self._writer = self._reader.execution_options(sqlite_begin="IMMEDIATE")
        self._ahead: float | None = None

    def _find_file(self, create: bool) -> None:
        path = str(self.url.database)
        if create:
            _make_file(path)
        elif not os.path.exists(path):
            raise JournalMissing(f"There is no journal in {path}: no run was recorded there. Check journal_url.")
        self._file = _identity(path)

    def close(self) -> None:
        """Close every connection."""
        self._reader.dispose()

    def utc(self) -> float:
        """Seconds since 1970 by the clock of the database server, for those who share it; asked once, then counted.

        Nobody shares an SQLite file but processes of one machine.
        """
        asks = _CLOCKS.get(self.url.get_backend_name())
        if asks is None:
            return time.time()
        if self._ahead is None:
            told = self.read(lambda connection: float(connection.exec_driver_sql(asks).scalar_one()))
            self._ahead = told - time.monotonic()
        return time.monotonic() + self._ahead

    def read(self, work: Work[Answer], patience: float = PATIENCE) -> Answer:
        """Run the function on one consistent view; nothing it writes stays."""
        return self._persist(lambda: self._once(self._reader, work, lambda connection: None), patience)

    def write(self, work: Work[Answer], patience: float = PATIENCE) -> Answer:
        """Run the function and commit. It may run more than once, so it must do nothing but SQL.

        :raises sqlalchemy.exc.IntegrityError: As it is, for callers who insert what others may insert too.
        """
        if self._turn is None:
            return self._persist(lambda: self._once(self._writer, work, self._commit), patience)
        with self._turn:
            return self._persist(lambda: self._once(self._writer, work, self._commit), patience)

    def _commit(self, connection: sa.Connection) -> None:
        """Commit where others will find it: SQLite itself goes on in a file that was moved or removed."""
        if self._file and _identity(str(self.url.database)) != self._file:
            raise JournalGone(
                f"{self.name} was removed or replaced while it was in use, so nothing was written. "
                "Put it back where it was; then start again."
            )
        connection.commit()

    def _persist(self, attempt: t.Callable[[], Answer], patience: float) -> Answer:
        deadline = time.monotonic() + patience
        pause = 0.02
        while True:
            try:
                return attempt()
            except _TryAgain as again:
                if time.monotonic() + pause > deadline:
                    raise self._failed(again.error) from again.error
            time.sleep(pause)
            pause = min(pause * 2, 1.0)

    def _once(self, engine: sa.Engine, work: Work[Answer], end: t.Callable[[sa.Connection], None]) -> Answer:
        ending = connected = False
        try:
            with engine.connect() as connection:
                connected = True
                answer = work(connection)
                ending = True
                end(connection)
                return answer
        except sa.exc.IntegrityError:
            raise
        except sa.exc.SQLAlchemyError as error:
            if not connected or _may_try_again(error, ending):
                raise _TryAgain(error) from error
            raise self._failed(error) from error

    def _failed(self, error: sa.exc.SQLAlchemyError) -> JournalError:
        cause = getattr(error, "orig", None) or error
        return JournalError(
            f"Cannot use {self.name}: {str(cause).strip()}. Check that it is there, that this user may use it, "
            "and journal_url."
        )


class _TryAgain(Exception):
    """A transaction that has certainly written nothing failed for a cause that may pass."""

    def __init__(self, error: sa.exc.SQLAlchemyError) -> None:
        super().__init__(str(error))
        self.error = error
