# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a monitor says: one signal as a CloudEvent. PRIVATE to this collection: may change at any time.

Used on both sides: a monitor makes signals, the responder checks them.
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

from __future__ import annotations

import datetime
import math
import re
import typing as t
import uuid

from .errors import EventError

Json = t.Dict[str, t.Any]

PREFIX = "openstack_ha."
#: By kind, the last word of each type and the state that it tells.
TYPES: dict[str, dict[str, str]] = {
    "host": {"unreachable": "failed", "reachable": "ok"},
    "instance": {
        "crashed": "failed",
        "io_error": "failed",
        "panicked": "failed",
        "watchdog": "failed",
        "paused": "failed",
        "stopped": "failed",
        "guest_silent": "failed",
        "ok": "ok",
    },
    "process": {"failed": "failed", "hung": "failed", "ok": "ok"},
    "network": {"lost": "failed", "ok": "ok"},
    "watchdog": {"armed": "ok", "disarmed": "failed"},
}
STATES = ("failed", "ok")
#: Keys of ``data`` that are not details.
KNOWN = ("host", "object", "state", "reason", "epoch", "sequence", "age")

_LONGEST = {"host": 255, "object": 255, "reason": 4096, "epoch": 64, "id": 128, "source": 255, "subject": 520}
_SEQUENCES = 2**63
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def kind_of(type_: str) -> str:
    """The second word of a type.

    :raises EventError: There is no such type.
    """
    words = type_.split(".") if isinstance(type_, str) else []
    if len(words) == 3 and words[0] + "." == PREFIX and words[2] in TYPES.get(words[1], {}):
        return words[1]
    raise EventError(f"type: no such type: {_short(type_)}")


def state_of(type_: str) -> str:
    """The state that a type tells."""
    return TYPES[kind_of(type_)][type_.rpartition(".")[2]]


def make(source: str, type_: str, data: Json, event_id: str | None = None, at: datetime.datetime | None = None) -> Json:
    """A signal in the form in which it is sent.

    :param data: ``host``, ``object``, ``state``, ``reason``, ``epoch``, ``sequence``, ``age`` and details.
    """
    moment = at or datetime.datetime.now(datetime.timezone.utc)
    return {
        "specversion": "1.0",
        "id": event_id or str(uuid.uuid4()),
        "source": source,
        "type": type_,
        "subject": f"{data['host']}/{data['object']}",
        "time": moment.isoformat(timespec="milliseconds"),
        "datacontenttype": "application/json",
        "data": data,
    }


def parse(event: t.Any) -> Json:
    """Check a signal; return what the journal keeps of it.

    :returns: ``source``, ``event_id``, ``type``, ``kind``, ``host``, ``object``, ``state``, ``epoch``, ``sequence``
        and ``data``.
    :raises EventError: It is not as it must be.
    """
    if not isinstance(event, dict):
        raise EventError("must be an object")
    if event.get("specversion") != "1.0":
        raise EventError(f"specversion: must be '1.0', not {_short(event.get('specversion'))}")
    kind = kind_of(_text(event, "type"))
    data = event.get("data")
    if not isinstance(data, dict):
        raise EventError("data: must be an object")
    state = _text(data, "state", "data.")
    if state != state_of(event["type"]):
        raise EventError(f"data.state: type {event['type']} tells {state_of(event['type'])!r}, not {_short(state)}")
    _check_data(data)
    return {
        "source": _text(event, "source"),
        "event_id": _text(event, "id"),
        "type": event["type"],
        "kind": kind,
        "host": _text(data, "host", "data."),
        "object": _text(data, "object", "data.", empty=True),
        "state": state,
        "epoch": _text(data, "epoch", "data."),
        "sequence": data["sequence"],
        "data": data,
    }


def _check_data(data: Json) -> None:
    sequence, age = data.get("sequence"), data.get("age")
    if not isinstance(sequence, int) or isinstance(sequence, bool) or not 0 <= sequence < _SEQUENCES:
        raise EventError(f"data.sequence: must be a whole number from 0 to 2**63 - 1, not {_short(sequence)}")
    if age is not None and (isinstance(age, bool) or not isinstance(age, (int, float)) or not 0 <= age < math.inf):
        raise EventError(f"data.age: must be null or a number of seconds from 0, not {_short(age)}")
    reason = data.get("reason", "")
    if not isinstance(reason, str) or len(reason) > _LONGEST["reason"]:
        raise EventError(f"data.reason: must be a text of at most {_LONGEST['reason']} characters")


def _text(values: Json, name: str, path: str = "", empty: bool = False) -> str:
    """A name: no longer than the journal's columns, and nothing in it that breaks lines of logs."""
    value, most = values.get(name), _LONGEST.get(name, 128)
    if not isinstance(value, str) or not (value or empty):
        raise EventError(f"{path}{name}: must be a text, not {_short(value)}")
    if len(value) > most or _CONTROL.search(value) or _SURROGATE.search(value):
        raise EventError(f"{path}{name}: must be at most {most} printable characters, not {_short(value)}")
    return value


def _short(value: t.Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
