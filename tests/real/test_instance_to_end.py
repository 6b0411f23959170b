"""From a QEMU that dies to one that runs: real libvirt, monitor, responder, and Nova whose driver starts real QEMUs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import sys
import threading
import typing as t
from pathlib import Path

import libvirt_site
import pytest
from bed.client import Bed
from driver import until
from guest_command import DISK
from libvirt_site import VM, Libvirt
from monitor_program import Monitor
from responders import POLICY, Hosts, Responder, Scene, token

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal

HOSTS = ("cmp01", "cmp02")
LONG = 180  # seconds that all of it may take on a busy machine
INSTANCES = {"stable": 2, "back_off": 1, "tries": 2, "view_timeout": 60, "resume_wait": 600}
IMPATIENT = {**INSTANCES, "resume_wait": 3, "tries": 1}


@pytest.fixture(scope="module")
def sites() -> t.Iterator[dict[str, Libvirt]]:
    """A libvirtd for each host, with a disk for its guests."""
    gone = libvirt_site.missing()
    if gone:
        pytest.skip(f"not installed here: {gone}; `make packages` installs it")
    with contextlib.ExitStack() as stack:
        made = {host: stack.enter_context(libvirt_site.libvirt()) for host in HOSTS}
        for site in made.values():
            site.serve_disk(DISK)
        yield made


@dataclasses.dataclass
class World:
    """All of it, and one VM on cmp01."""

    cloud: Bed
    sites: dict[str, Libvirt]
    journal: Journal
    responder: Responder
    vm: str

    def guest(self, host: str = HOSTS[0]) -> VM:
        """The VM as libvirt of a host has it."""
        return VM(self.sites[host], f"instance-{self.vm[:8]}", self.vm)

    def state(self, host: str) -> str:
        """What libvirt says of the VM there; empty: it has none."""
        return self.sites[host].virsh("domstate", self.vm, check=False).stdout.strip()

    def incidents(self) -> list[str]:
        """The states of all incidents of the VM."""
        return [it["state"] for it in self.journal.incidents(kind="instance", object=self.vm)]

    def recovered(self, times: int = 1) -> list[dict[str, t.Any]]:
        """The runs, oldest first, when the VM was recovered so many times and nothing is open."""
        runs = self.journal.runs(limit=100)[::-1]
        ended = all(run["state"] != "open" for run in runs)
        return runs if ended and self.incidents() == ["recovered"] * times else []

    def methods(self) -> list[str]:
        """What was done for each incident."""
        return [line["method"] for line in self._lines()]

    def ends(self) -> list[str]:
        """What came of each incident."""
        return [f"{line['method']}: {line['state']}: {line['reason']}: {line['facts']}" for line in self._lines()]

    def _lines(self) -> list[dict[str, t.Any]]:
        incidents = self.journal.incidents(kind="instance", object=self.vm)
        return [line for it in incidents for line in self.journal.lines([it["id"]])]


@pytest.fixture
def world(cloud: Bed, sites: dict[str, Libvirt], tmp_path: Path, request: pytest.FixtureRequest) -> t.Iterator[World]:
    """A responder that decides, monitors that watch, and a VM whose QEMU runs."""
    command = f"{sys.executable} {Path(__file__).with_name('guest_command.py')}"
    for host, site in sites.items():
        cloud.knobs(host, guest_command=f"{command} {site.root}")
    (vm,) = cloud.fill(HOSTS[0])
    inventory = cloud.segments_file(tmp_path / "lab.failover_segments.yml", {"rack1": {"hosts": list(HOSTS)}})
    with contextlib.ExitStack() as stack:
        stack.callback(_clear, sites, vm)
        scene = stack.enter_context(contextlib.closing(Scene(tmp_path, inventory, cloud.clouds_yaml)))
        (tmp_path / "ha_policy.yml").write_text(
            json.dumps({**POLICY, "instances": getattr(request, "param", INSTANCES)})
        )
        (responder,) = scene.add(["ctl1"], [f"sqlite:///{tmp_path}/journal.db"])
        responder.start()
        stack.enter_context(Hosts(HOSTS, [responder]))
        for host, site in sites.items():
            stack.enter_context(_monitor(tmp_path / host, host, site, responder))
        made = World(cloud, sites, stack.enter_context(open_journal(responder.journal_url)), responder, vm)
        yield made
        print(responder.log, *made.ends(), sep="\n")


@contextlib.contextmanager
def _monitor(directory: Path, host: str, site: Libvirt, responder: Responder) -> t.Iterator[None]:
    directory.mkdir()
    options = {"uri": site.uri, "resume": {"enabled": True, "interval": 1}}
    made = Monitor(directory, "instance", responder.url, options, repeat=1, host=host)
    (directory / "token").write_text(token(f"host:{host}"))
    made.start()
    try:
        libvirt_site.wait(lambda: "connected to libvirt" in made.log(), f"the monitor of {host} is connected")
        yield
    finally:
        made.kill()
        print(host, made.log())


def _clear(sites: dict[str, Libvirt], vm: str) -> None:
    for site in sites.values():
        site.virsh("destroy", vm, check=False)
        site.virsh("undefine", vm, check=False)
        (site.root / f"{DISK}.broken").unlink(missing_ok=True)


@contextlib.contextmanager
def deadly(vm: VM) -> t.Iterator[list[int]]:
    """Each QEMU of a VM is killed as soon as it is up."""
    killed: list[int] = []
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.2):
            with contextlib.suppress(OSError, ValueError):
                pid = vm.pid()
                if pid not in killed and libvirt_site.UP in vm.serial.read_text():
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def never_twice(world: World) -> t.Iterator[None]:
    """Both libvirts are asked all the time, and at the end the history of Nova's drivers."""
    over, both = threading.Event(), []

    def look() -> None:
        while not over.wait(0.3):
            states = [world.state(host) for host in HOSTS]
            if states == ["running", "running"]:
                both.append(states)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert both == []
    assert world.cloud.ever_ran_twice() == []


