# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which artifacts of ended runs may go. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import dataclasses
import shutil
import time
import typing as t
from pathlib import Path

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.states import INCIDENT, INCIDENT_FINAL
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal

_DAY = 86400.0
_AT_ONCE = 100  # directories removed in one pass: a clock that jumps must not empty the archive at a stroke


@dataclasses.dataclass(frozen=True)
class Rules:
    """How much is kept."""

    days: float
    count: int


def removable(found: t.Mapping[str, float], rules: Rules) -> list[str]:
    """The runs that are too old or too many, oldest first.

    :param found: Age in seconds by run.
    """
    oldest_first = sorted(found, key=lambda run: -found[run])
    too_many = max(0, len(oldest_first) - rules.count)
    return [run for number, run in enumerate(oldest_first) if number < too_many or found[run] > rules.days * _DAY]


def retain(
    artifacts: Path,
    rules: Rules,
    journal: Journal,
    active: t.Container[str],
    clock: t.Callable[[], float] = time.time,
) -> int:
    """Remove what may go; return how many directories that were.

    :param active: Runs at work here.
    """
    if not artifacts.is_dir():
        return 0
    found = {path.name: clock() - path.stat().st_mtime for path in artifacts.iterdir() if path.is_dir()}
    may_go = removable(found, rules)
    unended = _unended(journal, may_go) if may_go else set()
    gone = [run_id for run_id in may_go if run_id not in active and run_id not in unended][:_AT_ONCE]
    for run_id in gone:
        shutil.rmtree(artifacts / run_id, ignore_errors=True)
    return len(gone)


def _unended(journal: Journal, run_ids: list[str]) -> set[str]:
    """Runs that are open, and all runs of incidents that have not ended."""
    states = [state for state in INCIDENT if state not in INCIDENT_FINAL]
    of_incidents = {
        run_id for incident in journal.incidents(state=states) for run_id in journal.runs_of(incident["id"])
    }
    # A directory that the journal knows nothing of belongs to nothing that is at work.
    known = {str(entry["run_id"]) for entry in journal.run_hosts(run_ids)}
    return of_incidents | {run_id for run_id in known if journal.run(run_id)["state"] == "open"}
