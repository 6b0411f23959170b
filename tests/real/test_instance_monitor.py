"""The kind ``instance`` against a real libvirt: VMs that fail are signalled, VMs that somebody stops are not."""

from __future__ import annotations

import signal
import time
import typing as t
from pathlib import Path

import libvirt_site
import pytest
from libvirt_site import VM, Libvirt
from monitor_program import Monitor
from signal_sink import Sink, sink


@pytest.fixture(scope="module")
def site() -> t.Iterator[Libvirt]:
    """One libvirtd for all tests of this file."""
    gone = libvirt_site.missing()
    if gone:
        pytest.skip(f"not installed here: {gone}; `make packages` installs it")
    with libvirt_site.libvirt() as running:
        yield running


@pytest.fixture(scope="module")
def marker(site: Libvirt) -> VM:
    """A VM for :func:`settled`."""
    return site.create(99)


@pytest.fixture
def signals() -> t.Iterator[Sink]:
    """What the monitor has said."""
    with sink() as made:
        yield made


@pytest.fixture
def monitor(site: Libvirt, signals: Sink, tmp_path: Path) -> t.Iterator[Monitor]:
    """A monitor that is connected to libvirt."""
    made = Monitor(tmp_path, "instance", signals.url, {"uri": site.uri}, repeat=1)
    made.start()
    try:
        connected(made)
        yield made
    finally:
        made.kill()
        print(made.log())


@pytest.fixture
def vm(site: Libvirt, monitor: Monitor) -> t.Iterator[VM]:
    """A VM of Nova, up."""
    made = site.create(1)
    yield made
    site.remove(made)


def connected(monitor: Monitor, times: int = 1) -> None:
    """Wait until it has looked at all VMs so many times."""
    libvirt_site.wait(lambda: monitor.log().count("connected to libvirt") >= times, "the monitor is connected")


def settled(marker: VM, signals: Sink) -> None:
    """Wait until the monitor has taken all that has happened: it does so in order, and this comes last."""
    libvirt_site.wait(lambda: marker.arm_watchdog() or "watchdog" in said(signals, marker), "the last word is said")
    marker.virsh("reset")
    signals.of("ok", marker.uuid)
    signals.drop(marker.uuid)


def said(signals: Sink, vm: VM) -> list[str]:
    """The last words of the types of all signals about a VM, without repeats."""
    words = [it.type.rpartition(".")[2] for it in signals.all() if it.object == vm.uuid]
    return [it for n, it in enumerate(words) if n == 0 or words[n - 1] != it]


def test_a_killed_qemu_is_told_as_a_crash_and_is_ok_when_it_runs_again(vm: VM, signals: Sink) -> None:
    before = time.monotonic()
    vm.kill()
    found = signals.of("crashed", vm.uuid)
    assert found.data["host"] == "cmp01"
    assert found.data["name"] == vm.name
    assert found.at - before < 30  # the benchmark has the goal; here the machine may be busy
    vm.start()
    signals.of("ok", vm.uuid)


def test_what_its_owner_or_nova_does_makes_no_signal(vm: VM, marker: VM, site: Libvirt, signals: Sink) -> None:
    vm.virsh("suspend")
    vm.virsh("resume")
    vm.virsh("reset")
    vm.reset()
    vm.virsh("save", str(site.root / "saved"))
    site.virsh("restore", str(site.root / "saved"))
    vm.virsh("destroy")
    vm.start()
    vm.power_off()
    libvirt_site.wait(lambda: vm.state() == "shut off (shutdown)", "it is off")
    vm.virsh("undefine")
    settled(marker, signals)
    assert said(signals, vm) == []


def test_a_panic_is_told_whatever_becomes_of_the_vm(monitor: Monitor, marker: VM, site: Libvirt, signals: Sink) -> None:
    for number, (on_crash, then) in enumerate([("destroy", ""), ("preserve", ""), ("restart", "ok")]):
        vm = site.create(number + 2, on_crash=on_crash)
        vm.panic()
        signals.of("panicked", vm.uuid)
        if then:
            signals.of(then, vm.uuid)
        settled(marker, signals)
        assert said(signals, vm) == ["panicked", "ok"] if then else ["panicked"]
        site.remove(vm)
        signals.of("ok", vm.uuid)


