# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hosts: power, and nova-compute."""

from __future__ import annotations

import threading
import typing as t

from bed import config
from bed.driver import Machine, TruthDriver
from bed.life import Life
from bed.nova_services import CONF, Nova
from bed.probe import Probe
from bed.truth import Truth


class Host:
    """One host; each method is one thing that happens to it."""

    def __init__(self, spec: config.Host, nova: Nova, truth: Truth, probe: Probe, shared_storage: bool) -> None:
        self.spec, self.name = spec, spec.name
        self.powered = False
        self.condition = "off"
        self.on_power: t.Callable[[], None] = lambda: None
        self._nova, self._truth, self.probe = nova, truth, probe
        self._life: Life | None = None
        self._lock = threading.RLock()
        self._heartbeat: threading.Event | None = None
        self._defaults: dict[str, t.Any] = {
            "vcpus": spec.vcpus,
            "memory_mb": spec.memory_mb,
            "local_gb": spec.local_gb,
            "spawn_delay": 0.0,
            "spawn_lingers": 0.0,
            "spawn_fails": False,
            "shared_storage": shared_storage,
            "migrate_delay": 0.0,
            "migrate_fails": False,
            "migrate_refused": False,
            "power_delay": 0.0,
            "start_crashes": False,
            "guest_command": "",
        }
        TruthDriver.machines[spec.name] = Machine(spec.name, spec.hypervisor, **self._defaults)

    def start(self) -> None:
        """Power on if need be, and wait until nova-compute runs."""
        with self._lock:
            self.powered = True
            self._run()
        self.on_power()

    def power_on(self) -> None:
        """The host begins to boot; without effect on one that has power, even if it hangs."""
        if not self.powered:
            self.powered, self.condition = True, "booting"
            self.on_power()
            threading.Thread(target=self._boot, daemon=True, name=f"boot-{self.name}").start()

    def _boot(self) -> None:
        with self._lock:
            if self.powered:
                self._run()

    def _run(self) -> None:
        if self._life is None:
            self._life = Life(self.name)
            self._nova.start_compute(self.name, self._life)
        self.probe.open()
        self.condition = "running"

    def power_off(self) -> None:
        """The plug is pulled: guests, nova-compute and probe are gone when this returns."""
        self._truth.end(self._life, self.name, vanish=True)
        self.powered = False
        self._end("off", vanish=True, probe=False)
        self.on_power()

    def crash(self) -> None:
        """Everything on the host dies, while it still has power."""
        self._end("crashed", vanish=True, probe=False)

    def kill_compute(self) -> None:
        """nova-compute dies; guests run on."""
        self._end("compute dead", vanish=False, probe=True)

    def hang(self, probe: bool) -> None:
        """The host is silent while its guests run on; a kernel that still answers keeps the probe open."""
        self._end("hanging", vanish=False, probe=probe)

    def _end(self, condition: str, vanish: bool, probe: bool) -> None:
        self._truth.end(self._life, self.name, vanish)
        with self._lock:
            # again: a host may have been booting until a moment ago
            self._truth.end(self._life, self.name, vanish)
            self._life = None
            self.condition = condition
            if not probe:
                self.probe.close()
            self._nova.stop_compute(self.name)

    def heartbeat(self, on: bool) -> None:
        """Let the record of nova-compute look alive, whatever the host does."""
        if self._heartbeat is not None:
            self._heartbeat.set()
            self._heartbeat = None
        if on:
            self._heartbeat = threading.Event()
            threading.Thread(target=self._beat, args=(self._heartbeat,), daemon=True).start()

    def _beat(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._nova.beat(self.name)
            stop.wait(CONF.report_interval)

    def set_knobs(self, knobs: dict[str, t.Any]) -> None:
        """Change capacity or the way guests are spawned; capacity is reported to Placement at once."""
        machine = TruthDriver.machines[self.name]
        for name, value in knobs.items():
            if name not in self._defaults:
                raise ValueError(f"unknown knob {name!r}; known: {sorted(self._defaults)}")
            setattr(machine, name, value)
        if self._life and {"vcpus", "memory_mb", "local_gb"} & set(knobs):
            self._life.bind(self._nova.report_resources)(self.name)

    def reset_knobs(self) -> None:
        machine = TruthDriver.machines[self.name]
        for name, value in self._defaults.items():
            setattr(machine, name, value)
