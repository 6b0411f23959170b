# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands before every API of the bed: it counts, writes down, and fails on demand."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
import re
import threading
import time
import typing as t

from keystonemiddleware.auth_token import _path_matches

from bed import patches
from bed.web import Answer, App, Environ, StartResponse, raw_body

_ID = re.compile(r"(?<=/)(?:[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}|\d+)(?=/|$)")
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_TYPES = {"volume": ("block-storage", "volumev3")}
BED_HEADER = "HTTP_X_BED"
SERVICE_USER = "nova"


@dataclasses.dataclass
class Fault:
    """What is to go wrong, and how often.

    :param service: ``compute``, ``placement``, ``identity``, ``network``, ``volume``, ``image``, or empty for any.
    :param path: Regular expression searched in the path.
    :param body: Regular expression searched in the body (``"evacuate"``).
    :param status: The answer; 0 drops the connection, after ``seconds``.
    :param times: How many requests it hits; -1 for all.
    :param when: ``before`` the request is processed, or ``after``: done, but answered with the failure.
    """

    service: str = ""
    method: str = ""
    path: str = ""
    body: str = ""
    status: int = 500
    seconds: float = 0.0
    times: int = 1
    when: str = "before"
    id: int = 0
    hits: int = 0

    def matches(self, service: str, environ: Environ) -> bool:
        return (
            self.times != 0
            and self.service in ("", service)
            and self.method in ("", environ["REQUEST_METHOD"])
            and re.search(self.path, environ["PATH_INFO"]) is not None
            and (not self.body or re.search(self.body, raw_body(environ).decode()) is not None)
        )

    def strike(self) -> Answer:
        """The failing answer; a dropped connection is an exception that wsgiref lets pass in silence."""
        time.sleep(self.seconds)
        if not self.status:
            raise ConnectionAbortedError
        return Answer(self.status, {"error": {"code": self.status, "message": "The test bed was told to fail."}})


