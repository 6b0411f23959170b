# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kind ``instance``: failures of VMs, by libvirt's events. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
import typing as t

from . import libvirt_events as le
from . import libvirt_link
from .guest_agent import Agents, Answer
from .instance_memory import Memory
from .instance_resume import Resumer
from .instance_states import Instances
from .spool import boot_id

if t.TYPE_CHECKING:
    from .config import Config
    from .state import Board

LOG = logging.getLogger(__name__)

#: Beside the spool.
FILE = "instance_vms.json"
#: Seconds between looks at the clock.
TICK = 0.5
#: Seconds after a connection at which all VMs are looked at again. A libvirt that was just started still takes a VM
#: for running whose QEMU has died meanwhile, and sends no event when it finds out.
SOON = (2.0, 10.0, 30.0)
#: Seconds until a connection is tried again: the first, and the most.
BACK_OFF = (0.2, 5.0)


def run(config: Config, board: Board, stop: threading.Event) -> None:
    """Watch the VMs of this host until it is told to stop."""
    libvirt_link.need()
    options = config.section("instance")
    memory = Memory(os.path.join(config.spool_directory, FILE), boot_id())
    inbox: queue.Queue[t.Any] = queue.Queue()
    resume = options["resume"]
    agents = options["guest_agent"]["enabled"]
    instances = Instances(board, memory, options["quiet"], agents, resumes=resume["enabled"])
    libvirt_link.start_loop()
    ours = libvirt_link.Ours(options["name_pattern"] if options["vms"] == "nova" else None)
    link = libvirt_link.Link(options["uri"], ours, inbox)
    if resume["enabled"]:
        Resumer(options["uri"], resume, ours).start(stop)
    if agents:
        Agents(options["uri"], options["guest_agent"], ours, inbox, memory.answered).start(stop)
    link.connect()
    Watch(instances, link, inbox, options["scan"]).run(board, stop)


class Watch:
    """Takes what arrives, looks at all VMs now and then, and connects again when the connection is lost."""

    def __init__(
        self,
        instances: Instances,
        link: t.Any,
        inbox: queue.Queue[t.Any],
        scan: float,
        clock: t.Callable[[], float] = time.monotonic,
    ) -> None:
        self._instances, self._link, self._inbox, self._scan, self._clock = instances, link, inbox, scan, clock
        self._delay, self._why = BACK_OFF[0], ""
        self._again = 0.0  # when to connect again; 0: connected, or under way
        self._looks: list[float] = []  # when to look again

    def run(self, board: Board, stop: threading.Event) -> None:
        """Until it is told to stop."""
        while not stop.is_set():
            board.alive("instance")
            try:
                self.take(self._inbox.get(timeout=TICK))
            except queue.Empty:
                self.tick()
        self._link.close()

    def take(self, item: t.Any) -> None:
        """One thing that has arrived."""
        if isinstance(item, le.Event):
            self._instances.take(item)
        elif isinstance(item, libvirt_link.Sight):
            self._seen(item)
        elif isinstance(item, Answer):
            self._instances.agent(item)
        else:
            self._lost(str(item))

    def tick(self) -> None:
        """Do what is due."""
        now = self._clock()
        self._instances.tick()
        if self._again and self._again <= now:
            self._again = 0.0
            self._link.connect()
        if self._looks and self._looks[0] <= now:
            self._looks = [it for it in self._looks if it > now] or [now + self._scan]
            self._link.look()

    def _seen(self, sight: libvirt_link.Sight) -> None:
        if not self._looks:
            LOG.info("connected to libvirt, %d VMs", len(sight.looks))
            self._looks = [self._clock() + it for it in SOON]
        self._delay, self._why = BACK_OFF[0], ""
        self._instances.scan(sight.looks, self._link.outdated(sight))

    def _lost(self, why: str) -> None:
        if self._again:
            return
        if why != self._why:
            LOG.warning("no libvirt, it is tried again: %s", why)
        self._why, self._looks = why, []
        self._instances.blind()
        self._link.close()
        self._again = self._clock() + self._delay
        self._delay = min(2 * self._delay, BACK_OFF[1])
