# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Segments, hosts and policy, as they are now. PRIVATE to this collection: may change at any time.

Files are read again when they change, Nova's hosts and aggregates every minute. What is wrong is told, and what was
right before goes on to hold.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import threading
import typing as t
import urllib.parse

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _cloud, _compute, _config, _configuration
from ansible_collections.openstack_ha.recovery.plugins.module_utils import _segments as segments
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError

Json = dict[str, t.Any]

MEMBERS_EVERY = 60.0  # seconds; hosts come and go rarely
LOOK_EVERY = 2.0  # seconds between two looks at the files


@dataclasses.dataclass(frozen=True)
class Site:
    """All that is configured and known of hosts."""

    topology: Json
    policy: Json
    policy_hash: str
    segments_hash: str

    def segment(self, host: str) -> str | None:
        """The failover segment of a host."""
        found = self.topology["hosts"].get(host, {}).get("segment")
        return None if found is None else str(found)

    def hosts(self) -> list[str]:
        """All hosts that Nova knows."""
        return sorted(self.topology["hosts"])

    @functools.cached_property
    def addresses(self) -> dict[str, str]:
        """Host by address, as far as one has it alone."""
        found: dict[str, set[str]] = {}
        for host, facts in self.topology["hosts"].items():
            for address in {facts.get("host_ip"), *map(_address, facts.get("probe") or [])} - {None}:
                found.setdefault(str(address), set()).add(host)
        return {address: hosts.pop() for address, hosts in found.items() if len(hosts) == 1}


def _address(url: str) -> str | None:
    return urllib.parse.urlsplit(url).hostname


class Keeper:
    """Keeps the site up to date.

    :param told: Told what is wrong with a changed configuration, or None when nothing is.
    """

    def __init__(
        self,
        segments_file: str,
        policy_file: str | None,
        cloud: Cloud,
        clock: t.Callable[[], float],
        told: t.Callable[[str | None], None],
        say: t.Callable[[str], None],
    ) -> None:
        self._paths = (segments_file, policy_file)
        self._cloud, self._clock, self._tell, self._say = cloud, clock, told, say
        self._site: Site | None = None
        self._given: _configuration.Configuration | None = None
        self._seen: t.Any = None
        self._policy_path: str | None = None
        self._members_at: float | None = None
        self._told: str | None = None
        self._lock = threading.Lock()

    def current(self) -> Site | None:
        """As it was read last, without any I/O; None: never yet."""
        return self._site

    def soon(self) -> None:
        """Read all of it again at the next refresh."""
        self._seen, self._members_at = None, None

    def run(self, stopped: threading.Event, changed: t.Callable[[], None]) -> None:
        """Keep it up to date until the end; a Nova that hangs holds up nothing else.

        :param changed: Told when something is different.
        """
        while not stopped.is_set():
            before = self._site
            if self.refresh() is not before:
                changed()
            stopped.wait(LOOK_EVERY)

    def refresh(self) -> Site | None:
        """Read what has changed. What is wrong leaves all as it was."""
        with self._lock:
            try:
                self._refresh()
            except RecoveryError as error:
                self._complain(error)
            return self._site

    def _refresh(self) -> None:
        seen, now = self._fingerprint(), self._clock()
        changed = seen != self._seen
        if not changed and self._members_at is not None and now - self._members_at < MEMBERS_EVERY:
            return
        self._seen, self._members_at = seen, now
        if changed:
            self._given, self._policy_path = _configuration.load(*self._paths)
            self._seen = self._fingerprint()
        if self._given:
            self._take(self._given)
            if changed or self._told:
                self._tell(None)
            self._told = None

    def _take(self, given: _configuration.Configuration) -> None:
        services = _compute.services(self._cloud, binary="nova-compute")
        hosts = segments.compute_hosts(services, _compute.hypervisors(self._cloud))
        members = segments.assign(given.segments, hosts, segments.aggregate_facts(_compute.aggregates(self._cloud)))
        topology = segments.topology(given.segments, members)
        site = Site(topology, given.policy.values, given.policy.hash, given.segments_hash)
        if site == self._site:
            return
        if self._site is None or (site.policy_hash, site.segments_hash) != (
            self._site.policy_hash,
            self._site.segments_hash,
        ):
            self._say(
                f"segments {site.segments_hash[:12]} and policy {site.policy_hash[:12]} hold from now on: "
                f"{len(topology['segments'])} segments, {len(topology['hosts'])} hosts"
            )
            for warning in given.policy.warnings:
                self._say(f"{_configuration.POLICY_FILE}: {warning}")
        self._site = site

    def _fingerprint(self) -> t.Any:
        named = [self._paths[0], self._paths[1] or _configuration.policy_path(self._paths[0], None), self._policy_path]
        return [_stamp(path) for path in named if path]

    def _complain(self, error: RecoveryError) -> None:
        if not isinstance(error, ConfigError):
            self._members_at = None  # Nova did not answer: at the next look again
        if error.message != self._told:
            self._told = error.message
            self._tell(error.message)


def _stamp(path: str) -> t.Any:
    try:
        found = os.stat(path)
    except OSError:
        return (path, None)
    return (path, found.st_mtime_ns, found.st_size, found.st_ino)


def connection(segments_file: str) -> Json:
    """How the segments file says to connect.

    :raises ConfigError: It says so with a template, which only Ansible resolves.
    """
    config = _config.read(_configuration.contents(segments_file))
    names = {alias: name for name, spec in _cloud.CLOUD_SPEC.items() for alias in (name, *spec.get("aliases", ()))}
    found = {names[key]: value for key, value in (config or {}).items() if key in names}
    for key, value in found.items():
        if not isinstance(value, (str, int, bool)) or (isinstance(value, str) and _config.is_template(value)):
            raise ConfigError(
                f"cloud: the segments file says '{key}' in a way that only Ansible resolves; name the cloud in "
                "responder.yml."
            )
    return found
