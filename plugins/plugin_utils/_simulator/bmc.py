# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fencing devices of simulated hosts, honest and other. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import (
    OFF,
    ON,
    Device,
    FencingError,
    FencingRefused,
    Identity,
    World,
)
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.plant import Plant
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.processes import Processes

KINDS = {
    "normal": "switches the host off in 2 s, tells the truth, and has power of its own",
    "slow": "needs 25 s to switch it off",
    "very_slow": "needs 3 minutes to switch it off",
    "lying": "reports off and leaves the host running",
    "deaf": "accepts the command and does nothing; reports on",
    "unreachable": "answers nothing",
    "locked": "refuses the password",
    "wrong": "switches another host, and tells the identity of that host",
    "wrong_mute": "switches another host, and tells no identity",
    "same_power": "gets its power from the host: answers nothing once the host is dark",
    "grumbles": "answers that it failed, and switches the host off all the same",
    "objects": "refuses to switch off what is off already, as some BMCs do with 409",
}
_TAKES = {"slow": 25.0, "very_slow": 180.0}


class Bmc:
    """What is in the rack.

    :param switches: The host whose power it switches.
    """

    def __init__(self, name: str, host: str, kind: str = "normal", switches: str | None = None) -> None:
        self.name, self.host, self.kind = name, host, kind
        self.switches = switches or host
        self.reads_off = False
        #: Told of each command to switch off that reaches it.
        self.on_command: t.Callable[[Bmc], None] = lambda bmc: None


class SimulatedBmc(Device):
    """The way to it from one controller. Options: ``bmc``, ``plant``, ``processes``, ``machine``, ``network``."""

    NAME = "ipmi"
    OPTIONS: t.ClassVar[dict[str, dict[str, t.Any]]] = {}

    def __init__(self, options: t.Mapping[str, t.Any], world: World) -> None:
        self._bmc: Bmc = options["bmc"]
        self._plant: Plant = options["plant"]
        self._processes: Processes = options["processes"]
        super().__init__(options, world)

    def describe(self) -> str:
        """Its name."""
        return self._bmc.name

    def identity(self, timeout: float) -> Identity:
        """The serial number, which is the host's name here."""
        self._reach(timeout)
        return {} if self._bmc.kind == "wrong_mute" else {"serial": self._bmc.switches}

    def power_state(self, timeout: float) -> str:
        """What it reports."""
        self._reach(timeout)
        if self._bmc.kind == "lying" and self._bmc.reads_off:
            return OFF
        return ON if self._plant.hosts[self._bmc.switches].power else OFF

    def power_off(self, timeout: float) -> str:
        """Ask it."""
        self._reach(timeout)
        kind = self._bmc.kind
        self._bmc.on_command(self._bmc)
        if kind == "lying":
            self._plant.clock.after(2.0, lambda: setattr(self._bmc, "reads_off", True))
        elif kind == "objects" and not self._plant.hosts[self._bmc.switches].power:
            return "409 Conflict"
        elif kind != "deaf":
            self._plant.clock.after(_TAKES.get(kind, 2.0), lambda: self._plant.cut_power(self._bmc.switches))
        if kind == "grumbles":
            raise FencingError("400 Bad Request")
        return "accepted"

    def _reach(self, timeout: float) -> None:
        self._processes.check()
        bmc, plant = self._bmc, self._plant
        if bmc.kind == "locked":
            raise FencingRefused("it refuses the password")
        host = plant.hosts[bmc.switches]
        starved = (bmc.kind == "same_power" and not host.power) or host.domain in plant.dark
        reached = plant.links.reach(self.options["machine"], bmc.host, self.options["network"])
        if bmc.kind == "unreachable" or starved or not reached:
            self.world.wait(timeout)
            raise FencingError("no answer")
