# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What really runs where, written by many processes: see :mod:`bed.truth`.

A line is appended before a guest's file is written, and with one call to the kernel, which puts the lines of all
processes into one order. The end of a host is recorded after its processes are gone.
"""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

from bed import history
from bed.truth import event_of, line_of


class FileTruth:
    """The guests of all hosts. Keeps nothing in memory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "truth"
        self._log = directory / "truth.log"
        self._lock = threading.Lock()
        self._log.touch()

    def guests(self, host: str) -> dict[str, tuple[str, int]]:
        """Uuid to (name, power state) of the guests on a host."""
        found = {}
        for path in (self._directory / host).glob("[!.]*"):
            name, state = path.read_text().split()
            found[path.name] = (name, int(state))
        return found

    def put(self, host: str, uuid: str, name: str, state: int, event: str = "") -> None:
        """A guest is there in this state."""
        folder = self._directory / host
        with self._lock:
            folder.mkdir(parents=True, exist_ok=True)
            before = self.guests(host).get(uuid)
            if before is None or before[1] != state:
                self._record(host, uuid, event_of(event, state))
            new = folder / f".{uuid}"
            new.write_text(f"{name} {state}")
            new.replace(folder / uuid)

    def drop(self, host: str, uuid: str, event: str = "destroy") -> None:
        """A guest is gone."""
        with self._lock:
            path = self._directory / host / uuid
            if path.exists():
                self._record(host, uuid, event)
                path.unlink()

    def vanish(self, host: str) -> None:
        """All guests of a host are gone; its processes are, too."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines()]
        files = {path.name.lstrip("."): path for path in (self._directory / host).glob("*")}
        for uuid in {*files, *history.running(lines).get(host, [])}:
            self._record(host, uuid, "vanish")
        for path in (self._directory / host).glob("*"):
            path.unlink()

    def _record(self, host: str, uuid: str, event: str) -> None:
        log = os.open(self._log, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(log, line_of(host, uuid, event).encode())
        finally:
            os.close(log)
