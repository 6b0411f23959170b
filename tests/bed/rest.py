# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP with the standard library, for the client side."""

from __future__ import annotations

import json
import typing as t
import urllib.error
import urllib.request


class BedError(Exception):
    """The bed, or an API in it, answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


# a proxy of the surroundings has no business between a client and its own machine
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(
    method: str, url: str, body: t.Any = None, headers: t.Mapping[str, str] | None = None, timeout: float = 120.0
) -> tuple[t.Any, t.Mapping[str, str]]:
    """The decoded answer and its headers; a status above 399 is a :class:`BedError`."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})}, method=method)
    try:
        with _opener.open(request, timeout=timeout) as answer:
            raw, answered = answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        raise BedError(error.code, error.read().decode(errors="replace")) from None
    return (json.loads(raw) if raw else None), answered
