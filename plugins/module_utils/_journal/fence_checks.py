# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether hosts could be fenced when it was last tried out. PRIVATE: may change at any time."""

from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import ages, rows, states
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.database import Database
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.rows import Row


class FenceChecks:
    """The part of the journal that knows the newest fence check of each host."""

    database: Database

    def add_fence_check(self, scope: str, host: str, result: str, said: str) -> None:
        """Write the newest check of a host over the one before."""
        values = {
            "result": states.known(states.FENCE_CHECK, result), "said": said,
            "checked_at": rows.now(), "checked_mark": ages.mark(self.database),
        }  # fmt: skip
        rows.upsert(self.database, "fence_checks", {"scope": scope, "host": host}, values)

    def fence_checks(self, scope: str) -> dict[str, Row]:
        """By host: ``result``, ``said``, ``checked_at`` and ``age`` in seconds."""
        found = rows.rows(self.database, rows.matching("fence_checks", {"scope": scope}, ["host"]))
        return {
            it["host"]: {**it, "age": ages.age(self.database, it["checked_mark"], it["checked_at"])} for it in found
        }
