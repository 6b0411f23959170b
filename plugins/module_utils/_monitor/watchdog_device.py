# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A watchdog of the kernel, or sbd's. PRIVATE to this collection: may change at any time.

https://docs.kernel.org/watchdog/watchdog-api.html
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import typing as t

from .errors import MonitorError

_GET_SUPPORT = 0x80285700
_SET_TIMEOUT = 0xC0045706
_GET_TIMEOUT = 0x80045707
_MAGIC_CLOSE = 0x0100
_INFO = struct.Struct("@II32s")
_INT = struct.Struct("@i")

Ioctl = t.Callable[[int, int, bytes], bytes]


class Device:
    """A watchdog device. Once it is open, the host is reset ``timeout`` seconds after it was fed last.

    There is no such device on the machines where this is tested: the tests hand in what answers like one.

    :param ioctl: Like ``fcntl.ioctl``.
    :param sysfs: Where the kernel tells about character devices.
    """

    def __init__(self, path: str, timeout: float, ioctl: t.Any = fcntl.ioctl, sysfs: str = "/sys/dev/char") -> None:
        self._path, self._timeout, self._ioctl, self._sysfs = path, timeout, ioctl, sysfs
        self._open: int | None = None

    def open(self) -> None:
        """Begin; the device runs from now on.

        :raises MonitorError: It cannot be used, or would not reset this host in time. It does not run then.
        """
        if self._open is not None:
            return
        try:
            self._open = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError as error:
            raise MonitorError(f"{self._path}: cannot be opened: {error.strerror or error}") from error
        try:
            self._check()
            self._set_timeout()
        except (OSError, MonitorError) as error:
            with contextlib.suppress(OSError, MonitorError):
                self.release()
            raise MonitorError(f"{self._path}: is not used: {error}") from error

    def feed(self) -> None:
        """The host may live on.

        :raises MonitorError: The device did not take it.
        """
        try:
            os.write(self._number(), b"\0")
        except OSError as error:
            raise MonitorError(f"{self._path}: cannot be fed: {error.strerror or error}") from error

    def release(self) -> None:
        """Stop the device, by the letter that says that this is meant; without it, closing resets the host.

        :raises MonitorError: It could not be told, so the host will be reset.
        """
        opened, self._open = self._number(), None
        try:
            os.write(opened, b"V")
        except OSError as error:
            raise MonitorError(f"{self._path}: cannot be released: {error.strerror or error}") from error
        finally:
            os.close(opened)

    def _number(self) -> int:
        if self._open is None:
            raise MonitorError(f"{self._path}: is not open")
        return self._open

    def _check(self) -> None:
        """Refuse a device that stops when this program is killed, and one that never stops."""
        able, _version, name = _INFO.unpack(self._ioctl(self._number(), _GET_SUPPORT, bytes(_INFO.size)))
        title = name.rstrip(b"\0").decode(errors="replace")
        if not able & _MAGIC_CLOSE:
            raise MonitorError(f"its driver ({title}) stops it whenever this program ends. Take another watchdog")
        if self._never_stops():
            raise MonitorError(f"its driver ({title}) was loaded with nowayout, so a pause would reset this host")

    def _never_stops(self) -> bool:
        number = os.fstat(self._number()).st_rdev
        with (
            contextlib.suppress(OSError),
            open(f"{self._sysfs}/{os.major(number)}:{os.minor(number)}/nowayout", encoding="ascii") as opened,
        ):
            return opened.read().strip() == "1"
        return False

    def _set_timeout(self) -> None:
        """Some drivers cannot change it, others round it; what counts is what they say then."""
        with contextlib.suppress(OSError):
            self._ioctl(self._number(), _SET_TIMEOUT, _INT.pack(int(self._timeout)))
        (granted,) = _INT.unpack(self._ioctl(self._number(), _GET_TIMEOUT, bytes(_INT.size)))
        if not 0 < granted <= self._timeout:
            raise MonitorError(f"it resets after {granted} s, later than device_timeout, {self._timeout:g} s")


class Sbd:
    """sbd feeds the watchdog; all there is to do is to see that it runs."""

    def __init__(self, pid_file: str, proc: str = "/proc") -> None:
        self._pid_file, self._proc = pid_file, proc

    def open(self) -> None:
        """See that it runs.

        :raises MonitorError: It does not.
        """
        self.feed()

    def feed(self) -> None:
        """See that it still runs.

        :raises MonitorError: It does not.
        """
        try:
            with open(self._pid_file, encoding="ascii") as opened:
                number = int(opened.read().strip())
            with open(f"{self._proc}/{number}/comm", encoding="utf-8") as opened:
                name = opened.read().strip()
        except (OSError, ValueError) as error:
            raise MonitorError(f"sbd does not run, as far as {self._pid_file} tells: {error}") from error
        if name != "sbd":
            raise MonitorError(f"sbd does not run: process {number} of {self._pid_file} is {name}")

    def release(self) -> None:
        """It goes on; only nobody counts on it any more."""
