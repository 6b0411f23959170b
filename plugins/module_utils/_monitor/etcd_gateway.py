# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Speaks to one member of etcd through its JSON gateway. PRIVATE to this collection: may change at any time.

https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import http.client
import json
import socket
import ssl
import typing as t
import urllib.parse

from .errors import MonitorError

Json = t.Dict[str, t.Any]


class GatewayError(MonitorError):
    """A member did not answer, or not as it should."""


@dataclasses.dataclass(frozen=True)
class Change:
    """A key came, was written anew, or went."""

    key: str
    there: bool
    revision: int


class Gateway:
    """One member.

    :param url: ``http://192.0.2.1:2379``. :param context: For https.
    """

    def __init__(self, url: str, timeout: float, context: ssl.SSLContext | None = None) -> None:
        self.url, self._timeout, self._context = url, timeout, context
        self._watch: http.client.HTTPConnection | None = None

    def keys(self, prefix: str) -> tuple[int, list[str]]:
        """The revision, and all keys with this prefix, as a majority of members knows them."""
        connection = self._connect(self._timeout)
        try:
            request = {"key": _coded(prefix), "range_end": _coded(range_end(prefix)), "keys_only": True}
            answer = self._line(self._post(connection, "/v3/kv/range", request).read())
            return int(answer["header"]["revision"]), [_text(it["key"]) for it in answer.get("kvs", [])]
        except _ERRORS as error:
            raise GatewayError(f"{self.url}: {error!r}") from error
        finally:
            connection.close()

    def changes(self, prefix: str, revision: int) -> t.Iterator[Change]:
        """What changes from this revision on; ends when etcd ends it, or :meth:`close` is called."""
        self._watch = self._connect(self._timeout)
        request = {"key": _coded(prefix), "range_end": _coded(range_end(prefix)), "start_revision": revision}
        try:
            answer = self._post(self._watch, "/v3/watch", {"create_request": request})
            self._watch_without_limit()
            yield from self._follow(answer)
        except _ERRORS as error:
            raise GatewayError(f"{self.url}: watch: {error!r}") from error
        finally:
            self.close()

    def close(self) -> None:
        """End the watch, whatever it waits for."""
        watch, self._watch = self._watch, None
        if watch is not None and watch.sock is not None:
            with contextlib.suppress(OSError):
                watch.sock.shutdown(socket.SHUT_RDWR)
            watch.close()

    def _follow(self, answer: http.client.HTTPResponse) -> t.Iterator[Change]:
        while True:
            line = answer.readline()
            if not line:
                return
            result = self._line(line)["result"]
            if result.get("canceled"):
                return  # compacted, or this member has lost the others: all keys are read anew
            for event in result.get("events", []):
                key = event["kv"]
                yield Change(_text(key["key"]), event.get("type") != "DELETE", int(key["mod_revision"]))

    def _watch_without_limit(self) -> None:
        """No change may come for days; that the member still lives is seen by reading the keys."""
        watch = self._watch
        if watch is not None and watch.sock is not None:
            watch.sock.settimeout(None)

    def _post(self, connection: http.client.HTTPConnection, path: str, request: Json) -> http.client.HTTPResponse:
        # A member that has no leader ends the watch rather than being silent.
        headers = {"Content-Type": "application/json", "Grpc-Metadata-hasleader": "true"}
        connection.request("POST", path, json.dumps(request), headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise GatewayError(
                f"{self.url}{path}: {answer.status}: {answer.read(300).decode(errors='replace').strip()}"
            )
        return answer

    def _line(self, text: bytes) -> Json:
        found = json.loads(text)
        if not isinstance(found, dict) or "error" in found:
            raise GatewayError(f"{self.url}: {text[:300].decode(errors='replace').strip()}")
        return found

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        parts = urllib.parse.urlsplit(self.url)
        host = t.cast(str, parts.hostname)
        if parts.scheme == "https":
            return http.client.HTTPSConnection(host, parts.port or 2379, timeout=timeout, context=self._context)
        return http.client.HTTPConnection(host, parts.port or 2379, timeout=timeout)


_ERRORS = (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError)


def range_end(prefix: str) -> bytes:
    """The first key after all that begin with the prefix."""
    head = prefix.encode().rstrip(b"\xff")
    return head[:-1] + bytes([head[-1] + 1])


def _coded(key: str | bytes) -> str:
    return base64.b64encode(key.encode() if isinstance(key, str) else key).decode()


def _text(key: str) -> str:
    return base64.b64decode(key).decode(errors="replace")
