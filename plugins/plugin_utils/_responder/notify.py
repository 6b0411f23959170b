# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tells webhooks what was decided and done. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.launch import Json, Say

#: What can be told; ``events`` of a webhook names those that it wants.
EVENTS = ("verdict", "run_started", "run_ended", "incident_closed")


class Notifier:
    """Journals notices and sends them from a thread of its own.

    :param webhooks: As configured: name, url, secret_file, events, ...
    """

    def __init__(self, webhooks: t.Sequence[Json], journal: Journal, scope: str, say: Say) -> None:
        self._webhooks, self._journal, self._scope, self._say = webhooks, journal, scope, say

    def start(self) -> None:
        """Begin to send, also what an earlier process left."""

    def tell(self, event: str, body: Json, incident_id: str | None = None, run_id: str | None = None) -> None:
        """Journal that this is to be told, and have it sent soon; never waits for the network, never raises."""

    def stop(self, grace: float = 2.0) -> None:
        """Send what is due for at most so many seconds, then end."""
