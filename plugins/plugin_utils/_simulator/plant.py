# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machines of a story as they really are, and the harm done to them. PRIVATE: may change at any time.

Independent of the code under test: nothing here asks Nova, the journal or a gate what is true. Guests are domains on
hosts; harm is seen where it happens to them.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.links import CORE, Links
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.log import Log, names

SYSTEMS = {
    "running": "the kernel runs",
    "hung": "silent on every network; its guests are in memory and may go on at any moment",
    "crashed": "its guests are gone; its crash kernel may be writing a dump",
}

#: What a guest needs to be of use to anybody, where a story has these networks.
_NEEDED = ("storage", "tenant")


@dataclasses.dataclass
class Host:
    """A compute host.

    :param agent: Whether nova-compute runs. :param monitor: Whether our monitor runs.
    :param guests: Domains on it, by VM; whether each is switched on.
    :param fenced: Whether recovery cut its power, rightly or not.
    """

    name: str
    segment: str | None
    domain: str | None
    shared_storage: bool = True
    power: bool = True
    system: str = "running"
    agent: bool = True
    monitor: bool = True
    dumping_until: float = 0.0
    fenced: bool = False
    guests: dict[str, bool] = dataclasses.field(default_factory=dict)

    @property
    def lives(self) -> bool:
        """Whether its kernel runs."""
        return self.power and self.system == "running"

    def running(self) -> list[str]:
        """The guests that could write to their disks."""
        here = self.power and self.system != "crashed"
        return [vm for vm, on in self.guests.items() if on and here]


class Plant:
    """All hosts and guests.

    :param on_change: Called after each change of what lives or who reaches whom.
    """

    def __init__(self, clock: Clock, links: Links, log: Log) -> None:
        self.clock, self.links, self.log = clock, links, log
        self.hosts: dict[str, Host] = {}
        self.local_disks: set[str] = set()
        self.dark: set[str] = set()
        self.harm: list[str] = []
        self.on_change: list[t.Callable[[], None]] = []
        self.ours: t.Callable[[str, str], bool] = lambda vm, host: True
        self.on_boot: t.Callable[[str], None] = lambda host: None
        self.resumes: t.Callable[[str], bool] = lambda vm: True

    # -- what is so -----------------------------------------------------------------------------------------

    def where(self, vm: str) -> list[str]:
        """The hosts on which a VM runs."""
        return [host.name for host in self.hosts.values() if vm in host.running()]

    def is_healthy(self, host: Host) -> bool:
        """Whether guests on it are of use: it runs and reaches its storage and its users."""
        needed = [network for network in _NEEDED if network in self.links.networks]
        return host.lives and all(self.links.reach(host.name, CORE, network) for network in needed)

    def works(self, host: str) -> bool:
        """Whether its nova-compute does."""
        return self.hosts[host].lives and self.hosts[host].agent

    def hears(self, machine: str, host: str, network: str) -> bool:
        """Whether a living kernel answers a machine there."""
        return self.hosts[host].lives and self.links.reach(machine, host, network)

    def changed(self) -> None:
        """Tell those who watch."""
        for tell in self.on_change:
            tell()

    # -- what happens to hosts --------------------------------------------------------------------------------

    def die(self, hosts: t.Iterable[str]) -> None:
        """Power or mainboard gone: whatever ran there has stopped."""
        for host in self._all(hosts):
            host.power = False
            self._lose_guests(host)
        self.changed()

    def set_system(self, hosts: t.Iterable[str], system: str) -> None:
        """Hang, go on, or crash."""
        for host in self._all(hosts):
            host.system = system
            if system == "crashed":
                self._lose_guests(host)
        self.changed()

    def boot(self, hosts: t.Iterable[str]) -> None:
        """Power on and up: nova-compute starts the guests that Nova still has there, as it is set up to."""
        for host in self._all(hosts):
            if host.domain in self.dark:
                continue
            host.power, host.system, host.agent, host.monitor = True, "running", True, True
            for vm in [vm for vm in host.guests if not self.ours(vm, host.name)]:
                del host.guests[vm]
            self.on_boot(host.name)
            for vm in filter(self.resumes, list(host.guests)):
                self.start_guest(vm, host.name)
        self.changed()

    def cut_power(self, name: str) -> None:
        """What a fencing device does."""
        host = self.hosts[name]
        if not host.power:
            return
        if host.system == "crashed" and self.clock.time < host.dumping_until:
            self.harmed(f"the crash dump of {name} was cut short")
        victims = host.running() if self.is_healthy(host) else []
        if victims:
            self.harmed(f"{name} was healthy and was switched off with {len(victims)} VMs: {names(victims)}")
        elif self.is_healthy(host):
            self.harmed(f"{name} was healthy and was switched off")
        host.power, host.fenced = False, True
        self._lose_guests(host)
        self.changed()

    # -- what happens to guests -------------------------------------------------------------------------------

    def start_guest(self, vm: str, name: str) -> None:
        """A domain starts."""
        host = self.hosts[name]
        elsewhere = [other for other in self.where(vm) if other != name]
        if elsewhere and host.lives:
            self.harmed(f"{vm} runs twice: on {names(elsewhere)} and on {name}")
        moved = vm not in host.guests
        if moved and vm in self.local_disks and not host.shared_storage:
            self.harmed(f"{vm} was rebuilt on {name} from its image: the data on its local disk is lost")
        host.guests[vm] = host.lives

    def harmed(self, what: str) -> None:
        """Write harm down, once."""
        if what not in self.harm:
            self.harm.append(what)
            self.log.say(f"HARM: {what}")

    def _all(self, hosts: t.Iterable[str]) -> list[Host]:
        return [self.hosts[name] for name in hosts]

    @staticmethod
    def _lose_guests(host: Host) -> None:
        for vm in host.guests:
            host.guests[vm] = False
