# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the tests on hosts."""

from __future__ import annotations

import typing as t

import pytest

from hosts import lab


@pytest.fixture(scope="session")
def can_have_hosts() -> None:
    """Skips where there can be no hosts."""
    reason = lab.missing()
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def hosts(can_have_hosts: None) -> t.Iterator[lab.Hosts]:
    """Three booted hosts, shared by the tests of a module."""
    with lab.Hosts() as started:
        started.start(3)
        yield started
