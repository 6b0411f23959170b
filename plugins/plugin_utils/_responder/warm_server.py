# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The server behind a warm ``ansible-playbook``: loads Ansible once and forks for each run. PRIVATE: may change.

Started by :mod:`warm` as ``python -P warm_server.py DIRECTORY``; ends when its standard input does. It has one thread,
and forks only what has not opened anything yet. Each run has a minder, which ends it when its launcher is gone.
Configuration is read when Ansible is imported; a run whose configuration is another is refused, and run cold.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import re
import select
import shutil
import signal
import socket
import sys
import traceback
import typing as t
import warnings
from pathlib import Path

_COLLECTION = Path(__file__).parents[3]
_NAME = "ansible_collections.openstack_ha.recovery"
_PLUGINS = f"{_NAME}.plugins"
_LAUNCHER = f"{_PLUGINS}.plugin_utils._responder.warm_launcher"
_PATIENCE = 10.0  # seconds for a launcher to say what it wants
_GRACE = 10.0  # seconds for ansible-playbook to end by itself
_TRACEBACK = 250

#: What of the environment counts when Ansible is imported, or Python started.
_READ_AT_START = re.compile(r"ANSIBLE_|PYTHON|LANG|LC_|HOME$|TZ$")

_ANSIBLE = (
    "ansible.cli.playbook",
    "ansible.executor.module_common",
    "ansible.executor.playbook_executor",
    "ansible.executor.task_queue_manager",
    "ansible.playbook.handler_task_include",
    "ansible.plugins.action.normal",
    "ansible.plugins.callback.default",
    "ansible.plugins.connection.local",
    "ansible.plugins.shell.sh",
    "ansible.plugins.strategy.linear",
)
#: Only what is there: drivers of databases, parts of other packages that go by other names in other versions.
_OTHERS = (
    "alembic.command",
    "alembic.runtime.migration",
    "concurrent.futures.thread",
    "dogpile.cache.backends.null",
    "jinja2.nativetypes",
    "jsonschema",
    "keystoneauth1.identity.v3",
    "keystoneauth1.loading._plugins.identity.generic",
    "multiprocessing.popen_fork",
    "multiprocessing.synchronize",
    "openstack",
    "openstack.connection",
    "sqlalchemy.dialects.mysql.pymysql",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "sqlite3",
    *(f"ansible_collections.ansible.builtin.plugins.{kind}" for kind in ("filter", "lookup", "modules", "test")),
)

Stamp = t.Dict[str, t.Tuple[int, int]]


def load() -> None:
    """Import all that a recovery needs. Not callbacks: that of ansible-runner binds its artifacts when imported."""
    for name in _ANSIBLE:
        importlib.import_module(name)
    # ansible-playbook does it again, in vain.
    warnings.filterwarnings("ignore", message="AnsibleCollectionFinder has already")
    loader = importlib.import_module("ansible.plugins.loader")
    loader.init_plugin_loader()
    for name in ("ansible_collections.ansible.builtin", _NAME):
        importlib.import_module(name)
    for kind in ("connection", "shell", "become", "vars", "inventory", "cache", "lookup", "filter", "test"):
        list(getattr(loader, f"{kind}_loader").all(class_only=True))
    for path in sorted((_COLLECTION / "plugins" / "action").glob("*.py")):
        loader.action_loader.get(f"openstack_ha.recovery.{path.stem}", class_only=True)
    loader.inventory_loader.get("openstack_ha.recovery.failover_segments", class_only=True)
    for name in ("debug", "assert", "add_host", "include_tasks", "fail"):
        loader.action_loader.get(f"ansible.builtin.{name}", class_only=True)
    for name in _OTHERS:
        _import_if_there(name)
    importlib.import_module(_LAUNCHER)
    # All tables, which are made when the first one is asked for.
    importlib.import_module(f"{_PLUGINS}.module_utils._journal.schema").table("runs")


def _import_if_there(name: str) -> None:
    try:
        importlib.import_module(name)
    except ImportError:
        return


def stamp() -> Stamp:
    """What must not change while this serves: the code, and the configuration of Ansible."""
    constants = sys.modules["ansible.constants"]
    files = [*_COLLECTION.glob("plugins/**/*.py"), *_COLLECTION.glob("meta/*.yml"), _COLLECTION / "MANIFEST.json"]
    files += [Path(str(sys.modules["ansible.release"].__file__)), Path(str(constants.CONFIG_FILE or "/etc/ansible"))]
    files += [Path("ansible.cfg").absolute(), Path.home() / ".ansible.cfg", Path("/etc/ansible/ansible.cfg")]
    return {str(path): (found.st_mtime_ns, found.st_size) for path in files for found in _stat(path)}


