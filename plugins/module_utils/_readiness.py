# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Is a VM ready for those that wait for it? PRIVATE to this collection: may change at any time.

Asked of VMs whose owners nobody needs to trust: only addresses in networks that the operator named are connected to, no
answer is read beyond its first line, and none may take longer than a moment.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import threading
import typing as t
import urllib.parse

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError

try:
    import requests
except ImportError:
    requests = None  # type: ignore[assignment]  # reported by _task()

Json = t.Dict[str, t.Any]
#: Why the guest agent of a VM on a host does not answer; nothing if it does.
Agent = t.Callable[[str, str], str]

#: Seconds for one question.
PATIENCE = 5.0

_FIRST_LINE = 64  # bytes, more than "HTTP/1.1 200 OK"
_GOOD = range(200, 300)


def _nobody_knows(_server_id: str, _host: str) -> str:
    return "its guest agent is not asked here"


class Readiness:
    """Asks VMs, and tasks about them.

    :param networks: Address ranges in which VMs are asked. :param tasks: ``restart.tasks`` of the policy.
    """

    def __init__(self, networks: t.Sequence[str], tasks: t.Mapping[str, Json], agent: Agent = _nobody_knows) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self._tasks = tasks
        self._agent = agent

    def missing(self, how: Json, server: Json) -> str:
        """Why a VM is not ready; nothing if it is.

        :param how: See :func:`_restart_order.read_ready`. :param server: Nova's document of it.
        """
        what = how["is"]
        if what == "task":
            return self._task(how["name"], server)
        if what == "guest_agent":
            return self._agent(server["id"], server["OS-EXT-SRV-ATTR:host"])
        return self._probe(how, server) if "port" in how else ""

    def _probe(self, how: Json, server: Json) -> str:
        addresses = self._addresses(server)
        if not addresses:
            return "it has no address in restart.probe_networks"
        missing = [f"{address}: {why}" for address in addresses for why in [_ask(address, how)]]
        return "" if any(it.endswith(": ") for it in missing) else "; ".join(missing)

    def _addresses(self, server: Json) -> list[str]:
        """Floating ones first: they are more likely to be reached from here."""
        found = [it for ports in (server.get("addresses") or {}).values() for it in ports]
        found.sort(key=lambda it: it.get("OS-EXT-IPS:type") != "floating")
        return [it["addr"] for it in found if self._may_ask(ipaddress.ip_address(it["addr"]))]

    def _may_ask(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        return any(address in network for network in self._networks if network.version == address.version)

    def _task(self, name: str, server: Json) -> str:
        if name not in self._tasks:
            return f"restart.tasks has no task {name}"
        if requests is None:
            raise RecoveryError("The Python package requests is needed to ask tasks whether a VM is ready; install it.")
        url = _filled(self._tasks[name]["url"], server)
        try:
            with requests.get(url, timeout=PATIENCE, allow_redirects=False, stream=True) as answer:
                return "" if answer.status_code in _GOOD else f"task {name} answers {answer.status_code}"
        except requests.RequestException as error:
            return f"task {name} does not answer: {type(error).__name__}"


def _filled(url: str, server: Json) -> str:
    """Names are the owner's: whatever they are, they stay one word of the URL."""
    facts = {
        "id": server["id"],
        "name": server["name"],
        "project": server.get("tenant_id") or "",
        "host": server.get("OS-EXT-SRV-ATTR:host") or "",
    }
    for key, value in facts.items():
        url = url.replace(f"{{{key}}}", urllib.parse.quote(str(value), safe=""))
    return url


def _ask(address: str, how: Json) -> str:
    try:
        with contextlib.closing(socket.create_connection((address, how["port"]), PATIENCE)) as connection:
            return "" if how["is"] == "tcp" else _http(connection, address, how)
    except OSError as error:
        return f"port {how['port']}: {error.strerror or error}"


def _http(plain: socket.socket, address: str, how: Json) -> str:
    """The first line of the answer, by hand: libraries read headers for as long as somebody sends them."""
    secure = how["is"] == "https"
    connection = _unverified().wrap_socket(plain, do_handshake_on_connect=False) if secure else plain
    host = f"[{address}]" if ":" in address else address
    request = f"GET {how['path']} HTTP/1.1\r\nHost: {host}:{how['port']}\r\nConnection: close\r\n\r\n"
    answer = b""
    with contextlib.closing(connection), _cut_off(connection):
        if isinstance(connection, ssl.SSLSocket):
            connection.do_handshake()
        connection.sendall(request.encode("ascii"))
        some = b"?"
        while some and b"\r\n" not in answer and len(answer) < _FIRST_LINE:
            some = connection.recv(_FIRST_LINE - len(answer))
            answer += some
    status = answer.partition(b"\r\n")[0].split(b" ")[1:2]
    if not answer.startswith(b"HTTP/1.") or not status or not status[0].isdigit():
        return f"port {how['port']}: does not answer as a web server does"
    return "" if int(status[0]) in _GOOD else f"{how['path']} answers {int(status[0])}"


@contextlib.contextmanager
def _cut_off(connection: socket.socket) -> t.Iterator[None]:
    """Timeouts of a socket are for each of its steps, and a guest can make as many of them as it likes."""

    def cut() -> None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(PATIENCE, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _unverified() -> ssl.SSLContext:
    """An address has no certificate; that it answers is all that is asked, and nothing is told to it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
