# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal


def test_each_responder_has_one_row_that_it_renews(journal: Journal) -> None:
    journal.observe("R", "ctl1", {"pid": 1}, {"words": {"cmp03": "up"}}, decided=True)
    journal.observe("R", "ctl2", {"pid": 2}, {}, decided=False)
    journal.observe("R", "ctl1", {"pid": 1}, {"words": {"cmp03": "down"}}, decided=False)
    first, second = journal.observers("R")
    assert (first["name"], first["beats"], first["view"]) == ("ctl1", 2, {"words": {"cmp03": "down"}})
    assert first["age"] <= first["decided_age"], "a look in trouble is no decision"
    assert (second["beats"], second["decided_age"]) == (1, None)
    assert journal.observers("S") == []
