# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waits for the crash dump of a host before its power is cut. PRIVATE to this collection: may change at any time.

A crash kernel with fence_kdump_send in it says every ten seconds that it is at work: eight bytes over UDP, a magic
number and a version. Anybody who can send from the host's address can say so, too.
https://github.com/ClusterLabs/fence-agents/tree/main/agents/kdump
"""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import struct
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import (
    Ear,
    Finding,
    Vigil,
    Wait,
)

PORT = 7410
CRASH_KERNEL = "crash kernel"
SILENT = "silent"

#: Magic number and version, in the byte order of the machine that crashed.
_MESSAGES = {struct.pack(order + "II", 0x1B302A40, 1) for order in "<>"}
#: Seconds between looks at whether to go on.
_LOOK = 1.0


@dataclasses.dataclass
class Heard:
    """What was heard, and when on the monotonic clock."""

    messages: int = 0
    source: str = ""
    first: float = 0.0
    last: float = 0.0

    def add(self, source: str, now: float) -> None:
        """Count a message."""
        self.first = self.first if self.messages else now
        self.messages, self.source, self.last = self.messages + 1, source, now

    def next_silence(self, began: float, first: float, quiet: float) -> float:
        """When it is known that nothing more comes, if nothing does."""
        return self.last + quiet if self.messages else began + first


class Kdump(Wait):
    """A wait for the messages of a crash kernel, until they end.

    With ``accept`` the first one is the proof that the host's own kernel, and so every guest, has ended.
    """

    NAME = "kdump"
    OPTIONS: t.ClassVar[dict[str, dict[str, t.Any]]] = {
        "from": {"type": "list", "elements": "str", "required": True},
        "port": {"type": "int", "default": PORT},
        "listen": {"type": "list", "elements": "str", "default": []},
        "first": {"type": "float", "default": 15.0},
        "quiet": {"type": "float", "default": 25.0},
        "accept": {"type": "bool", "default": False},
    }
    LEVEL: t.ClassVar[dict[str, dict[str, t.Any]]] = {"timeout": {"type": "float", "default": 300.0}}
    PROOF = CRASH_KERNEL
    SUFFICES = False
    TRIED = "listen"
    REFUSES = True

    @classmethod
    def check(cls, options: t.Mapping[str, t.Any]) -> None:
        """Addresses must be addresses: a name would be looked up while the name service may be down."""
        if not options.get("from", ["any"]):
            raise ConfigError("from: must name at least one address of the host.")
        for name in ("from", "listen"):
            for address in options.get(name, []):
                _check_address(name, address)
        if not 1 <= options.get("port", PORT) <= 65535:
            raise ConfigError(f"port: must be from 1 to 65535, not {options['port']}.")
        for name in ("first", "quiet"):
            seconds = options.get(name, 1.0)
            if not (seconds > 0 and math.isfinite(seconds)):
                raise ConfigError(f"{name}: must be a number of seconds greater than 0, not {seconds}.")

    @classmethod
    def can_prove(cls, options: t.Mapping[str, t.Any]) -> bool:
        """Only where the operator takes a message for a proof."""
        return bool(options["accept"])

    def describe(self) -> str:
        """Whom it listens to."""
        return f"from {', '.join(self.options['from'])}, port {self.options['port']}"

    def ready(self, vigil: Vigil) -> str:
        """Whether the port can be listened at."""
        with self._ear():
            return f"listening for {self.options['first']:g} s, and up to {vigil.timeout:g} s while a dump is written"

    def observe(self, vigil: Vigil) -> Finding:
        """Listen until a message proves enough, until none has come for long enough, or until the time is over."""
        with self._ear() as ear:
            heard, waited = self._listen(ear, vigil)
        if not heard.messages:
            return Finding(SILENT, f"no crash kernel heard within {waited:.1f} s")
        said = f"crash kernel at {heard.source}, {heard.messages} messages in {heard.last - heard.first:.1f} s"
        if self.options["accept"]:
            return Finding(CRASH_KERNEL, said, proven=True)
        if waited < vigil.timeout:
            return Finding(CRASH_KERNEL, f"{said}, then silence: the dump counts as written")
        return Finding(CRASH_KERNEL, f"{said}: the time of {vigil.timeout:g} s is over, a dump may be lost")

    def _ear(self) -> t.Any:
        return self.world.listen(self.options["from"], self.options["port"], self.options["listen"])

    def _listen(self, ear: Ear, vigil: Vigil) -> tuple[Heard, float]:
        heard, clock = Heard(), self.world.clock
        began = now = clock()
        while not (heard.messages and self.options["accept"]):
            vigil.go_on()
            silence = heard.next_silence(began, self.options["first"], self.options["quiet"])
            left = min(silence, began + vigil.timeout) - now
            if left <= 0:
                break
            datagram = ear.hear(min(left, _LOOK))
            now = clock()
            if datagram and is_message(datagram[1]):
                heard.add(datagram[0], now)
        return heard, now - began


def is_message(datagram: bytes) -> bool:
    """Whether a crash kernel says this."""
    return datagram in _MESSAGES


def _check_address(name: str, text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ConfigError(f"{name}: must be IP addresses, not {text!r}.") from None
