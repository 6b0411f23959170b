# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the tests on hosts."""

from __future__ import annotations

import os
import typing as t

import pytest
from bed.client import default_python

from hosts import client, lab


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


@pytest.fixture(scope="module")
def bed(hosts: lab.Hosts) -> t.Iterator[client.HostsBed]:
    """Nova and BMCs for these hosts; most tests want ``cloud``."""
    if not os.access(default_python(), os.X_OK):
        pytest.skip(f"no interpreter with Nova at {default_python()}: run make, or set BED_PYTHON")
    with client.running(hosts) as started:
        yield started


@pytest.fixture
def cloud(bed: client.HostsBed) -> client.HostsBed:
    """An empty cloud: all hosts on, all cables in, no faults."""
    bed.reset()
    return bed