def _stat(path: Path) -> list[os.stat_result]:
    try:
        return [path.stat()]
    except OSError:
        return []


def serve(directory: str) -> None:
    """Take jobs until the responder is gone."""
    loaded = stamp()
    with _listener(Path(directory, "server")) as listener:
        while True:
            ready, _none, _none = select.select([listener.fileno(), 0], [], [])
            if 0 in ready:
                return
            connection, _address = listener.accept()
            if stamp() != loaded:
                connection.close()  # this run is cold
                _start_anew(directory)
            if os.fork() == 0:
                listener.close()
                _mind(connection)
            connection.close()


def _listener(path: Path) -> socket.socket:
    """Visible only when it listens: launchers that find nothing do not wait."""
    listener = socket.socket(socket.AF_UNIX)
    hidden = path.with_suffix(".new")
    for old in (hidden, path):
        old.unlink(missing_ok=True)
    listener.bind(str(hidden))
    listener.listen(128)
    hidden.rename(path)
    return listener


def _start_anew(directory: str) -> None:
    Path(directory, "server").unlink(missing_ok=True)
    # The new one makes a directory for temporary files of its own.
    shutil.rmtree(str(sys.modules["ansible.constants"].DEFAULT_LOCAL_TMP), ignore_errors=True)
    os.execv(sys.executable, [sys.executable, "-P", __file__, directory])  # noqa: S606


# -- one run -------------------------------------------------------------------------------------------------------


def _mind(connection: socket.socket) -> t.NoReturn:
    """Be the minder of one run: never returns into the server."""
    code = 1
    try:
        code = _minded(connection)
    except OSError:
        pass  # the launcher is gone before anything began
    finally:
        os._exit(code)


def _minded(connection: socket.socket) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    connection.settimeout(_PATIENCE)
    job, files = _receive(connection)
    connection.sendall(b"y" if _can_run(job) else b"n")
    if connection.recv(1) != b"g":
        return 0
    minder = os.getpid()
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become_playbook(job, files, minder)
    for file in files:
        os.close(file)
    connection.sendall(str(_wait(pid, connection)).encode())
    return 0


def _receive(connection: socket.socket) -> tuple[dict[str, t.Any], list[int]]:
    _letter, files, _flags, _address = socket.recv_fds(connection, 1, 3)
    text = b""
    while not text.endswith(b"\n"):
        more = connection.recv(1 << 20)
        if not more:
            raise ConnectionError
        text += more
    return json.loads(text), files


def _can_run(job: dict[str, t.Any]) -> bool:
    """Whether it would find the same configuration if it were started cold."""
    return _fixed(job["env"]) == _fixed(os.environ) and job["cwd"] == os.getcwd()


def _fixed(environment: t.Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if _READ_AT_START.match(name)}


def _become_playbook(job: dict[str, t.Any], files: list[int], minder: int) -> t.NoReturn:
    code = _TRACEBACK
    try:
        # Nobody would end it any more, and while it lives nobody else takes its claims.
        sys.modules[_LAUNCHER].end_with(minder)
        os.setsid()
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        os.environ.clear()
        os.environ.update(job["env"])
        sys.argv = job["argv"]
        code = _playbook(job["argv"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _playbook(arguments: list[str]) -> int:
    try:
        sys.modules["ansible.cli.playbook"].main(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _wait(pid: int, connection: socket.socket) -> int:
    """The exit code; where the launcher has gone, the run is ended first."""
    ended = os.pidfd_open(pid)
    select.select([ended, connection.fileno()], [], [])
    if not select.select([ended], [], [], 0)[0]:
        _end(pid, ended)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _end(pid: int, ended: int) -> None:
    """SIGTERM has ansible-playbook end its workers, which have sessions of their own; SIGKILL is for what is left."""
    processes = importlib.import_module(f"{_PLUGINS}.plugin_utils._responder.processes")
    tree = processes.tree(pid)
    os.kill(pid, signal.SIGTERM)
    select.select([ended], [], [], _GRACE)
    for process in tree:
        processes.send(process, signal.SIGKILL)


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    load()
    gc.collect()
    gc.freeze()
    serve(sys.argv[1])
    shutil.rmtree(sys.argv[1], ignore_errors=True)
