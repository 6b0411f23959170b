# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who comes in. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import logging
import math
import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._names import HostNames
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.credentials import (
    HOST,
    REPORTER,
    Principal,
    Refused,
)
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake import problems
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.deps import Deps
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.rates import Buckets

if t.TYPE_CHECKING:
    from starlette.requests import Request

LOG = logging.getLogger(__name__)
#: A reporter speaks for many hosts.
_REPORTER_FACTOR = 10
_LOG_EVERY = 10.0  # seconds between two lines about one address


class Door:
    """Checks who comes, how often, and about whom they may speak."""

    def __init__(self, deps: Deps, clock: t.Callable[[], float] = time.monotonic) -> None:
        self._deps, self._clock = deps, clock
        limits = deps.limits
        self._hosts = Buckets(limits.rate, limits.burst, clock)
        self._reporters = Buckets(limits.rate * _REPORTER_FACTOR, limits.burst * _REPORTER_FACTOR, clock)
        self._logged: dict[str, float] = {}

    def enter(self, request: Request) -> Principal:
        """Who asks.

        :raises Refused: With 401. :raises Problem: With 429: too often.
        """
        try:
            principal = self._deps.credentials.principal(request.headers.get("authorization"))
        except Refused as error:
            self._log(request, error)
            raise
        wait = self._buckets(principal).wait(str(principal))
        if wait > 0:
            raise problems.wait(429, f"{principal} sends more than it may.", max(1, math.ceil(wait)))
        self._buckets(principal).take(str(principal), 1)
        return principal

    def charge(self, principal: Principal, more: int) -> None:
        """Count what else one request brings."""
        self._buckets(principal).take(str(principal), more)

    def reader(self, request: Request) -> Principal:
        """Who asks, if they may see all that is recorded.

        :raises Refused: With 401 or 403.
        """
        principal = self.enter(request)
        if principal.kind == HOST:
            raise Refused(403, f"{principal} may not see what concerns other hosts; that needs a reader or a reporter.")
        return principal

    def host(self, principal: Principal, given: str) -> str:
        """The service host that a principal speaks about, by whatever name.

        :raises Refused: With 403: it may not. :raises Problem: With 400: there is no such host.
        """
        topology = self._deps.topology()
        if principal.kind == HOST and principal.name == given:
            return given
        if principal.kind == REPORTER and topology is None:
            raise problems.wait(503, "It is not known yet which hosts there are.", self._deps.limits.retry_after)
        host = _service_host(given, topology)
        if principal.kind == HOST and _service_host(principal.name, topology) == host and host is not None:
            return host
        self._deps.credentials.check_host(principal, host or given, topology)
        if host is None:
            raise problems.Problem(400, f"The segments file has no host {given[:80]!r}.")
        return host

    def _buckets(self, principal: Principal) -> Buckets:
        return self._reporters if principal.kind == REPORTER else self._hosts

    def _log(self, request: Request, error: Refused) -> None:
        address = request.client.host if request.client else "?"
        now = self._clock()
        if now - self._logged.get(address, -math.inf) < _LOG_EVERY:
            return
        if len(self._logged) > 1000:
            self._logged.clear()
        self._logged[address] = now
        LOG.warning("%s %s from %s: %s", request.method, request.url.path, address, error.message)


def _service_host(given: str, topology: t.Optional[dict[str, t.Any]]) -> str | None:
    hosts = (topology or {}).get("hosts", {})
    if given in hosts:
        return given
    try:
        return HostNames({name: it.get("hypervisor_hostname") for name, it in hosts.items()}).resolve(given, "host")
    except ConfigError:
        return None
