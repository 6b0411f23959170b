# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import time
import types
import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import ages, holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal

HERE = {"boot_id": "here", "monotonic": 100.0, "at": 5000.0}


def age(
    of: ages.Mark | None, boot_id: str | None, monotonic: float, at: float, text: str | None = None
) -> float | None:
    """The age of a mark on this machine at this moment."""
    database = t.cast(t.Any, types.SimpleNamespace(utc=lambda: at))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holder, "boot_id", lambda: boot_id)
        patch.setattr(time, "monotonic", lambda: monotonic)
        return ages.age(database, of, text)


@pytest.mark.parametrize("utc", [5000.0, -1e9, 1e12])
def test_on_the_same_boot_no_other_clock_counts(utc: float) -> None:
    assert age(HERE, "here", 130.0, utc) == 30


@pytest.mark.parametrize(("utc", "seconds"), [(5030.0, 30), (4000.0, 0)])
def test_elsewhere_the_clock_of_the_database_decides_and_the_future_is_new(utc: float, seconds: float) -> None:
    assert age(HERE, "there", 7.0, utc) == seconds


def test_two_machines_that_do_not_know_their_boot_are_not_the_same() -> None:
    assert age({**HERE, "boot_id": None}, None, 7.0, 5009.0) == 9


def test_a_row_without_a_mark_is_as_old_as_its_text() -> None:
    assert age(None, "here", 7.0, 86400.0, "1970-01-01T00:00:00.000Z") == 86400


def test_what_is_not_known_has_no_age() -> None:
    assert age(None, "here", 7.0, 5.0) is None


def test_a_mark_made_now_is_young(journal: Journal) -> None:
    assert 0 <= (ages.age(journal.database, ages.mark(journal.database)) or 0.0) < 5
