# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stand-in for Keystone: passwords, tokens, application credentials with access rules, a catalogue."""

from __future__ import annotations

import datetime
import typing as t
import uuid

from bed.config import REGION
from bed.fakes import LONG_AGO, PROJECT, StandIn
from bed.front import Front
from bed.web import Answer, Request

USERS = {"admin": "secret", "nova": "nova-secret"}
ROLES = ("admin", "manager", "member", "reader", "service")
Catalog = t.List[t.Tuple[str, str, str]]


class Identity(StandIn):
    """Knows which token belongs to whom, and tells the front."""

    def __init__(self, url: str, catalog: Catalog, front: Front) -> None:
        super().__init__()
        self._url, self._catalog, self._front = url, catalog, front
        self._credential_of: dict[str, dict[str, t.Any]] = {}
        self.state = {"credentials": {}}

    def handle(self, request: Request) -> Answer:
        parts = request.parts[1:]
        if not parts:
            return Answer(300, {"versions": {"values": [self._version()]}})
        parts = parts[1:]
        if not parts:
            return Answer(200, {"version": self._version()})
        if parts == ["auth", "tokens"]:
            return self._issue(request) if request.method == "POST" else self._validate(request)
        if parts == ["auth", "catalog"]:
            return Answer(200, {"catalog": self._token("admin")["token"]["catalog"]})
        if parts[0] == "users" and "application_credentials" in parts:
            return self._credentials(request, parts)
        return self._project(parts)

    def _version(self) -> dict[str, t.Any]:
        return {
            "id": "v3.14",
            "status": "stable",
            "updated": LONG_AGO,
            "links": [{"rel": "self", "href": self._url + "/identity/v3/"}],
            "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
        }

    def _issue(self, request: Request) -> Answer:
        identity = request.body["auth"]["identity"]
        credential = None
        if "token" in identity["methods"]:
            user = self._front.owners[identity["token"]["id"]]
        elif "application_credential" in identity["methods"]:
            given = identity["application_credential"]
            credential = self.state["credentials"].get(given.get("id", ""))
            if credential is None or credential["secret"] != given["secret"]:
                return _refused()
            user = credential["user"]
        else:
            given = identity["password"]["user"]
            user = given.get("name") or given.get("id")
            if USERS.get(user) != given["password"]:
                return _refused()
        token = f"admin:{uuid.uuid4().hex}"
        self._front.owners[token] = user
        if credential:
            self._credential_of[token] = credential
            self._front.access_rules[token] = credential.get("access_rules")
        return Answer(201, self._token(user, credential), headers=[("X-Subject-Token", token)])

    def _validate(self, request: Request) -> Answer:
        token = request.header("X-Subject-Token")
        if token not in self._front.owners or token in self._front.expired:
            return Answer(404, {"error": {"message": "no such token", "code": 404, "title": "Not Found"}})
        if request.method == "DELETE":
            self._front.expired.add(token)
            return Answer(204)
        body = self._token(self._front.owners[token], self._credential_of.get(token))
        return Answer(200, body, headers=[("X-Subject-Token", token)])

    def _token(self, user: str, credential: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        domain = {"id": "default", "name": "Default"}
        token: dict[str, t.Any] = {
            "methods": ["application_credential" if credential else "password"],
            "expires_at": _time(86400),
            "issued_at": _time(0),
            "audit_ids": ["bed"],
            "is_domain": False,
            "user": {"id": user, "name": user, "domain": domain, "password_expires_at": None},
            "project": {"id": PROJECT, "name": "admin", "domain": domain},
            "roles": [{"id": role, "name": role} for role in ROLES],
            "catalog": [_service(*entry) for entry in self._catalog],
        }
        if credential:
            token["application_credential"] = {key: value for key, value in credential.items() if key != "secret"}
        return {"token": token}

    def _credentials(self, request: Request, parts: list[str]) -> Answer:
        known = self.state["credentials"]
        if request.method == "POST":
            asked = request.body["application_credential"]
            secret = asked.get("secret") or uuid.uuid4().hex
            new = {
                "id": uuid.uuid4().hex,
                "name": asked["name"],
                "secret": secret,
                "user": parts[1],
                "restricted": True,
                "project_id": PROJECT,
            }
            if asked.get("access_rules") is not None:
                new["access_rules"] = [{"id": uuid.uuid4().hex, **rule} for rule in asked["access_rules"]]
            known[new["id"]] = new
            return Answer(201, {"application_credential": new})
        if request.method == "DELETE":
            del known[parts[3]]
            return Answer(204)
        return Answer(200, {"application_credentials": list(known.values())})

    def _project(self, parts: list[str]) -> Answer:
        project = {
            "id": PROJECT,
            "name": "admin",
            "domain_id": "default",
            "enabled": True,
            "is_domain": False,
            "parent_id": "default",
            "options": {},
            "tags": [],
            "links": {},
        }
        if parts in (["projects"], ["auth", "projects"]):
            return Answer(200, {"projects": [project], "links": {}})
        if parts == ["projects", PROJECT]:
            return Answer(200, {"project": project})
        if parts[0] in ("limits", "registered_limits", "services", "endpoints", "users"):
            return Answer(200, {parts[0]: [], "links": {}})
        raise KeyError("/".join(parts))


def _refused() -> Answer:
    return Answer(
        401,
        {
            "error": {
                "message": "The request you have made requires authentication.",
                "code": 401,
                "title": "Unauthorized",
            }
        },
    )


def _service(kind: str, name: str, url: str) -> dict[str, t.Any]:
    return {
        "id": kind,
        "type": kind,
        "name": name,
        "endpoints": [
            {"id": kind + interface, "interface": interface, "region": REGION, "region_id": REGION, "url": url}
            for interface in ("public", "internal", "admin")
        ],
    }


def _time(ahead: float) -> str:
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=ahead)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
