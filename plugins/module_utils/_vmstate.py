# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to do with a VM of a dead host, from the state Nova shows. PRIVATE: may change at any time.

Pure. Every state has an outcome with a reason; docs/vm_states.md is the same table in prose.
"""

from __future__ import annotations

import dataclasses
import typing as t

#: Faults of nova-compute that say nothing about what it had done: nobody answered it.
_LOST_ANSWERS = ("MessagingTimeout", "RemoteError", "MessageDeliveryFailure", "Timed out waiting for a reply")

#: What Nova says without a traceback when no guest ran yet: the scheduler found none, Neutron refused to bind a port.
_SAID_BEFORE_IT_RAN = ("No valid host", "Networking client is experiencing an unauthorized exception")

#: What nova-compute's traceback names when it failed before a guest ran: networks, volumes, and _rebuild_default_impl,
#: which ends with the spawn of the driver, and that cleans up when it fails (nova/compute/manager.py, 34.0.0).
_BEFORE_IT_RAN = (
    "in setup_networks_on_host",
    "in setup_instance_network_on_host",
    "in _get_instance_block_device_info",
    "in _rebuild_default_impl",
)

#: Evacuation records that Nova is still working on.
UNDER_WAY = ("accepted", "pre-migrating")
#: Those of which the server shows the end a moment later.
_ENDED_BADLY = ("failed", "error")

_RUNNING = 1  # nova.compute.power_state

#: States whose guest was not executing for its owner, or whose memory died with the host: the VM is
#: brought to a live host and left powered off, because only its owner knows whether it may run.
_LAND_STOPPED = {
    "paused": "was paused; its memory died with the host, so it is left powered off",
    "suspended": "was suspended; its saved memory died with the host, so it is left powered off",
    "rescued": "was in rescue mode; it is left powered off with its own root disk",
}
#: Calls that nova-compute carries out without a look at the state of the server: one that was sent to the dead host
#: waits in its message queue, and starts a second copy there when the host returns
#: (start_instance in https://opendev.org/openstack/nova/src/branch/master/nova/compute/manager.py).
_STARTS_A_COPY = ("powering-on", "resuming", "rescuing", "unrescuing")
_MOVING = ("migrating", "resize_prep", "resize_migrating", "resize_migrated", "resize_finish", "resize_reverting")
_DELETING = ("deleting", "soft-deleting")


@dataclasses.dataclass(frozen=True)
class Step:
    """The next step for one VM.

    :param action: ``evacuate``, ``follow`` (an evacuation is under way: only watch it),
        ``skip`` (policy or state says no), ``pending`` (not now; somebody must look).
    :param former: Power state to restore: ``running`` or ``stopped``.
    :param reset: Nova refuses to evacuate from this state; vm_state must be reset first.
    :param note: What its owner must know of it also when all goes well.
    """

    action: str
    reason: str = ""
    former: str = "running"
    reset: bool = False
    note: str = ""


def next_step(
    server: t.Mapping[str, t.Any],
    segment: t.Mapping[str, t.Any],
    evacuation: t.Mapping[str, t.Any] | None = None,
) -> Step:
    """Decide for one protected server.

    :param segment: Uses ``shared_storage`` and ``allow_local_disk_loss``.
    :param evacuation: The server's newest evacuation record from the failed host, if any.
    """
    return _not_ours(server) or _busy(server, evacuation) or _loses_disk(server, segment) or _evacuate(server)


def former_power(server: t.Mapping[str, t.Any]) -> str:
    """The power state that recovery restores."""
    state, task = _states(server)
    if state == "active":
        return "stopped" if task == "powering-off" else "running"
    if state in ("error", "resized"):
        return "running" if server.get("OS-EXT-STS:power_state") == _RUNNING else "stopped"
    return "stopped"


def is_rebuilding(server: t.Mapping[str, t.Any]) -> bool:
    """Whether Nova is rebuilding it right now, for an evacuation or for its owner. Never reset then."""
    return _states(server)[1].startswith("rebuild")


def has_local_disk(server: t.Mapping[str, t.Any]) -> bool:
    """Whether data of this server lies on disks that Nova made on the host: root, ephemeral or swap."""
    flavor = server.get("flavor") or {}
    return bool(server.get("image")) or bool(flavor.get("ephemeral")) or bool(flavor.get("swap"))


def _states(server: t.Mapping[str, t.Any]) -> tuple[str, str]:
    return server.get("OS-EXT-STS:vm_state") or "", server.get("OS-EXT-STS:task_state") or ""


def _not_ours(server: t.Mapping[str, t.Any]) -> Step | None:
    state, task = _states(server)
    if state in ("deleted", "soft-delete") or task in _DELETING:
        return Step("skip", "its owner has deleted it; evacuating would bring it back to life")
    if state == "building":
        return Step("skip", "was still being built; Nova cannot evacuate it and it holds no data yet: create it again")
    if state.startswith("shelved"):
        return Step("skip", "is shelved: its data is an image in Glance; unshelve it once this host is back or removed")
    return None


def _busy(server: t.Mapping[str, t.Any], evacuation: t.Mapping[str, t.Any] | None) -> Step | None:
    state, task = _states(server)
    under_way = evacuation is not None and evacuation["status"] in UNDER_WAY
    if under_way and (task.startswith("rebuild") or state != "error"):
        return Step("follow", "an evacuation is under way", former_power(server))
    if task.startswith("rebuild") and evacuation is not None and evacuation["status"] in _ENDED_BADLY:
        return Step("follow", "an evacuation has failed and Nova is still at it", former_power(server))
    if task.startswith("rebuild") and evacuation is not None and evacuation["status"] == "done":
        # Nova ends an evacuation in its record before the server. Where its host has returned since, it is "completed".
        return Step("follow", "an evacuation has just ended", former_power(server))
    if task.startswith("rebuild"):
        return Step(
            "pending",
            f"task_state is {task}: a rebuild that is not an evacuation; it is never reset. "
            "Run again when Nova has ended it, or reset it by hand",
        )
    if task in _MOVING:
        return Step(
            "pending",
            f"task_state is {task}: its guest may already run on the other host of that migration. "
            "Look there; then reset its state and run again",
        )
    if evacuation is not None and _may_run_on_target(server, evacuation):
        target, said = evacuation.get("dest_compute"), _fault(server)[0] or "no reason given"
        return Step(
            "pending",
            f"its evacuation to {target} failed after {target} had begun with it ({said}), so it may run there unknown "
            f"to Nova. Look at the hypervisor of {target} and destroy the guest if it is there. Then set its state to "
            "active (openstack server set --state active) and run again",
        )
    return None


def _may_run_on_target(server: t.Mapping[str, t.Any], evacuation: t.Mapping[str, t.Any]) -> bool:
    """Whether Nova lost a guest on the target: nova-compute may have started it and then failed to tell.

    ``error`` is the conductor's word: no compute has seen the request. ``failed`` is nova-compute's. A claim that it
    refused leaves vm_state as it was. Otherwise the traceback tells, see :data:`_BEFORE_IT_RAN`.
    """
    if evacuation["status"] != "failed" or _states(server)[0] != "error":
        return False
    message, details = _fault(server)
    before_it_ran = any(frame in details for frame in _BEFORE_IT_RAN) and not message.startswith(_LOST_ANSWERS)
    return not before_it_ran and not message.startswith(_SAID_BEFORE_IT_RAN)


def _fault(server: t.Mapping[str, t.Any]) -> tuple[str, str]:
    fault = server.get("fault") or {}
    return fault.get("message") or "", fault.get("details") or ""


def _loses_disk(server: t.Mapping[str, t.Any], segment: t.Mapping[str, t.Any]) -> Step | None:
    if has_local_disk(server) and not segment.get("shared_storage") and not segment.get("allow_local_disk_loss"):
        return Step(
            "skip",
            "has a local disk and its segment has no shared storage: evacuation would rebuild it "
            "from its image and lose the data. Allowed by allow_local_disk_loss",
        )
    return None


def _evacuate(server: t.Mapping[str, t.Any]) -> Step:
    state, task = _states(server)
    former = former_power(server)
    waiting = _waiting_call(task)
    if state in _LAND_STOPPED:
        note = "; ".join(filter(None, (_LAND_STOPPED[state], waiting)))
        return Step("evacuate", _LAND_STOPPED[state], former, reset=True, note=note)
    if state == "resized":
        return Step("evacuate", "its resize was not confirmed and cannot be any more", former, reset=True, note=waiting)
    if state == "error":
        return Step("evacuate", "was in ERROR before", former, reset=former == "stopped", note=waiting)
    return Step("evacuate", "", former, note=waiting)


def _waiting_call(task: str) -> str:
    if task not in _STARTS_A_COPY:
        return ""
    return (
        f"task_state was {task}: that call may wait in the message queue of the dead host and would start a second "
        "copy there; purge the queue before nova-compute starts on that host"
    )
