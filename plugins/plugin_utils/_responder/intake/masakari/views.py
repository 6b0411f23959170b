# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal as clients of Masakari want to see it: pure functions. PRIVATE: may change at any time."""

from __future__ import annotations

import typing as t
import uuid

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.masakari.notices import NAMESPACE

Json = t.Dict[str, t.Any]
Row = t.Dict[str, t.Any]

TYPES = {"host": "COMPUTE_HOST", "instance": "VM", "process": "PROCESS"}
_NEVER_DELETED = {"deleted": False, "deleted_at": None}
_VM_EVENTS = {
    "crashed": ("LIFECYCLE", "STOPPED_FAILED"),
    "stopped": ("LIFECYCLE", "STOPPED_DESTROYED"),
    "paused": ("LIFECYCLE", "SUSPENDED_API_ERROR"),
    "watchdog": ("WATCHDOG", "WATCHDOG_NONE"),
    "io_error": ("IO_ERROR", "IO_ERROR_REPORT"),
    "guest_silent": ("QEMU_GUEST_AGENT_ERROR", "STOPPED_FAILED"),
}
#: Of a ledger line, as the status of a VM move.
_MOVES = {
    "planned": "pending",
    "pending": "pending",
    "requesting": "ongoing",
    "requested": "ongoing",
    "landed": "ongoing",
    "started": "ongoing",
    "verified": "succeeded",
    "skipped": "ignored",
    "failed": "failed",
}
#: Of an incident on which a run was decided, as the status of its notifications.
_INCIDENTS = {
    "open": "running",
    "held": "running",
    "recovering": "running",
    "recovered": "finished",
    "partial": "error",
    "closed": "finished",
}


def uuid_of(*names: str) -> str:
    """The uuid of something that has none of its own: always the same."""
    return str(uuid.uuid5(NAMESPACE, "/".join(names)))


def number_of(uuid_: str) -> int:
    """A number where clients want one."""
    return uuid.UUID(uuid_).int % (2**31 - 1) + 1


def segments(topology: Json, orders: t.Sequence[Row]) -> list[Json]:
    """All failover segments.

    :param orders: Those in force: a segment that is paused or disarmed is not enabled.
    """
    return [_segment(name, facts, orders) for name, facts in sorted(topology["segments"].items())]


def _segment(name: str, facts: Json, orders: t.Sequence[Row]) -> Json:
    stopped = any(_covers(order, None, name) for order in orders)
    return {
        **_named("segment", name), "name": name, "description": None, "recovery_method": facts["recovery_method"],
        "service_type": "compute", "enabled": not stopped,
    }  # fmt: skip


def hosts(topology: Json, orders: t.Sequence[Row], segment: str) -> list[Json]:
    """The hosts of a segment; one that is paused or disarmed is on maintenance."""
    of = _segment(segment, topology["segments"][segment], orders)
    members = {name: facts for name, facts in topology["hosts"].items() if facts["segment"] == segment}
    return [_host(name, facts, of, orders) for name, facts in sorted(members.items())]


def _host(name: str, facts: Json, segment: Json, orders: t.Sequence[Row]) -> Json:
    return {
        **_named("host", name), "name": name, "type": "COMPUTE",
        "control_attributes": f"{facts.get('fencing_levels', 0)} fencing levels",
        "reserved": facts["role"] == "reserved",
        "on_maintenance": any(_covers(order, name, segment["name"]) for order in orders),
        "failover_segment_id": segment["uuid"],
        "failover_segment": {key: it for key, it in segment.items() if key != "enabled"},
    }  # fmt: skip


def _covers(order: Row, host: str | None, segment: str) -> bool:
    if order["kind"] not in ("pause", "disarm"):
        return False
    return (order["scope"], order["name"]) in (("cloud", order["name"]), ("segment", segment), ("host", host))


def _named(kind: str, name: str) -> Json:
    made = uuid_of(kind, name)
    return {"uuid": made, "id": number_of(made), "created_at": None, "updated_at": None, **_NEVER_DELETED}


