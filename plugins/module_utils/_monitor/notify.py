# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tells systemd that the program is ready and at work. PRIVATE to this collection: may change at any time.

https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
"""

from __future__ import annotations

import logging
import os
import socket
import typing as t

_log = logging.getLogger(__name__)


class Notifier:
    """Sends to the socket that systemd named; without one it does nothing."""

    def __init__(self, environment: t.Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        self._address = environment.get("NOTIFY_SOCKET", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        given = environment.get("WATCHDOG_USEC", "")
        #: Seconds after which systemd restarts a program that says nothing; 0: it does not.
        self.patience = int(given) / 1e6 if ours and given.isascii() and given.isdigit() else 0.0

    def ready(self) -> None:
        """The program does its work."""
        self._send("READY=1")

    def stopping(self) -> None:
        """It was told to stop."""
        self._send("STOPPING=1")

    def extend(self, seconds: float) -> None:
        """Its end takes so much longer; without this, systemd would kill it."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")

    def alive(self) -> None:
        """It is still at work."""
        if self.patience:
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as opened:
                opened.sendto(text.encode(), address)
        except OSError as error:
            _log.warning("cannot tell systemd %s: %s", text, error)
