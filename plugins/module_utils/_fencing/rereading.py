# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the power of fenced hosts again while their VMs are moved. PRIVATE: may change at any time.

Somebody may switch a host on again. Behind an admin network that is cut off it shows no other sign of life.
"""

from __future__ import annotations

import concurrent.futures
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import (
    ON,
    Device,
    FencingError,
    Level,
)

#: Seconds between two readings of a host, and after one that failed.
EVERY, AFTER_FAILURE = 5.0, 15.0
#: Seconds that a device may take to answer.
_TIMEOUT = 5.0

#: What each device has told: its name, its state or None, why it told none.
_Told = t.List[t.Tuple[str, t.Optional[str], str]]


class Rereading:
    """The devices that have proven hosts off.

    :param levels: The fencing levels by host; hosts that are not in it are not read.
    :param pool: Where the reading is done: nobody waits for a device.
    """

    def __init__(
        self,
        levels: t.Mapping[str, t.Sequence[Level]],
        pool: concurrent.futures.Executor,
        clock: t.Callable[[], float],
        say: t.Callable[[str], None],
    ) -> None:
        self._levels, self._pool = levels, pool
        self._clock, self._say = clock, say
        self._asked: dict[str, concurrent.futures.Future[_Told]] = {}
        self._next: dict[str, float] = {}
        self._mute: set[str] = set()

    def signs(self, host: str, certificate: t.Mapping[str, t.Any]) -> list[str]:
        """What was found switched on since the last call; begins another reading when it is time."""
        asked = self._asked.get(host)
        if asked is None:
            self._ask(host, certificate)
        elif asked.done():
            del self._asked[host]
            return self._judge(host, asked.result())
        return []

    def _ask(self, host: str, certificate: t.Mapping[str, t.Any]) -> None:
        devices = self._devices(host, certificate)
        if devices and self._clock() >= self._next.get(host, 0.0):
            self._next[host] = self._clock() + EVERY
            self._asked[host] = self._pool.submit(_read, devices)

    def _devices(self, host: str, certificate: t.Mapping[str, t.Any]) -> list[Device]:
        """Those of the level that has proven it off: what others would tell was not enough then."""
        number = certificate.get("level")
        return [device for level in self._levels.get(host, ()) if level.number == number for device in level.devices]

    def _judge(self, host: str, told: _Told) -> list[str]:
        failed = [f"{name}: {why}" for name, state, why in told if state is None]
        if failed:
            self._next[host] = self._clock() + AFTER_FAILURE
            if host not in self._mute:
                self._say(f"{host}: whether it stays off cannot be read: {'; '.join(failed)}")
                self._mute.add(host)
        return [f"{name} reports that it is on" for name, state, _why in told if state == ON]


def _read(devices: t.Sequence[Device]) -> _Told:
    return [_told(device) for device in devices]


def _told(device: Device) -> tuple[str, str | None, str]:
    name = f"{device.NAME} {device.address}"
    try:
        return name, device.power_state(_TIMEOUT), ""
    except FencingError as error:
        return name, None, device.clean(error.message)
