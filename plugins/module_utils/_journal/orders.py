# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Orders of operators: pause, disarm, other budgets, each with an end. PRIVATE: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import ages, rows, states
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.database import Database
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.rows import Row
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.schema import table

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported by Database()


#: What a task journals when it begins to power a host off, and when that has ended.
_FENCE_STEPS = ("fencing", "fenced", "not fenced")

ANNOUNCE_BEFORE = 300.0  # seconds before an order ends by itself


class Orders:
    """The part of the journal that knows orders. Numbers tell their order, in one region."""

    database: Database

    def add_order(
        self,
        scope_region: str,
        kind: str,
        scope: str,
        name: str | None,
        owner: str,
        reason: str,
        seconds: float | None = None,
        limits: t.Mapping[str, t.Any] | None = None,
    ) -> Row:
        """Write a new order.

        :param name: The segment or host; None for the whole cloud.
        :param seconds: How long it holds; None: until it is ended.
        :param limits: Of a budget: ``at_once`` and ``per_hour``.
        """
        order = {
            "id": rows.new_id(), "scope_region": scope_region, "kind": states.known(states.ORDER_KIND, kind),
            "scope": states.known(states.ORDER_SCOPE, scope), "name": name, "owner": owner, "reason": reason,
            "limits": dict(limits) if limits else None, "seconds": seconds, "made_at": rows.now(),
            "made_mark": ages.mark(self.database), "ended_at": None, "ended_by": None, "end_reason": None,
            "announced": None,
        }  # fmt: skip
        return rows.append(self.database, "orders", "scope_region", order)

    def end_order(self, order_id: str, by: str | None, reason: str) -> bool:
        """End an order before its time; tell whether it had not ended."""
        return self._change(order_id, {"ended_at": rows.now(), "ended_by": by, "end_reason": reason})

    def orders(self, scope_region: str | None = None) -> list[Row]:
        """The orders in force, oldest first; ``left`` is how many seconds they still hold."""
        return [order for order in self.unended_orders(scope_region) if in_force(order)]

    def all_orders(self, **filters: t.Any) -> list[Row]:
        """Orders whose columns have these values, also those that have ended, oldest first."""
        found = rows.rows(self.database, rows.matching("orders", filters, ["scope_region", "number"]))
        return [self._with_left(order) for order in found]

    def unended_orders(self, scope_region: str | None = None) -> list[Row]:
        """The orders in force, and those that have run out since anybody looked: ``left`` is not above 0 then."""
        filters = {"ended_at": None, **({} if scope_region is None else {"scope_region": scope_region})}
        return self.all_orders(**filters)

    def announce_orders(self, unended: list[Row]) -> list[Row]:
        """Orders that have run out, or soon will, and about which nobody was told; each is returned to one caller.

        One that has run out is ended by this.
        """
        return [order for order in unended if self._announced(order)]

    def stopping_orders(self, run_id: str) -> list[Row]:
        """Pauses and disarms in force, newer than the run's verdict, once per place of the run in ``covers``."""
        orders, verdicts, members, incidents = map(table, ("orders", "verdicts", "run_hosts", "incidents"))
        newest = sa.func.coalesce(sa.func.max(verdicts.c.orders_seen), 0)  # none: nothing is known to have been seen
        seen = sa.select(newest).where(verdicts.c.run_id == run_id).scalar_subquery()
        covered = sa.or_(
            orders.c.scope == "cloud",
            sa.and_(orders.c.scope == "segment", orders.c.name == incidents.c.segment),
            sa.and_(orders.c.scope == "host", orders.c.name == incidents.c.host),
        )
        query = (
            sa.select(orders, members.c.host.label("covers"))
            .join_from(members, incidents, incidents.c.id == members.c.incident_id)
            .join(orders, sa.and_(orders.c.scope_region == incidents.c.scope, covered))
            .where(members.c.run_id == run_id, orders.c.number > seen)
            .where(orders.c.ended_at.is_(None), orders.c.kind.in_(("pause", "disarm")))
            .order_by(orders.c.number, members.c.host)
        )
        found = [self._with_left(order) for order in rows.rows(self.database, query)]
        return [order for order in found if in_force(order)]

    def fences_under_way(self, scope_region: str) -> list[Row]:
        """Power-offs that runs have begun and not ended: ``run_id``, ``host``, ``segment``, ``holder`` of the run."""
        steps, runs, members, incidents = map(table, ("steps", "runs", "run_hosts", "incidents"))
        query = (
            sa.select(steps.c.run_id, steps.c.host, steps.c.name, incidents.c.segment, runs.c.holder)
            .join_from(steps, runs, runs.c.id == steps.c.run_id)
            .join(members, sa.and_(members.c.run_id == steps.c.run_id, members.c.host == steps.c.host))
            .join(incidents, incidents.c.id == members.c.incident_id)
            .where(runs.c.state == "open", incidents.c.scope == scope_region, steps.c.name.in_(_FENCE_STEPS))
            .order_by(steps.c.run_id, steps.c.number)
        )
        last = {(step["run_id"], step["host"]): step for step in rows.rows(self.database, query)}
        return [step for step in last.values() if step["name"] == _FENCE_STEPS[0]]

    def _announced(self, order: Row) -> bool:
        left = order["left"]
        if left is None or left > ANNOUNCE_BEFORE:
            return False
        if left > 0:
            return order["announced"] is None and self._change(order["id"], {"announced": "soon"}, announced=None)
        over = {"ended_at": rows.now(), "end_reason": "its time is over", "announced": "ended"}
        return self._change(order["id"], over)

    def _change(self, order_id: str, values: Row, **expected: t.Any) -> bool:
        orders = table("orders")
        same = [orders.c[name] == value for name, value in {"ended_at": None, **expected}.items()]
        return rows.update(self.database, orders.update().where(orders.c.id == order_id, *same).values(values))

    def _with_left(self, order: Row) -> Row:
        passed = ages.age(self.database, order["made_mark"], order["made_at"])
        left = None if order["seconds"] is None or passed is None else order["seconds"] - passed
        return {**order, "left": left}


def in_force(order: Row) -> bool:
    """Whether an order that was not ended still has time left."""
    return order["left"] is None or order["left"] > 0
