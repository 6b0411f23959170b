"""An OpenStack API on the loopback: Keystone's catalog and whatever a test lets the other services say."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import typing as t

Said = t.Tuple[int, t.Any]
SERVICES = {"compute": "nova/v2.1", "placement": "placement"}


class Api:
    """``answers`` are given in turn per method and path; the last one stays. ``seen`` is what was asked.

    Only ``accepted`` tokens are, if there are any; the first ``troubled_tokens`` are answered with 503.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.answers: dict[tuple[str, str], list[Said]] = {}
        self.seen: list[tuple[str, str, str]] = []
        self.tokens = 0
        self.troubled_tokens = 0
        self.accepted: set[str] = set()
        self.versions = {"min_version": "2.1", "version": "2.96"}

    def params(self, **more: t.Any) -> dict[str, t.Any]:
        """Connection options, as a task has them after validation."""
        auth = {
            "auth_url": f"{self.url}/v3",
            "username": "admin",
            "password": "hunter2",
            "project_name": "admin",
            "user_domain_id": "default",
            "project_domain_id": "default",
        }
        return {"cloud": None, "auth": auth, "region_name": "RegionOne", "api_timeout": 5, **more}

    def asked(self, path: str) -> list[str]:
        """The methods used on a path."""
        return [method for method, seen, _version in self.seen if seen == path]

    def answer(self, method: str, path: str, token: str | None) -> tuple[Said, dict[str, str]]:
        if (method, path) == ("POST", "/v3/auth/tokens"):
            self.tokens += 1
            if self.tokens <= self.troubled_tokens:
                return (503, {"error": {"message": "no database"}}), {}
            return (201, self._token()), {"X-Subject-Token": f"token-{self.tokens}"}
        if path in ("/v3", "/v3/"):
            link = [{"rel": "self", "href": f"{self.url}/v3/"}]
            return (200, {"version": {"id": "v3.14", "status": "stable", "links": link}}), {}
        if path.strip("/") in SERVICES.values():
            link = [{"rel": "self", "href": f"{self.url}{path}"}]
            return (200, {"version": {"id": "v2.1", "status": "CURRENT", "links": link, **self.versions}}), {}
        if self.accepted and token not in self.accepted:
            return (401, {"error": {"message": "expired"}}), {}
        said = self.answers.get((method, path), [(404, {"itemNotFound": {"message": "no such path"}})])
        return (said.pop(0) if len(said) > 1 else said[0]), {"x-openstack-request-id": "req-1"}

    def _token(self) -> dict[str, t.Any]:
        catalog = [
            {
                "type": service,
                "name": name,
                "id": name,
                "endpoints": [
                    {"id": name, "interface": "public", "region_id": "RegionOne", "region": "RegionOne",
                     "url": f"{self.url}/{name}/"}
                ],
            }
            for service, name in SERVICES.items()
        ]  # fmt: skip
        user = {"id": "u", "name": "admin", "domain": {"id": "default", "name": "Default"}}
        times = {"issued_at": "2020-01-01T00:00:00.000000Z", "expires_at": "2999-01-01T00:00:00.000000Z"}
        project = {"id": "p", "name": "admin", "domain": user["domain"]}
        return {"token": {"methods": ["password"], "user": user, "project": project, "catalog": catalog, **times}}


@contextlib.contextmanager
def serving() -> t.Iterator[Api]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            api.seen.append((self.command, path, self.headers.get("OpenStack-API-Version", "")))
            (status, body), headers = api.answer(self.command, path, self.headers.get("X-Auth-Token"))
            content = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _serve

        def log_message(self, *args: t.Any) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        api = Api(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()
