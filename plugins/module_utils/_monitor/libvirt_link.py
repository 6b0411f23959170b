# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection to libvirt. PRIVATE to this collection: may change at any time.

Read-only. Only this file and the guest agent's know libvirt's binding. A libvirt that hangs never hangs who uses this:
all that may block runs in threads, and everything arrives in one queue.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import queue
import re
import threading
import typing as t

from . import libvirt_events as le
from .errors import MonitorError

try:
    import libvirt
except ImportError:
    libvirt = None  # reported by need()

LOG = logging.getLogger(__name__)

#: Nova writes the metadata of its VMs under one of these.
NOVA = ("http://openstack.org/xmlns/libvirt/nova/1.1", "http://openstack.org/xmlns/libvirt/nova/1.0")

#: Seconds between signs of life, and how many may be missing.
_KEEPALIVE = (5, 3)

_loop_lock = threading.Lock()
_loop: list[threading.Thread] = []


def need() -> None:
    """Refuse to run without the binding.

    :raises MonitorError: It is not installed.
    """
    if libvirt is None:
        raise MonitorError("libvirt: Python has no binding for it here; install the package python3-libvirt")


def start_loop() -> None:
    """Let libvirt's own event loop run, once in a program; it must be there before the first connection."""
    with _loop_lock:
        if _loop:
            return
        libvirt.virEventRegisterDefaultImpl()
        libvirt.registerErrorHandler(_silent, None)
        _loop.append(threading.Thread(target=_run_loop, name="libvirt-events", daemon=True))
        _loop[0].start()


@dataclasses.dataclass(frozen=True)
class Sight:
    """All VMs, and how many events of each had arrived before."""

    looks: list[le.Look]
    counts: dict[str, int]


class Link:
    """One connection at a time. What arrives in ``inbox``: :class:`le.Event`, :class:`Sight`, and a text when there is
    no connection (any more).
    """

    def __init__(self, uri: str, ours: Ours, inbox: queue.Queue[t.Any]) -> None:
        self._uri, self._ours, self._inbox = uri, ours, inbox
        self._connection: t.Any = None
        self._callbacks: list[int] = []
        self._counts: dict[str, int] = {}  # by UUID: events so far

    def connect(self) -> None:
        """Try to connect, in a thread; what came of it arrives."""
        threading.Thread(target=self._connect, name="libvirt-connect", daemon=True).start()

    def look(self) -> None:
        """Look at all VMs again, in a thread; what is seen arrives."""
        connection = self._connection
        if connection is not None:
            threading.Thread(target=self._see, args=(connection,), name="libvirt-look", daemon=True).start()

    def outdated(self, sight: Sight) -> t.Container[str]:
        """The VMs of which events have arrived since they were looked at."""
        return {uuid for uuid, count in self._counts.copy().items() if count != sight.counts.get(uuid, 0)}

    def close(self) -> None:
        """End the connection, if there is one."""
        old, self._connection = self._connection, None
        if old is not None:
            threading.Thread(target=_close, args=(old, self._callbacks), name="libvirt-close", daemon=True).start()

    def _connect(self) -> None:
        try:
            connection = libvirt.openReadOnly(self._uri)
            connection.registerCloseCallback(self._closed, None)
            connection.setKeepAlive(*_KEEPALIVE)
            self._callbacks = self._register(connection)
        except libvirt.libvirtError as error:
            self._inbox.put(f"{self._uri}: {error}")
            return
        self._connection = connection
        self._see(connection)

    def _see(self, connection: t.Any) -> None:
        """After the registration for events: what happens meanwhile comes twice rather than never."""
        counts = self._counts.copy()
        try:
            found = [self._look(it) for it in connection.listAllDomains() if self._ours.has(it)]
            self._inbox.put(Sight([it for it in found if it is not None], counts))
        except libvirt.libvirtError as error:
            self._inbox.put(f"{self._uri}: {error}")

    def _register(self, connection: t.Any) -> list[int]:
        wanted = (
            (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle),
            (libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, self._reboot),
            (libvirt.VIR_DOMAIN_EVENT_ID_WATCHDOG, self._watchdog),
            (libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, self._io_error),
        )
        return [connection.domainEventRegisterAny(None, number, callback, None) for number, callback in wanted]

    def _look(self, domain: t.Any) -> le.Look | None:
        try:
            state, reason = domain.state()
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:  # undefined since it was listed
                return None
            raise
        disks = _disk_errors(domain) if state == le.PAUSED and le.state(state, reason)[0] == "io_error" else {}
        return le.Look(domain.UUIDString(), domain.name(), state, reason, disks)

    def _lifecycle(self, _connection: t.Any, domain: t.Any, event: int, detail: int, _opaque: t.Any) -> None:
        if self._ours.has(domain, ask=event in (le.DEFINED, le.STARTED, le.RESUMED)):
            self._put("lifecycle", domain, event=event, detail=detail)
        if event == le.UNDEFINED:
            self._ours.forget(domain)

    def _reboot(self, _connection: t.Any, domain: t.Any, _opaque: t.Any) -> None:
        if self._ours.has(domain, ask=False):
            self._put("reboot", domain)

    def _watchdog(self, _connection: t.Any, domain: t.Any, action: int, _opaque: t.Any) -> None:
        if self._ours.has(domain, ask=False):
            self._put("watchdog", domain, event=action)

    def _io_error(
        self, _connection: t.Any, domain: t.Any, path: str, device: str, action: int, cause: str, _opaque: t.Any
    ) -> None:
        if self._ours.has(domain, ask=False):
            self._put("io_error", domain, event=action, path=path or "", device=device or "", cause=cause or "")

    def _put(self, what: str, domain: t.Any, **facts: t.Any) -> None:
        uuid = domain.UUIDString()
        self._counts[uuid] = self._counts.get(uuid, 0) + 1  # before it is put: see outdated()
        self._inbox.put(le.Event(what, uuid, domain.name(), **facts))

    def _closed(self, connection: t.Any, reason: int, _opaque: t.Any) -> None:
        words = ("an error", "its end", "its silence", "this program")
        self._inbox.put(f"{self._uri}: the connection was ended by {le.word(words, reason)}")


