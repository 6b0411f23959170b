# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The journal as modules use it. PRIVATE to this collection: may change at any time.

Every method is one transaction and returns plain dictionaries::

    with open_journal(params["journal_url"]) as journal:
        incident = journal.open_incident("cmp03", "RegionOne", "rack1")
"""

from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import migrate, rows
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.database import Database
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.evidence import Evidence
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.fence_checks import FenceChecks
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.incidents import Incidents
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.ledger import Ledger
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.notices import Notices
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.observers import Observers
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.orders import Orders
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.questions import Questions
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.rows import Row
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.runs import Runs
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.sightings import Sightings
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.signals import Signals
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.storms import Storms


class Journal(
    Incidents, Runs, Evidence, Ledger, Orders, Questions, FenceChecks, Sightings, Storms, Signals, Observers, Notices
):
    """An open journal: a context manager that closes its connections."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self.database.close()

    def report(self, run_id: str) -> Row:
        """Everything about a run, ready for JSON."""
        run = self.run(run_id)
        hosts = run.pop("hosts")
        incident_ids = [host["incident_id"] for host in hosts]
        return {
            "run": run,
            "hosts": hosts,
            "incidents": self.incidents(id=incident_ids),
            "verdicts": self.verdicts(run_id),
            "certificates": self.certificates(incident_ids),
            "ledger": self.lines(incident_ids),
            "reserved": self.reserved_uses(run_id=run_id),
            "steps": self.steps(run_id),
            "questions": self.questions(run_id=run_id),
            "signals": self.signals(incident_id=incident_ids),
            "notices": self.notices(incident_id=incident_ids),
            "claims": rows.rows(self.database, rows.matching("claims", {"run_id": run_id}, ["scope", "host"])),
        }


def open_journal(url: str | None = None, create: bool = True) -> Journal:
    """Open the journal and bring its tables up to date.

    :param url: A database URL; None is the default file.
    :param create: Make a missing SQLite file.
    """
    database = Database(url, create)
    try:
        migrate.ensure_current(database)
    except BaseException:
        database.close()
        raise
    return Journal(database)
