# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal


def test_a_storm_lasts_from_the_first_look_to_the_first_without_it(journal: Journal) -> None:
    assert journal.storm("R") == {"silent_for": None, "ended_ago": None}
    journal.note_storm("R", False)
    for _look in range(2):
        journal.note_storm("R", True)
    first = journal.storm("R")
    assert first["silent_for"] >= 0
    assert first["ended_ago"] is None
    for _look in range(2):
        journal.note_storm("R", False)
    over = journal.storm("R")
    assert (over["silent_for"], over["ended_ago"] >= 0) == (None, True)
    assert journal.storm("S")["ended_ago"] is None


def test_a_second_storm_begins_anew(journal: Journal) -> None:
    for blowing in (True, False, True):
        journal.note_storm("R", blowing)
    assert journal.storm("R")["ended_ago"] is None
