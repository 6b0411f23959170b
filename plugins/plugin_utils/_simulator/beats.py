# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The heartbeats of nova-compute in Nova's database. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import dataclasses
import datetime

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.links import CORE
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Nova
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.plant import Host, Plant

REPORT_INTERVAL = 10.0
_EPOCH = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


@dataclasses.dataclass
class _Beat:
    """:param since: When the row of beats began that goes on, None while there are none. :param last: The last one."""

    since: float | None
    last: float


class Beats:
    """Keeps ``state`` and ``updated_at`` of Nova's services as the hosts make them.

    :param admin: The network that nova-compute reaches the message bus by.
    :param silent_bus: Hosts whose messages are lost on the way.
    """

    def __init__(self, plant: Plant, nova: Nova, admin: str, service_down_time: float) -> None:
        self.plant, self.nova, self.admin = plant, nova, admin
        self.service_down_time = service_down_time
        self.silent_bus: set[str] = set()
        self._jumps: list[tuple[float, float]] = []
        now = plant.clock.time
        self._of = {host: _Beat(now, now) for host in plant.hosts}
        plant.on_change.append(self.changed)

    def changed(self) -> None:
        """Rows of beats begin and end with what lives and who reaches whom."""
        now = self.plant.clock.time
        for name, beat in self._of.items():
            beats = self._beats(self.plant.hosts[name])
            if beats and beat.since is None:
                beat.since = now
            elif not beats and beat.since is not None:
                beat.last, beat.since = self._last(beat), None

    def jump(self, seconds: float) -> None:
        """The clock that Nova compares heartbeats with is set."""
        self._jumps.append((self.plant.clock.time, seconds))

    def refresh(self) -> None:
        """Bring Nova's services up to date, as reading them does."""
        for name, beat in self._of.items():
            service = self.nova.services[name]
            last = self._last(beat)
            age = self.plant.clock.time - last + sum(by for when, by in self._jumps if last < when)
            down = service["forced_down"] or abs(age) > self.service_down_time
            service["state"] = "down" if down else "up"
            service["updated_at"] = text_of(last)

    def _beats(self, host: Host) -> bool:
        reaches = self.plant.links.reach(host.name, CORE, self.admin)
        return host.lives and host.agent and reaches and host.name not in self.silent_bus

    def _last(self, beat: _Beat) -> float:
        if beat.since is None:
            return beat.last
        return beat.since + (self.plant.clock.time - beat.since) // REPORT_INTERVAL * REPORT_INTERVAL


def text_of(time: float, ahead: float = 0.0) -> str:
    """A simulated moment as people and databases write it; stories begin at midnight.

    :param ahead: How far the clock it is read from is ahead of the right time.
    """
    moment = _EPOCH + datetime.timedelta(seconds=time - 1000.0 + ahead)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
