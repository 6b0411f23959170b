# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTTP face of the responder. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import functools
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake import problems
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.counters import Counters
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.deps import Deps, Limits
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.door import Door
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.masakari.api import MasakariApi
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.own import OwnApi

try:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route
except ImportError:
    Starlette = None  # type: ignore[assignment,misc]  # reported by create_app()

__all__ = ["Deps", "Limits", "create_app"]

Shape = t.Callable[[problems.Problem], "Response"]


def create_app(deps: Deps) -> Starlette:
    """The application; whoever serves it must have started the writer behind ``deps.accept``."""
    if Starlette is None:
        raise RecoveryError("The responder needs the Python package starlette, which is missing.")
    counters, door = Counters(deps.registry), Door(deps)
    own, masakari = OwnApi(deps, door, counters), MasakariApi(deps, door, counters)
    shapes: list[tuple[t.Any, Shape]] = [(own, problems.as_problem), (masakari, problems.as_fault)]
    routes = [
        Route(path, functools.partial(_answer, handler, shape, counters, path, deps), methods=[method])
        for api, shape in shapes
        for method, path, handler in api.routes()
    ]
    last = functools.partial(_last_resort, {path for _method, path, _handler in own.routes()}, counters, deps)
    return Starlette(routes=_merged(routes), exception_handlers={404: last, 405: last, Exception: last})


async def _answer(
    handler: problems.Handler, shape: Shape, counters: Counters, path: str, deps: Deps, request: Request
) -> Response:
    try:
        response = await handler(request)
    except Exception as error:
        response = shape(problems.of(error, deps.limits.retry_after))
    counters.requests.labels(path, response.status_code).inc()
    return response


async def _last_resort(own: set[str], counters: Counters, deps: Deps, request: Request, error: Exception) -> Response:
    """What no route has answered: unknown paths and methods."""
    problem = problems.of(error, deps.limits.retry_after)
    counters.requests.labels("", problem.status).inc()
    return (problems.as_problem if request.url.path in own else problems.as_fault)(problem)


def _merged(routes: list[Route]) -> list[Route]:
    """One route for each path: of several, the first would answer that its method is not allowed."""
    by_path: dict[str, dict[str, t.Any]] = {}
    for route in routes:
        by_path.setdefault(route.path, {}).update(dict.fromkeys(route.methods or (), route.endpoint))
    return [
        Route(path, functools.partial(_of_method, methods), methods=[*methods]) for path, methods in by_path.items()
    ]


async def _of_method(handlers: dict[str, problems.Handler], request: Request) -> Response:
    return await handlers[request.method](request)
