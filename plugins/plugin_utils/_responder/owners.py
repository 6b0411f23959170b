# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tells owners which of their VMs a failed host takes with it, and what became of them. PRIVATE: may change any time.

Nobody waits for this: not the loop that decides, and not the run, whose first call to Nova goes first.
"""

from __future__ import annotations

import functools
import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import HOST, INSTANCE
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.launch import Json, Say

#: Of a single VM that fails, owners are told by the verdict on it.
_KINDS = {"vms_affected": (HOST,), "vms_ended": (HOST, INSTANCE)}
_FORCED_DOWN = "forced_down"
_PATIENCE = 5.0  # seconds that a run is given to take the host out of service before Nova is asked for its VMs
_LOOK = 0.1
_PAUSES = (2.0, 5.0, 15.0, 30.0, 60.0)  # seconds between attempts when Nova or the journal is away

Tell = t.Callable[..., None]
Spawn = t.Callable[[str, t.Callable[[], None]], None]


class Channels(t.Protocol):
    """See ``notify.Notifier``."""

    def wants(self, event: str) -> bool: ...

    def tell(self, event: str, body: Json, incident_id: str | None = None, run_id: str | None = None) -> None: ...


class Owners:
    """Stands before the channels: passes on what is told, and adds what that means for VMs.

    :param spawn: Runs a function in a thread. :param pause: Waits so many seconds.
    """

    def __init__(
        self,
        channels: Channels,
        cloud: Cloud,
        journal: Journal,
        spawn: Spawn,
        say: Say,
        clock: t.Callable[[], float] = time.monotonic,
        pause: t.Callable[[float], None] = time.sleep,
    ) -> None:
        self._channels, self._cloud, self._journal = channels, cloud, journal
        self._spawn, self._say, self._clock, self._pause = spawn, say, clock, pause

    def tell(self, event: str, body: Json, incident_id: str | None = None, run_id: str | None = None) -> None:
        """See ``notify.Notifier.tell()``."""
        self._channels.tell(event, body, incident_id, run_id)
        work: dict[str, tuple[str, t.Callable[[str, Json], Json]]] = {
            "run_started": ("vms_affected", self._affected),
            "run_ended": ("vms_ended", self._ended),
        }
        if run_id and event in work:
            then, find = work[event]
            if body.get("kind", HOST) in _KINDS[then] and self._channels.wants(then):
                self._spawn(f"{then} {run_id}", functools.partial(self._tell_of_vms, then, find, run_id, body))

    def _tell_of_vms(self, event: str, find: t.Callable[[str, Json], Json], run_id: str, body: Json) -> None:
        for pause in _PAUSES:
            error = self._try(event, find, run_id, body)
            if error is None:
                return
            self._pause(pause)
        self._say(f"run {run_id}: {event} cannot be told: {error}")

    def _try(self, event: str, find: t.Callable[[str, Json], Json], run_id: str, body: Json) -> str | None:
        """Why it cannot be told now."""
        try:
            found = find(run_id, body)
        except RecoveryError as error:
            return error.message
        self._channels.tell(event, found, run_id=run_id)
        return None

    def _affected(self, run_id: str, body: Json) -> Json:
        """The VMs on the hosts as Nova has them now, when nothing of them was moved yet."""
        self._let_pass(run_id)
        found = [(host, vm) for host in body["hosts"] for vm in _compute.servers_on(self._cloud, host)]
        vms = [
            (vm["tenant_id"], {"id": vm["id"], "name": vm["name"], "host": host, "state": vm["OS-EXT-STS:vm_state"]})
            for host, vm in found
        ]
        return {"hosts": list(body["hosts"]), "projects": _by_project(vms)}

    def _let_pass(self, run_id: str) -> None:
        deadline = self._clock() + _PATIENCE
        while self._clock() < deadline:
            if any(step["name"] == _FORCED_DOWN for step in self._journal.steps(run_id)):
                return
            self._pause(_LOOK)

    def _ended(self, run_id: str, body: Json) -> Json:
        """What the ledger says of them."""
        incidents = [entry["incident_id"] for entry in self._journal.run(run_id)["hosts"]]
        vms = [
            (
                line["facts"].get("project") or "",
                {
                    "id": line["server_id"], "name": line["name"], "host": line["host"], "target": line["target"],
                    "state": line["state"], "reason": line["reason"], "note": line["facts"].get("note") or "",
                },
            )
            for line in self._journal.lines(incidents)
        ]  # fmt: skip
        return {"hosts": list(body["hosts"]), "projects": _by_project(vms)}


def _by_project(vms: t.Iterable[tuple[str, Json]]) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {}
    for project, vm in vms:
        found.setdefault(project, []).append(vm)
    return found
