# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at the networks of this host. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import selectors
import socket
import time
import typing as t

from .config import Network

SYSFS = "/sys/class/net"
_RTMGRP_LINK = 1
#: An answer that says that nobody listens there comes from there all the same.
_ANSWERS = (0, errno.ECONNREFUSED)


@dataclasses.dataclass(frozen=True)
class Seen:
    """One look at a network. None: was not looked at."""

    link: bool | None = None
    answered: bool | None = None
    detail: str = ""


class Judge:
    """Makes a state of looks.

    A link that is down is believed at once. That no address answers is believed after ``failures`` looks in a row, and
    that one does after ``successes``; the very first look counts at once if it is good.
    """

    def __init__(self, failures: int, successes: int) -> None:
        self._failures, self._successes = failures, successes
        self._bad = self._good = 0
        self.state = ""

    def see(self, seen: Seen) -> str:
        """Take in one look; the state is ``ok``, ``failed``, or "" while it is not known."""
        good = seen.link is not False and seen.answered is not False
        self._good, self._bad = (self._good + 1, 0) if good else (0, self._bad + 1)
        if seen.link is False or (not good and self._bad >= self._failures):
            self.state = "failed"
        elif good and (not self.state or seen.answered is None or self._good >= self._successes):
            self.state = "ok"
        return self.state


def link(interface: str, sysfs: str = SYSFS) -> tuple[bool, str]:
    """Whether an interface can carry anything, and what is the matter with it if not."""
    folder = os.path.join(sysfs, interface)
    if not os.path.isdir(folder):
        return False, f"{interface}: there is no such interface"
    state, carrier = _read(folder, "operstate"), _read(folder, "carrier")
    # Drivers that do not tell their state say "unknown": then the carrier decides. It cannot be read of one that is
    # switched off. https://www.kernel.org/doc/html/latest/networking/operstates.html
    if state == "up" or (state == "unknown" and carrier == "1"):
        return True, f"{interface}: up"
    return False, f"{interface}: {'no carrier' if carrier == '0' else state or 'switched off'}"


def events() -> socket.socket | None:
    """A socket that can be read when a link has changed; None: the kernel tells nothing here."""
    opened = None
    try:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0)
        opened.bind((0, _RTMGRP_LINK))
    except OSError:
        if opened is not None:
            opened.close()
        return None
    return opened


def drain(opened: socket.socket) -> None:
    """Read all that was told; what it was does not matter, as the state is read anew."""
    with contextlib.suppress(OSError):  # nothing is left, or some were lost, as too many came
        while opened.recv(65536):
            pass


def reach(networks: t.Sequence[Network], timeout: float) -> dict[str, tuple[bool, str]]:
    """By network: whether one of its addresses answers, and which, or what came back instead.

    All are asked at the same time, each from this host's address on the network; the first answer is enough.
    """
    found: dict[str, tuple[bool, str]] = {}
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for network in networks:
            for address in network.check:
                _begin(stack, selector, network, address, found)
        end = time.monotonic() + timeout
        waiting = {key.data[0] for key in selector.get_map().values()}
        while waiting - _good(found) and time.monotonic() < end:
            for key, _events in selector.select(max(0.0, end - time.monotonic())):
                selector.unregister(key.fileobj)
                name, address = key.data
                result = t.cast(socket.socket, key.fileobj).getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                _note(found, name, address, result)
            waiting = {key.data[0] for key in selector.get_map().values()}
    return {it.name: found.get(it.name, (False, "no answer")) for it in networks if it.check}


def _begin(
    stack: contextlib.ExitStack,
    selector: selectors.BaseSelector,
    network: Network,
    address: tuple[str, int],
    found: dict[str, tuple[bool, str]],
) -> None:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    opened = stack.enter_context(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
    try:
        opened.bind((network.source, 0))
        result = opened.connect_ex(address)
    except OSError as error:
        result = error.errno or errno.EIO
    if result == errno.EINPROGRESS:
        selector.register(opened, selectors.EVENT_WRITE, (network.name, address))
    else:
        _note(found, network.name, address, result)


def _note(found: dict[str, tuple[bool, str]], network: str, address: tuple[str, int], result: int) -> None:
    if found.get(network, (False, ""))[0]:
        return
    what = "answers" if result in _ANSWERS else os.strerror(result)
    found[network] = (result in _ANSWERS, f"{address[0]} port {address[1]}: {what}")


def _good(found: t.Mapping[str, tuple[bool, str]]) -> set[str]:
    return {name for name, (good, _what) in found.items() if good}


def _read(folder: str, name: str) -> str:
    try:
        with open(os.path.join(folder, name), encoding="ascii") as opened:
            return opened.read().strip()
    except OSError:
        return ""
