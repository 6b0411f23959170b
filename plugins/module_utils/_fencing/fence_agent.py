# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fencing by any ClusterLabs fence agent. PRIVATE to this collection: may change at any time.

The agent gets its options on standard input, so nothing of them is seen in the list of processes.
https://github.com/ClusterLabs/fence-agents/blob/main/doc/FenceAgentAPI.md
"""

from __future__ import annotations

import os
import re
import shutil
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import (
    OFF,
    ON,
    UNKNOWN,
    Completed,
    Device,
    FencingError,
    FencingRefused,
    Identity,
)

#: Exit codes of the action ``status``; any other one is an error.
_STATES = {0: ON, 2: OFF}
#: Set here, or able to write secrets to files and logs.
_NOT_OPTIONS = {"action", "option", "debug", "debug_file", "verbose", "verbose_level"}
_SECRET_NAME = re.compile(r"passw|passphrase|secret|token|api_?key|community", re.IGNORECASE)
_NOT_SECRET_VALUE = re.compile(r"_(script|file|path)$", re.IGNORECASE)


class FenceAgent(Device):
    """A device behind a ``fence_*`` program."""

    NAME = "fence_agent"
    OPTIONS: t.ClassVar[dict[str, dict[str, t.Any]]] = {
        "agent": {"type": "str", "required": True},
        "options": {"type": "dict", "default": {}},
        "secrets": {"type": "dict", "default": {}, "no_log": True},
    }

    @classmethod
    def check(cls, options: t.Mapping[str, t.Any]) -> None:
        """Names and values must fit the line-oriented interface, and secrets must stand where they are hidden."""
        if not re.fullmatch(r"fence_[a-z0-9_]+", options.get("agent", "fence_any")):
            raise ConfigError("agent: must be the name of a fence agent, such as fence_apc_snmp, without a path.")
        for part in ("options", "secrets"):
            for key, value in (options.get(part) or {}).items():
                _check_option(f"{part}.{key}", str(key), value)
                if part == "options" and _looks_secret(key):
                    raise ConfigError(f"options.{key}: looks like a secret; give it under 'secrets', never shown.")

    def describe(self) -> str:
        """The agent, and where its device is if it is named in a usual way."""
        given = self.options["options"]
        where = next((given[key] for key in ("ip", "ipaddr", "plug", "port", "systems_uri") if key in given), "")
        return f"{self.options['agent']} {where}".strip()

    def identity(self, timeout: float) -> Identity:
        """Agents have no action that tells it."""
        return {}

    def power_state(self, timeout: float) -> str:
        """What the agent's action ``status`` reports."""
        done = self._agent("status", timeout)
        if done.rc not in _STATES:
            raise FencingError(self._answer(done))
        return _STATES.get(done.rc, UNKNOWN)

    def power_off(self, timeout: float) -> str:
        """The agent's action ``off``; most agents wait until it is done."""
        return self._answer(self._agent("off", timeout))

    def _agent(self, action: str, timeout: float) -> Completed:
        name = self.options["agent"]
        program = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]))
        if not program:
            raise FencingRefused(f"there is no {name} on this machine; install the fence agents of your distribution")
        given = {**self.options["options"], **self.options["secrets"], "action": action}
        lines = [f"{key}={_as_text(value)}\n" for key, value in given.items()]
        return self.world.run([program], env={}, stdin="".join(lines), timeout=timeout)

    def _answer(self, done: Completed) -> str:
        said = [line for line in done.stderr.splitlines() if line and not _is_python_warning(line)]
        return self.clean(f"{self.options['agent']} exit code {done.rc}: {done.stdout} {' '.join(said)}")


def _check_option(path: str, key: str, value: t.Any) -> None:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", key) or key in _NOT_OPTIONS:
        raise ConfigError(f"{path}: cannot be given to a fence agent here.")
    if isinstance(value, (dict, list)) or "\n" in str(value):
        raise ConfigError(f"{path}: must be one line of text, a number or true/false.")


def _looks_secret(key: str) -> bool:
    return bool(_SECRET_NAME.search(key)) and not _NOT_SECRET_VALUE.search(key)


def _as_text(value: t.Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _is_python_warning(line: str) -> bool:
    """Agents of Debian 12 greet with a DeprecationWarning of Python and the source line it is about."""
    return "Warning:" in line or line.startswith("  ")
