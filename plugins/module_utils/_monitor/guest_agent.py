# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks the guest agents of VMs whether they live. PRIVATE to this collection: may change at any time.

Opt-in, for it needs a connection that may write. A VM whose agent has never answered is never reported, nor one whose
agent has closed its channel: an agent that was stopped, or a guest that restarts, looks just like that. What is left is
an operating system that hangs.
"""

from __future__ import annotations

import dataclasses
import logging
import queue
import threading
import typing as t

from . import libvirt_link

try:
    import libvirt
    import libvirt_qemu
except ImportError:
    libvirt = libvirt_qemu = None  # reported by libvirt_link.need()

LOG = logging.getLogger(__name__)

PING = '{"execute": "guest-ping"}'
#: What a ping can come to.
ANSWER, SILENCE, NO_AGENT = "answer", "silence", "no agent"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What is to be said of a VM."""

    uuid: str
    name: str
    lives: bool
    reason: str


class Misses:
    """How often each VM has not answered in a row.

    :param answered: Whether the agent of a VM has answered since the VM was started.
    """

    def __init__(self, threshold: int, answered: t.Callable[[str], bool]) -> None:
        self._threshold, self._answered = threshold, answered
        self._missed: dict[str, int] = {}

    def take(self, uuid: str, result: str) -> bool | None:
        """What a ping came to; returns whether the VM lives, None: nothing to be said."""
        if result == ANSWER:
            self._missed.pop(uuid, None)
            return True
        if result == NO_AGENT or not self._answered(uuid):
            self._missed.pop(uuid, None)
            return None
        self._missed[uuid] = self._missed.get(uuid, 0) + 1
        return False if self._missed[uuid] >= self._threshold else None

    def keep(self, uuids: t.Container[str]) -> None:
        """Forget all other VMs."""
        self._missed = {uuid: count for uuid, count in self._missed.items() if uuid in uuids}


class Agents:
    """Asks all running VMs in turn; puts :class:`Answer` into the inbox."""

    def __init__(
        self,
        uri: str,
        options: dict[str, t.Any],
        ours: libvirt_link.Ours,
        inbox: queue.Queue[t.Any],
        answered: t.Callable[[str], bool],
    ) -> None:
        self._uri, self._options, self._ours, self._inbox = uri, options, ours, inbox
        self._misses = Misses(options["threshold"], answered)
        self._connection: t.Any = None

    def start(self, stop: threading.Event) -> None:
        """In a thread of its own, for each silent guest costs its timeout."""
        threading.Thread(target=self._run, args=(stop,), name="guest-agents", daemon=True).start()

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._options["interval"]):
            self._try(stop)

    def _try(self, stop: threading.Event) -> None:
        try:
            self._round(stop)
        except libvirt.libvirtError as error:
            LOG.debug("guest agents: %s", error)
            self._connection = None

    def _round(self, stop: threading.Event) -> None:
        if self._connection is None:
            self._connection = libvirt.open(self._uri)
            self._connection.setKeepAlive(5, 3)
        running = self._connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_RUNNING)
        watched = [it for it in running if self._ours.has(it)]
        self._misses.keep({it.UUIDString() for it in watched})
        for domain in watched:
            if stop.is_set():
                return
            self._ask(domain)

    def _ask(self, domain: t.Any) -> None:
        uuid, name = domain.UUIDString(), domain.name()
        lives = self._misses.take(uuid, ping(domain, self._options["timeout"]))
        if lives is not None:
            count, timeout = self._options["threshold"], self._options["timeout"]
            reason = f"its guest agent has not answered {count} times in a row within {timeout} s"
            self._inbox.put(Answer(uuid, name, lives, reason))


def ping(domain: t.Any, timeout: int) -> str:
    """Ask one VM."""
    try:
        libvirt_qemu.qemuAgentCommand(domain, PING, timeout, 0)
    except libvirt.libvirtError as error:
        LOG.debug("guest agent of %s: %s", domain.name(), error)
        return SILENCE if error.get_error_code() in _silences() and _open(domain) else NO_AGENT
    return ANSWER


def _open(domain: t.Any) -> bool:
    return libvirt_link.agent_channel(domain.XMLDesc(0))


def _silences() -> tuple[int, ...]:
    """The codes that mean: no answer in time. The second is of libvirt 6.0 and later."""
    return (libvirt.VIR_ERR_AGENT_UNRESPONSIVE, getattr(libvirt, "VIR_ERR_AGENT_COMMAND_TIMEOUT", -1))
