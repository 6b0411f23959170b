# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import ages

HERE = {"boot_id": "here", "monotonic": 100.0, "at": 5000.0}


@pytest.mark.parametrize("wall", [5000.0, -1e9, 1e12])
def test_on_the_same_boot_no_wall_clock_counts(wall: float) -> None:
    assert ages.age(HERE, now={"boot_id": "here", "monotonic": 130.0, "at": wall}) == 30


@pytest.mark.parametrize(("wall", "age"), [(5030.0, 30), (4000.0, 0)])
def test_elsewhere_the_wall_clock_is_all_there_is_and_the_future_is_new(wall: float, age: float) -> None:
    assert ages.age(HERE, now={"boot_id": "there", "monotonic": 7.0, "at": wall}) == age


def test_two_machines_that_do_not_know_their_boot_are_not_the_same() -> None:
    unknown = {**HERE, "boot_id": None}
    assert ages.age(unknown, now={"boot_id": None, "monotonic": 7.0, "at": 5009.0}) == 9


def test_a_row_without_a_mark_is_as_old_as_its_text() -> None:
    now = {"boot_id": "here", "monotonic": 7.0, "at": 86400.0}
    assert ages.age(None, "1970-01-01T00:00:00.000Z", now) == 86400


def test_what_is_not_known_has_no_age() -> None:
    assert ages.age(None) is None


def test_a_mark_made_now_is_young() -> None:
    assert 0 <= (ages.age(ages.mark()) or 0.0) < 5
