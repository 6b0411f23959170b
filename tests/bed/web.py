# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A small threading WSGI server, and the frame for the bed's own JSON services."""

from __future__ import annotations

import io
import json
import socketserver
import threading
import typing as t
import urllib.parse
from http import HTTPStatus
from wsgiref import simple_server

from bed.config import ADDRESS

Environ = t.Dict[str, t.Any]
StartResponse = t.Callable[..., t.Any]
App = t.Callable[[Environ, StartResponse], t.Iterable[bytes]]


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    """One thread per connection."""

    daemon_threads = True
    request_queue_size = 512

    def server_bind(self) -> None:
        # WSGIServer would ask DNS for the name of the machine here
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = ADDRESS, self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """A client that goes away in the middle is not worth a traceback."""


class _Handler(simple_server.WSGIRequestHandler):
    def log_message(self, *args: t.Any) -> None:
        pass

    def address_string(self) -> str:
        return str(self.client_address[0])


def serve(app: App, port: int) -> Server:
    """Serve an application on the loopback address until the process ends."""
    server = Server((ADDRESS, port), _Handler)
    server.set_app(app)
    threading.Thread(target=server.serve_forever, args=(5.0,), daemon=True, name=f"http-{port}").start()
    return server


class Request:
    """The parts of a request that the bed's own services look at."""

    def __init__(self, environ: Environ) -> None:
        self.environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.path: str = environ["PATH_INFO"]
        self.parts = [part for part in self.path.split("/") if part]
        self.query = urllib.parse.parse_qs(environ.get("QUERY_STRING", ""))

    def header(self, name: str) -> str:
        return str(self.environ.get("HTTP_" + name.upper().replace("-", "_"), ""))

    @property
    def body(self) -> t.Any:
        raw = raw_body(self.environ)
        return json.loads(raw) if raw[:1] in (b"{", b"[") else {}


class Answer(Exception):
    """An answer; raised or returned by the handlers."""

    def __init__(self, status: int, body: t.Any = None, headers: t.Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(status)
        self.status, self.body, self.headers = status, body, headers

    def send(self, start_response: StartResponse, method: str = "GET") -> list[bytes]:
        data = b"" if self.body is None else json.dumps(self.body).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(data))), *self.headers]
        start_response(f"{self.status} {HTTPStatus(self.status).phrase}", headers)
        return [] if method == "HEAD" else [data]


def raw_body(environ: Environ) -> bytes:
    """The body of a request, which stays readable for whoever comes next."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    raw: bytes = environ["wsgi.input"].read(length) if length else b""
    environ["wsgi.input"] = io.BytesIO(raw)
    return raw


def json_app(handle: t.Callable[[Request], Answer]) -> App:
    """A WSGI application from a function of requests; what it does not find is 404."""

    def app(environ: Environ, start_response: StartResponse) -> t.Iterable[bytes]:
        try:
            answer = handle(Request(environ))
        except Answer as raised:
            answer = raised
        except KeyError as missing:
            message = f"not found: {missing}"
            answer = Answer(
                404,
                {
                    "error": {"message": message, "code": 404, "title": "Not Found"},
                    "NeutronError": {"type": "NotFound", "message": message, "detail": ""},
                },
            )
        return answer.send(start_response, environ["REQUEST_METHOD"])

    return app
