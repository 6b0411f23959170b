# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests of the intake send, and what it is handed there."""

from __future__ import annotations

import base64
import typing as t
import uuid

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.credentials import Credentials, token_of
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.deps import Deps, Limits

Json = t.Dict[str, t.Any]

KEY, OLD_KEY = b"k" * 32, b"o" * 32
SCOPE = "RegionOne"
TOPOLOGY: Json = {
    "segments": {
        "rack1": {"recovery_method": "auto", "shared_storage": True},
        "rack2": {"recovery_method": "reserved_host", "shared_storage": True},
    },
    "hosts": {
        name: {
            "segment": segment,
            "role": "reserved" if name == "cmp04" else "active",
            "hypervisor_hostname": f"{name}.example.net",
            "fencing_levels": 2,
        }
        for name, segment in (("cmp01", "rack1"), ("cmp02", "rack1"), ("cmp03", "rack2"), ("cmp04", "rack2"))
    },
}


def bearer(principal: str, key: bytes = KEY) -> dict[str, str]:
    """The header of somebody who has a token."""
    return {"Authorization": f"Bearer {principal}.{token_of(key, principal)}"}


def basic(user: str, principal: str | None = None) -> dict[str, str]:
    """The same as masakari-monitors send it; the user may leave ``host:`` out."""
    said = f"{user}:{token_of(KEY, principal or user)}"
    return {"Authorization": "Basic " + base64.b64encode(said.encode()).decode()}


def event(host: str = "cmp01", **data: t.Any) -> Json:
    """A CloudEvent that is as it must be; keyword arguments go into its data."""
    return {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": f"/hosts/{host}/monitors/instance",
        "type": "openstack_ha.instance.crashed",
        "data": {
            "host": host, "object": "vm-1", "state": "failed", "reason": "qemu ended", "epoch": "e1", "sequence": 1,
            "age": None, **data,
        },
    }  # fmt: skip


def notification(type_: str = "COMPUTE_HOST", hostname: str = "cmp01", at: str = "", **payload: str) -> Json:
    """A notification as masakari-monitors send it; without a payload, a host that is down."""
    return {
        "notification": {
            "type": type_,
            "hostname": hostname,
            "generated_time": at or "2026-11-20T09:31:32.740203",
            "payload": payload or {"event": "STOPPED", "cluster_status": "OFFLINE", "host_status": "NORMAL"},
        }
    }


def deps(
    journal: Journal, accept: t.Callable[[list[Json]], t.Awaitable[list[str]]], registry: t.Any, **more: t.Any
) -> Deps:
    """What the intake is handed, with no limits on rates if nothing else is said."""
    reporters = {"pcmk": {}, "sdk": {}, "fuzz": {}, "rack1only": {"segments": ["rack1"]}}
    given: Json = {
        "scope": SCOPE, "name": "ctl1", "credentials": Credentials([KEY, OLD_KEY], reporters), "accept": accept,
        "topology": lambda: TOPOLOGY, "policy": dict, "journal": journal, "health": lambda: {"ok": True},
        "registry": registry, "limits": Limits(rate=1e6, burst=1e6),
    }  # fmt: skip
    return Deps(**{**given, **more})
