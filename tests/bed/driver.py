# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The virt driver of the bed: Nova's own fake driver, whose guests are kept in :mod:`bed.truth`.

Differences from ``nova.virt.fake.FakeDriver``: node uuids are stable (the stock driver makes random
ones, so a restarted nova-compute is refused), the hypervisor hostname may differ from the service host,
guests survive nova-compute, and spawning can be slowed down or made to fail per host.
"""

from __future__ import annotations

import dataclasses
import shlex
import subprocess
import threading
import time
import typing as t
import uuid

import os_traits
from nova import exception
from nova.compute import power_state
from nova.virt import event as virtevent
from nova.virt import fake

from bed import life
from bed.truth import Truth

_NAMESPACE = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")


@dataclasses.dataclass
class Machine:
    """What a driver must know of the host that it runs on; knobs may change at any time."""

    name: str
    hypervisor: str
    vcpus: int = 128
    memory_mb: int = 524288
    local_gb: int = 10000
    spawn_delay: float = 0.0
    spawn_lingers: float = 0.0
    spawn_fails: bool = False
    shared_storage: bool = True
    migrate_delay: float = 0.0
    migrate_fails: bool = False
    migrate_refused: bool = False
    power_delay: float = 0.0
    start_crashes: bool = False
    guest_command: str = ""


def node_uuid(name: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "bed-node-" + name))


class TruthDriver(fake.FakeDriver):
    """A hypervisor whose guests are lines in the truth."""

    capabilities = dict(fake.FakeDriver.capabilities, supports_vtpm=True, supports_bfv_rescue=True)
    machines: t.ClassVar[dict[str, Machine]] = {}
    #: By host the driver that is at work there.
    at_work: t.ClassVar[dict[str, TruthDriver]] = {}
    truth: t.ClassVar[Truth]
    resources: fake.Resources

    def init_host(self, host: str) -> None:
        super().init_host(host)
        self._life = life.current()
        self._machine = self.machines[host]
        self.at_work[host] = self
        self._set_nodes([self._machine.hypervisor])
        self._measure()
        self._aborted: set[str] = set()
        for guest, (name, state) in self.truth.guests(host).items():
            self.instances[guest] = fake.FakeInstance(name, state, guest)

    def _measure(self) -> None:
        machine = self._machine
        self.vcpus, self.memory_mb, self.local_gb = machine.vcpus, machine.memory_mb, machine.local_gb
        used = self.resources
        self.resources = fake.Resources(machine.vcpus, machine.memory_mb, machine.local_gb)
        self.resources.claim(used.vcpus_used, used.memory_mb_used, used.local_gb_used)

    def _put(self, guest: str, event: str = "") -> None:
        instance = self.instances[guest]
        self.truth.put(self._host, guest, instance.name, instance.state, event)

    def _set_state(self, guest: str, state: int) -> None:
        self.instances[guest].state = state
        self._put(guest)

    def spawn(self, context: t.Any, instance: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
        wait = self._life.wait if self._life else time.sleep
        wait(self._machine.spawn_delay)
        if self._machine.spawn_fails:
            raise RuntimeError(f"the bed was told to let guests fail to start on {self._host}")
        super().spawn(context, instance, *args, **kwargs)
        self._really("define", instance.uuid)
        if self.instances[instance.uuid].state == power_state.RUNNING:
            self._really("start", instance.uuid)
        self._put(instance.uuid, "spawn")
        began = time.monotonic()
        while time.monotonic() - began < self._machine.spawn_lingers:  # it may be turned down meanwhile
            wait(0.1)

    def destroy(self, context: t.Any, instance: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
        self._really("remove", instance.uuid)
        super().destroy(context, instance, *args, **kwargs)
        self.truth.drop(self._host, instance.uuid)

    def power_off(self, instance: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
        self._really("stop", instance.uuid)
        super().power_off(instance, *args, **kwargs)
        self._put(instance.uuid)

    def power_on(self, context: t.Any, instance: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
        # libvirt's is a hard reboot, which defines a guest anew that is not there
        if instance.uuid not in self.instances:
            self.instances[instance.uuid] = fake.FakeInstance(instance.name, power_state.SHUTDOWN, instance.uuid)
        self._take_time()
        self._really("start", instance.uuid)
        super().power_on(context, instance, *args, **kwargs)
        self._put(instance.uuid)
        if self._machine.start_crashes:
            threading.Timer(0.3, self.crash_guest, (instance.uuid,)).start()

    def reboot(self, context: t.Any, instance: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
        if instance.uuid in self.instances:
            self.power_off(instance)
            self.power_on(context, instance, None)
        else:
            super().reboot(context, instance, *args, **kwargs)

    def crash_guest(self, guest: str, notice: bool = False) -> None:
        """Its process dies; what libvirt's driver tells Nova of it 15 s later is told at once, or never."""
        if guest not in self.instances:
            return
        self.instances[guest].state = power_state.SHUTDOWN
        self._put(guest, "crash")
        if notice:
            self.emit_event(virtevent.LifecycleEvent(guest, virtevent.EVENT_LIFECYCLE_STOPPED))

    def get_info(self, instance: t.Any, use_cache: bool = True) -> t.Any:
        if self._machine.guest_command and instance.uuid in self.instances:
            state = {"running": power_state.RUNNING, "paused": power_state.PAUSED}
            seen = state.get(self._really("state", instance.uuid), power_state.SHUTDOWN)
            if seen != self.instances[instance.uuid].state:
                self._set_state(instance.uuid, seen)
        return super().get_info(instance, use_cache)

    def _take_time(self) -> None:
        (self._life.wait if self._life else time.sleep)(self._machine.power_delay)

    def _really(self, what: str, guest: str) -> str:
        """Let a program do it to a real guest; what it prints."""
        if not self._machine.guest_command:
            return ""
        argv = [*shlex.split(self._machine.guest_command), what, guest]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
        if done.returncode:
            raise RuntimeError(f"{what} {guest} on {self._host}: {done.stderr or done.stdout}")
        return done.stdout.strip()

    def pause(self, instance: t.Any) -> None:
        self._set_state(instance.uuid, power_state.PAUSED)

    def unpause(self, instance: t.Any) -> None:
        self._set_state(instance.uuid, power_state.RUNNING)

    def suspend(self, context: t.Any, instance: t.Any) -> None:
        self._set_state(instance.uuid, power_state.SHUTDOWN)

    def resume(self, context: t.Any, instance: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
        self._set_state(instance.uuid, power_state.RUNNING)

    def rescue(self, context: t.Any, instance: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
        self._set_state(instance.uuid, power_state.RUNNING)

    def unrescue(self, instance: t.Any) -> None:
        self._set_state(instance.uuid, power_state.RUNNING)

    def migrate_disk_and_power_off(self, context: t.Any, instance: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
        self._really("stop", instance.uuid)
        self._set_state(instance.uuid, power_state.SHUTDOWN)

    def finish_revert_migration(self, context: t.Any, instance: t.Any, *args: t.Any, **kwargs: t.Any) -> None:
        super().finish_revert_migration(context, instance, *args, **kwargs)
        self._put(instance.uuid)

    def check_can_live_migrate_destination(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        if self._machine.migrate_refused:
            raise exception.MigrationPreCheckError(reason=f"the bed was told that {self._host} takes no guests alive")
        return super().check_can_live_migrate_destination(*args, **kwargs)

    def live_migration(
        self,
        context: t.Any,
        instance: t.Any,
        dest: str,
        post_method: t.Callable[..., None],
        recover_method: t.Callable[..., None],
        block_migration: bool = False,
        migrate_data: t.Any = None,
    ) -> None:
        """As libvirt's: the guest runs here until all is copied, is then gone here, and goes on there."""
        self._aborted.discard(instance.uuid)
        wait, began = self._life.wait if self._life else time.sleep, time.monotonic()
        while time.monotonic() - began < self._machine.migrate_delay and instance.uuid not in self._aborted:
            wait(0.05)
        life.check()
        if instance.uuid in self._aborted:
            recover_method(context, instance, dest, migrate_data, migration_status="cancelled")
        elif self._machine.migrate_fails:
            recover_method(context, instance, dest, migrate_data)
        else:
            post_method(context, instance, dest, block_migration, migrate_data)

    def live_migration_abort(self, instance: t.Any) -> None:
        self._aborted.add(instance.uuid)

    def post_live_migration_at_destination(
        self, context: t.Any, instance: t.Any, *args: t.Any, **kwargs: t.Any
    ) -> None:
        fake.FakeDriver.spawn(self, context, instance, None, None, None, None)
        if instance.vm_state == "paused":
            self.instances[instance.uuid].state = power_state.PAUSED
        self._put(instance.uuid, "spawn")

    def post_live_migration(self, context: t.Any, instance: t.Any, block_device_info: t.Any, *args: t.Any) -> None:
        if instance.uuid in self.instances:
            self.destroy(context, instance, None, block_device_info)

    def instance_on_disk(self, instance: t.Any) -> bool:
        return self._machine.shared_storage

    def get_volume_connector(self, instance: t.Any) -> dict[str, t.Any]:
        return dict(super().get_volume_connector(instance), host=self._host)

    def get_nodenames_by_uuid(self, refresh: bool = False) -> dict[str, str]:
        return {node_uuid(name): name for name in self.get_available_nodes()}

    def get_available_resource(self, nodename: str) -> dict[str, t.Any]:
        self._measure()
        resources: dict[str, t.Any] = super().get_available_resource(nodename)
        if resources:
            resources["uuid"] = node_uuid(nodename)
        return resources

    def update_provider_tree(self, provider_tree: t.Any, nodename: str, allocations: t.Any = None) -> None:
        super().update_provider_tree(provider_tree, nodename, allocations=allocations)
        provider_tree.add_traits(
            nodename,
            os_traits.COMPUTE_SECURITY_TPM_2_0,
            os_traits.COMPUTE_SECURITY_TPM_CRB,
            os_traits.COMPUTE_SECURITY_TPM_SECRET_SECURITY_USER,
            os_traits.COMPUTE_SECURITY_TPM_SECRET_SECURITY_HOST,
        )
