# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the journal knows of a host's agent, as a fencing method takes it. PRIVATE: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import Agent, Sighting
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import ages
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.rows import Row
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._run import Run


def of_run(run: Run, host: str) -> Agent:
    """For a host that a run fences: it lived until its last heartbeat in Nova when the run was opened."""
    scope = run.journal.incidents(id=run.incident(host))[0]["scope"]
    read = _reader(run.journal, scope, host)
    return Agent(read, read(), run.seen.get(host, {}).get("last_heartbeat"))


def of_healthy_host(journal: Journal, scope: str, host: str, now: str) -> Agent:
    """For a host that is only looked at, and lives."""
    read = _reader(journal, scope, host)
    return Agent(read, read(), now)


def _reader(journal: Journal, scope: str, host: str) -> t.Callable[[], list[Sighting]]:
    def read() -> list[Sighting]:
        here = ages.mark(journal.database)["boot_id"]
        return [_sighting(row, here) for row in journal.sightings(scope, host)]

    return read


def _sighting(row: Row, here: str | None) -> Sighting:
    """With the moment on this machine's monotonic clock only if this machine, in this boot, heard it."""
    mark = row["heard_mark"] or {}
    ours = mark.get("boot_id") is not None and mark["boot_id"] == here
    heard = float(mark["monotonic"]) if ours else None
    return Sighting(row["source"], bool(row["armed"]), row["heard_at"], heard)
