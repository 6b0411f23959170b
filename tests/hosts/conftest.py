# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the tests on hosts."""

from __future__ import annotations

import os
import sys
import typing as t
from pathlib import Path

import pytest
import sqlalchemy as sa
from bed.client import default_python

from hosts import client, lab

# database servers are of use here, too
sys.path.append(str(Path(__file__).parents[1] / "real"))
import journal_servers


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


@pytest.fixture(scope="module")
def postgresql(bed: client.HostsBed) -> t.Iterator[journal_servers.Server]:
    """A database server for the journal of several responders."""
    with journal_servers.postgresql() as server:
        yield server


@pytest.fixture(scope="module")
def journal_url(postgresql: journal_servers.Server) -> str:
    """An empty journal. By its Unix socket, which all controllers reach and no host does."""
    (url,) = postgresql.new_journal()
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        folder, port = (connection.scalar(sa.text(f"SHOW {name}")) for name in ("unix_socket_directories", "port"))
    engine.dispose()
    return f"postgresql+psycopg://ha@/{url.rpartition('/')[2]}?host={folder}&port={port}"
