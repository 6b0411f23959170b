# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to do with a VM of a host that lives and is to be empty. PRIVATE: may change at any time.

Pure. Unlike the VMs of a dead host, its VMs run: what is not certain stays where it is, and is told.
"""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._vmstate import Step

Server = t.Mapping[str, t.Any]

LIVE, COLD = "live_migrate", "cold_migrate"

#: Status of Nova's migration records. What is queued waits for other migrations of its host.
QUEUED = ("accepted", "queued")
UNDER_WAY = (*QUEUED, "preparing", "running", "pre-migrating", "migrating", "post-migrating", "confirming")
#: Those of a live migration that Nova lets be aborted (2.65; before, ``running`` only).
ABORTABLE = ("queued", "preparing", "running")

_MOVING = ("migrating", "resize_prep", "resize_migrating", "resize_migrated", "resize_finish")
_DELETING = ("deleting", "soft-deleting")


def next_step(server: Server, powered_off: str, record: Server | None = None) -> Step:
    """Decide for one server; ``evacuate`` stands for moving it, in the way of :func:`way`.

    :param powered_off: What becomes of those that are powered off: ``leave`` or ``cold_migrate``.
    :param record: Nova's newest record of a migration of this server from the host.
    """
    state, task = states(server)
    if state in ("deleted", "soft-delete") or task in _DELETING:
        return Step("skip", "its owner has deleted it")
    if task in _MOVING:
        under_way = record is not None and record["status"] in UNDER_WAY
        return Step("follow" if under_way else "pending", f"is on its way already (task_state {task})", former(server))
    if task:
        return Step("pending", f"task_state is {task}: Nova is at work on it. Run again when that has ended")
    if state in ("active", "paused"):
        return Step("evacuate", "", former(server))
    if state == "stopped" and powered_off == COLD:
        return Step("evacuate", "", "stopped")
    return Step(*_STAYS.get(state, ("pending", f"vm_state is {state}: Nova moves none of these")))


_STAYS = {
    "stopped": ("skip", "is powered off and stays (drain.powered_off of the policy)"),
    "suspended": ("pending", "is suspended: Nova cannot move it. Its owner must resume it first"),
    "rescued": ("pending", "is in rescue mode: Nova cannot move it. Its owner must end that first"),
    "resized": ("pending", "its resize waits to be confirmed or reverted by its owner, and it cannot move before"),
    "error": ("pending", "is in ERROR: Nova moves none of these, and what runs of it is not known"),
    "building": ("pending", "is being built"),
    "shelved": ("skip", "is shelved and does not run"),
    "shelved_offloaded": ("skip", "is shelved and on no host"),
}


def way(server_former: str) -> str:
    """How a server is moved that was so: Nova moves alive what runs or is paused."""
    return COLD if server_former == "stopped" else LIVE


def former(server: Server) -> str:
    """The state in which it must be afterwards: ``running``, ``paused`` or ``stopped``."""
    return {"paused": "paused", "stopped": "stopped"}.get(states(server)[0], "running")


def is_as_before(server: Server, was: str) -> bool:
    """Whether it is in its former state."""
    return states(server)[0] == {"running": "active"}.get(was, was)


def states(server: Server) -> tuple[str, str]:
    """Its vm_state and task_state."""
    return server.get("OS-EXT-STS:vm_state") or "", server.get("OS-EXT-STS:task_state") or ""
