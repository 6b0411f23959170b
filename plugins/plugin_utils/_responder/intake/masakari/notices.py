# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a notification of masakari-monitors says. PRIVATE to this collection: may change at any time.

https://docs.openstack.org/api-ref/instance-ha/#create-notification
"""

from __future__ import annotations

import datetime
import json
import typing as t
import uuid

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.credentials import (
    HOST,
    Principal,
    Refused,
)
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.problems import Problem

Json = t.Dict[str, t.Any]
Row = t.Dict[str, t.Any]
HostOf = t.Callable[[str], str]

#: All uuids of things that have none of their own are made from their names with this one.
NAMESPACE = uuid.UUID("6f2f1a4e-8a0b-5b0e-9d55-0d6b7a1b1c11")

_LONGEST = 255
#: By type, each key of the payload: whether it must be there, and what may stand in it (none: anything).
_PAYLOADS: dict[str, dict[str, tuple[bool, tuple[str, ...]]]] = {
    "COMPUTE_HOST": {
        "event": (True, ("STOPPED", "STARTED")),
        "host_status": (False, ("NORMAL", "UNKNOWN")),
        "cluster_status": (False, ("ONLINE", "OFFLINE")),
    },
    "VM": {"instance_uuid": (True, ()), "event": (True, ()), "vir_domain_event": (True, ())},
    "PROCESS": {"process_name": (True, ()), "event": (True, ("STOPPED", "STARTED"))},
}
#: What libvirt has seen, by ``event`` and ``vir_domain_event`` (none: whichever): the type and state of the signal.
#: masakarimonitors/instancemonitor/libvirt_handler/eventfilter_table.py of masakari-monitors 22.0.0
_VM_EVENTS: dict[tuple[str, str], tuple[str, str]] = {
    ("LIFECYCLE", "STOPPED_FAILED"): ("crashed", "failed"),
    ("LIFECYCLE", "STOPPED_SHUTDOWN"): ("stopped", "ok"),
    ("LIFECYCLE", "STOPPED_DESTROYED"): ("stopped", "ok"),
    ("LIFECYCLE", "SHUTDOWN_FINISHED"): ("stopped", "ok"),
    ("LIFECYCLE", "SUSPENDED_IOERROR"): ("io_error", "failed"),
    ("LIFECYCLE", "SUSPENDED_WATCHDOG"): ("watchdog", "failed"),
    ("LIFECYCLE", "SUSPENDED_API_ERROR"): ("paused", "failed"),
    ("REBOOT", ""): ("ok", "ok"),
    ("WATCHDOG", ""): ("watchdog", "failed"),
    ("IO_ERROR", ""): ("io_error", "failed"),
    ("IO_ERROR_REASON", ""): ("io_error", "failed"),
    ("CONTROL_ERROR", ""): ("guest_silent", "failed"),
    ("QEMU_GUEST_AGENT_ERROR", ""): ("guest_silent", "failed"),
}


def checked(body: t.Any) -> Json:
    """The notification in a body, with all that must be there.

    :raises Problem: With 400.
    """
    notification = body.get("notification") if isinstance(body, dict) else None
    if not isinstance(notification, dict) or len(body) != 1:
        raise Problem(400, "The body must be an object with the key 'notification' and no other.")
    names = ("type", "hostname", "generated_time", "payload")
    _only(notification, names, "notification")
    for name in names[:3]:
        _text(notification.get(name), f"notification.{name}")
    if notification["type"] not in _PAYLOADS:
        raise Problem(400, f"notification.type: must be one of {', '.join(_PAYLOADS)}.")
    try:
        datetime.datetime.fromisoformat(notification["generated_time"].replace("Z", "+00:00"))
    except ValueError:
        raise Problem(400, "notification.generated_time: must be a date and a time.") from None
    _check_payload(notification["payload"], _PAYLOADS[notification["type"]])
    return notification


def _check_payload(payload: t.Any, keys: dict[str, tuple[bool, tuple[str, ...]]]) -> None:
    if not isinstance(payload, dict):
        raise Problem(400, "notification.payload: must be an object.")
    _only(payload, tuple(keys), "notification.payload")
    for name, (needed, allowed) in keys.items():
        if name not in payload and not needed:
            continue
        path = f"notification.payload.{name}"
        _text(payload.get(name), path)
        if allowed and payload[name] not in allowed:
            raise Problem(400, f"{path}: must be one of {', '.join(allowed)}.")


def _only(found: Json, names: tuple[str, ...], path: str) -> None:
    more = sorted(set(found) - set(names))
    if more:
        raise Problem(400, f"{path}: unknown key {more[0][:80]!r}; known are {', '.join(names)}.")


def _text(value: t.Any, path: str) -> None:
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST or not value.isprintable():
        raise Problem(400, f"{path}: must be a text of 1 to {_LONGEST} printable characters.")


def row(notification: Json, principal: Principal, host_of: HostOf) -> Row:
    """What the journal keeps of a checked notification.

    What masakari-monitors say of VMs and processes are events, not states: a VM that crashes a second time has run in
    between, though nobody said so. So each is news, unless it is the same one sent again. Of hosts they tell states,
    and all members of a cluster tell the same.

    :param host_of: The service host that a name means, if the principal may speak about it.
    """
    if notification["type"] == "COMPUTE_HOST" and principal.kind == HOST:
        raise Refused(403, f"{principal} cannot say whether hosts are reachable; that needs a reporter.")
    host = host_of(notification["hostname"].strip())
    kind, word, state, about, reason = _meaning(notification["type"], notification["payload"])
    source = f"/{principal.kind}s/{principal.name}/masakari"
    same = json.dumps([source, notification], sort_keys=True)
    data = {"host": host, "object": about, "state": state, "reason": reason, "masakari": notification}
    return {
        "source": source, "event_id": str(uuid.uuid5(NAMESPACE, same)), "type": f"openstack_ha.{kind}.{word}",
        "kind": kind, "host": host, "object": about, "state": state, "epoch": "", "sequence": None, "data": data,
        "reporter": str(principal), "again": kind != "host" and state != "ok",
    }  # fmt: skip


def _meaning(type_: str, payload: Json) -> tuple[str, str, str, str, str]:
    """Kind, last word of the type, state, object and reason."""
    if type_ == "COMPUTE_HOST":
        return ("host", *_of_host(payload), "masakari-monitors: " + ", ".join(payload.values()))
    if type_ == "PROCESS":
        ended = payload["event"] == "STOPPED"
        reason = f"masakari-monitors: {payload['process_name']} {payload['event']}"
        word, state = ("failed", "failed") if ended else ("ok", "ok")
        return "process", word, state, payload["process_name"].strip(), reason
    return ("instance", *_of_vm(payload))


def _of_host(payload: Json) -> tuple[str, str, str]:
    if payload["event"] == "STARTED":
        return "reachable", "ok", ""
    # Its cluster lost it, and its BMC did not say that it is off: somebody else has to find out.
    return "unreachable", "unknown" if payload.get("host_status") == "UNKNOWN" else "failed", ""


def _of_vm(payload: Json) -> tuple[str, str, str, str]:
    event, detail = payload["event"], payload["vir_domain_event"]
    known = _VM_EVENTS.get((event, detail)) or _VM_EVENTS.get((event, ""))
    word, state = known or ("stopped", "unknown")
    try:
        about = str(uuid.UUID(payload["instance_uuid"]))
    except ValueError:
        raise Problem(400, "notification.payload.instance_uuid: must be a UUID.") from None
    return word, state, about, f"masakari-monitors: {event} {detail}" + ("" if known else ", which is not known here")
