# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal


def test_the_newest_fence_check_of_a_host_counts(journal: Journal) -> None:
    journal.add_fence_check("R", "cmp03", "ok", "level 0")
    journal.add_fence_check("R", "cmp04", "failed", "no route")
    journal.add_fence_check("S", "cmp03", "mismatch", "serial 7")
    journal.add_fence_check("R", "cmp03", "failed", "log-in refused")
    found = journal.fence_checks("R")
    assert {host: (it["result"], it["said"]) for host, it in found.items()} == {
        "cmp03": ("failed", "log-in refused"),
        "cmp04": ("failed", "no route"),
    }
    assert 0 <= found["cmp03"]["age"] < 5


def test_an_unknown_result_of_a_fence_check_is_refused(journal: Journal) -> None:
    with pytest.raises(ValueError, match="unknown state 'good'"):
        journal.add_fence_check("R", "cmp03", "good", "")
