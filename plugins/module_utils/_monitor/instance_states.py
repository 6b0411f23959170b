# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes states out of what libvirt says. PRIVATE to this collection: may change at any time.

No libvirt here: plain events and looks come in, states go to the board.
"""

from __future__ import annotations

import logging
import time
import typing as t

from . import libvirt_events as le
from .instance_memory import Memory

if t.TYPE_CHECKING:
    from .guest_agent import Answer
    from .state import Board, State

LOG = logging.getLogger(__name__)

KIND = "instance"

#: Seconds that a VM must run after an I/O error had paused it: one whose storage is still away is paused again at once.
SETTLE = 5.0
#: Seconds for which it is repeated that a VM is ok which is off after it had failed: who wants to start it elsewhere
#: has to know that it still is.
REMEMBER = 900.0


class Instances:
    """What is known of the VMs of this host.

    :param quiet: A trouble that did not stop the VM is over when nothing more came of it for so many seconds.
    :param agent: Whether guest agents are asked. :param resumes: Whether VMs are resumed after I/O errors.
    """

    def __init__(
        self,
        board: Board,
        memory: Memory,
        quiet: float,
        agent: bool,
        clock: t.Callable[[], float] = time.monotonic,
        resumes: bool = False,
    ) -> None:
        self._board, self._memory, self._quiet, self._agent, self._clock = board, memory, quiet, agent, clock
        self._resumes = resumes
        self._last: dict[str, float] = {}  # by UUID: when a trouble came last that did not stop the VM
        self._going: dict[str, float] = {}  # by UUID: since when it runs again after an I/O error
        self._domains: dict[str, str] = {}  # by UUID: what libvirt says that it is
        self._over: dict[str, float] = {}  # by UUID: until when it is repeated that it is ok, and off
        self.blind()

    def blind(self) -> None:
        """Libvirt does not answer: what it said last may be wrong by now."""
        self._domains.clear()
        for found in self._board.states(KIND):
            self._tell_domain(found.object)

    def take(self, event: le.Event) -> None:
        """One event."""
        now = le.domain_after(event.event) if event.what == "lifecycle" else None
        if now:
            self._is_now(event.uuid, now)
        {"lifecycle": self._lifecycle, "io_error": self._io_error, "watchdog": self._watchdog, "reboot": self._reboot}[
            event.what
        ](event)

    def scan(self, looks: t.Sequence[le.Look], outdated: t.Container[str] = ()) -> None:
        """All VMs as they are found: at start, when libvirt is there again, and now and then.

        :param outdated: Those of which something newer has come since.
        """
        for look in looks:
            if look.uuid not in outdated:
                self._is_now(look.uuid, le.domain_in(look.state))
                self._look(look)
        here = {it.uuid for it in looks}
        known = {*self._memory.uuids(), *(it.object for it in self._board.states(KIND) if it.state != "ok")}
        for uuid in known - here:
            if uuid not in outdated:
                self._domains[uuid] = le.ABSENT
                self._gone(uuid, "it is not defined here any more: Nova has deleted or moved it")
        for uuid in [uuid for uuid in self._over if uuid not in here and uuid not in outdated]:
            self._is_now(uuid, le.ABSENT)
        self._memory.seen()

    def tick(self) -> None:
        """End troubles that have been quiet for long enough."""
        now = self._clock()
        for uuid in [uuid for uuid, at in self._last.items() if at + self._quiet <= now]:
            self._ok(uuid, self._memory.name(uuid), f"nothing more came for {self._quiet:g} s")
        for uuid in [uuid for uuid, since in self._going.items() if since + SETTLE <= now]:
            self._ok(uuid, self._memory.name(uuid), "it was resumed after an I/O error, and runs on")
        for uuid, until in list(self._over.items()):
            if until <= now:
                self._forget(uuid)
            else:
                self._board.again(KIND, uuid)

    def agent(self, answer: Answer) -> None:
        """What the guest agent of a running VM said; what is worse than silence stays as it is."""
        found = self._failed(answer.uuid)
        if not answer.lives:
            if not found:
                self._fail(answer.uuid, answer.name, "guest_silent", answer.reason)
            return
        first = not self._memory.answered(answer.uuid)
        self._memory.note(answer.uuid, answer.name, agent=True)
        if found and found.type.endswith(".guest_silent"):
            self._ok(answer.uuid, answer.name, "its guest agent answers again", agent=True)
        elif first and not found:
            # Others may wait for that. It is news, also after another word that it is well.
            self._board.forget(KIND, answer.uuid)
            self._ok(answer.uuid, answer.name, "its guest agent answers", always=True, agent=True)

    def _lifecycle(self, event: le.Event) -> None:
        effect, reason = le.lifecycle(event.event, event.detail)
        if effect in (le.NOTHING, le.RUNS):
            return self._runs(event.uuid, event.name, reason) if effect else None
        if effect == le.GONE:
            return self._gone(event.uuid, reason)
        if event.event == le.STOPPED:
            return self._stopped(event, effect, reason)
        return self._fail(event.uuid, event.name, effect, reason, event=event.event, detail=event.detail)

    def _stopped(self, event: le.Event, effect: str, reason: str) -> None:
        ran, found = self._memory.ran(event.uuid), self._failed(event.uuid)
        self._memory.note(event.uuid, event.name, ran=False, agent=False)
        if found and found.details.get("action") in le.WATCHDOG_STOPS:
            action = found.details["action"]
            self._fail(
                event.uuid, event.name, "watchdog", f"its watchdog fired, action {action}; it is off", action=action
            )
        elif not ran and effect != le.ENDS:
            # An aborted migration to here ends like a crash, but the VM runs on where it was.
            LOG.info("%s (%s) has stopped without having run here: %s", event.name, event.uuid, reason)
        elif effect == le.ENDS:
            self._ok(event.uuid, event.name, reason)
        else:
            self._fail(event.uuid, event.name, effect, reason, event=event.event, detail=event.detail)

    def _io_error(self, event: le.Event) -> None:
        action = le.word(le.IO_ERROR, event.event)
        where = event.path or event.device or "a disk"
        done = {"pause": "it is paused", "report": "its operating system was told"}.get(action, "it was told nothing")
        details = {"path": event.path, "device": event.device, "cause": event.cause, "action": action}
        cause = f" ({event.cause})" if event.cause else ""
        self._fail(event.uuid, event.name, "io_error", f"I/O error{cause} of {where}; {done}", **details)
        if action != "pause":
            self._last[event.uuid] = self._clock()

    def _watchdog(self, event: le.Event) -> None:
        action = le.word(le.WATCHDOG, event.event)
        self._fail(event.uuid, event.name, "watchdog", f"its watchdog fired, action {action}", action=action)
        if action not in ("pause", *le.WATCHDOG_STOPS):
            self._last[event.uuid] = self._clock()

    def _reboot(self, event: le.Event) -> None:
        self._memory.note(event.uuid, event.name, agent=False)
        found = self._failed(event.uuid)
        if found and found.type.rpartition(".")[2] in ("guest_silent", "io_error", "watchdog"):
            self._ok(event.uuid, event.name, "it was restarted")

    def _look(self, look: le.Look) -> None:
        effect, reason = le.state(look.state, look.reason)
        ran = self._memory.ran(look.uuid)
        if effect.endswith("?"):
            effect = effect[:-1] if ran or self._failed(look.uuid) else le.NOTHING
            reason += "; this host was restarted" if self._memory.rebooted else ""
        if look.state == le.SHUTOFF:
            self._memory.note(look.uuid, look.name, ran=False, agent=False)
        if effect == le.RUNS:
            self._found_running(look, reason)
        elif effect == le.ENDS:
            self._found_off(look, reason)
        elif effect and not (look.state == le.SHUTOFF and self._known(look.uuid)):
            details = {"disks": dict(look.disks)} if look.disks else {}
            self._fail(look.uuid, look.name, effect, reason, found=True, **details)

    def _known(self, uuid: str) -> bool:
        """Whether it is known better why it is off: libvirt tells a VM whose software crashed like a QEMU that did."""
        found = self._failed(uuid)
        return bool(found and found.type.rpartition(".")[2] in ("panicked", "watchdog"))

    def _found_running(self, look: le.Look, reason: str) -> None:
        """A trouble that did not stop the VM is not over because it runs."""
        found = self._failed(look.uuid)
        self._memory.note(look.uuid, look.name, ran=True)
        if self._may_be_paused_again(found):
            self._going.setdefault(look.uuid, self._clock())
        elif found and found.details.get("action") not in (None, "pause", *le.WATCHDOG_STOPS):
            self._last.setdefault(look.uuid, self._clock())
        elif not (self._agent and found and found.type.endswith(".guest_silent")):
            self._ok(look.uuid, look.name, reason, always=self._memory.fresh)

    def _found_off(self, look: le.Look, reason: str) -> None:
        found = self._failed(look.uuid)
        if not (found and found.details.get("action") in le.WATCHDOG_STOPS):
            self._ok(look.uuid, look.name, reason)

    def _runs(self, uuid: str, name: str, reason: str) -> None:
        self._memory.note(uuid, name, ran=True)
        if self._may_be_paused_again(self._failed(uuid)):
            self._going[uuid] = self._clock()
        else:
            self._ok(uuid, name, reason)

    def _may_be_paused_again(self, found: State | None) -> bool:
        """Whether that it runs only means that it was resumed to try its access again."""
        return bool(
            self._resumes
            and found
            and found.type.endswith(".io_error")
            and found.details.get("action") in (None, "pause")
        )

    def _gone(self, uuid: str, reason: str) -> None:
        self._ok(uuid, self._memory.name(uuid), reason)
        self._memory.forget(uuid)
        if uuid not in self._over:
            self._forget(uuid)

    def _forget(self, uuid: str) -> None:
        """Say nothing more about it until it fails; of one that is not here any more nothing is known from now on."""
        self._over.pop(uuid, None)
        if uuid not in self._memory.uuids():
            self._domains.pop(uuid, None)
            self._board.forget(KIND, uuid)

    def _is_now(self, uuid: str, domain: str) -> None:
        """What libvirt says that it is goes with each word about it, and with each repeat."""
        if self._domains.get(uuid) != domain:
            self._domains[uuid] = domain
            self._tell_domain(uuid)

    def _tell_domain(self, uuid: str) -> None:
        found = self._board.get(KIND, uuid)
        if found:
            details = {**found.details, **self._domain(uuid)}
            self._board.set(KIND, uuid, found.state, found.type, found.reason, **details)

    def _domain(self, uuid: str) -> dict[str, t.Any]:
        return {"domain": {"state": self._domains.get(uuid, le.UNKNOWN)}}

    def _failed(self, uuid: str) -> State | None:
        found = self._board.get(KIND, uuid)
        return found if found and found.state != "ok" else None

    def _fail(self, uuid: str, name: str, type_: str, reason: str, **details: t.Any) -> None:
        old = self._failed(uuid)
        if old and old.type.endswith(f".{type_}"):
            # libvirt says one trouble in several events; what one of them knew is kept.
            reason = old.reason if "action" in old.details and "action" not in details else reason
            details = {**old.details, **details}
        for noted in (self._last, self._going, self._over):
            noted.pop(uuid, None)
        if type_ == "io_error" and self._resumes:
            details = {**details, "resuming": True}
        details = {"name": name, **details, **self._domain(uuid)}
        if self._board.set(KIND, uuid, "failed", type_, reason, **details):
            LOG.warning("%s (%s): %s: %s", name, uuid, type_, reason)

    def _ok(self, uuid: str, name: str, reason: str, always: bool = False, **details: t.Any) -> None:
        self._last.pop(uuid, None)
        self._going.pop(uuid, None)
        failed = self._failed(uuid)
        wanted = always or failed
        if failed and self._domains.get(uuid) != "running":
            self._over[uuid] = self._clock() + REMEMBER
        details = {"name": name, **details, **self._domain(uuid)}
        if wanted and self._board.set(KIND, uuid, "ok", "ok", reason, **details):
            LOG.info("%s (%s): ok: %s", name, uuid, reason)
