# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to tell people when a host could not be proven to be off. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.levels import Evidence, Outcome


def failure(host: str, outcome: Outcome) -> str:
    """What was tried, what came back, and what to do."""
    parts = [f"{host} is not proven to be off or dead, so none of its VMs may be started elsewhere."]
    parts += [_line(entry) for entry in outcome.evidence]
    if outcome.asked:
        parts.append(f"Level {outcome.asked} asks for a person's confirmation.")
    if outcome.alive:
        parts.append(
            f"{host} shows life at {', '.join(outcome.alive)} although a device reports it off: check which machine "
            "the device really switches, and switch the host off by hand."
        )
        return " ".join(parts)
    return " ".join([*parts, _advice(host)])


def _line(entry: Evidence) -> str:
    if entry["method"] == "probe":
        found = ", ".join(f"{url} {result}" for url, result in entry["answer"].items())
        return f"Probes after the power-off: {found}."
    said = "; ".join(filter(None, [entry["answer"] and f"answered '{entry['answer']}'", entry["error"]]))
    return (
        f"Level {entry['level']} try {entry['try']}, {entry['method']} {entry['address']}, {entry['seconds']:.1f} s: "
        f"{said or 'no complaint'} (observed: {entry['observed_state']})."
    )


def _advice(host: str) -> str:
    return (
        "Check the address, the credentials and the cabling with host_fence_info. When you have made sure yourself "
        "that the host is off and stays off: ansible-playbook openstack_ha.recovery.recover_host "
        f"-e failed_hosts={host} -e confirmed_dead_by=NAME -e confirmed_dead_reason=TEXT"
    )
