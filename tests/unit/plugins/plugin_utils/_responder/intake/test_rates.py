# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.rates import Buckets


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_so_many_may_be_taken_at_once_and_so_many_in_the_long_run() -> None:
    clock = Clock()
    buckets = Buckets(2.0, 5.0, clock)
    for _each in range(5):
        assert buckets.wait("cmp01") == 0
        buckets.take("cmp01", 1)
    assert buckets.wait("cmp01") == 0.5
    assert buckets.wait("cmp02") == 0, "each has a bucket of its own"
    clock.now += 0.5
    assert buckets.wait("cmp01") == 0


def test_what_was_taken_too_much_is_owed() -> None:
    clock = Clock()
    buckets = Buckets(2.0, 5.0, clock)
    buckets.take("cmp01", 25)
    assert buckets.wait("cmp01") == 10.5
    clock.now += 1000
    buckets.take("cmp01", 5)
    assert buckets.wait("cmp01") == 0.5, "no more comes back than a bucket holds"


def test_full_buckets_are_forgotten_and_others_are_not() -> None:
    clock = Clock()
    buckets = Buckets(1.0, 5.0, clock)
    for number in range(1024):
        buckets.take(f"old{number}", 1)
    clock.now += 60
    buckets.take("debtor", 100)
    for number in range(1024):
        buckets.take(f"new{number}", 0)
    assert len(buckets._levels) < 1100
    assert buckets.wait("debtor") > 90
