# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The programs of the bed: each in a process group of its own, none outlives the server process."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
import typing as t
from pathlib import Path

from bed.config import LOOPBACK, is_free

#: In the environment of everything that belongs to a bed: its directory.
MARK = "MULTI_BED"
_PORT_SECONDS = 120.0


class Process:
    """One program. Start it from the main thread only: it dies with the thread that started it."""

    def __init__(self, name: str, command: t.Sequence[object], directory: Path, **environment: t.Any) -> None:
        self.name = name
        self.log = directory / "log" / f"{name}.log"
        self._command = [program("setpriv"), "--pdeathsig", "KILL", *map(str, command)]
        self._directory = directory
        self._environment = {**environment_of(directory), **{key: str(value) for key, value in environment.items()}}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        if self.alive:
            return
        self.log.parent.mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def signal(self, number: int) -> None:
        """Send a signal to the whole process group."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """``kill -9`` of the process group; the program is gone when this returns."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def stop(self, seconds: float = 30) -> None:
        """Ask it to end, and see to it."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
            self.kill()

    def await_port(self, port: int) -> None:
        """Return when it listens there."""
        self.wait_until(lambda: not is_free(port), f"listen on {LOOPBACK}:{port}")

    def wait_until(self, done: t.Callable[[], bool], what: str, seconds: float = _PORT_SECONDS) -> None:
        """Return when it has done what it should; raise with the end of its log when it ends or does not."""
        deadline = time.monotonic() + seconds
        while not done():
            self.check()
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not {what} within {seconds:g} s; {self._end_of_log()}")
            time.sleep(0.1)

    def check(self) -> None:
        """Raise with the end of its log unless it runs."""
        if not self.alive:
            raise RuntimeError(f"{self.name} has ended; {self._end_of_log()}")

    def _end_of_log(self) -> str:
        return f"{self.log} ends:\n" + self.log.read_text(errors="replace")[-2000:]


def environment_of(directory: Path) -> dict[str, str]:
    """What the programs of a bed get to see: nothing of the surroundings but where programs are."""
    return {
        "PATH": search_path(),
        "HOME": str(directory),
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "OS_NOVA_DISABLE_EVENTLET_PATCHING": "1",
        MARK: str(directory),
    }


def search_path() -> str:
    """PATH, with where Debian keeps servers."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def program(name: str) -> str:
    """The path of a program."""
    path = shutil.which(name, path=search_path())
    if path is None:
        raise RuntimeError(f"{name} is not installed (Debian packages: rabbitmq-server mariadb-server memcached)")
    return path


def left_behind(directory: Path) -> dict[int, str]:
    """Pid to command line of every process that still belongs to a bed."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if _belongs(folder, directory):
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def _belongs(process: Path, directory: Path) -> bool:
    """By its environment; or by where it works, because programs that change their title overwrite that."""
    mark = f"{MARK}={directory}".encode()
    return mark in (process / "environ").read_bytes().split(b"\0") or (process / "cwd").readlink() == directory
