# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Room on hosts, as arithmetic. Pure. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t

Amounts = t.Dict[str, int]

#: Classes that a provider other than the host may supply (shared storage); their absence says nothing.
_SHARED = ("DISK_GB",)


class Room:
    """What is free on each host, by resource class, while VMs are placed on paper."""

    def __init__(self, capacity_and_usage: t.Mapping[str, tuple[Amounts, Amounts]]) -> None:
        self._capacity = {host: dict(capacity) for host, (capacity, _used) in capacity_and_usage.items()}
        self._free = {
            host: {name: total - used.get(name, 0) for name, total in capacity.items()}
            for host, (capacity, used) in capacity_and_usage.items()
        }

    @classmethod
    def of_free(cls, free: t.Mapping[str, Amounts]) -> Room:
        """Make it from what :meth:`as_data` gave."""
        return cls({host: (amounts, {}) for host, amounts in free.items()})

    def fits(self, host: str, need: Amounts) -> bool:
        """Whether a host has room for the need; a host without figures has none."""
        return host in self._free and not self.lacking(host, need)

    def lacking(self, host: str, need: Amounts) -> list[str]:
        """What a host lacks for the need, in words."""
        free = self._free.get(host)
        if free is None:
            return ["no figures in Placement"]
        return [
            f"{name}: needs {amount}, free {free.get(name, 0)}"
            for name, amount in sorted(need.items())
            if amount and amount > free.get(name, 0) and not (name in _SHARED and name not in free)
        ]

    def is_overbooked(self, host: str) -> bool:
        """Whether more is booked there than there is."""
        return any(amount < 0 for amount in self._free.get(host, {}).values())

    def take(self, host: str, need: Amounts) -> None:
        """Book the need on a host."""
        self._add(host, need, -1)

    def give(self, host: str, need: Amounts) -> None:
        """Return what was booked."""
        self._add(host, need, 1)

    def freedom(self, host: str, need: Amounts) -> float:
        """The smallest free share of any needed class once the need is booked: 1 is an empty host."""
        if host not in self._free:
            return -1.0
        shares = [
            (self._free[host][name] - amount) / self._capacity[host][name]
            for name, amount in need.items()
            if self._capacity[host].get(name)
        ]
        return min(shares, default=0.0)

    def as_data(self) -> dict[str, Amounts]:
        """Free amounts by host, as plain data."""
        return {host: dict(free) for host, free in self._free.items()}

    def _add(self, host: str, need: Amounts, sign: int) -> None:
        for name, amount in need.items():
            if name in self._free.get(host, {}):
                self._free[host][name] += sign * amount
