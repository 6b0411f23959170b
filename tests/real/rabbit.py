# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A RabbitMQ of one's own: started, stopped, started again; nothing of it is left."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import typing as t
from pathlib import Path

import pytest
from driver import until
from journal_servers import free_ports

_SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


class Rabbit:
    """A broker at ``url``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port, node, epmd = free_ports(3)
        self.url = f"rabbit://guest:guest@127.0.0.1:{self.port}/"
        (directory / "rabbitmq.conf").write_text("loopback_users = none\n")
        (directory / "plugins").write_text("[].\n")
        self._epmd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._environment = {
            "PATH": _PATH, "HOME": str(directory), "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(epmd), "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"test{self.port}@localhost", "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_DIST_PORT": str(node),
            "RABBITMQ_MNESIA_BASE": str(directory / "data"), "RABBITMQ_LOG_BASE": str(directory),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the server instead of waiting for it
        }  # fmt: skip

    def start(self) -> None:
        """Return when it listens."""
        if self._epmd is None:  # the server would start one that outlives it
            self._epmd = self._spawn(str(shutil.which("epmd", path=_PATH)))
        self._server = self._spawn(_SERVER)
        until(self._listens, 120)

    def stop(self) -> None:
        """As a broker that dies."""
        _end(self._server)
        self._server = None

    def close(self) -> None:
        self.stop()
        _end(self._epmd)

    def _spawn(self, program: str) -> subprocess.Popen[bytes]:
        with (self.directory / "output.log").open("ab") as log:
            return subprocess.Popen(
                [program], cwd=self.directory, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def _listens(self) -> bool:
        assert self._server
        assert self._server.poll() is None, (self.directory / "output.log").read_text(errors="replace")[-2000:]
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def rabbit(directory: Path) -> t.Iterator[Rabbit]:
    """A running broker."""
    if not os.path.exists(_SERVER):
        pytest.skip("RabbitMQ is not installed (Debian package rabbitmq-server)")
    broker = Rabbit(directory)
    try:
        broker.start()
        yield broker
    finally:
        broker.close()
