# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A warm ``ansible-playbook``: everything imported once, one fork per run. PRIVATE: may change at any time.

Optional, and not relied on: its launcher runs the plain ``ansible-playbook`` whenever the server is not there, has
other code or configuration than the run would find, or does not answer soon. See docs/warm_start.md.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import typing as t
from pathlib import Path

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.launch import Say

_SERVER, _LAUNCHER = (str(Path(__file__).with_name(f"warm_{name}.py")) for name in ("server", "launcher"))
_PAUSES = (1.0, 5.0, 30.0, 300.0)  # seconds until the server is started again after it has ended by itself
_STEADY = 600.0  # seconds after which it counts as one that works
_GRACE = 5.0


class Warm:
    """The ``ansible-playbook`` that goes first on PATH, and the server behind it.

    :param environment: The environment of the runs, with what ansible-runner adds. :param directory: Where they run.
    :param patience: Seconds that a run waits for the server before it starts cold.
    """

    def __init__(self, environment: t.Mapping[str, str], directory: str, say: Say, patience: float = 1.5) -> None:
        self._environment, self._directory, self._say = dict(environment), directory, say
        self._patience = patience
        self._socket = ""
        self._stopping = threading.Event()
        self._server: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name="warm", daemon=True)
        # Not beside the socket: places for temporary files are often mounted noexec.
        self._launcher = Path(directory, "bin", "ansible-playbook")
        self._write_launcher()

    def variables(self) -> dict[str, str]:
        """What runs need in their environment; ask after :meth:`start`."""
        return {
            "PATH": os.pathsep.join([str(self._launcher.parent), self._environment["PATH"]]),
            "OPENSTACK_HA_RESPONDER": str(os.getpid()),
            "OPENSTACK_HA_WARM": self._socket,
            "OPENSTACK_HA_WARM_PATIENCE": str(self._patience),
        }

    def _write_launcher(self) -> None:
        command = shlex.join([sys.executable, "-IS", _LAUNCHER])
        self._launcher.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self._launcher.with_suffix(f".{os.getpid()}")
        new.write_text(f'#!/bin/sh\nexec {command} "$0" "$@"\n', encoding="utf-8")
        new.chmod(0o700)
        new.rename(self._launcher)

    def start(self) -> None:
        """Begin to load. Until that is done, and if this is not called, runs are started cold."""
        # Of a short path: the name of a socket has 107 characters at most. The server removes it when it ends.
        self._socket = tempfile.mkdtemp(prefix="openstack_ha-")
        self._thread.start()

    def ready(self, seconds: float = 0.0) -> bool:
        """Whether it listens, or does so within some seconds."""
        deadline = time.monotonic() + seconds
        while not self._listens():
            if time.monotonic() >= deadline:
                return False
            self._stopping.wait(0.05)
        return True

    def pid(self) -> int | None:
        """The process of the server."""
        return self._server.pid if self._server else None

    def stop(self) -> None:
        """End the server; what it has forked goes on."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._socket:
            shutil.rmtree(self._socket, ignore_errors=True)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as server:
            try:
                server.connect(os.path.join(self._socket, "server"))
            except OSError:
                return False
        return True

    def _keep(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            self._run()
            failures = 0 if time.monotonic() - began > _STEADY else failures + 1
            if not self._stopping.is_set():
                pause = _PAUSES[min(failures, len(_PAUSES)) - 1] if failures else 0.0
                self._say(f"The warm ansible-playbook has ended; runs start cold. It is started again in {pause:g} s.")
                self._stopping.wait(pause)

    def _run(self) -> None:
        command = [sys.executable, "-P", _SERVER, self._socket]
        self._server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=self._environment, cwd=self._directory
        )
        try:
            while self._server.poll() is None and not self._stopping.wait(0.5):
                pass
            self._end(self._server)
        finally:
            _hang_up(self._server)

    def _end(self, server: subprocess.Popen[bytes]) -> None:
        """It ends when its standard input does."""
        _hang_up(server)
        try:
            server.wait(_GRACE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _hang_up(server: subprocess.Popen[bytes]) -> None:
    if server.stdin:
        server.stdin.close()
