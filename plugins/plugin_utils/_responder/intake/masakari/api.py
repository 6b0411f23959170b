# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Masakari's API, 1.0 to 1.3. PRIVATE to this collection: may change at any time.

Segments and hosts are what the segments file says, so they can be read here and changed there.
https://docs.openstack.org/api-ref/instance-ha/
"""

from __future__ import annotations

import datetime
import functools
import logging
import re
import typing as t
import uuid

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.credentials import (
    HOST,
    Principal,
    Refused,
)
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake import bodies, problems
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.counters import Counters
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.deps import Deps
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.door import Door
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.masakari import (
    notices,
    paging,
    views,
)
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.masakari.stored import Stored
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.own import accepted
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.problems import Handler, Problem

try:
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import JSONResponse, PlainTextResponse, Response
except ImportError:
    JSONResponse = Response = None  # type: ignore[assignment,misc]  # reported by create_app()

if t.TYPE_CHECKING:
    from starlette.requests import Request

LOG = logging.getLogger(__name__)
Json = t.Dict[str, t.Any]
Row = t.Dict[str, t.Any]
Versioned = t.Callable[["Request", int], t.Awaitable[Json]]

_SERVICE = "instance-ha"
_NEWEST = 3  # of 1.x
_HEADER = "OpenStack-API-Version"
_VERSION = re.compile(rf"{_SERVICE}\s+(?:(\d{{1,4}})\.(\d{{1,4}})|latest)", re.IGNORECASE)

_IN_FILE = (
    "Failover segments and their hosts are defined in the segments file of openstack_ha.recovery; change that file. "
    "To stop recoveries of a segment or a host for a while, use the playbook openstack_ha.recovery.pause."
)


class MasakariApi:
    """What masakari-monitors, openstacksdk and the dashboard use."""

    def __init__(self, deps: Deps, door: Door, counters: Counters) -> None:
        self._deps, self._door, self._counters = deps, door, counters
        self._stored = Stored(deps)

    def routes(self) -> list[tuple[str, str, Handler]]:
        """Method, path and handler."""
        found: list[tuple[str, str, Handler]] = [
            ("GET", "/", self._versions),
            ("GET", "/v1", self._version),
            ("GET", "/v1/", self._version),
            ("GET", "/healthcheck", self._healthcheck),
        ]
        for base in ("/v1", "/v1/{project}"):
            found += [(method, base + path, handler) for method, path, handler in self._resources()]
        return found

    def _resources(self) -> list[tuple[str, str, Handler]]:
        segment, host = "/segments/{segment}", "/segments/{segment}/hosts/{host}"
        read: list[tuple[str, Versioned, int]] = [
            ("/segments", self._segments, 0),
            (segment, self._segment, 0),
            (f"{segment}/hosts", self._hosts, 0),
            (host, self._host, 0),
            ("/notifications", self._notifications, 0),
            ("/notifications/{notification}", self._notification, 0),
            ("/notifications/{notification}/vmoves", self._moves, 3),
            ("/notifications/{notification}/vmoves/{move}", self._move, 3),
            ("/extensions", self._extensions, 0),
        ]
        write = [("POST", "/segments"), ("PUT", segment), ("DELETE", segment)]
        write += [("POST", f"{segment}/hosts"), ("PUT", host), ("DELETE", host)]
        return [
            *(("GET", path, functools.partial(_versioned, handler, lowest, 200)) for path, handler, lowest in read),
            *((method, path, functools.partial(_versioned, self._in_file, 0, 200)) for method, path in write),
            ("POST", "/notifications", functools.partial(_versioned, self._create, 0, 202)),
        ]

    # -- versions and health ---------------------------------------------------------------------------------

    async def _versions(self, request: Request) -> Response:
        return JSONResponse({"versions": [_version(request)]})

    async def _version(self, request: Request) -> Response:
        media = {"base": "application/json", "type": "application/vnd.openstack.masakari+json;version=1"}
        return JSONResponse({"version": {**_version(request), "media-types": [media]}})

    async def _healthcheck(self, request: Request) -> Response:
        ok = self._deps.health()["ok"]
        return PlainTextResponse("OK" if ok else "NOT DECIDING", 200 if ok else 503)

    async def _extensions(self, request: Request, minor: int) -> Json:
        self._door.reader(request)
        return {"extensions": []}

    # -- notifications ---------------------------------------------------------------------------------------

    async def _create(self, request: Request, minor: int) -> Json:
        principal = self._door.enter(request)
        try:
            row = await self._row(request, principal)
        except (Problem, Refused) as error:
            again = "" if error.status == 400 else " for now"
            LOG.error("notification of %s not accepted, and lost%s: %d: %s", principal, again, error.status, error)
            raise
        outcomes = await accepted(self._deps, self._counters, [row])
        LOG.info("notification of %s: %s: %s", principal, outcomes[0], row["data"]["reason"])
        return {"notification": await self._written(row)}

    async def _row(self, request: Request, principal: Principal) -> Row:
        if bodies.content_type(request) != "application/json":
            raise Problem(415, "Send application/json.")
        notification = notices.checked(bodies.parse(await bodies.read(request, self._deps.limits)))
        return notices.row(notification, principal, functools.partial(self._door.host, principal))

    async def _written(self, row: Row) -> Json:
        """The notification that stands for it. It is accepted whether or not it can be read back."""
        try:
            signal = await run_in_threadpool(self._stored.signal_of, row)
        except JournalError as error:
            LOG.warning("accepted, but cannot be read back: %s", error.message)
            signal = None
        fresh = {"id": str(uuid.uuid4()), "verdict": None, "verdict_reason": None, "received_at": _now()}
        fresh.update(decided_at=None, repeated_at=None)
        return views.notification(signal or {**row, **fresh}, None, self._deps.topology())

    async def _notifications(self, request: Request, minor: int) -> Json:
        self._door.reader(request)
        since = _moment(request.query_params.get("generated-since"))
        found = await run_in_threadpool(self._stored.notifications, request.query_params)
        items = [item for item in found if since is None or item["generated_time"] >= since]
        names = ("status", "type", "source_host_uuid")
        page = paging.page(items, request.query_params, names, "notification_uuid", "created_at")
        return {"notifications": page}

    async def _notification(self, request: Request, minor: int) -> Json:
        signal = await self._signal(request)
        return {"notification": await run_in_threadpool(self._stored.notification, signal, minor >= 1)}

    async def _signal(self, request: Request) -> Row:
        """The signal behind the notification in the path, for those who may see it."""
        principal = self._door.enter(request)
        wanted = request.path_params["notification"]
        signal = await run_in_threadpool(self._stored.signal, wanted)
        if signal is None:
            raise Problem(404, f"No notification with id {wanted[:80]} could be found.")
        if principal.kind == HOST and signal["host"] != self._door.host(principal, principal.name):
            raise Refused(403, f"{principal} may not see what concerns other hosts.")
        return signal

    async def _moves(self, request: Request, minor: int) -> Json:
        page = paging.page(
            await self._all_moves(request), request.query_params, ("status", "type"), "uuid", "created_at"
        )
        return {"vmoves": page}

    async def _move(self, request: Request, minor: int) -> Json:
        return {"vmove": _one(await self._all_moves(request), "uuid", request.path_params["move"], "vmove")}

    async def _all_moves(self, request: Request) -> list[Json]:
        signal = await self._signal(request)
        if signal["kind"] != "host":
            raise Problem(400, "Only notifications of type COMPUTE_HOST have vmoves.")
        return await run_in_threadpool(self._stored.moves, signal)

    # -- segments and hosts ----------------------------------------------------------------------------------

    async def _segments(self, request: Request, minor: int) -> Json:
        items = await self._all_segments(request, minor)
        names = [name for name in ("recovery_method", "service_type", "enabled") if name != "enabled" or minor >= 2]
        return {"segments": paging.page(items, request.query_params, names, "uuid", "name")}

    async def _segment(self, request: Request, minor: int) -> Json:
        items = await self._all_segments(request, minor)
        return {"segment": _one(items, "uuid", request.path_params["segment"], "segment")}

    async def _all_segments(self, request: Request, minor: int) -> list[Json]:
        self._door.reader(request)
        orders = await run_in_threadpool(self._stored.orders)
        found = views.segments(self._topology(), orders)
        return found if minor >= 2 else [{key: it for key, it in item.items() if key != "enabled"} for item in found]

    async def _hosts(self, request: Request, minor: int) -> Json:
        items = await self._all_hosts(request, minor)
        names = ("type", "on_maintenance", "reserved", "failover_segment_id")
        return {"hosts": paging.page(items, request.query_params, names, "uuid", "name")}

    async def _host(self, request: Request, minor: int) -> Json:
        return {"host": _one(await self._all_hosts(request, minor), "uuid", request.path_params["host"], "host")}

    async def _all_hosts(self, request: Request, minor: int) -> list[Json]:
        segments = await self._all_segments(request, minor)
        segment = _one(segments, "uuid", request.path_params["segment"], "segment")
        orders = await run_in_threadpool(self._stored.orders)
        return views.hosts(self._topology(), orders, segment["name"])

    async def _in_file(self, request: Request, minor: int) -> Json:
        self._door.reader(request)
        raise Problem(403, _IN_FILE)

    def _topology(self) -> Json:
        topology = self._deps.topology()
        if topology is None:
            raise problems.wait(503, "It is not known yet which hosts there are.", self._deps.limits.retry_after)
        return topology


async def _versioned(handler: Versioned, lowest: int, status: int, request: Request) -> Response:
    """Answer in the microversion that is asked for."""
    minor = _asked_for(request.headers.get(_HEADER))
    if minor < lowest:
        raise Problem(404, f"This is there from version 1.{lowest} on; 1.{minor} was asked for.")
    answer = await handler(request, minor)
    headers = {_HEADER: f"{_SERVICE} 1.{minor}", "Vary": _HEADER, "x-openstack-request-id": f"req-{uuid.uuid4()}"}
    return JSONResponse(answer, status, headers)


def _asked_for(header: str | None) -> int:
    """The minor version in a header that may name those of other services too."""
    asked = [part.strip() for part in (header or "").split(",") if part.strip().lower().startswith(_SERVICE)]
    if not asked:
        return 0
    found = _VERSION.fullmatch(asked[0])
    if not found:
        raise Problem(400, f"{_HEADER}: must be '{_SERVICE} 1.x' or '{_SERVICE} latest'.")
    if found[1] is None:
        return _NEWEST
    major, minor = int(found[1]), int(found[2])
    if major != 1 or minor > _NEWEST:
        raise Problem(406, f"Version {major}.{minor} is not supported: 1.0 to 1.{_NEWEST} are.")
    return minor


def _version(request: Request) -> Json:
    return {
        "id": "v1.0", "status": "CURRENT", "version": f"1.{_NEWEST}", "min_version": "1.0",
        "max_version": f"1.{_NEWEST}", "updated": "2026-09-30T00:00:00Z",
        "links": [{"rel": "self", "href": f"{str(request.base_url).rstrip('/')}/v1/"}],
    }  # fmt: skip


def _one(items: t.Sequence[Json], key: str, wanted: str, what: str) -> Json:
    for item in items:
        if item[key] == wanted:
            return item
    raise Problem(404, f"No {what} with id {wanted[:80]} could be found.")


def _moment(given: str | None) -> str | None:
    """The form in which times are shown, so that they can be compared."""
    if given is None:
        return None
    try:
        moment = datetime.datetime.fromisoformat(given.replace("Z", "+00:00").replace(" ", "+"))
    except ValueError:
        raise Problem(400, "generated-since: must be a date and a time.") from None
    if moment.tzinfo:
        moment = moment.astimezone(datetime.timezone.utc).replace(tzinfo=None)
    return moment.isoformat(timespec="microseconds")


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