class Front:
    """Counters, the log of changes, faults, and the tokens that are valid."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._faults: list[Fault] = []
        self._counts: collections.Counter[tuple[str, str, str]] = collections.Counter()
        self._log: list[dict[str, t.Any]] = []
        self.owners: dict[str, str] = {}
        self.expired: set[str] = set()
        self.access_rules: dict[str, list[dict[str, str]] | None] = {}

    def clear(self) -> None:
        """No faults, no counts, an empty log; expired tokens stay expired."""
        with self._lock:
            self._faults.clear()
        self.reset_counts()

    def add_fault(self, fault: Fault) -> int:
        with self._lock:
            fault.id = next(self._ids)
            self._faults.append(fault)
        return fault.id

    def drop_faults(self) -> None:
        with self._lock:
            self._faults.clear()

    def fault_hits(self) -> dict[int, int]:
        with self._lock:
            return {fault.id: fault.hits for fault in self._faults}

    def expire_tokens(self) -> int:
        """No token that a user holds is valid any more; Nova's own ones stay."""
        with self._lock:
            mine = {token for token, owner in self.owners.items() if owner != SERVICE_USER} - self.expired
            self.expired |= mine
        return len(mine)

    def counts(self) -> dict[str, t.Any]:
        """How often which API was called by users of the cloud."""
        with self._lock:
            counts = dict(self._counts)
        by_service: collections.Counter[str] = collections.Counter()
        kinds: collections.Counter[str] = collections.Counter()
        for (service, method, _route), number in counts.items():
            by_service[service] += number
            kinds["read" if method in _READS else "token" if service == "identity" else "write"] += number
        return {
            "total": sum(counts.values()),
            "tokens": sum(n for key, n in counts.items() if key == ("identity", "POST", "/identity/v3/auth/tokens")),
            "by_service": dict(by_service),
            "by_kind": dict(kinds),
            "by_route": {" ".join(key): number for key, number in sorted(counts.items())},
        }

    def reset_counts(self) -> None:
        with self._lock:
            self._counts.clear()
            self._log.clear()

    def log(self) -> list[dict[str, t.Any]]:
        """Every changing call of users, in the order of their arrival."""
        with self._lock:
            return [dict(line) for line in self._log]

    def wrap(self, service: str, app: App) -> App:
        """The application, seen through this front."""

        def fronted(environ: Environ, start_response: StartResponse) -> t.Iterable[bytes]:
            if BED_HEADER in environ:
                with patches.uncapped():
                    return list(app(environ, start_response))
            if environ.get("HTTP_X_AUTH_TOKEN") in self.expired and service != "identity":
                self._note(service, environ)["status"] = 401
                return _unauthorized().send(start_response)
            if not self._allowed(service, environ):
                self._note(service, environ)["status"] = 401
                return _unauthorized().send(start_response)
            if self._internal(environ):
                return app(environ, start_response)
            return self._for_user(service, app, environ, start_response)

        return fronted

    def wrap_by_prefix(self, apps: dict[str, App]) -> App:
        """Several services on one port, told apart by the first part of the path."""
        fronted = {name: self.wrap(name, app) for name, app in apps.items()}

        def app(environ: Environ, start_response: StartResponse) -> t.Iterable[bytes]:
            name = environ["PATH_INFO"].split("/", 2)[1]
            if name not in fronted:
                return Answer(404, {}).send(start_response)
            return fronted[name](environ, start_response)

        return app

    def _for_user(self, service: str, app: App, environ: Environ, start_response: StartResponse) -> t.Iterable[bytes]:
        line = self._note(service, environ)
        fault = self._fault_for(service, environ)
        if fault is not None:
            line["fault"] = fault.id
        if fault is not None and fault.when == "before":
            line["status"] = fault.status
            return fault.strike().send(start_response)

        def start(status: str, headers: t.Any, exc_info: t.Any = None) -> t.Any:
            line["status"] = int(status.split(" ", 1)[0])
            line["answered"] = time.monotonic()
            return None if fault is not None else start_response(status, headers, exc_info)

        body = app(environ, start)
        if fault is None:
            return body
        list(body)
        return fault.strike().send(start_response)

    def _allowed(self, service: str, environ: Environ) -> bool:
        """Whether the access rules of the token allow this; Nova has keystonemiddleware to look at them.

        Like there, a call that one service makes for a user of another, with a service token, is not looked at.
        """
        rules = self.access_rules.get(environ.get("HTTP_X_AUTH_TOKEN", ""))
        if rules is None or "HTTP_X_SERVICE_TOKEN" in environ or service in ("compute", "identity"):
            return True
        path = environ["PATH_INFO"].removeprefix("/" + service)
        return any(
            rule["service"] in _TYPES.get(service, (service,))
            and rule["method"] == environ["REQUEST_METHOD"]
            and _path_matches(path, rule["path"])
            for rule in rules
        )

    def _internal(self, environ: Environ) -> bool:
        return (
            "HTTP_X_SERVICE_TOKEN" in environ
            or self.owners.get(environ.get("HTTP_X_AUTH_TOKEN", "")) == SERVICE_USER
            or patches.INTERNAL_AGENT in environ.get("HTTP_USER_AGENT", "")
        )

    def _fault_for(self, service: str, environ: Environ) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.matches(service, environ):
                    fault.times -= 1
                    fault.hits += 1
                    return fault
        return None

    def _note(self, service: str, environ: Environ) -> dict[str, t.Any]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        route = _ID.sub("{id}", path)
        line: dict[str, t.Any] = {
            "monotonic": time.monotonic(),
            "time": time.time(),
            "service": service,
            "method": method,
            "path": path,
        }
        if method not in _READS and service != "identity":
            line["microversion"] = _microversion(environ)
            line["body"] = _json(raw_body(environ))
            if route.endswith("/action") and line["body"]:
                line["action"] = next(iter(line["body"]))
                route += " " + line["action"]
        with self._lock:
            self._counts[(service, method, route)] += 1
            if "body" in line:
                self._log.append(line)
        return line


def _unauthorized() -> Answer:
    return Answer(
        401,
        {"error": {"code": 401, "title": "Unauthorized", "message": "The token has expired."}},
        [("WWW-Authenticate", 'Keystone uri="expired"')],
    )


def _microversion(environ: Environ) -> str:
    header = str(environ.get("HTTP_OPENSTACK_API_VERSION", ""))
    return header.rpartition(" ")[2] or str(environ.get("HTTP_X_OPENSTACK_NOVA_API_VERSION", ""))


def _json(raw: bytes) -> t.Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return None
