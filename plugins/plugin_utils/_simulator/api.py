# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The OpenStack API as one machine of a story reaches it. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Answer
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.beats import Beats
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.links import CORE
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.processes import Processes


class Api:
    """See :class:`_cloud.Cloud`: what each request needs is looked at when it is made."""

    def __init__(self, machine: str, cloud: FakeCloud, beats: Beats, processes: Processes) -> None:
        self.machine = machine
        self.region = cloud.region
        self._cloud, self._beats, self._processes = cloud, beats, processes

    def supports(self, microversion: str) -> bool:
        """See Cloud."""
        return self._cloud.supports(microversion)

    def best_microversion(self, wanted: str) -> str:
        """See Cloud."""
        return self._cloud.best_microversion(wanted)

    def has(self, service: str) -> bool:
        """See Cloud."""
        return self._cloud.has(service)

    def ask_once(self, service: str, version: str, path: str, seconds: float) -> t.Any:
        """See Cloud."""
        return self.request("GET", service, f"/{version}{path}").body

    def get(self, service: str, path: str, microversion: str | None = None, **params: t.Any) -> t.Any:
        """See Cloud."""
        return self.request("GET", service, path, microversion, params=params).body

    def request(self, method: str, service: str, path: str, microversion: str | None = None, **more: t.Any) -> Answer:
        """See Cloud; fails at once where nothing answers."""
        self._processes.check()
        if not self.reachable():
            raise CloudError(f"{method} {service} {path}: no answer", status=None, answer="no answer")
        self._beats.refresh()
        return self._cloud.request(method, service, path, microversion, **more)

    def reachable(self) -> bool:
        """Whether the API answers this machine."""
        there = self._beats.plant.links.reach(self.machine, CORE, self._beats.admin)
        return there and self._cloud.answers
