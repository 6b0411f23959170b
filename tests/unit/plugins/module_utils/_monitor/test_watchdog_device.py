from __future__ import annotations

import os
import struct
import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.errors import MonitorError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.watchdog_device import Device, Sbd

MAGIC_CLOSE = 0x0100


class Driver:
    """Answers as the kernel does (watchdog-api.rst); what is written goes to a file instead of a device."""

    def __init__(self, options: int = MAGIC_CLOSE, timeout: int = 30, settable: bool = True, step: int = 1) -> None:
        self.options, self.timeout, self.settable, self.step = options, timeout, settable, step

    def __call__(self, _number: int, request: int, argument: bytes) -> bytes:
        if request == 0x80285700:
            return struct.pack("@II32s", self.options, 1, b"Test Watchdog")
        if request == 0xC0045706:
            if not self.settable:
                raise OSError(95, "Operation not supported")
            wanted = struct.unpack("@i", argument)[0]
            self.timeout = -(-wanted // self.step) * self.step
        assert request in (0xC0045706, 0x80045707)
        return struct.pack("@i", self.timeout)


@pytest.fixture
def node(tmp_path: Path) -> Path:
    (tmp_path / "watchdog").touch()
    return tmp_path / "watchdog"


def device(node: Path, driver: Driver | None = None, timeout: float = 60.0) -> Device:
    return Device(str(node), timeout, driver or Driver(), str(node.parent / "sysfs"))


def test_it_is_fed_by_anything_but_the_letter_that_releases_it(node: Path) -> None:
    found = device(node)
    found.open()
    found.feed()
    found.open()
    found.feed()
    assert node.read_bytes() == b"\0\0"
    found.release()
    assert node.read_bytes() == b"\0\0V"


def test_its_timeout_is_set(node: Path) -> None:
    driver = Driver()
    device(node, driver).open()
    assert driver.timeout == 60


def test_a_driver_that_cannot_set_its_timeout_is_used_if_it_is_short_enough(node: Path) -> None:
    device(node, Driver(timeout=60, settable=False)).open()
    with pytest.raises(MonitorError, match="resets after 61 s, later than device_timeout, 60 s"):
        device(node, Driver(timeout=61, settable=False)).open()


@pytest.mark.parametrize("driver", [Driver(step=50), Driver(timeout=0, settable=False)])
def test_a_timeout_that_is_too_long_or_none_is_refused_and_the_device_stopped(node: Path, driver: Driver) -> None:
    with pytest.raises(MonitorError, match="is not used: it resets after"):
        device(node, driver).open()
    assert node.read_bytes() == b"V"


def test_a_driver_that_stops_when_the_program_is_killed_is_refused(node: Path) -> None:
    with pytest.raises(MonitorError, match=r"\(Test Watchdog\) stops it whenever this program ends"):
        device(node, Driver(options=0x8000)).open()


def test_a_driver_that_never_stops_is_refused(node: Path) -> None:
    number = node.stat().st_rdev
    folder = node.parent / "sysfs" / f"{os.major(number)}:{os.minor(number)}"
    folder.mkdir(parents=True)
    (folder / "nowayout").write_text("0\n")
    device(node).open()
    (folder / "nowayout").write_text("1\n")
    with pytest.raises(MonitorError, match="nowayout, so a pause would reset this host"):
        device(node).open()


def test_what_is_no_watchdog_is_refused(node: Path) -> None:
    with pytest.raises(MonitorError, match=r"is not used: .*Inappropriate ioctl"):
        Device(str(node), 60.0).open()
    with pytest.raises(MonitorError, match="cannot be opened: No such file"):
        device(node.parent / "none").open()


@pytest.mark.parametrize("what", [Device.feed, Device.release])
def test_what_is_not_open_cannot_be_used(node: Path, what: t.Callable[[Device], None]) -> None:
    with pytest.raises(MonitorError, match="is not open"):
        what(device(node))


def test_a_device_that_does_not_take_food_is_told(node: Path) -> None:
    found = device(Path("/dev/full"))
    found.open()
    with pytest.raises(MonitorError, match="/dev/full: cannot be fed: No space left"):
        found.feed()
    with pytest.raises(MonitorError, match="/dev/full: cannot be released"):
        found.release()


def sbd(tmp_path: Path, name: str = "sbd") -> Sbd:
    (tmp_path / "proc" / "77").mkdir(parents=True)
    (tmp_path / "proc" / "77" / "comm").write_text(f"{name}\n")
    (tmp_path / "sbd.pid").write_text("77\n")
    return Sbd(str(tmp_path / "sbd.pid"), str(tmp_path / "proc"))


def test_sbd_that_runs_is_relied_on(tmp_path: Path) -> None:
    found = sbd(tmp_path)
    found.open()
    found.feed()
    found.release()


def test_sbd_that_does_not_run_is_told(tmp_path: Path) -> None:
    found = sbd(tmp_path)
    (tmp_path / "sbd.pid").unlink()
    with pytest.raises(MonitorError, match=r"sbd does not run, as far as .*sbd.pid tells"):
        found.feed()


def test_another_process_with_its_number_is_not_sbd(tmp_path: Path) -> None:
    with pytest.raises(MonitorError, match=r"process 77 of .* is sleep"):
        sbd(tmp_path, "sleep").open()
