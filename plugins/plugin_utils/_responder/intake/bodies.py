# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads what is sent: no more than may be, and nothing that a database would choke on. PRIVATE: may change any time."""

from __future__ import annotations

import asyncio
import json
import math
import re
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.deps import Limits
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.problems import Problem

if t.TYPE_CHECKING:
    from starlette.requests import Request

_DEEPEST = 20
# PostgreSQL refuses NUL in any text; half a surrogate pair is no UTF-8.
_UNFIT = re.compile("[\x00\ud800-\udfff]")


def content_type(request: Request) -> str:
    """Without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read(request: Request, limits: Limits) -> bytes:
    """The body.

    :raises Problem: With 413 before all of it was read, 408 when it does not come, 415 when it is compressed.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "Send the body as it is, not compressed.")
    told = request.headers.get("content-length", "0")
    if not told.isdecimal() or len(told) > 18 or int(told) > limits.body:
        raise _too_large(limits)
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await _collect(request, limits)
    except TimeoutError:
        raise Problem(
            408, f"The body did not come within {limits.body_seconds:g} seconds.", {"Connection": "close"}
        ) from None


async def _collect(request: Request, limits: Limits) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limits.body:
            raise _too_large(limits)
    return bytes(body)


def _too_large(limits: Limits) -> Problem:
    # What was not read must not be taken for the next request.
    return Problem(413, f"The body may have {limits.body} bytes at most.", {"Connection": "close"})


def parse(body: bytes) -> t.Any:
    """The JSON value that was sent.

    :raises Problem: With 400: it is none, or has something in it that cannot be kept.
    """
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse, parse_float=_finite)
        # Without escapes no text can have in it what check() looks for, and without brackets nothing is nested.
        if b"\\u" in body or body.count(b"[") + body.count(b"{") > _DEEPEST:
            check(value)
    except RecursionError:
        raise Problem(400, "The body is nested too deeply.") from None
    except ValueError as error:
        raise Problem(400, f"The body is no JSON that can be kept: {error}") from None
    return value


def _refuse(constant: str) -> t.NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def check(value: t.Any, depth: int = _DEEPEST) -> None:
    """Refuse what is valid JSON and yet cannot be written into every database.

    :raises ValueError: There is something like that in it.
    """
    if isinstance(value, str):
        if _UNFIT.search(value):
            raise ValueError("a text has a NUL or half a character in it")
    elif isinstance(value, (dict, list)):
        if not depth:
            raise ValueError("nested too deeply")
        for item in value.values() if isinstance(value, dict) else value:
            check(item, depth - 1)
        for key in value if isinstance(value, dict) else ():
            check(key, depth - 1)