def notification(signal: Row, incident: Row | None, topology: Json | None) -> Json:
    """One signal."""
    segment = (topology or {}).get("hosts", {}).get(signal["host"], {}).get("segment")
    said = signal["data"].get("masakari") or {}
    return {
        "notification_uuid": signal["id"], "id": number_of(signal["id"]), "type": TYPES[signal["kind"]],
        "status": status(signal, incident), "source_host_uuid": uuid_of("host", signal["host"]),
        "hostname": signal["host"], "generated_time": _time(said.get("generated_time") or signal["received_at"]),
        "payload": said.get("payload") or _payload(signal), "created_at": _time(signal["received_at"]),
        "updated_at": _time(signal["decided_at"] or signal["repeated_at"]), **_NEVER_DELETED,
        "failover_segment_uuid": uuid_of("segment", segment) if segment else None,
        "message": _message(signal, incident),
    }  # fmt: skip


def status(signal: Row, incident: Row | None) -> str:
    """What became of a signal, in Masakari's words."""
    verdict = signal["verdict"]
    if verdict is None:
        return "new"
    if verdict == "ignore":
        return "ignored" if signal["state"] != "ok" else "finished"
    if verdict == "alert" or incident is None:
        return "finished"
    return _INCIDENTS[incident["state"]]


def _message(signal: Row, incident: Row | None) -> str | None:
    if signal["verdict"] is None:
        return None
    parts = [signal["verdict"], signal["verdict_reason"], incident and incident["reason"]]
    return ": ".join(part for part in parts if part)


def _payload(signal: Row) -> Json:
    ended = signal["state"] != "ok"
    event = "STOPPED" if ended else "STARTED"
    if signal["kind"] == "host":
        return {"event": event, "host_status": "NORMAL", "cluster_status": "OFFLINE" if ended else "ONLINE"}
    if signal["kind"] == "process":
        return {"event": event, "process_name": signal["object"]}
    name, detail = _VM_EVENTS.get(signal["type"].rpartition(".")[2], ("LIFECYCLE", "UNKNOWN"))
    return {"event": name, "vir_domain_event": detail, "instance_uuid": signal["object"]}


def workflow(signal: Row, steps: t.Sequence[Row]) -> list[Json]:
    """The decision and the steps of the runs that it led to."""
    if signal["verdict"] is None:
        return []
    why = f"{signal['verdict']}: {signal['verdict_reason'] or signal['gate'] or ''}"
    return [
        _task("Verdict", signal["decided_at"], why),
        *(_task(it["name"], it["ended_at"], f"{it['host'] or 'all hosts'}: {it['seconds']:.2f} s") for it in steps),
    ]


def _task(name: str, ended_at: str | None, message: str) -> Json:
    details = [{"timestamp": _time(ended_at), "message": message, "progress": "1.0"}]
    return {"name": name, "state": "SUCCESS", "progress": 1.0, "progress_details": details}


def moves(signal: Row, lines: t.Sequence[Row]) -> list[Json]:
    """The VMs of a host, from the ledger of its incident."""
    return [_move(signal, line) for line in lines]


def _move(signal: Row, line: Row) -> Json:
    made = uuid_of("move", line["incident_id"], line["server_id"])
    told = _MOVES[line["state"]]
    return {
        "uuid": made, "id": number_of(made), "notification_uuid": signal["id"], "instance_uuid": line["server_id"],
        "instance_name": line["name"], "source_host": line["host"], "dest_host": line["target"],
        "start_time": _time(line["requesting_at"]),
        "end_time": _time(line["changed_at"]) if told in ("succeeded", "failed") else None,
        "status": told, "type": "evacuation", "message": line["reason"],
        "created_at": _time(line["planned_at"] or line["changed_at"]), "updated_at": _time(line["changed_at"]),
        **_NEVER_DELETED,
    }  # fmt: skip


def _time(at: str | None) -> str | None:
    """Without a zone, and with microseconds, whatever it came with."""
    if at is None:
        return None
    moment, _dot, fraction = at.removesuffix("Z").removesuffix("+00:00").replace(" ", "T").partition(".")
    return f"{moment}.{fraction[:6]:0<6}"
