# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fresh journal in a file, and short ways to fill it.

The collection is imported inside the fixtures: pytest loads this file before pytest-ansible has made
the collection known to Ansible's loader.
"""

from __future__ import annotations

import typing as t

import pytest

if t.TYPE_CHECKING:
    from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal


@pytest.fixture
def url(tmp_path: t.Any) -> str:
    return f"sqlite:///{tmp_path}/journal.db"


@pytest.fixture
def journal(url: str) -> t.Iterator[Journal]:
    from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal

    with open_journal(url) as opened:
        yield opened


@pytest.fixture
def new_run(journal: Journal) -> t.Callable[..., dict[str, t.Any]]:
    """A function that opens a run, with an incident for each host."""
    from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import holder

    def make(*hosts: str, **options: t.Any) -> dict[str, t.Any]:
        members = [{"host": host, "incident_id": journal.open_incident(host, "R", "rack1")["id"]} for host in hosts]
        return journal.open_run(members, holder.describe(), **options)

    return make