class Ours:
    """Which VMs are watched. Those that are known are not asked for again.

    :param pattern: Of names; None: all VMs are.
    """

    def __init__(self, pattern: str | None) -> None:
        self._pattern = re.compile(pattern) if pattern is not None else None
        self._known: dict[str, bool] = {}

    def has(self, domain: t.Any, ask: bool = True) -> bool:
        """Whether it is watched; where its name does not tell, its metadata is read if ``ask``."""
        if self._pattern is None or self._pattern.fullmatch(domain.name()):
            return True
        uuid = domain.UUIDString()
        if uuid not in self._known and ask:
            self._known[uuid] = any(_has_metadata(domain, it) for it in NOVA)
        return self._known.get(uuid, False)

    def forget(self, domain: t.Any) -> None:
        """It is not defined any more."""
        self._known.pop(domain.UUIDString(), None)


def agent_channel(xml: str) -> bool:
    """Whether a VM has a channel of a guest agent, and the agent has opened it."""
    from xml.etree import ElementTree  # a megabyte that only guest agents need

    for target in ElementTree.fromstring(xml).iterfind("./devices/channel/target"):  # noqa: S314  # libvirt's own
        if target.get("name") == "org.qemu.guest_agent.0":
            return target.get("state") == "connected"
    return False


def _has_metadata(domain: t.Any, namespace: str) -> bool:
    try:
        return bool(domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, namespace))
    except libvirt.libvirtError:
        return False


def _disk_errors(domain: t.Any) -> dict[str, str]:
    words = ("none", "unspecific", "no space")
    try:
        return {disk: le.word(words, number) for disk, number in domain.diskErrors().items()}
    except libvirt.libvirtError as error:
        LOG.debug("disk errors of %s: %s", domain.name(), error)
        return {}


def _close(connection: t.Any, callbacks: t.Sequence[int]) -> None:
    """What is registered holds the connection, and its file, whatever else is closed."""
    steps = [functools.partial(connection.domainEventDeregisterAny, it) for it in callbacks]
    for step in (*steps, connection.unregisterCloseCallback, connection.close):
        _try(step)


def _try(step: t.Callable[[], t.Any]) -> None:
    try:
        step()
    except libvirt.libvirtError as error:
        LOG.debug("closing: %s", error)


def _run_loop() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def _silent(_opaque: t.Any, error: t.Any) -> None:
    """Otherwise libvirt prints each error to stderr by itself."""
    LOG.debug("libvirt: %s", error[2])
