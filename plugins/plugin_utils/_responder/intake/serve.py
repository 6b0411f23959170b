# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the application is served. PRIVATE to this collection: may change at any time.

uvicorn reads a head of any length for any time; here whoever is slow or long-winded before it has said who it is
loses its connection.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError

try:
    import uvicorn
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
except ImportError:
    uvicorn = None  # type: ignore[assignment]  # reported by server()

HEAD_BYTES = 32768
HEAD_SECONDS = 10.0
_KEEP_ALIVE = 20  # seconds that an idle connection is kept
#: Seconds that answers under way are given when it ends. Without it TLS waits 30 s for idle clients to say good-bye.
_END = 3
_CONNECTIONS = 8192
_BACKLOG = 2048


def server(app: t.Any, tls: ssl.SSLContext | None) -> uvicorn.Server:
    """A server for the application: ``await server(...).serve(sockets)``, and set its ``should_exit`` to end it.

    :param tls: See :func:`context`; None: plain HTTP.
    """
    if uvicorn is None:
        raise RecoveryError("The responder needs the Python packages uvicorn and httptools; one is missing.")
    config = uvicorn.Config(
        app,
        http=_protocol(),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_END,
        backlog=_BACKLOG,
        ssl_context_factory=(lambda config, default: tls) if tls else None,
    )
    return uvicorn.Server(config)


def context(certificate: str, key: str, client_ca: str | None = None) -> ssl.SSLContext:
    """The TLS side of the server. ``load_cert_chain`` of it takes a renewed certificate into use without a restart.

    :param client_ca: Clients must show a certificate of this authority.
    :raises ConfigError: One of the files cannot be used.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        made.load_cert_chain(certificate, key)
        if client_ca is not None:
            made.load_verify_locations(client_ca)
            made.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        files = ", ".join(filter(None, (certificate, key, client_ca)))
        raise ConfigError(f"intake: cannot use one of {files}: {error}") from None
    return made


def listen(addresses: t.Sequence[str]) -> list[socket.socket]:
    """Sockets at these addresses, as ``192.0.2.5:7411`` or ``[2001:db8::5]:7411``.

    :raises ConfigError: One of them cannot be used.
    """
    opened: list[socket.socket] = []
    try:
        for address in addresses:
            host, _colon, port = address.rpartition(":")
            family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
            opened.append(socket.create_server((host.strip("[]"), int(port)), family=family, backlog=_BACKLOG))
    except OSError as error:
        for it in opened:
            it.close()
        raise ConfigError(f"intake.listen: cannot listen at {address}: {error.strerror}.") from None
    return opened


@functools.cache
def _protocol() -> type[asyncio.Protocol]:
    """uvicorn's protocol with short heads."""
    return type("Protocol", (_ShortHeads, HttpToolsProtocol), {})


class _ShortHeads:
    """Gives a head only so much time and room; goes before uvicorn's own class."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    _head: int | None = 0  # bytes of a head that is not complete
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._uvicorn.connection_made(transport)
        self._late = self.loop.call_later(HEAD_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head += len(data)
        self._uvicorn.data_received(data)
        if self._head is None:
            return
        if self._head > HEAD_BYTES:
            self.transport.abort()
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def on_message_begin(self) -> None:
        self._uvicorn.on_message_begin()
        self._head = 0

    def on_headers_complete(self) -> None:
        self._end_head()
        self._uvicorn.on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_head()
        self._uvicorn.connection_lost(exc)

    @property
    def _uvicorn(self) -> t.Any:
        return super()

    def _end_head(self) -> None:
        self._head = None
        if self._late:
            self._late.cancel()
            self._late = None
