# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The UDP sockets of a responder: heartbeats of hosts, messages of crash kernels. PRIVATE: may change at any time.

They belong to the event loop that also serves HTTP; each readiness takes in what has come, but not without end.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing import kdump
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.heartbeat import LONGEST, Receiver, key_of
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.config import Address
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.credentials import Credentials
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.hearing import Changes, Hearing

TICK = 0.1  # seconds between two looks at who has fallen silent
_AT_ONCE = 64  # datagrams, before others get their turn
_BUFFER = 4 * 1024 * 1024  # bytes that wait in the kernel; it gives as much as its limits allow
_MOST_KEYS = 100_000

Count = t.Callable[[str], None]


class Ears:
    """All sockets, and the clock of the hearing.

    :param changed: Told when somebody has fallen silent, or is heard again.
    :param count: Told of each datagram what became of it.
    :param host_of: The host that has an address, as far as is known.
    """

    def __init__(
        self,
        hearing: Hearing,
        credentials: Credentials,
        changed: t.Callable[[Changes], None],
        count: Count,
        host_of: t.Callable[[str], str | None],
        clock: t.Callable[[], float],
    ) -> None:
        self._hearing, self._changed, self._count = hearing, changed, count
        self._host_of, self._clock = host_of, clock
        self._keys = Keys(credentials)
        self._receiver = Receiver(self._keys, networks=hearing.networks)
        self._sockets: list[socket.socket] = []

    def renew(self, credentials: Credentials) -> None:
        """Other keys hold from now on."""
        self._keys.renew(credentials)

    def listen(self, networks: t.Mapping[str, Address], crash_kernels: t.Sequence[Address]) -> None:
        """Open the sockets; those of the event loop that runs.

        :raises ConfigError: An address is not ours, or is taken.
        """
        loop = asyncio.get_running_loop()
        for network, address in networks.items():
            opened = self._open(f"heartbeat.networks.{network}", address, share=False)
            loop.add_reader(opened, self._hear, opened, network)
        for address in crash_kernels:
            # host_fence listens at the same port for the hosts that it fences, with sockets that are connected to them.
            opened = self._open("kdump.listen", address, share=True)
            loop.add_reader(opened, self._hear_crash_kernel, opened)

    def close(self) -> None:
        """Close the sockets."""
        loop = asyncio.get_running_loop()
        for opened in self._sockets:
            loop.remove_reader(opened)
            opened.close()
        self._sockets.clear()

    async def tick_until(self, stopped: asyncio.Event) -> None:
        """Look again and again who has fallen silent."""
        while not stopped.is_set():
            self.tick()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stopped.wait(), TICK)

    def tick(self) -> None:
        """Look who has fallen silent."""
        changes = self._hearing.tick(self._clock())
        if changes:
            self._changed(changes)

    def _open(self, path: str, address: Address, share: bool) -> socket.socket:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            if share:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            opened.bind((address.host, address.port))
        except OSError as error:
            opened.close()
            raise ConfigError(
                f"{path}: cannot listen at UDP {address.host} port {address.port}: {error.strerror or error}."
            ) from error
        self._sockets.append(opened)
        return opened

    def _hear(self, opened: socket.socket, network: str) -> None:
        for datagram, sender in _datagrams(opened):
            heard = self._receiver.take(datagram)
            # What says that it came over another network took a way that says nothing about either.
            if heard is None or heard.network != network:
                self._count("refused")
                continue
            if heard.counted:
                self._hearing.beat(heard.host, network, heard.armed, heard.up_for)
            self._count("counted" if heard.counted else "not_counted")
            if heard.answer:
                with contextlib.suppress(OSError):  # its route is gone: it will be lost, or beat again
                    opened.sendto(heard.answer, sender)

    def _hear_crash_kernel(self, opened: socket.socket) -> None:
        for datagram, sender in _datagrams(opened):
            host = self._host_of(plain(sender[0])) if kdump.is_message(datagram) else None
            self._count("refused" if host is None else "crash_kernel")
            if host is not None and self._hearing.dump(host):
                self._changed(Changes([host], [], []))


class Keys:
    """The keys of hosts, made once each."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._known: dict[str, list[bytes]] = {}

    def __call__(self, host: str) -> list[bytes]:
        """The keys of a host, the current one first; anybody may ask for any name."""
        found = self._known.get(host)
        if found is None:
            found = [key_of(token) for token in self._credentials.tokens(f"host:{host}")]
            if len(self._known) >= _MOST_KEYS:
                self._known.clear()
            self._known[host] = found
        return found

    def renew(self, credentials: Credentials) -> None:
        """Other keys hold from now on."""
        self._credentials, self._known = credentials, {}


def plain(address: str) -> str:
    """An address as it is written elsewhere: without a zone, and IPv4 as such."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


def _datagrams(opened: socket.socket) -> t.Iterator[tuple[bytes, t.Any]]:
    # An error: nothing more is there, or the network tells of an earlier answer that nobody took.
    with contextlib.suppress(OSError):
        for _number in range(_AT_ONCE):
            yield opened.recvfrom(LONGEST + 1)
