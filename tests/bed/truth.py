# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What really runs where: one file per guest, and a log that is only appended to.

``truth/<host>/<uuid>`` holds the guest's name and power state. Guests outlive nova-compute, as they do
under libvirt, so two hosts can hold the same uuid: that is a VM running twice. ``truth.log`` has one JSON
line per change, in the order in which the changes happened.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path

from bed import life

RUNNING = 1  # nova.compute.power_state.RUNNING
SHUTDOWN = 4


class Truth:
    """The guests of all hosts. One lock, so that a host's death and a guest's start have an order."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "truth"
        self.directory.mkdir(parents=True, exist_ok=True)
        self._log = directory / "truth.log"
        self._lock = threading.RLock()
        self._guests: dict[str, dict[str, tuple[str, int]]] = {}
        self._log.write_text("")

    def guests(self, host: str) -> dict[str, tuple[str, int]]:
        """Uuid to (name, power state) of the guests on a host."""
        with self._lock:
            return dict(self._guests.get(host, {}))

    def put(self, host: str, uuid: str, name: str, state: int, event: str = "") -> None:
        """A guest is there in this state; refused to a thread of a dead host."""
        with self._lock:
            life.check()
            before = self._guests.setdefault(host, {}).get(uuid)
            self._guests[host][uuid] = (name, state)
            folder = self.directory / host
            folder.mkdir(exist_ok=True)
            (folder / uuid).write_text(f"{name} {state}")
            if before is None or before[1] != state:
                self._record(host, uuid, event_of(event, state))

    def drop(self, host: str, uuid: str, event: str = "destroy") -> None:
        """A guest is gone; refused to a thread of a dead host."""
        with self._lock:
            life.check()
            if self._guests.get(host, {}).pop(uuid, None) is not None:
                (self.directory / host / uuid).unlink(missing_ok=True)
                self._record(host, uuid, event)

    def end(self, of: life.Life | None, host: str, vanish: bool) -> None:
        """A life ends here and now, and with the host's power all its guests."""
        with self._lock:
            if of is not None:
                of.kill()
            for uuid in list(self._guests.get(host, {})) if vanish else []:
                self.drop(host, uuid, "vanish")

    def snapshot(self) -> dict[str, dict[str, tuple[str, int]]]:
        with self._lock:
            return {host: dict(guests) for host, guests in self._guests.items()}

    def restore(self, snapshot: dict[str, dict[str, tuple[str, int]]]) -> None:
        """Begin a new history with these guests."""
        with self._lock:
            shutil.rmtree(self.directory)
            self.directory.mkdir()
            self._log.write_text("")
            self._guests = {}
            for host, guests in snapshot.items():
                for uuid, (name, state) in guests.items():
                    self.put(host, uuid, name, state, "spawn")

    def _record(self, host: str, uuid: str, event: str) -> None:
        with self._log.open("a") as log:
            log.write(line_of(host, uuid, event))


def event_of(event: str, state: int) -> str:
    """The name of what happened to a guest that now is in this state."""
    if not event:
        return "power_on" if state == RUNNING else "power_off"
    return "spawn_stopped" if event == "spawn" and state != RUNNING else event


def line_of(host: str, uuid: str, event: str) -> str:
    """One line of the log."""
    line = {"monotonic": time.monotonic(), "time": time.time(), "host": host, "uuid": uuid, "event": event}
    return json.dumps(line) + "\n"
