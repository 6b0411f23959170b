# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Does a host still answer? PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import concurrent.futures
import errno
import ipaddress
import math
import socket
import typing as t
import urllib.parse

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError

ANSWERS = "answers"
REFUSED = "refused"
SILENT = "silent"

#: The network, and not this machine, is the reason that nothing came back.
_NO_ANSWER = {errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN}
_MOST_AT_ONCE = 128


def probe(urls: t.Sequence[str], timeout: float) -> dict[str, str]:
    """Try to connect to every ``tcp://address:port``, all at once, each for at most ``timeout`` seconds.

    :returns: ``answers``, ``refused`` or ``silent`` per URL. A name that cannot be resolved is silent.
    :raises RecoveryError: This machine could not even try.
    """
    endpoints = {url: endpoint(url) for url in urls}
    if not endpoints:
        return {}
    with concurrent.futures.ThreadPoolExecutor(min(len(endpoints), _MOST_AT_ONCE)) as pool:
        tries = {url: pool.submit(_connect, where, timeout) for url, where in endpoints.items()}
    return {url: tried.result() for url, tried in tries.items()}


def signs_of_life(results: t.Mapping[str, str], may_refuse: bool = False) -> list[str]:
    """The URLs behind which something lives.

    A refusal is sent by a living kernel. From a loopback address it is our own kernel's, and says nothing.

    :param may_refuse: A kernel that only writes a crash dump lives there, as is known.
    """
    return [
        url
        for url, result in results.items()
        if result == ANSWERS or (result == REFUSED and not may_refuse and not _is_loopback(endpoint(url)[0]))
    ]


def check_probes(urls: t.Sequence[str], timeout: float) -> None:
    """Refuse what could not be probed, before anything is done."""
    for url in urls:
        endpoint(url)
    if not (timeout > 0 and math.isfinite(timeout)):
        raise ConfigError(f"probe_timeout: must be greater than 0 seconds, not {timeout}.")


def endpoint(url: str) -> tuple[str, int]:
    """Host and port of ``tcp://address:port``."""
    try:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme == "tcp" and parts.hostname and parts.port and not (parts.path or parts.query):
            return parts.hostname, parts.port
    except ValueError:
        pass
    raise ConfigError(f"probe: must be tcp://address:port, not {url!r}.")


def _connect(where: tuple[str, int], timeout: float) -> str:
    try:
        socket.create_connection(where, timeout).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return SILENT if _resolves_to_loopback(where) else REFUSED
    except (socket.timeout, socket.gaierror):
        return SILENT
    except OSError as error:
        if error.errno in _NO_ANSWER:
            return SILENT
        raise RecoveryError(
            f"Cannot probe tcp://{where[0]}:{where[1]}: {error.strerror or error}. This machine itself is the "
            "reason, so nothing is known about the host; check its limits and firewall."
        ) from error
    return ANSWERS


def _resolves_to_loopback(where: tuple[str, int]) -> bool:
    """A name that Debian's /etc/hosts maps to 127.0.1.1, for example; not asked for literal addresses."""
    try:
        ipaddress.ip_address(where[0])
    except ValueError:
        return any(_is_loopback(str(found[4][0])) for found in socket.getaddrinfo(*where))
    return False


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
