# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long ago something was written, without trusting wall clocks. PRIVATE: may change at any time.

Beside each time for people a *mark* is written: the monotonic clock of the machine that wrote it, and which boot of
which machine that was, and the clock of the database. On the same boot the age is exact whatever is done to wall
clocks; elsewhere the one clock decides that all who share the journal share, and what lies in its future counts as new.
"""

from __future__ import annotations

import datetime
import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.database import Database

Mark = t.Dict[str, t.Any]


def mark(database: Database) -> Mark:
    """This moment."""
    return {"boot_id": holder.boot_id(), "monotonic": time.monotonic(), "at": database.utc()}


def age(database: Database, of: Mark | None, at: str | None = None, now: Mark | None = None) -> float | None:
    """Seconds since a mark was made, never negative; None if nothing is known about it.

    :param at: The same moment as UTC text, for rows written before there were marks.
    :param now: This moment, where it was marked already: for many rows at once.
    """
    now = now or mark(database)
    if of and of.get("boot_id") and of["boot_id"] == now["boot_id"]:
        return max(0.0, float(now["monotonic"]) - float(of["monotonic"]))
    then = of["at"] if of else _seconds(at)
    return None if then is None else max(0.0, float(now["at"]) - float(then))


def _seconds(at: str | None) -> float | None:
    return datetime.datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp() if at else None
