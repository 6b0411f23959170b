# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who can reach whom on which network. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import itertools
import typing as t

#: Nova's API, its message bus and database, and the isolation addresses: the part that is never cut off from itself.
CORE = "core"


class Links:
    """Networks in parts: machines reach each other on a network while they are in the same part of it."""

    def __init__(self, networks: t.Iterable[str]) -> None:
        self.networks = list(networks)
        self._attached: dict[str, set[str]] = {name: {CORE} for name in self.networks}
        self._part: dict[tuple[str, str], int] = {}
        self._number = itertools.count(1)

    def attach(self, machine: str, networks: t.Iterable[str]) -> None:
        """Plug a machine in."""
        for network in networks:
            self._attached[network].add(machine)

    def of(self, machine: str) -> list[str]:
        """The networks that a machine is on."""
        return [network for network in self.networks if machine in self._attached[network]]

    def split(self, machines: t.Iterable[str], networks: t.Iterable[str], together: bool = False) -> None:
        """Cut machines off, each alone or all of them together."""
        part = next(self._number)
        for network in networks:
            for machine in machines:
                self._part[network, machine] = part if together else next(self._number)

    def heal(self, machines: t.Iterable[str], networks: t.Iterable[str]) -> None:
        """Undo it."""
        for network in networks:
            for machine in machines:
                self._part.pop((network, machine), None)

    def reach(self, one: str, other: str, network: str) -> bool:
        """Whether packets go from one to the other."""
        if network not in self._attached:
            return False
        there = self._attached[network]
        return one in there and other in there and self._where(network, one) == self._where(network, other)

    def _where(self, network: str, machine: str) -> int:
        return self._part.get((network, machine), 0)
