# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kind ``instance``: failures of VMs, by libvirt's events. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import logging
import os
import queue
import threading
import typing as t

from . import libvirt_events as le
from . import libvirt_link
from .guest_agent import Agents
from .instance_memory import Memory, boot_id
from .instance_states import Instances

if t.TYPE_CHECKING:
    from .config import Config
    from .state import Board

LOG = logging.getLogger(__name__)

FILE = "instance.json"
#: Seconds between looks at the clock.
TICK = 1.0
#: Seconds until a connection is tried again: the first, and the most.
BACK_OFF = (0.2, 5.0)


def run(config: Config, board: Board, stop: threading.Event) -> None:
    """Watch the VMs of this host until it is told to stop."""
    libvirt_link.need()
    options = config.section("instance")
    memory = Memory(os.path.join(config.spool_directory, FILE), boot_id())
    inbox: queue.Queue[t.Any] = queue.Queue()
    instances = Instances(board, memory, options["quiet"], options["guest_agent"]["enabled"])
    libvirt_link.start_loop()
    ours = libvirt_link.Ours(options["name_pattern"] if options["vms"] == "nova" else None)
    link = libvirt_link.Link(options["uri"], ours, inbox)
    if options["guest_agent"]["enabled"]:
        Agents(options["uri"], options["guest_agent"], ours, inbox, memory.answered).start(stop)
    link.connect()
    Watch(instances, link, inbox).run(board, stop)


class Watch:
    """Takes what arrives, and connects again when the connection is lost."""

    def __init__(self, instances: Instances, link: t.Any, inbox: queue.Queue[t.Any]) -> None:
        self._instances, self._link, self._inbox = instances, link, inbox
        self._wait = BACK_OFF[0]
        self._down = ""

    def run(self, board: Board, stop: threading.Event) -> None:
        """Until it is told to stop."""
        while not stop.is_set():
            board.alive("instance")
            try:
                self.take(self._inbox.get(timeout=TICK), stop)
            except queue.Empty:
                self._instances.tick()
        self._link.close()

    def take(self, item: t.Any, stop: threading.Event) -> None:
        """One thing that has arrived."""
        if isinstance(item, le.Event):
            self._instances.take(item)
        elif isinstance(item, list):
            self._connected(item)
        elif isinstance(item, tuple):
            answered, uuid, name, reason = item
            self._instances.answered(uuid, name) if answered else self._instances.silent(uuid, name, reason)
        else:
            self._lost(str(item), stop)

    def _connected(self, looks: list[le.Look]) -> None:
        LOG.info("connected to libvirt, %d VMs", len(looks))
        self._wait, self._down = BACK_OFF[0], ""
        self._instances.scan(looks)

    def _lost(self, why: str, stop: threading.Event) -> None:
        if why != self._down:
            LOG.warning("no libvirt: %s; it is tried again", why)
        self._down = why
        self._link.close()
        stop.wait(self._wait)
        self._wait = min(2 * self._wait, BACK_OFF[1])
        if not stop.is_set():
            self._link.connect()
