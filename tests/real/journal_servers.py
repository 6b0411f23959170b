# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Database servers for the tests of the journal: on loopback, in a directory of their own, ended with the tests."""

from __future__ import annotations

import contextlib
import ctypes
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import typing as t
import uuid
from pathlib import Path

import pytest
import sqlalchemy as sa

START_SECONDS = 90.0
#: Local time of the servers: with an hour that comes twice when summer time ends.
ZONE = "CET-1CEST,M3.5.0,M10.5.0/3"


class Server:
    """One or more nodes of one database; ``nodes`` are SQLAlchemy URLs without a database name.

    ``start`` must be called by a thread that lives as long as the server: the kernel ends what a
    thread started together with that thread (PR_SET_PDEATHSIG).
    """

    def __init__(
        self,
        nodes: list[str],
        maintenance: str,
        start: t.Callable[[], None] | None = None,
        stop: t.Callable[[], None] | None = None,
    ) -> None:
        self.nodes = nodes
        self.start, self.stop = start, stop
        self._maintenance = maintenance

    def new_journal(self) -> list[str]:
        """Create an empty database; return its URL on each node."""
        name = f"j{uuid.uuid4().hex[:12]}"
        engine = sa.create_engine(f"{self.nodes[0]}/{self._maintenance}", isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return [f"{node}/{name}" for node in self.nodes]


def program(name: str, *more: str) -> str:
    """The path of a program that Debian keeps out of PATH, or skip the test."""
    found = shutil.which(name) or next(iter(sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True)), None)
    for other in more:
        found = found or shutil.which(other)
    if not found:
        pytest.skip(f"no {name} on this machine (Debian packages postgresql, mariadb-server)")
    return found


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _index in range(number)]
        for it in sockets:
            it.bind(("127.0.0.1", 0))
        return [it.getsockname()[1] for it in sockets]


class Account:
    """Who the servers run as: they refuse root. Its directory goes away with the context."""

    def __init__(self, *names: str) -> None:
        self.user: str | None = None
        if os.geteuid() == 0:
            known = {entry.pw_name for entry in pwd.getpwall()}
            self.user = next(name for name in (*names, "nobody") if name in known)

    @contextlib.contextmanager
    def directory(self) -> t.Iterator[Path]:
        """A directory of this user; pytest's own are closed to it."""
        path = Path(tempfile.mkdtemp(prefix="journal-db-"))
        try:
            if self.user:
                shutil.chown(path, self.user)
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def run(self, *command: str) -> None:
        """Run a program to its end."""
        subprocess.run(command, user=self.user, check=True, capture_output=True, cwd="/")

    def start(self, log: Path, *command: str) -> subprocess.Popen[bytes]:
        """Start a server that ends with this process, however that ends."""
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                user=self.user,
                stdout=output,
                stderr=output,
                cwd="/",
                env={**os.environ, "TZ": ZONE},
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server and what it started, such as the helpers of a Galera state transfer."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT if "postgres" in str(process.args) else signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def wait_for(url: str, query: str, answer: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers the query so."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with engine.connect() as connection:
                row = connection.execute(sa.text(query)).first()
                if row and str(row[-1]) == answer:
                    return
        except sa.exc.OperationalError as error:
            last = str(error)
        else:
            last = f"{query} answered {row}"
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{last}\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.1)


@contextlib.contextmanager
def postgresql() -> t.Iterator[Server]:
    """A PostgreSQL server."""
    initdb, postgres = program("initdb"), program("postgres")
    account, (port,) = Account("postgres"), free_ports(1)
    with account.directory() as directory, contextlib.ExitStack() as running:
        account.run(
            initdb, "-D", f"{directory}/data", "-U", "ha", "--auth=trust", "--no-sync", "--locale=C", "-E", "UTF8"
        )
        command = [postgres, "-D", f"{directory}/data", "-p", str(port), "-k", str(directory), "-h", "127.0.0.1"]
        url = f"postgresql+psycopg://ha@127.0.0.1:{port}"
        log = directory / "log"

        def start() -> None:
            process = account.start(log, *command)
            running.callback(stop, process)
            wait_for(f"{url}/postgres", "SELECT 1", "1", process, log)

        start()
        yield Server([url], "postgres", start, running.close)


@contextlib.contextmanager
def mariadb() -> t.Iterator[Server]:
    """A MariaDB server."""
    account = Account("mysql")
    (port,) = free_ports(1)
    with account.directory() as directory, contextlib.ExitStack() as running:
        command = [*_install(account, directory / "data"), f"--port={port}"]
        url, log = f"mysql+pymysql://root@127.0.0.1:{port}", directory / "log"

        def start() -> None:
            process = account.start(log, *command)
            running.callback(stop, process)
            wait_for(f"{url}/mysql", "SELECT 1", "1", process, log)

        start()
        yield Server([url], "mysql", start, running.close)


@contextlib.contextmanager
def galera(nodes: int = 3) -> t.Iterator[Server]:
    """A Galera cluster on one machine."""
    library = next(iter(glob.glob("/usr/lib*/galera*/libgalera_smm.so")), None)
    if not library or not shutil.which("rsync"):
        pytest.skip("no Galera library or no rsync on this machine (Debian packages galera-4, rsync)")
    account = Account("mysql")
    ports = [free_ports(4) for _node in range(nodes)]
    cluster = ",".join(f"127.0.0.1:{group}" for _port, group, *_others in ports)
    urls = [f"mysql+pymysql://root@127.0.0.1:{port}" for port, *_others in ports]
    with account.directory() as directory, contextlib.ExitStack() as running:
        for number, (port, group, transfer, state) in enumerate(ports):
            log = directory / f"log{number}"
            process = account.start(
                log,
                *_install(account, directory / f"data{number}"),
                f"--port={port}",
                "--wsrep-on=ON",
                f"--wsrep-provider={library}",
                f"--wsrep-cluster-address=gcomm://{cluster if number else ''}",
                f"--wsrep-node-address=127.0.0.1:{group}",
                f"--wsrep-node-incoming-address=127.0.0.1:{port}",
                "--wsrep-sst-method=rsync",
                f"--wsrep-sst-receive-address=127.0.0.1:{state}",
                "--wsrep-provider-options="
                f"gmcast.listen_addr=tcp://127.0.0.1:{group};ist.recv_addr=127.0.0.1:{transfer};gcache.size=16M",
                "--binlog-format=ROW",
                "--innodb-autoinc-lock-mode=2",
            )
            running.callback(stop, process)
            ready = "SHOW STATUS LIKE 'wsrep_local_state_comment'"
            wait_for(f"{urls[number]}/mysql", ready, "Synced", process, log)
        yield Server(urls, "mysql")


def _install(account: Account, data: Path) -> list[str]:
    """Make a data directory; return the command of its server."""
    install, server = program("mariadb-install-db"), program("mariadbd")
    account.run(
        install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db"
    )
    return [
        server,
        "--no-defaults",
        f"--datadir={data}",
        f"--socket={data}/socket",
        f"--pid-file={data}/pid",
        "--bind-address=127.0.0.1",
        "--innodb-buffer-pool-size=32M",
        "--performance-schema=OFF",
    ]
