#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: recovery_order_info
short_description: Show orders of operators about recoveries
version_added: 0.1.0
description:
  - Lists the orders in force, oldest first, and on demand those that have ended.
  - Of an order that ends within the next five minutes, or has ended by itself, one reader is told in a warning.
  - Where there is no journal yet, there are no orders.
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.both_groups
  - openstack_ha.recovery.attributes.reads_only
  - openstack_ha.recovery.cloud
  - openstack_ha.recovery.journal
options:
  ended:
    description: Also show orders that have ended.
    type: bool
    default: false
seealso:
  - module: openstack_ha.recovery.recovery_order
author:
  - openstack_ha.recovery maintainers (@openstack-ha)
"""

EXAMPLES = r"""
- name: Is anything paused?
  openstack_ha.recovery.recovery_order_info:
    cloud: prod
  register: known
"""

RETURN = r"""
region:
  description: The region that the orders are about.
  returned: success
  type: str
orders:
  description: The orders.
  returned: success
  type: list
  elements: dict
  contains:
    id: {description: Id of the order., type: str}
    number: {description: "Its number, counted in its region.", type: int}
    kind: {description: 'V(pause), V(disarm) or V(budget).', type: str}
    scope: {description: 'V(cloud), V(segment) or V(host).', type: str}
    name: {description: "The segment or host, or null.", type: str}
    owner: {description: Who gave it., type: str}
    reason: {description: Why., type: str}
    limits: {description: "Of a budget, C(at_once) and C(per_hour); else null.", type: dict}
    seconds: {description: "How long it holds from its beginning, or null.", type: float}
    left: {description: "Seconds it still holds; null: until it is ended.", type: float}
    made_at: {description: "When it was given, UTC.", type: str}
    ended_at: {description: "When it ended, UTC, or null.", type: str}
    ended_by: {description: "Who ended it; null if nobody did.", type: str}
    end_reason: {description: Why it ended., type: str}
    words: {description: The order in one line., type: str}
"""

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _order_words
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import CLOUD_SPEC, Json, connect
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalMissing
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.options import JOURNAL_SPEC
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.orders import in_force
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task


def run(call: Call) -> Result:
    """Read the orders."""
    region = connect(call.params).region
    try:
        with open_journal(call.params["journal_url"], create=False) as journal:
            found = _read(call, journal, region)
    except JournalMissing:
        found = []
    shown = [{**order, "words": _order_words.words(order)} for order in found]
    orders = [{key: value for key, value in order.items() if not key.endswith("_mark")} for order in shown]
    return {"changed": False, "region": region, "orders": orders}


def _read(call: Call, journal: Journal, region: str) -> list[Json]:
    unended = journal.unended_orders(region)
    for order in [] if call.check_mode else journal.announce_orders(unended):
        call.warn(f"An order {_order_words.ending(order)}")
    if call.params["ended"]:
        return journal.all_orders(scope_region=region)
    return [order for order in unended if in_force(order)]


TASK = Task(
    argument_spec={"ended": {"type": "bool", "default": False}, **CLOUD_SPEC, **JOURNAL_SPEC},
    run=run,
)


def main() -> None:
    """Entry point of the module."""
    TASK.main()


if __name__ == "__main__":
    main()
