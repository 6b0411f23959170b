# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal


def test_a_notice_is_pending_until_it_was_delivered(journal: Journal) -> None:
    made = journal.add_notice("R", "chat", "run_started", {"hosts": ["cmp03"]}, incident_id="i")
    (found,) = journal.pending_notices("R")
    assert {name: found[name] for name in made} == made
    assert 0 <= found["age"] < 60
    assert journal.end_notice(made["id"], "sent")
    assert not journal.end_notice(made["id"], "failed", "too late")
    assert journal.pending_notices("R") == []
    (sent,) = journal.notices(incident_id="i")
    assert (sent["state"], sent["reason"]) == ("sent", None)
    assert sent["ended_at"]


def test_of_two_that_would_deliver_one_does(journal: Journal) -> None:
    made = journal.add_notice("R", "chat", "run_started", {})
    assert journal.take_notice(made["id"], 0)
    assert not journal.take_notice(made["id"], 0)
    assert journal.end_notice(made["id"], "pending", "503 from chat")
    (found,) = journal.pending_notices("R")
    assert (found["attempts"], found["reason"], found["ended_at"]) == (1, "503 from chat", None)
    assert journal.take_notice(made["id"], 1)


def test_an_unknown_state_is_refused(journal: Journal) -> None:
    with pytest.raises(ValueError, match="unknown state 'lost'"):
        journal.end_notice("n", "lost")
