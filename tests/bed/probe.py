# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The port that answers while a host lives."""

from __future__ import annotations

import socket
import threading

from bed.config import ADDRESS


class Probe:
    """A TCP port on the loopback address that accepts and closes connections while it is open."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._listener: socket.socket | None = None

    def open(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server((ADDRESS, self.port), backlog=64)
            threading.Thread(target=_accept, args=(self._listener,), daemon=True, name=f"probe-{self.port}").start()

    def close(self) -> None:
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None


def _accept(listener: socket.socket) -> None:
    while True:
        try:
            connection, _address = listener.accept()
        except OSError:
            return
        connection.close()
