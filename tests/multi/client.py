# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client side of the multi-process bed; drives and asks it as :class:`bed.client.Bed` does."""

from __future__ import annotations

import re
import shutil
import time

from bed.client import BUILD, Bed
from bed.rest import BedError

from multi.processes import left_behind

_CALL = re.compile(r'"(?P<method>[A-Z]+) (?P<path>\S+) \S+" (?P<status>\d+) "(?P<agent>[^"]*)"')

_HEARTBEAT_SECONDS = 120.0


class MultiBed(Bed):
    """A running multi-process bed."""

    SERVER = "multi.server"
    START_SECONDS = 300
    TEMPLATE = BUILD / "multi-template"

    def start_host(self, host: str) -> None:
        """Power on if need be; returns when nova-compute has told Nova that it lives."""
        before = self.services()[host]["updated_at"]
        super().start_host(host)
        deadline = time.monotonic() + _HEARTBEAT_SECONDS
        while self.services()[host]["updated_at"] == before:
            if time.monotonic() > deadline:
                raise BedError(0, f"nova-compute of {host} gave no sign of life for {_HEARTBEAT_SECONDS} s")
            time.sleep(0.2)

    def kill(self, service: str) -> None:
        """``kill -9`` of the process group of ``nova-conductor``, ``nova-scheduler``, ``rabbitmq``, …"""
        self.control("process", name=service, what="kill")

    def stop_service(self, service: str) -> None:
        """Let it end in its own way."""
        self.control("process", name=service, what="stop")

    def start_service(self, service: str) -> None:
        """Start it again; returns at once."""
        self.control("process", name=service, what="start")

    def calls(self, service: str, agent: str = "openstack_ha.recovery") -> list[tuple[str, str, int]]:
        """(method, path, status) of what a client asked of ``keystone``, ``nova-api`` or ``placement``, by its log."""
        lines = map(_CALL.search, (self.directory / "log" / f"{service}.access").read_text().splitlines())
        return [(one["method"], one["path"], int(one["status"])) for one in lines if one and agent in one["agent"]]

    def tokens_issued(self, agent: str = "openstack_ha.recovery") -> int:
        """How many tokens Keystone gave to a client."""
        return self.calls("keystone", agent).count(("POST", "/v3/auth/tokens", 201))

    def forget_data(self) -> None:
        """Remove what takes up room; logs and the truth stay, for whoever looks into a failure."""
        for name in ("mariadb", "rabbitmq"):
            shutil.rmtree(self.directory / name, ignore_errors=True)

    def left_behind(self) -> dict[int, str]:
        """Pid to command line of what still runs of this bed."""
        return left_behind(self.directory)
