# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTTP face of the responder. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.deps import Deps, Limits

try:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route
except ImportError:
    Starlette = None  # type: ignore[assignment,misc]  # reported by create_app()

__all__ = ["Deps", "Limits", "create_app"]


def create_app(deps: Deps) -> Starlette:
    """The application; whoever serves it must have started the writer behind ``deps.accept``."""
    if Starlette is None:
        raise RecoveryError("The responder needs the Python package starlette, which is missing.")
    return Starlette(routes=[Route("/healthz", _health(deps), methods=["GET"])])


def _health(deps: Deps) -> t.Callable[[Request], t.Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        health = deps.health()
        return JSONResponse({"ok": health["ok"]}, 200 if health["ok"] else 503)

    return answer
