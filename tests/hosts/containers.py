# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bed of Nova with containers for hosts: one truth about their power.

A host's nova-compute is a part of the bed's process, as in :mod:`bed.hosts`; it is heard as long as the
container runs and has the admin network.
"""

from __future__ import annotations

import typing as t

from bed import config, hosts, world
from bed.probe import Probe

from hosts.machine import Machine
from hosts.net import NETWORKS

#: The network over which nova-compute talks.
NOVA = "admin"


class Host(hosts.Host):
    """A host whose hardware is a container."""

    def __init__(self, machine: Machine, *args: t.Any) -> None:
        super().__init__(*args)
        self._machine = machine

    def start(self) -> None:
        """All is well with it: power, all cables, and it runs."""
        self._machine.freeze(False)
        for network in NETWORKS:
            self._machine.heal(network)
        super().start()

    def _run(self) -> None:
        self._machine.power_on()
        if not self._machine.await_boot():
            return
        if NOVA in self._machine.plugged():
            super()._run()
        else:
            self.condition = "cut off"

    def power_off(self) -> None:
        self._machine.power_off()
        super().power_off()

    def crash(self) -> None:
        self._machine.power_off()
        super().crash()

    def freeze(self, on: bool) -> None:
        """Its programs stand still; or go on."""
        self._machine.freeze(on)
        if on:
            self._fall_silent("frozen")
        elif self.powered:
            self._speak()

    def cut(self, network: str) -> None:
        """Pull one cable."""
        self._machine.cut(network)
        if network == NOVA:
            self._fall_silent("cut off")

    def heal(self, network: str) -> None:
        """Put it in again."""
        self._machine.heal(network)
        if network == NOVA and self.powered:
            self._speak()

    def _fall_silent(self, condition: str) -> None:
        self._end(condition, vanish=False, probe=True)

    def _speak(self) -> None:
        with self._lock:
            self._run()


class World(world.World):
    """The bed, with such hosts. Its directory lies in that of the lab."""

    def _make_host(self, spec: config.Host, probe_port: int) -> Host:
        machine = Machine(self.options.directory.parent, spec.name)
        return Host(machine, spec, self.nova, self.truth, Probe(probe_port), self.options.shared_storage)
