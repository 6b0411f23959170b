# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which host is meant by a name. PRIVATE to this collection: may change at any time.

Nova calls one machine by two names: the *service host* (``os-services``, aggregates, servers) and the
*hypervisor hostname* (``os-hypervisors``, Placement), which is often the FQDN. Acting on the wrong one
of two similar names would fence a healthy host, so a name is resolved exactly or refused.
"""

from __future__ import annotations

import collections
import difflib
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError

_SUGGESTIONS = 5


class HostNames:
    """The names of all compute hosts.

    :param hosts: Hypervisor hostname (None where there is none) by service host.
    """

    def __init__(self, hosts: t.Mapping[str, str | None]) -> None:
        self._hosts = hosts
        self._exact: dict[str, set[str]] = collections.defaultdict(set)
        self._short: dict[str, set[str]] = collections.defaultdict(set)
        for service_host, hypervisor_hostname in hosts.items():
            for name in filter(None, (service_host, hypervisor_hostname)):
                self._exact[name].add(service_host)
                self._short[name.partition(".")[0]].add(service_host)

    def resolve(self, name: str, path: str) -> str:
        """Return the service host that is meant.

        :param name: A service host, a hypervisor hostname, or the short form of one of them.
        :param path: Where the name was given, for the error: ``segments.rack1.hosts[2]``.
        :raises ConfigError: No host, or more than one, has this name.
        """
        found = self._exact.get(name) or self._short.get(name, set())
        if len(found) == 1:
            return next(iter(found))
        if found:
            raise ConfigError(
                f"{path}: '{name}' is ambiguous: it can be {self._listed(found)}. Give the service host in full."
            )
        raise ConfigError(f"{path}: Nova knows no compute host '{name}'. {self._hint(name)}")

    def _hint(self, name: str) -> str:
        similar = self._short.get(name.partition(".")[0]) or {
            service_host
            for near in difflib.get_close_matches(name, self._exact, _SUGGESTIONS)
            for service_host in self._exact[near]
        }
        if similar:
            return f"Is it {self._listed(similar)}?"
        return "`openstack compute service list` shows the names, in the column Host."

    def _listed(self, hosts: t.Iterable[str]) -> str:
        names = sorted(hosts)
        shown = " or ".join(self._both(name) for name in names[:_SUGGESTIONS])
        return shown + (f" or {len(names) - _SUGGESTIONS} more" if len(names) > _SUGGESTIONS else "")

    def _both(self, service_host: str) -> str:
        hypervisor_hostname = self._hosts[service_host]
        if hypervisor_hostname in (None, service_host):
            return f"'{service_host}'"
        return f"'{service_host}' (hypervisor '{hypervisor_hostname}')"
