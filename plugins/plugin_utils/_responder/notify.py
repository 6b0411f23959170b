# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tells people and programs what was decided and done. PRIVATE to this collection: may change at any time.

A notice is journaled before it is sent and tried again until it has arrived, by any responder that knows its channel;
so it arrives at least once. Receivers tell a second time by its ``id``. What the ways are is in :mod:`notify_webhook`,
:mod:`notify_mail` and :mod:`notify_bus`.

Runs have no channels. What they have to tell they journal for :data:`EVERYBODY`, and a responder hands it on.
"""

from __future__ import annotations

import threading
import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.notices import EVERYBODY
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.launch import Json, Say

#: What can be told; ``events`` of a channel names those that it wants.
EVENTS = ("verdict", "run_started", "run_ended", "incident_closed", "vms_affected", "vms_ended", "vm_notify")

#: Of what is told. It changes when a key gets another meaning or goes, not when there are more keys.
VERSION = "1.0"

#: How old a notice must be for its next attempt, by the number of attempts before; then it has failed.
DUE = (0.0, 1.0, 3.0, 8.0, 20.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 7200.0)
_LOOK = 15.0  # seconds between two looks for notices that another responder has left
_HAND_ON = 3.0  # … for what runs have to tell

#: What an owner may know of a VM: nothing of hosts, which are no business of tenants.
_OWNERS_SEE = ("id", "name", "state", "deadline", "until", "otherwise", "note")


class Channel(t.Protocol):
    """A way to tell.

    :param target: Its name, in the journal too. :param kind: What it is, in words.
    :param events: Those that it wants; none: all. :param projects: It belongs to owners of these; none: to operators.
    """

    target: str
    kind: str
    events: t.Sequence[str]
    projects: t.Sequence[str]

    def post(self, notice: Json) -> str | None:
        """Send one; why it has not arrived, None: it has."""

    def rest(self) -> None:
        """Nothing more is to be sent for the moment."""

    def close(self) -> None:
        """Nothing more is ever to be sent."""


class Notifier:
    """Journals notices and sends them, each channel in a thread of its own: a dead one keeps no other waiting."""

    def __init__(self, channels: t.Sequence[Channel], journal: Journal, scope: str, say: Say) -> None:
        self._journal, self._scope, self._say = journal, scope, say
        self._senders = [_Sender(channel, journal, scope, say) for channel in channels]
        self._runs = _Sender(_HandedOn(self), journal, scope, say, _HAND_ON)

    def start(self) -> None:
        """Begin to send, also what an earlier process left."""
        for sender in (*self._senders, self._runs):
            sender.start()

    def wants(self, event: str) -> bool:
        """Whether anybody wants to know of such events."""
        return any(_wants(sender.channel, event) for sender in self._senders)

    def tell(self, event: str, body: Json, incident_id: str | None = None, run_id: str | None = None) -> None:
        """Journal that this is to be told, and have it sent soon; never waits for the network, never raises.

        :param body: Owners see nothing of it but their own VMs in ``projects``: by id of a project, a list of VMs.
        """
        for sender in self._senders:
            seen = seen_by(sender.channel.projects, body)
            if seen is not None and _wants(sender.channel, event):
                try:
                    self._journal.add_notice(self._scope, sender.channel.target, event, seen, incident_id, run_id)
                except RecoveryError as error:
                    self._say(f"{sender.name}: {event} cannot be told: {error.message}")
                sender.wake()

    def stop(self, grace: float = 2.0) -> None:
        """Send what is due for at most so many seconds, then end."""
        senders = [*self._senders, self._runs]
        for sender in senders:
            sender.stop()
        deadline = time.monotonic() + grace
        for sender in senders:
            sender.join(max(0.0, deadline - time.monotonic()))


class _HandedOn:
    """What a run has to tell goes to every channel that wants it."""

    target, kind = EVERYBODY, "runs"
    events: t.Sequence[str] = ()
    projects: t.Sequence[str] = ()

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier

    def post(self, notice: Json) -> str | None:
        """Each channel has a notice of its own from now on."""
        self._notifier.tell(notice["event"], notice["body"], notice["incident_id"], notice["run_id"])
        return None

    def rest(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is kept."""


class _Sender:
    """Sends the notices of one channel."""

    def __init__(self, channel: Channel, journal: Journal, scope: str, say: Say, look: float = _LOOK) -> None:
        self.channel, self.name = channel, f"{channel.kind} {channel.target}"
        self._journal, self._scope, self._say, self._longest = journal, scope, say, look
        self._woken, self._stopping = threading.Event(), False
        self._thread = threading.Thread(target=self.run, name=self.name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """There is something to send."""
        self._woken.set()

    def stop(self) -> None:
        """End after one more look."""
        self._stopping = True
        self._woken.set()

    def join(self, seconds: float) -> None:
        """Wait for its end, if it has begun."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def run(self) -> None:
        """Send what is due, wait, and so on."""
        while not self._stopping:
            self._woken.clear()
            wait = self.look()
            if not self._stopping:
                self._woken.wait(wait)
        self.look()
        self.channel.close()

    def look(self) -> float:
        """Send what is due; return in how many seconds something else will be."""
        try:
            waits = [self._deliver(notice) for notice in self.mine()]
        except RecoveryError as error:
            self._say(f"{self.name}: {error.message}")
            return self._longest
        finally:
            self.channel.rest()
        return max(0.05, min([self._longest, *waits]))

    def mine(self) -> list[Json]:
        """What is still to be sent, oldest first."""
        return self._journal.notices(scope=self._scope, state="pending", target=self.channel.target)

    def _deliver(self, notice: Json) -> float:
        """Send one notice if it is due; return in how many seconds it is, in any case."""
        due_in = DUE[min(notice["attempts"], len(DUE) - 1)] - (notice["age"] or 0.0)
        if due_in > 0:
            return due_in
        if not self._journal.take_notice(notice["id"], notice["attempts"]):
            return self._longest  # another responder was faster
        reason = self.channel.post(notice)
        last = notice["attempts"] + 1 >= len(DUE)
        state = "sent" if reason is None else "failed" if last else "pending"
        self._journal.end_notice(notice["id"], state, reason)
        if state == "failed":
            self._say(f"{self.name}: {notice['event']} of {notice['made_at']} was given up: {reason}")
        return DUE[min(notice["attempts"] + 1, len(DUE) - 1)] - (notice["age"] or 0.0)


def _wants(channel: Channel, event: str) -> bool:
    return not channel.events or event in channel.events


def seen_by(projects: t.Sequence[str], body: Json) -> Json | None:
    """What the owners of these projects may know of it; None: nothing. No projects: operators, who may know all."""
    if not projects:
        return body
    theirs = {name: vms for name, vms in (body.get("projects") or {}).items() if name in projects and vms}
    seen = {name: [{key: vm[key] for key in _OWNERS_SEE if key in vm} for vm in vms] for name, vms in theirs.items()}
    return {"projects": seen} if seen else None


def message(notice: Json) -> Json:
    """What is sent, whatever the way."""
    return {
        "version": VERSION,
        "id": notice["id"],
        "event": notice["event"],
        "time": notice["made_at"],
        "scope": notice["scope"],
        "incident": notice["incident_id"],
        "run": notice["run_id"],
        "data": notice["body"],
    }
