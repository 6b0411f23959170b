# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs of the recovery playbook, their hosts and steps. PRIVATE: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import ages, rows, states
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.database import Database
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import (
    HOST,
    INSTANCE,
    SEPARATOR,
    object_of,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.rows import Row
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.schema import table

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported by Database()


_AT_ONCE = 400  # values in one IN (…), see signals


class Runs:
    """The part of the journal that knows runs."""

    database: Database

    def open_run(
        self,
        hosts: list[Row],
        holder: Row,
        resumes: str | None = None,
        check_mode: bool = False,
        run_id: str | None = None,
        kind: str = HOST,
    ) -> Row:
        """Write a new run.

        :param hosts: For each place ``host`` and ``incident_id``.
        :param holder: Who runs it, see ``holder.describe()``.
        :param resumes: The run that died and that this one picks up.
        :param kind: What it is about, see ``places.KINDS``.
        """
        run = {
            "id": run_id or rows.new_id(), "kind": kind, "state": "open", "check_mode": check_mode, "resumes": resumes,
            "holder": holder, "outcome": None, "launch": None, "opened_at": rows.now(), "closed_at": None,
        }  # fmt: skip
        members = [{"run_id": run["id"], "host": it["host"], "incident_id": it["incident_id"]} for it in hosts]

        def work(connection: sa.Connection) -> None:
            connection.execute(table("runs").insert(), run)
            connection.execute(table("run_hosts").insert(), members)

        self.database.write(work)
        return self.run(str(run["id"]))

    def run(self, run_id: str) -> Row:
        """One run with its ``hosts``."""
        run = rows.one(self.database, rows.matching("runs", {"id": run_id}))
        if run is None:
            raise JournalError(f"There is no run {run_id} in {self.database.name}. Check the id and journal_url.")
        return {**run, "hosts": self.run_hosts(run_id)}

    def runs(self, host: str | None = None, limit: int = 10) -> list[Row]:
        """The newest runs, about one host and its objects or about all, each with its ``hosts``."""
        runs, members = table("runs"), table("run_hosts")
        query = sa.select(runs).order_by(runs.c.opened_at.desc(), runs.c.id).limit(limit)
        if host is not None:
            here = sa.or_(members.c.host == host, members.c.host.startswith(f"{host}{SEPARATOR}", autoescape=True))
            query = query.where(runs.c.id.in_(sa.select(members.c.run_id).where(here)))
        found = rows.rows(self.database, query)
        members_of = self.run_hosts([run["id"] for run in found])
        return [{**run, "hosts": [it for it in members_of if it["run_id"] == run["id"]]} for run in found]

    def runs_of(self, incident_id: str) -> list[str]:
        """The ids of the runs on an incident, oldest first."""
        runs, members = table("runs"), table("run_hosts")
        query = sa.select(runs.c.id).join_from(runs, members, members.c.run_id == runs.c.id)
        query = query.where(members.c.incident_id == incident_id).order_by(runs.c.opened_at, runs.c.id)
        return [str(row["id"]) for row in rows.rows(self.database, query)]

    def run_hosts(self, run_id: str | list[str]) -> list[Row]:
        """The hosts of one run or of several."""
        return rows.rows(self.database, rows.matching("run_hosts", {"run_id": run_id}, ["run_id", "host"]))

    def close_run(self, run_id: str, state: str, outcome: Row | None = None) -> bool:
        """End an open run; tell whether it was open."""
        runs = table("runs")
        values = {"state": states.known(states.RUN, state), "outcome": outcome, "closed_at": rows.now()}
        is_open = sa.and_(runs.c.id == run_id, runs.c.state == "open")
        return rows.update(self.database, runs.update().where(is_open).values(values))

    def set_launch(self, run_id: str, launch: Row) -> bool:
        """Write how a responder started an open run; tell whether it was open."""
        runs = table("runs")
        is_open = sa.and_(runs.c.id == run_id, runs.c.state == "open")
        return rows.update(self.database, runs.update().where(is_open).values(launch=launch))

    def open_runs(self, scope: str) -> list[Row]:
        """All runs that never ended, oldest first, each with its ``hosts``; not those in check mode."""
        runs, members, incidents = table("runs"), table("run_hosts"), table("incidents")
        here = (
            sa.select(members.c.run_id)
            .join_from(members, incidents, incidents.c.id == members.c.incident_id)
            .where(incidents.c.scope == scope)
        )
        query = (
            sa.select(runs)
            .where(runs.c.state == "open", runs.c.check_mode.is_(False), runs.c.id.in_(here))
            .order_by(runs.c.opened_at, runs.c.id)
        )
        found = rows.rows(self.database, query)
        members_of = self.run_hosts([run["id"] for run in found]) if found else []
        return [{**run, "hosts": [it for it in members_of if it["run_id"] == run["id"]]} for run in found]

    def set_run_host(self, run_id: str, host: str, outcome: str, reason: str | None = None) -> bool:
        """Say how a run ended for one of its places."""
        members = table("run_hosts")
        this = sa.and_(members.c.run_id == run_id, members.c.host == host)
        values = {"outcome": outcome, "reason": reason, "ended_mark": ages.mark(self.database)}
        return rows.update(self.database, members.update().where(this).values(values))

    def recoveries_of(self, scope: str, kind: str, places: t.Sequence[str], within: float) -> dict[str, list[float]]:
        """By place, seconds since each run ended there that had acted on it, newest first, not longer ago than that.

        A VM may have been on another host then.
        """
        ends = self._ends(scope, kind, places, ("recovered", "partial"), anywhere=kind == INSTANCE)
        found: dict[str, list[float]] = {}
        for it in ends:
            if it["age"] <= within:
                found.setdefault(object_of(it["host"]) if kind == INSTANCE else it["host"], []).append(it["age"])
        return {about: found.get(object_of(about) if kind == INSTANCE else about, []) for about in places}

    def last_recoveries(self, scope: str, kind: str, places: t.Sequence[str]) -> dict[str, Row]:
        """By place where a run has done it all, the last one: ``run_id``, ``incident_id``, and ``age`` in seconds."""
        return {it["host"]: it for it in reversed(self._ends(scope, kind, places, ("recovered",)))}

    def _ends(
        self, scope: str, kind: str, places: t.Sequence[str], outcomes: t.Sequence[str], anywhere: bool = False
    ) -> list[Row]:
        """How runs of a kind have ended at these places, newest first.

        :param anywhere: Or for the same objects on other hosts.
        """
        runs, members, incidents = table("runs"), table("run_hosts"), table("incidents")
        query = (
            sa.select(members.c.host, members.c.run_id, members.c.incident_id, members.c.ended_mark)
            .join_from(members, runs, runs.c.id == members.c.run_id)
            .join(incidents, incidents.c.id == members.c.incident_id)
            .where(runs.c.kind == kind, incidents.c.scope == scope, members.c.outcome.in_(outcomes))
        )
        found: list[Row] = []
        column = incidents.c.object if anywhere else members.c.host
        wanted = sorted({object_of(it) if anywhere else it for it in places})
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            found += rows.rows(self.database, query.where(column.in_(some)))
        now = ages.mark(self.database)
        aged = [{**it, "age": ages.age(self.database, it.pop("ended_mark"), now=now)} for it in found]
        return sorted((it for it in aged if it["age"] is not None), key=lambda it: it["age"])

    def unfinished_runs(self, host: str, scope: str | None = None, kind: str = HOST) -> list[Row]:
        """Runs of a kind on the place that never ended, oldest first; not those in check mode, which changed nothing.

        For who has just taken the claim: their processes are gone, and their work may be half done.
        """
        runs, members, incidents = table("runs"), table("run_hosts"), table("incidents")
        query = (
            sa.select(runs, members.c.incident_id, members.c.outcome.label("outcome_of_host"))
            .join_from(runs, members, members.c.run_id == runs.c.id)
            .join(incidents, incidents.c.id == members.c.incident_id)
            .where(members.c.host == host, runs.c.state == "open", runs.c.check_mode.is_(False))
            .where(runs.c.kind == kind)
            .order_by(runs.c.opened_at, runs.c.id)
        )
        return rows.rows(self.database, query if scope is None else query.where(incidents.c.scope == scope))

    def add_step(self, run_id: str, host: str | None, name: str, seconds: float) -> Row:
        """Write how long a step took."""
        step = {"run_id": run_id, "host": host, "name": name, "seconds": seconds, "ended_at": rows.now()}
        return rows.append(self.database, "steps", "run_id", step)

    def steps(self, run_id: str) -> list[Row]:
        """The steps of a run in the order in which they ended."""
        return rows.rows(self.database, rows.matching("steps", {"run_id": run_id}, ["number"]))

    def use_reserved(self, run_id: str, host: str, segment: str | None, reason_before: str | None) -> Row:
        """Write that a run is about to enable a reserved host, and why that host was disabled."""
        use = {
            "id": rows.new_id(), "run_id": run_id, "host": host, "segment": segment,
            "reason_before": reason_before, "state": "taken", "taken_at": rows.now(), "ended_at": None,
        }  # fmt: skip
        return rows.insert(self.database, "reserved_uses", use)

    def set_reserved(self, use_id: str, state: str) -> bool:
        """Say that a taken reserved host was consumed or returned; tell whether it was still taken."""
        uses = table("reserved_uses")
        values = {"state": states.known(states.RESERVED, state), "ended_at": rows.now()}
        taken = sa.and_(uses.c.id == use_id, uses.c.state == "taken")
        return rows.update(self.database, uses.update().where(taken).values(values))

    def reserved_uses(self, **filters: t.Any) -> list[Row]:
        """Uses of reserved hosts whose columns have these values, oldest first."""
        return rows.rows(self.database, rows.matching("reserved_uses", filters, ["taken_at", "id"]))
