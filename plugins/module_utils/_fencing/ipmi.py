# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fencing by IPMI 2.0 through ipmitool. PRIVATE to this collection: may change at any time.

ipmitool, and not pyghmi: a second pyghmi session to one BMC in one process hangs, and it cannot be
given a hard timeout.
"""

from __future__ import annotations

import re
import typing as t
import uuid

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import (
    OFF,
    ON,
    UNKNOWN,
    Completed,
    Device,
    FencingError,
    Identity,
)

#: BMCs that were never given a GUID report one of these.
_NO_GUID = {uuid.UUID(int=0), uuid.UUID(int=(1 << 128) - 1)}


class Ipmi(Device):
    """A BMC that speaks IPMI 2.0 (``lanplus``)."""

    NAME = "ipmi"
    OPTIONS: t.ClassVar[dict[str, dict[str, t.Any]]] = {
        "address": {"type": "str", "required": True},
        "port": {"type": "int", "default": 623},
        "username": {"type": "str", "required": True},
        "password": {"type": "str", "required": True, "no_log": True},
        "cipher_suite": {"type": "int", "default": 17},
        "privilege": {
            "type": "str",
            "default": "administrator",
            "choices": ["user", "operator", "administrator"],
        },
    }

    @classmethod
    def check(cls, options: t.Mapping[str, t.Any]) -> None:
        """The port is a UDP port."""
        if isinstance(options.get("port"), int) and not 1 <= options["port"] <= 65535:
            raise ConfigError(f"port: must be from 1 to 65535, not {options['port']}.")

    def describe(self) -> str:
        """Where the BMC is."""
        return f"{self.options['address']}:{self.options['port']}"

    def identity(self, timeout: float) -> Identity:
        """The system GUID. IPMI tells no serial number in one short call."""
        done = self._ipmitool(["mc", "guid"], timeout)
        if done.rc and _no_session(done):
            raise FencingError(self._answer(done))
        guid = _parse_guid(done.stdout)
        return {"uuid": str(guid)} if guid else {}

    def power_state(self, timeout: float) -> str:
        """What the chassis reports."""
        done = self._ipmitool(["chassis", "power", "status"], timeout)
        if done.rc:
            raise FencingError(self._answer(done))
        found = re.search(r"Chassis Power is (on|off)\b", done.stdout)
        return {"on": ON, "off": OFF}[found.group(1)] if found else UNKNOWN

    def power_off(self, timeout: float) -> str:
        """Cut the power; ipmitool's exit code 0 only means that the BMC took the command."""
        return self._answer(self._ipmitool(["chassis", "power", "off"], timeout))

    def _ipmitool(self, command: list[str], timeout: float) -> Completed:
        options = self.options
        # -C: without it ipmitool first asks for the BMC's cipher suites, which costs 10 s on a silent one.
        # -N and -R bound ipmitool itself; the runner's timeout is what is relied on.
        argv = ["ipmitool", "-I", "lanplus", "-H", options["address"], "-p", str(options["port"])]
        argv += ["-U", options["username"], "-E", "-C", str(options["cipher_suite"]), "-N", "1", "-R", "3"]
        argv += ["-L", options["privilege"].upper(), *command]
        # Both names, because the second one would win if it were set in our own environment.
        env = dict.fromkeys(("IPMI_PASSWORD", "IPMITOOL_PASSWORD"), options["password"])
        return self.world.run(argv, env=env, stdin="", timeout=timeout)

    def _answer(self, done: Completed) -> str:
        return self.clean(f"ipmitool exit code {done.rc}: {done.stdout} {done.stderr}")


def _no_session(done: Completed) -> bool:
    """No conversation at all (a wrong password looks the same), in contrast to a refused command."""
    return bool(re.search(r"unable to establish|authentication|session", done.stderr, re.IGNORECASE))


def _parse_guid(text: str) -> uuid.UUID | None:
    """The GUID, in whatever form and byte order this ipmitool prints it."""
    found = re.search(r"GUID\s*:\s*([0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12})\b", text, re.IGNORECASE)
    guid = uuid.UUID(found.group(1)) if found else None
    return None if guid in _NO_GUID else guid
