# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CloudEvents, health, metrics and what describes them. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import functools
import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.credentials import READER, Refused
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake import (
    bodies,
    counters,
    events,
    openapi,
)
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.deps import Deps
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.door import Door
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.problems import Handler, Problem

try:
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse, Response
except ImportError:
    JSONResponse = Response = None  # type: ignore[assignment,misc]  # reported by create_app()

if t.TYPE_CHECKING:
    from starlette.requests import Request

Json = t.Dict[str, t.Any]
Row = t.Dict[str, t.Any]

_MOST_TOLD = 20  # wrong events of a batch that an answer tells about


class OwnApi:
    """What the collection's own monitors and tools use."""

    def __init__(self, deps: Deps, door: Door, counted: counters.Counters) -> None:
        self._deps, self._door, self._counted = deps, door, counted

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler."""
        return [
            ("POST", "/v1/signals", self._signals),
            ("GET", "/v1/openapi.json", self._openapi),
            ("GET", "/healthz", self._health),
            ("GET", "/metrics", self._metrics),
        ]

    async def _signals(self, request: Request) -> Response:
        principal = self._door.enter(request)
        if principal.kind == READER:
            raise Refused(403, f"{principal} may read only.")
        body = await bodies.read(request, self._deps.limits)
        given = events.given(bodies.content_type(request), request.headers, body)
        host_of = functools.partial(self._door.host, principal)
        rows = _each(given, lambda event: events.row(event, principal, host_of))
        self._door.charge(principal, len(rows) - 1)
        await self.accept(rows)
        return JSONResponse({"accepted": [row["event_id"] for row in rows]}, 202)

    async def accept(self, rows: list[Row]) -> list[str]:
        """Wait until the rows are in the journal; return what each of them was."""
        return await accepted(self._deps, self._counted, rows)

    async def _openapi(self, request: Request) -> Response:
        return JSONResponse(openapi.document(self._deps.limits.body))

    async def _health(self, request: Request) -> Response:
        """Whether it works, for everybody; why not, for those who may see it."""
        health = self._deps.health()
        if "authorization" in request.headers:
            self._door.reader(request)
        else:
            health = {"ok": bool(health["ok"])}
        return JSONResponse(health, 200 if health["ok"] else 503)

    async def _metrics(self, request: Request) -> Response:
        if not self._deps.metrics_public:
            self._door.reader(request)
        accept = request.headers.get("accept", "")
        body, content_type = await run_in_threadpool(counters.render, self._deps.registry, accept)
        return Response(body, headers={"Content-Type": content_type})


async def accepted(deps: Deps, counted: counters.Counters, rows: list[Row]) -> list[str]:
    """Wait until the rows are in the journal; return what each of them was."""
    began = time.monotonic()
    outcomes = await deps.accept(rows) if rows else []
    counted.accepting.observe(time.monotonic() - began)
    for outcome in outcomes:
        counted.signals.labels(outcome).inc()
    return outcomes


def _each(given: t.Sequence[t.Any], make: t.Callable[[t.Any], Row]) -> list[Row]:
    """The rows of all events. If one cannot be taken none is, and the answer tells which they are."""
    if len(given) == 1:
        return [make(given[0])]
    outcomes = [_tried(make, event) for event in given]
    wrong = [(number, it) for number, it in enumerate(outcomes) if not isinstance(it, dict)]
    if not wrong:
        return t.cast("list[Row]", outcomes)
    told = [
        {"index": number, "id": _id(given[number]), "status": error.status, "detail": str(error)}
        for number, error in wrong[:_MOST_TOLD]
    ]
    # 400 if there is one: it is never sent again, and what is left then may be sent again.
    raise Problem(min(error.status for _number, error in wrong), f"event {wrong[0][0]}: {wrong[0][1]}", errors=told)


def _tried(make: t.Callable[[t.Any], Row], event: t.Any) -> Row | Problem | Refused:
    try:
        return make(event)
    except Refused as error:
        return error
    except Problem as error:
        if error.status >= 500:
            raise
        return error


def _id(event: t.Any) -> t.Any:
    return event.get("id") if isinstance(event, dict) else None
