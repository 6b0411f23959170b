# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal


def test_each_witness_keeps_when_it_last_heard_a_host(journal: Journal) -> None:
    journal.sight("R", "cmp03", "ctl1", armed=True)
    journal.sight("R", "cmp03", "ctl2", armed=True)
    journal.sight("R", "cmp03", "ctl1", armed=False)
    journal.sight("R", "cmp04", "ctl1", armed=True)
    found = journal.sightings("R", "cmp03")
    assert [(it["source"], it["armed"]) for it in found] == [("ctl1", False), ("ctl2", True)]
    assert found[0]["age"] <= found[1]["age"] < 5
    assert len(journal.sightings("R", ["cmp03", "cmp04"])) == 3
    assert journal.sightings("S", "cmp03") == []


def test_many_hosts_are_written_at_once(journal: Journal) -> None:
    journal.sight("R", "cmp03", "ctl1", armed=False)
    journal.sight_all("R", "ctl1", {"cmp03": True, "cmp04": False})
    journal.sight_all("R", "ctl1", {})
    assert [(it["host"], it["armed"]) for it in journal.sightings("R", ["cmp03", "cmp04"])] == [
        ("cmp03", True),
        ("cmp04", False),
    ]
