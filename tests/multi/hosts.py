# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hosts: power, and a nova-compute process each."""

from __future__ import annotations

import threading
import typing as t

from bed import config
from bed.probe import Probe

from multi.processes import Process
from multi.truth import FileTruth


class Host:
    """One host; each method is one thing that happens to it."""

    def __init__(
        self, spec: config.Host, compute: Process, truth: FileTruth, probe: Probe, in_main_thread: t.Callable[..., None]
    ) -> None:
        self.spec, self.name = spec, spec.name
        self.compute, self.probe = compute, probe
        self.powered = False
        self.condition = "off"
        self.on_power: t.Callable[[], None] = lambda: None
        self._truth = truth
        self._in_main_thread = in_main_thread
        self._lock = threading.RLock()

    def start(self) -> None:
        """Power on if need be, and start nova-compute."""
        with self._lock:
            self._in_main_thread(self.compute.start)
            self.probe.open()
            self.powered, self.condition = True, "running"
        self.on_power()

    def power_on(self) -> None:
        """The host begins to boot; without effect on one that has power, even if it hangs."""
        if not self.powered:
            self.start()

    def power_off(self) -> None:
        """The plug is pulled: the processes and guests are gone when this returns."""
        with self._lock:
            self._die("off")
            self.powered = False
        self.on_power()

    def crash(self) -> None:
        """Everything on the host dies, while it still has power."""
        with self._lock:
            self._die("crashed")

    def _die(self, condition: str) -> None:
        self.compute.kill()
        self._truth.vanish(self.name)
        self.probe.close()
        self.condition = condition

    def kill_compute(self) -> None:
        """``kill -9`` of nova-compute; guests run on, the probe answers."""
        with self._lock:
            self.compute.kill()
            self.condition = "compute dead"

    def hang(self, probe: bool) -> None:
        """``kill -9`` of nova-compute, and the host is silent, while its guests run on."""
        with self._lock:
            self.compute.kill()
            if not probe:
                self.probe.close()
            self.condition = "hanging"
