# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is answered when something cannot be done. PRIVATE to this collection: may change at any time.

Nothing is answered with 500: a monitor that gets one would not know whether to send again. What nobody foresaw is
logged under an id, and whoever asked is told to come again.
"""

from __future__ import annotations

import http
import logging
import typing as t
import uuid

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.credentials import Refused
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.writer import Busy

try:
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect
    from starlette.responses import JSONResponse, Response
except ImportError:
    HTTPException = ClientDisconnect = None  # type: ignore[assignment,misc]  # reported by create_app()

if t.TYPE_CHECKING:
    from starlette.requests import Request

LOG = logging.getLogger(__name__)
Handler = t.Callable[["Request"], t.Awaitable["Response"]]
#: Names of errors in the APIs of OpenStack.
_FAULTS = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    406: "notAcceptable",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    503: "serviceUnavailable",
}


class Problem(Exception):
    """Something that whoever asked is told.

    :param more: Further members of the answer.
    """

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None, **more: t.Any) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.headers, self.more = headers or {}, more


def wait(status: int, detail: str, seconds: int) -> Problem:
    """No fault of theirs: come again in so many seconds."""
    return Problem(status, detail, {"Retry-After": str(seconds)})


def of(error: Exception, seconds: int) -> Problem:
    """What is told about any error."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, Refused):
        challenge = {"WWW-Authenticate": 'Bearer realm="openstack_ha", Basic realm="openstack_ha"'}
        return Problem(error.status, error.message, challenge if error.status == 401 else None)
    if isinstance(error, Busy):
        return wait(503, error.message, seconds)
    if isinstance(error, JournalError):
        LOG.error("not accepted: %s", error.message)
        return wait(503, "The journal cannot be written now; nothing of this was accepted.", seconds)
    if isinstance(error, HTTPException):
        return Problem(error.status_code, error.detail, dict(error.headers or {}))
    if isinstance(error, ClientDisconnect):
        return Problem(400, "The connection ended before the request did.")
    number = uuid.uuid4().hex
    LOG.error("unforeseen error %s", number, exc_info=error)
    return wait(
        503, f"Something nobody foresaw happened, see {number} in the log; nothing of this was accepted.", seconds
    )


def as_problem(problem: Problem) -> Response:
    """As RFC 9457 wants it."""
    body = {
        "type": "about:blank",
        "title": http.HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        **problem.more,
    }
    return JSONResponse(body, problem.status, problem.headers, "application/problem+json")


def as_fault(problem: Problem) -> Response:
    """As clients of Masakari know it."""
    name = _FAULTS.get(problem.status, "computeFault")
    return JSONResponse(
        {name: {"code": problem.status, "message": problem.detail, **problem.more}}, problem.status, problem.headers
    )
