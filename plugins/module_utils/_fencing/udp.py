# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Listens for UDP datagrams of some hosts only. PRIVATE to this collection: may change at any time.

Each host that is fenced has a process of its own, and all listen at one port of this machine. With SO_REUSEPORT the
kernel would spread the datagrams of one host over all of them, and without it the second could not listen. So each
takes a socket per source and connects it: the kernel then gives it what comes from that address, and nothing else.
"The only address from which datagrams are received", connect(2); port 0 there stands for any, as nothing was sent.
"""

from __future__ import annotations

import contextlib
import ipaddress
import selectors
import socket
import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import FencingError

_LARGEST = 2048


class UdpEar:
    """Sockets that together hear what comes from some addresses."""

    def __init__(self, sources: t.Sequence[str]) -> None:
        self._sources = {_plain(source) for source in sources}
        self._selector = selectors.DefaultSelector()

    def add(self, opened: socket.socket) -> None:
        """Hear this socket, too."""
        self._selector.register(opened, selectors.EVENT_READ)

    def hear(self, timeout: float) -> tuple[str, bytes] | None:
        """The next datagram, with where it came from."""
        end = time.monotonic() + timeout
        while True:
            ready = self._selector.select(max(0.0, end - time.monotonic()))
            if not ready:
                return None
            found = self._read(t.cast(socket.socket, ready[0][0].fileobj))
            if found:
                return found

    def _read(self, opened: socket.socket) -> tuple[str, bytes] | None:
        """A datagram; None for one of somebody else, that came before the socket was connected."""
        try:
            content, sender = opened.recvfrom(_LARGEST)
        except OSError:  # a checksum was wrong, or the network told of an error: nothing was heard
            return None
        source = _plain(sender[0])
        return (str(source), content) if source in self._sources else None


@contextlib.contextmanager
def listen(sources: t.Sequence[str], port: int, here: t.Sequence[str]) -> t.Iterator[UdpEar]:
    """Listen at a port for what comes from some addresses.

    :param here: Own addresses at which it arrives; by default, for each source, the one that this machine would use
        to talk to it.
    :raises FencingError: The port is taken by another program, or there is no way to a source.
    """
    ear = UdpEar(sources)
    with contextlib.ExitStack() as stack:
        for source in sources:
            version = ipaddress.ip_address(source).version
            for own in [it for it in here if ipaddress.ip_address(it).version == version] or [""]:
                ear.add(stack.enter_context(_open(source, port, own)))
        yield ear


def _open(source: str, port: int, own: str) -> socket.socket:
    family = socket.AF_INET6 if ipaddress.ip_address(source).version == 6 else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind((own, port))
        opened.connect((source, 0))
    except OSError as error:
        opened.close()
        raise FencingError(
            f"cannot listen at UDP {own or 'any address'} port {port} for {source}: {error.strerror or error}"
        ) from error
    return opened


def _plain(address: str) -> t.Any:
    return ipaddress.ip_address(address.partition("%")[0])
