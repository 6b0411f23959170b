# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the events of a story happen. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.controller import Controller
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.site import Site
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.watchdogs import Watchdogs
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.words import listed, mapping, one_of

_TARGETS = {"segment": "", "domain": "", "percent": ""}


class Stage:
    """The site with its controllers."""

    def __init__(self, site: Site, controllers: t.Iterable[str]) -> None:
        self.site, self.plant = site, site.plant
        self.controllers = {name: Controller(site, name) for name in controllers}

    def start(self) -> None:
        """Let all controllers begin, not at the same moment."""
        Watchdogs(self.site)
        for number, controller in enumerate(self.controllers.values()):
            controller.start(1.0 + 1.5 * number)

    def told(self, text: str, act: t.Callable[[], None]) -> t.Callable[[], None]:
        """The act, with its line in the log, and everybody concerned told that the world has changed."""

        def do() -> None:
            self.site.log.say(text)
            act()
            self.plant.changed()

        return do

    def domains(self) -> list[str]:
        """All failure domains."""
        return sorted({host.domain for host in self.plant.hosts.values() if host.domain})

    def in_domain(self, domain: str) -> list[str]:
        """Hosts of a failure domain."""
        return [host.name for host in self.plant.hosts.values() if host.domain == domain]

    def hosts(self, what: t.Any, path: str) -> list[str]:
        """``all``, a name, a list of names, or ``{segment: …}``, ``{domain: …}``, ``{percent: …}``."""
        everything = list(self.plant.hosts)
        if what in ("all", None):
            return everything
        if not isinstance(what, dict):
            return [one_of(name, everything, path) for name in listed(what)]
        given = mapping(what, _TARGETS, path)
        segment, domain = given.get("segment"), given.get("domain")
        found = [
            host.name
            for host in self.plant.hosts.values()
            if segment in (None, host.segment) and domain in (None, host.domain)
        ]
        if not found:
            raise ConfigError(f"{path}: there is no such host: {what}.")
        share = given.get("percent", 100)
        return found[: max(1, len(found) * int(share) // 100)]

    def check_fencing(self, host: str) -> None:
        """What fence_check would find, and keep."""
        bmc, plant = self.site.bmcs[f"bmc-{host}"], self.plant
        if bmc.kind in ("unreachable", "locked") or plant.hosts[host].domain in plant.dark:
            result, said = "failed", f"{bmc.name}: no answer"
        elif bmc.switches != host and bmc.kind != "wrong_mute":
            result, said = "mismatch", f"{bmc.name} belongs to {bmc.switches}"
        else:
            result, said = "ok", ""
        self.site.journal.add_fence_check(self.site.region, host, result, said)
