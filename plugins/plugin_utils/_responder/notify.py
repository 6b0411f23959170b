# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tells webhooks what was decided and done. PRIVATE to this collection: may change at any time.

A notice is journaled before it is sent and tried again until it has arrived, by any responder that knows its webhook;
so it arrives at least once. Receivers tell a second time by its ``id``, and check the signature::

    X-Openstack-Ha-Timestamp: 1763712000
    X-Openstack-Ha-Signature: sha256=<hex of HMAC-SHA256(secret, timestamp + "." + body)>
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
import typing as t
import urllib.parse

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.launch import Json, Say

try:
    import requests
except ImportError:
    requests = None  # type: ignore[assignment]  # reported when a notice is sent

#: What can be told; ``events`` of a webhook names those that it wants.
EVENTS = ("verdict", "run_started", "run_ended", "incident_closed")

#: How old a notice must be for its next attempt, by the number of attempts before; then it has failed.
DUE = (0.0, 1.0, 3.0, 8.0, 20.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 7200.0)
_TIMEOUT = (3.0, 5.0)  # seconds to connect, and between two bytes of the answer
_LOOK = 15.0  # seconds between two looks for notices that another responder has left


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """What stands in the header ``X-Openstack-Ha-Signature``."""
    return "sha256=" + hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


class Notifier:
    """Journals notices and sends them, each webhook in a thread of its own: a dead one keeps no other waiting.

    :param webhooks: As configured: ``name``, ``url``, ``secret_file``, ``ca_file``, ``events`` (none: all).
    """

    def __init__(self, webhooks: t.Sequence[Json], journal: Journal, scope: str, say: Say) -> None:
        self._journal, self._scope, self._say = journal, scope, say
        self._senders = [_Sender(webhook, journal, scope, say) for webhook in webhooks]

    def start(self) -> None:
        """Begin to send, also what an earlier process left."""
        for sender in self._senders:
            sender.start()

    def tell(self, event: str, body: Json, incident_id: str | None = None, run_id: str | None = None) -> None:
        """Journal that this is to be told, and have it sent soon; never waits for the network, never raises."""
        for sender in self._senders:
            if sender.wants(event):
                try:
                    self._journal.add_notice(self._scope, sender.target, event, body, incident_id, run_id)
                except RecoveryError as error:
                    self._say(f"{sender.name}: {event} cannot be told: {error.message}")
                sender.wake()

    def stop(self, grace: float = 2.0) -> None:
        """Send what is due for at most so many seconds, then end."""
        for sender in self._senders:
            sender.stop()
        deadline = time.monotonic() + grace
        for sender in (it for it in self._senders if it.is_alive()):
            sender.join(max(0.0, deadline - time.monotonic()))


class _Sender(threading.Thread):
    """Sends the notices of one webhook."""

    def __init__(self, webhook: Json, journal: Journal, scope: str, say: Say) -> None:
        super().__init__(name=f"webhook {webhook['name']}", daemon=True)
        self._webhook, self._journal, self._scope, self._say = webhook, journal, scope, say
        self.target: str = webhook["name"]
        self._woken, self._stopping = threading.Event(), False

    def wants(self, event: str) -> bool:
        """Whether it is told of such events."""
        return not self._webhook.get("events") or event in self._webhook["events"]

    def wake(self) -> None:
        """There is something to send."""
        self._woken.set()

    def stop(self) -> None:
        """End after one more look."""
        self._stopping = True
        self._woken.set()

    def run(self) -> None:
        """Send what is due, wait, and so on."""
        while not self._stopping:
            self._woken.clear()
            wait = self._look()
            if not self._stopping:
                self._woken.wait(wait)
        self._look()

    def _look(self) -> float:
        """Send what is due; return in how many seconds something else will be."""
        try:
            waits = [self._deliver(notice) for notice in self._mine()]
        except RecoveryError as error:
            self._say(f"{self.name}: {error.message}")
            return _LOOK
        return max(0.05, min([_LOOK, *waits]))

    def _mine(self) -> list[Json]:
        return [it for it in self._journal.pending_notices(self._scope) if it["target"] == self.target]

    def _deliver(self, notice: Json) -> float:
        """Send one notice if it is due; return in how many seconds it is, in any case."""
        due_in = DUE[min(notice["attempts"], len(DUE) - 1)] - (notice["age"] or 0.0)
        if due_in > 0:
            return due_in
        if not self._journal.take_notice(notice["id"], notice["attempts"]):
            return _LOOK  # another responder was faster
        reason = self._post(notice)
        last = notice["attempts"] + 1 >= len(DUE)
        state = "sent" if reason is None else "failed" if last else "pending"
        self._journal.end_notice(notice["id"], state, reason)
        if state == "failed":
            self._say(f"{self.name}: {notice['event']} of {notice['made_at']} was given up: {reason}")
        return DUE[min(notice["attempts"] + 1, len(DUE) - 1)] - (notice["age"] or 0.0)

    def _post(self, notice: Json) -> str | None:
        """Why it has not arrived; None: it has."""
        if requests is None:
            return "the Python package requests is missing"
        body = json.dumps(_body(notice)).encode()
        try:
            answer = requests.post(
                self._webhook["url"],
                data=body,
                headers=self._headers(notice, body),
                timeout=_TIMEOUT,
                verify=self._webhook.get("ca_file") or True,
                allow_redirects=False,
            )
        except (requests.RequestException, ValueError) as error:
            # Its text may show the URL, in which some services have a secret.
            return f"{type(error).__name__} for {urllib.parse.urlsplit(self._webhook['url']).hostname}"
        except OSError as error:
            return f"secret_file: {error.strerror}"
        return None if 200 <= answer.status_code < 300 else f"answered {answer.status_code} {answer.reason}"

    def _headers(self, notice: Json, body: bytes) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "X-Openstack-Ha-Event": notice["event"],
            "X-Openstack-Ha-Id": notice["id"],
        }
        if self._webhook.get("secret_file"):
            # Read each time: it may have been changed. The wall clock is what the receiver can compare.
            with open(self._webhook["secret_file"], "rb") as file:
                secret = file.read().strip()
            timestamp = str(int(time.time()))
            headers["X-Openstack-Ha-Timestamp"] = timestamp
            headers["X-Openstack-Ha-Signature"] = signature(secret, timestamp, body)
        return headers


def _body(notice: Json) -> Json:
    return {
        "id": notice["id"],
        "event": notice["event"],
        "time": notice["made_at"],
        "scope": notice["scope"],
        "incident": notice["incident_id"],
        "run": notice["run_id"],
        "data": notice["body"],
    }
