# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that reset themselves when nobody hears them. PRIVATE to this collection: may change at any time.

The agent feeds the watchdog device while some controller hears it; with the times of the fencing method's defaults.
"""

from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.plant import Host
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.site import Site

_LOOK = 5.0
#: (heartbeat_interval + heartbeat_timeout) * threshold: so long the agent feeds without being heard.
_BEARS = 60.0
_DEVICE = 60.0
_BOOTS_IN = 120.0


class Watchdogs:
    """The agents of all hosts that have one, armed."""

    def __init__(self, site: Site) -> None:
        self.site = site
        now = site.clock.time
        self._heard = {name: now for name, armed in site.watchdogs.items() if armed}
        self._fed = dict(self._heard)
        if self._heard:
            site.clock.after(_LOOK, self._look)

    def _look(self) -> None:
        now = self.site.clock.time
        for name in self._heard:
            host = self.site.plant.hosts[name]
            if not host.power or host.system == "crashed":
                self._heard[name] = self._fed[name] = now
                continue
            if self._is_heard(host):
                self._heard[name] = now
            if host.lives and now - self._heard[name] <= _BEARS:
                self._fed[name] = now
            if now - self._fed[name] > _DEVICE:
                self._reset(host)
        self.site.clock.after(_LOOK, self._look)

    def _is_heard(self, host: Host) -> bool:
        networks = [name for name in self.site.links.networks if name != self.site.bmc_network]
        return any(
            self.site.plant.hears(controller, host.name, network)
            for controller in self.site.controllers
            for network in networks
        )

    def _reset(self, host: Host) -> None:
        self.site.log.say(f"{host.name}: its watchdog resets it")
        self._fed[host.name] = self._heard[host.name] = self.site.clock.time
        self.site.plant.die([host.name])
        self.site.clock.after(_BOOTS_IN, lambda: self._boot(host.name))

    def _boot(self, name: str) -> None:
        self.site.plant.boot([name])
        self.site.booted[name] = self.site.clock.time
