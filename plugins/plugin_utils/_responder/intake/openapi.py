# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The intake in OpenAPI 3.1. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor import event

Json = t.Dict[str, t.Any]

_DATA_NEEDED = ["host", "object", "state", "epoch", "sequence"]
_PROBLEMS = {
    400: "not as it must be: do not send it again",
    401: "nobody known",
    403: "about somebody else's host",
    408: "the body did not come",
    413: "too large: do not send it again",
    415: "no CloudEvents",
    429: "too many: see Retry-After",
    503: "cannot be written now: see Retry-After",
}


def document(body_limit: int) -> Json:
    """What can be asked, and what is answered."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Responder of the Ansible collection openstack_ha.recovery", "version": "1"},
        "security": [{"bearer": []}, {"basic": []}],
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "<principal>.<token>"},
                "basic": {"type": "http", "scheme": "basic", "description": "principal and token"},
            },
            "schemas": {"Signal": _signal(), "Problem": _problem()},
        },
        "paths": {
            "/v1/signals": {"post": _post(body_limit)},
            "/healthz": {"get": _get("Whether it decides.", "application/json", {503: "It does not."})},
            "/metrics": {"get": _get("Metrics for Prometheus.", "text/plain", {})},
        },
    }


def _post(body_limit: int) -> Json:
    one = {"$ref": "#/components/schemas/Signal"}
    accepted = {"type": "object", "properties": {"accepted": {"type": "array", "items": {"type": "string"}}}}
    return {
        "summary": f"Send signals, {body_limit} bytes at most. They are in the journal when 202 is answered.",
        "requestBody": {
            "required": True,
            "content": {
                "application/cloudevents+json": {"schema": one},
                "application/cloudevents-batch+json": {"schema": {"type": "array", "items": one}},
            },
        },
        "responses": {
            "202": {"description": "accepted", "content": {"application/json": {"schema": accepted}}},
            **_problems(tuple(_PROBLEMS)),
        },
    }


def _get(summary: str, content_type: str, more: dict[int, str]) -> Json:
    answer = {"description": "as asked", "content": {content_type: {}}}
    others = {str(status): {"description": words} for status, words in more.items()}
    return {"summary": summary, "responses": {"200": answer, **_problems((401, 403, 429)), **others}}


def _problems(statuses: tuple[int, ...]) -> Json:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {str(status): {"description": _PROBLEMS[status], "content": content} for status in statuses}


def _problem() -> Json:
    texts = {name: {"type": "string"} for name in ("type", "title", "detail")}
    return {"type": "object", "required": [*texts, "status"], "properties": {**texts, "status": {"type": "integer"}}}


def _signal() -> Json:
    types = [f"{event.PREFIX}{kind}.{word}" for kind, words in event.TYPES.items() for word in words]
    text: Json = {"type": "string", "minLength": 1}
    data = {
        "host": {**text, "maxLength": 255},
        "object": {"type": "string", "maxLength": 255},
        "state": {"enum": list(event.STATES)},
        "reason": {"type": "string", "maxLength": 4096},
        "epoch": {**text, "maxLength": 64, "pattern": "^[!-~]+$"},
        "sequence": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
        "age": {"type": ["number", "null"], "minimum": 0},
    }
    return {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {**text, "maxLength": 128, "pattern": "^[!-~]+$"},
            "source": {**text, "maxLength": 255, "pattern": "^[!-~]+$"},
            "type": {"enum": types},
            "subject": {"type": "string"},
            "time": {"type": "string", "format": "date-time"},
            "datacontenttype": {"const": "application/json"},
            "data": {
                "type": "object",
                "required": ["host", "object", "state", "epoch", "sequence"],
                "properties": data,
            },
        },
    }