@pytest.mark.parametrize("action", ["pause", "reset", "poweroff"])
def test_a_watchdog_that_fires_is_told_with_its_action(
    monitor: Monitor, site: Libvirt, signals: Sink, action: str
) -> None:
    vm = site.create(5, watchdog=action)
    try:
        vm.arm_watchdog()
        assert signals.of("watchdog", vm.uuid).data["action"] == action
        if action == "reset":
            signals.of("ok", vm.uuid)
        if action == "poweroff":
            signals.wait(lambda it: it.object == vm.uuid and it.data["reason"].endswith("it is off"))
            assert said(signals, vm) == ["watchdog"]
    finally:
        site.remove(vm)


def test_an_io_error_is_told_with_disk_and_cause_and_is_over_when_the_vm_goes_on(
    monitor: Monitor, site: Libvirt, signals: Sink
) -> None:
    vm = site.create(6, policy="stop")
    try:
        site.break_disk(vm)
        vm.read_disk()
        found = signals.of("io_error", vm.uuid)
        assert (found.data["device"], found.data["action"]) == ("virtio-disk1", "pause")
        assert vm.state() == "paused (I/O error)"
        site.mend_disk(vm)
        vm.virsh("resume")
        signals.of("ok", vm.uuid)
    finally:
        site.remove(vm)


def test_an_io_error_that_only_the_guest_is_told_is_signalled(monitor: Monitor, site: Libvirt, signals: Sink) -> None:
    vm = site.create(7, policy="report")
    try:
        site.break_disk(vm)
        vm.read_disk()
        assert signals.of("io_error", vm.uuid).data["action"] == "report"
    finally:
        site.remove(vm)


def test_what_fails_while_the_monitor_is_down_is_found(
    monitor: Monitor, marker: VM, site: Libvirt, signals: Sink
) -> None:
    crashed, panicked, paused, stopped = (
        site.create(11),
        site.create(12, on_crash="preserve"),
        site.create(13, policy="stop"),
        site.create(14),
    )
    every = (crashed, panicked, paused, stopped)
    try:
        settled(marker, signals)
        monitor.kill()
        crashed.kill()
        panicked.panic()
        site.break_disk(paused)
        paused.read_disk()
        stopped.virsh("destroy")
        wanted = ["shut off (crashed)", "crashed (panicked)", "paused (I/O error)", "shut off (destroyed)"]
        libvirt_site.wait(lambda: [it.state() for it in every] == wanted, "all have failed")
        monitor.start()
        signals.of("crashed", crashed.uuid)
        signals.of("panicked", panicked.uuid)
        assert signals.of("io_error", paused.uuid).data["disks"] == {"vdb": "unspecific"}
        assert said(signals, stopped) == []
    finally:
        for it in every:
            site.remove(it)


def test_a_vm_that_dies_while_libvirt_is_down_is_found_when_libvirt_is_back(
    monitor: Monitor, marker: VM, site: Libvirt, signals: Sink
) -> None:
    dies, lives = site.create(21), site.create(22)
    try:
        settled(marker, signals)  # a first signal opens the connection to the responder
        files = monitor.files()
        site.kill()
        dies.kill()
        site.start()
        connected(monitor, 2)
        signals.of("crashed", dies.uuid)
        libvirt_site.wait(lambda: monitor.files() == files, "the old connection is closed")
        settled(marker, signals)
        assert said(signals, lives) == []
    finally:
        for it in (dies, lives):
            site.remove(it)


def test_a_libvirt_that_hangs_stops_neither_the_monitor_nor_its_repeats(
    vm: VM, monitor: Monitor, site: Libvirt, signals: Sink
) -> None:
    vm.kill()
    signals.of("crashed", vm.uuid)
    site.signal(signal.SIGSTOP)
    try:
        signals.clear()
        signals.of("crashed", vm.uuid)
        assert monitor.stop() == 0
    finally:
        site.signal(signal.SIGCONT)


def test_vms_that_are_not_of_nova_are_left_alone_unless_their_metadata_says_so(
    monitor: Monitor, site: Libvirt, signals: Sink
) -> None:
    foreign, renamed = site.create(0, name="router"), site.create(0, name="web-1", nova=True)
    try:
        foreign.kill()
        renamed.kill()
        signals.of("crashed", renamed.uuid)
        assert said(signals, foreign) == []
    finally:
        site.remove(foreign)
        site.remove(renamed)


def test_what_was_said_is_repeated_and_known_after_a_restart(vm: VM, monitor: Monitor, signals: Sink) -> None:
    vm.kill()
    signals.of("crashed", vm.uuid)
    signals.clear()
    signals.of("crashed", vm.uuid)  # the repeat
    monitor.kill()
    vm.start()
    monitor.start()
    signals.of("ok", vm.uuid)
