"""A cloud of ten hosts of which one is dead, as the gates see it."""

from __future__ import annotations

import copy
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _gates
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults

Json = t.Dict[str, t.Any]

DEAD = "cmp03"
ANSWER = {"verdict": "recover", "operator": "ann", "reason": "I unplugged it"}


def host(number: int, **facts: t.Any) -> Json:
    """A host that is well: five in each of two racks, one power unit per rack."""
    rack = (number + 4) // 5
    return {
        "known": True,
        "names": [f"cmp{number:02d}"],
        "segment": f"rack{rack}",
        "domain": f"pdu-{rack}",
        "role": "active",
        "state": "up",
        "status": "enabled",
        "disabled_reason": None,
        "forced_down": False,
        "last_heartbeat": "2026-01-01T00:00:00Z",
        "maintenance": False,
        "silent": False,
        "up_for": None,
        "networks": {},
        "kdump": None,
        "recoveries": 0,
        "fencing": {"levels": 2, "check": "ok", "age": 60.0, "said": ""},
        **facts,
    }


#: What is said of a host that has died.
DIED: Json = {
    "state": "down",
    "silent": True,
    "suspected_for": 90.0,
    "witnesses": {"ctl1": "down", "nova": "down", "probe": "down"},
    "signs_of_life": [],
}


def cloud(*dead: int, **more: t.Any) -> Json:
    """A snapshot in which these hosts have died (without any: number 3) and are suspected."""
    died = dead or (3,)
    return {
        "caller": "responder",
        "responders": 1,
        "suspects": [f"cmp{number:02d}" for number in died],
        "observer": {"name": "ctl1", "up_for": 3600.0, "api": True, "networks": {}},
        "control": {"nova-conductor": 2, "nova-scheduler": 1},
        "hosts": {
            f"cmp{number:02d}": host(number, **copy.deepcopy(DIED if number in died else {})) for number in range(1, 11)
        },
        "in_flight": [],
        "fences": [],
        "orders": [],
        "storm": {"silent_for": None, "ended_ago": None},
        "answers": [],
        **copy.deepcopy(more),
    }


def order(kind: str = "pause", scope: str = "cloud", name: str | None = None, **more: t.Any) -> Json:
    """An order in force."""
    base = {"id": "o1", "number": 1, "owner": "ann", "reason": "firmware", "left": 600.0, "limits": None}
    return {**base, "kind": kind, "scope": scope, "name": name, **more}


def policy(**changes: t.Any) -> Json:
    """The defaults with changes, by dotted path with ``__`` for the dot."""
    it = defaults()
    for path, value in changes.items():
        *way, last = path.split("__")
        place = it
        for key in way:
            place = place[key]
        place[last] = value
    return it


def verdict(snapshot: Json, rules: Json | None = None, which: str | None = None) -> Json:
    """The verdict on the dead host, or another one."""
    return _gates.decide(snapshot, rules)[which or DEAD]


def said(snapshot: Json, rules: Json | None = None, which: str | None = None) -> tuple[str, str | None]:
    """The verdict and the gate that decided."""
    it = verdict(snapshot, rules, which)
    return it["verdict"], it["gate"]
