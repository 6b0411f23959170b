# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory source that tests give to the ``failover_segments`` plugin."""

from __future__ import annotations

import typing as t

METHODS = ("ipmi", "redfish")


def segments(
    hosts: t.Mapping[str, t.Any],
    segments: t.Mapping[str, t.Any],
    *,
    method: str = "ipmi",
    timeout: float = 10,
    tries: int = 1,
    only: t.Iterable[str] | None = None,
    extra: t.Mapping[str, t.Any] | None = None,
) -> dict[str, t.Any]:
    """The content of the file.

    :param hosts: ``hosts.json`` of the bed.
    :param segments: Copied: ``{name: {"hosts": [...], "reserved_hosts": [...], "recovery_method": ...}}``.
    :param method: ``ipmi``, ``redfish``, or ``ipmi+redfish`` for two levels in this order.
    :param only: Which hosts to describe; default all.
    :param extra: Per host, what to add or to replace in its entry.
    """
    entries = {}
    for name in only or hosts:
        levels = [
            {"timeout": timeout, "tries": tries, "devices": [device(hosts[name], one)]} for one in method.split("+")
        ]
        entries[name] = {
            "fencing": levels,
            "identity": {"uuid": hosts[name]["uuid"]},
            "probe": [hosts[name]["probe"]],
            **(extra or {}).get(name, {}),
        }
    return {
        "plugin": "openstack_ha.recovery.failover_segments",
        "cloud": "lab",
        "segments": {name: dict(segment) for name, segment in segments.items()},
        "hosts": entries,
    }


def device(host: t.Mapping[str, t.Any], method: str) -> dict[str, t.Any]:
    """One fencing device of a host, its password by a lookup."""
    if method not in METHODS:
        raise ValueError(f"method {method!r} is none of {METHODS}")
    password = "{{ lookup('ansible.builtin.file', '" + host["password_file"] + "') }}"
    login = {"username": host["user"], "password": password}
    if method == "ipmi":
        return {"method": "ipmi", **host["ipmi"], **login}
    redfish = host["redfish"]
    return {
        "method": "redfish",
        "address": redfish["address"],
        "system": redfish["system"],
        "ca_path": redfish["ca"],
        **login,
    }