def test_a_killed_qemu_and_then_a_panic_are_followed_by_a_restart_on_the_same_host(world: World) -> None:
    for times, fail in ((1, VM.kill), (2, VM.panic)):
        world.guest().wait_up()
        before = world.guest().pid()
        fail(world.guest())
        until(lambda n=times: world.recovered(n), LONG)
        assert world.state("cmp01") == "running"
        assert world.guest().pid() != before
    # Nova may find one that has panicked off by itself, before it is rebooted.
    assert world.methods() in (["restart", "hard_reboot"], ["restart", "restart"])
    assert world.state("cmp02") == ""


def test_a_qemu_that_dies_at_each_start_runs_elsewhere_and_the_loop_ends(world: World) -> None:
    with never_twice(world), deadly(world.guest()) as killed:
        until(world.recovered, LONG)
        assert world.state("cmp02") == "running"
        assert world.state("cmp01") == ""
    assert len(killed) <= 1 + INSTANCES["tries"]
    assert world.methods()[-1] == "cold_migrate"
    assert world.cloud.server(world.vm)["OS-EXT-SRV-ATTR:host"] == "cmp02"


def test_a_guest_that_an_io_error_has_paused_goes_on_when_the_storage_is_back(world: World) -> None:
    site, guest = world.sites["cmp01"], world.guest()
    guest.wait_up()
    pid = guest.pid()
    site.break_disk(DISK)
    guest.read_disk()
    until(lambda: world.incidents() == ["held"], LONG)
    until(lambda: [it["gate"] for it in world.journal.signals(object=world.vm, state="failed")] == ["resuming"])
    site.mend_disk(DISK)
    until(lambda: world.incidents() == ["closed"], LONG)
    assert (world.state("cmp01"), guest.pid()) == ("running", pid)
    assert not world.methods()


@pytest.mark.parametrize("world", [IMPATIENT], indirect=True)
def test_a_guest_whose_storage_does_not_come_back_to_its_host_goes_elsewhere(world: World) -> None:
    site, guest = world.sites["cmp01"], world.guest()
    guest.wait_up()
    with never_twice(world):
        site.serve_no_more()
        guest.read_disk()
        until(world.recovered, LONG)
    assert (world.state("cmp01"), world.state("cmp02")) == ("", "running")
    asked = [line["action"] for line in world.cloud.api_log() if line.get("action") and world.vm in line["path"]]
    assert asked == ["reboot", "os-stop", "migrate", "confirmResize", "os-start"]
