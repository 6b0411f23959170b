# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Resumes VMs that are paused because of an I/O error. PRIVATE to this collection: may change at any time.

Nova can not: it shows them as active, and unpauses only what it has paused itself. Opt-in, for it needs a connection
that may write. A VM that is resumed makes its access again, and is paused again as long as that fails: nothing is lost
by trying. Whoever else paused a VM had a reason.
"""

from __future__ import annotations

import logging
import threading
import typing as t

from . import libvirt_events as le
from . import libvirt_link

try:
    import libvirt
except ImportError:
    libvirt = None  # reported by libvirt_link.need()

LOG = logging.getLogger(__name__)

_PAUSED_IOERROR = 5  # virDomainPausedReason


class Resumer:
    """Tries all that are paused so, now and then.

    :param connect: Opens a connection that may write.
    """

    def __init__(
        self,
        uri: str,
        options: dict[str, t.Any],
        ours: libvirt_link.Ours,
        connect: t.Callable[[str], t.Any] | None = None,
    ) -> None:
        self._uri, self._interval, self._ours = uri, options["interval"], ours
        self._connect = connect or _open
        self._connection: t.Any = None

    def start(self, stop: threading.Event) -> None:
        """In a thread of its own."""
        threading.Thread(target=self._run, args=(stop,), name="resume", daemon=True).start()

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._interval):
            self.round()

    def round(self) -> list[str]:
        """Try each once; the UUIDs of those that were resumed."""
        try:
            if self._connection is None:
                self._connection = self._connect(self._uri)
            paused = self._connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_PAUSED)
            return [it.UUIDString() for it in paused if self._ours.has(it) and _resumed(it)]
        except libvirt.libvirtError as error:
            LOG.debug("resuming: %s", error)
            self._connection = None
            return []


def _resumed(domain: t.Any) -> bool:
    """A VM that has gone on, or away, since it was listed is left to its events."""
    if tuple(domain.state()[:2]) != (le.PAUSED, _PAUSED_IOERROR):
        return False
    try:
        domain.resume()
    except libvirt.libvirtError as error:
        LOG.info("%s: not resumed: %s", domain.name(), error)
        return False
    LOG.info("%s: resumed after an I/O error", domain.name())
    return True


def _open(uri: str) -> t.Any:
    connection = libvirt.open(uri)
    connection.setKeepAlive(5, 3)
    return connection
