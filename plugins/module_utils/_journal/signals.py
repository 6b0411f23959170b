# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What monitors have said, and what was decided about it. PRIVATE: may change at any time.

A *key* is what a source speaks about: source, kind, host, object. Its last word is the one row with a ``newest_key``;
the same word again is counted there. Of what arrives late, ``epoch`` and ``sequence`` of the sender tell that it
is old.
"""

from __future__ import annotations

import hashlib
import json
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import ages, rows, states
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.database import Database
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.rows import Row
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.schema import table

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported by Database()

GIVEN = (
    "source", "event_id", "type", "kind", "host", "object", "state", "epoch", "sequence", "data", "reporter",
)  # fmt: skip
_KEY = ("source", "kind", "host", "object")
_EMPTY: Row = dict.fromkeys(("incident_id", "verdict", "gate", "verdict_reason", "decided_at", "newest_key"))

_AT_ONCE = 400  # values in one IN (…): SQLite takes at most 32,766 parameters, older ones 999
_TRIES = 20
_DAY = 86400.0


class _Raced(Exception):
    """Another responder has written about the same key between our look and our change."""


class Signals:
    """The part of the journal that knows signals."""

    database: Database

    def accept_signals(self, scope: str, received_by: str, signals: t.Sequence[Row]) -> list[str]:
        """Write a batch in one transaction; say of each whether it is ``new``, ``repeat``, ``duplicate`` or ``stale``.

        What is not new needs no decision: a stale one is written with the verdict ``ignore``, a repeat is counted in
        the row that it repeats, and a duplicate is in the journal already.

        :param signals: Each with ``source``, ``event_id``, ``type``, ``kind``, ``host``, ``object``, ``state``,
            ``epoch``, ``sequence`` (None: its source does not count), ``data`` and ``reporter``. With a true ``again``
            it is news even if the last word was the same: its source tells events, not states.
        """
        if not signals:
            return []
        stamp: Row = {"at": rows.now(), "mark": ages.mark(self.database)}
        for signal in signals:
            states.known(states.SIGNAL, signal["state"])
        for _try in range(_TRIES):
            try:
                return self.database.write(
                    lambda connection: _Batch(connection, scope, received_by, stamp).take(signals)
                )
            except (_Raced, sa.exc.IntegrityError):  # noqa: PERF203  # the rare case, and the point of the loop
                continue
        raise JournalError(
            f"{self.database.name}: other responders were faster {_TRIES} times. Send the signals again."
        )

    def undecided_signals(self, scope: str, limit: int = 1000, but: str | None = None, **filters: t.Any) -> list[Row]:
        """What was accepted, has no verdict, and whose columns have these values, oldest first, with ages.

        :param but: A kind that is left out.
        """
        signals = table("signals")
        query = rows.matching("signals", {"scope": scope, **filters}, ["received_at", "id"])
        query = query.where(signals.c.verdict.is_(None), *([] if but is None else [signals.c.kind != but]))
        return _aged(self.database, rows.rows(self.database, query.limit(limit)))

    def still_undecided(self, ids: t.Sequence[str]) -> set[str]:
        """Those of these signals that have no verdict now."""
        signals = table("signals")

        def work(connection: sa.Connection) -> set[str]:
            found: set[str] = set()
            for some in _chunks(ids):
                query = sa.select(signals.c.id).where(signals.c.id.in_(some), signals.c.verdict.is_(None))
                found.update(str(row[0]) for row in connection.execute(query))
            return found

        return self.database.read(work) if ids else set()

    def decide_signals(
        self, ids: t.Sequence[str], verdict: str, gate: str | None, reason: str, incident_id: str | None = None
    ) -> int:
        """Write the verdict on those that have none; return how many these were."""
        if verdict not in states.VERDICT:
            raise ValueError(f"unknown verdict {verdict!r}; there are {', '.join(states.VERDICT)}")
        signals = table("signals")
        values = {
            "verdict": verdict, "gate": gate, "verdict_reason": reason, "decided_at": rows.now(),
            "incident_id": incident_id,
        }  # fmt: skip

        def work(connection: sa.Connection) -> int:
            changed = 0
            for some in _chunks(ids):
                undecided = sa.and_(signals.c.id.in_(some), signals.c.verdict.is_(None))
                changed += connection.execute(signals.update().where(undecided).values(values)).rowcount
            return changed

        return self.database.write(work) if ids else 0

    def decide_each(self, decisions: t.Sequence[Row]) -> list[str]:
        """The same for many, each with its own ``id``, ``verdict``, ``gate``, ``reason`` and ``incident_id``.

        :returns: The ids of those that had no verdict.
        """
        signals, given = table("signals"), sa.bindparam
        # One statement for all: to build one takes longer than to run it.
        statement = (
            signals.update()
            .where(signals.c.id == given("row"), signals.c.verdict.is_(None))
            .values(
                verdict=given("word"), gate=given("by"), verdict_reason=given("why"), incident_id=given("about"),
                decided_at=rows.now(),
            )
        )  # fmt: skip

        def work(connection: sa.Connection) -> list[str]:
            changed = []
            for it in decisions:
                values = {"row": it["id"], "word": it["verdict"], "by": it["gate"], "why": it["reason"]}
                if connection.execute(statement, {**values, "about": it["incident_id"]}).rowcount == 1:
                    changed.append(it["id"])
            return changed

        return self.database.write(work) if decisions else []

    def signals(self, limit: int | None = None, **filters: t.Any) -> list[Row]:
        """Signals whose columns have these values, oldest first.

        ``age`` is how many seconds ago the word was heard first, ``repeat_age`` how many ago it was heard last.

        :param limit: Only the newest so many.
        """
        query = rows.matching("signals", filters)
        received = table("signals").c.received_at
        if limit is None:
            query = query.order_by(received, table("signals").c.id)
            return _aged(self.database, rows.rows(self.database, query))
        query = query.order_by(received.desc(), table("signals").c.id.desc()).limit(limit)
        return _aged(self.database, rows.rows(self.database, query)[::-1])

    def prune_signals(self, scope: str, days: float, limit: int = 10000) -> int:
        """Remove what was not heard for so long, was decided, and is about no incident that goes on; return how many.

        :param limit: So many at most: a clock that jumps must not empty the journal at a stroke.
        """
        signals, incidents = table("signals"), table("incidents")
        before = rows.now(-days * _DAY)
        going_on = sa.select(incidents.c.id).where(incidents.c.open_key.is_not(None))
        query = (
            sa.select(signals.c.id)
            .where(signals.c.scope == scope, signals.c.received_at < before, signals.c.repeated_at < before)
            .where(signals.c.verdict.is_not(None))
            .where(sa.or_(signals.c.incident_id.is_(None), signals.c.incident_id.not_in(going_on)))
            .order_by(signals.c.received_at)
            .limit(limit)
        )
        ids = [str(it["id"]) for it in rows.rows(self.database, query)]

        def work(connection: sa.Connection) -> int:
            return sum(
                connection.execute(signals.delete().where(signals.c.id.in_(some))).rowcount for some in _chunks(ids)
            )

        return self.database.write(work) if ids else 0

    def last_states(self, scope: str, kinds: t.Sequence[str], hosts: t.Sequence[str] | None = None) -> list[Row]:
        """The last word of each source about each object of these kinds, with ages.

        :param hosts: None: of all hosts.
        """
        filters: Row = {"scope": scope, "kind": list(kinds), **({} if hosts is None else {"host": list(hosts)})}
        query = rows.matching("signals", filters, ["host", "kind", "object", "source"])
        return _aged(self.database, rows.rows(self.database, query.where(table("signals").c.newest_key.is_not(None))))

    def failed_after_recovery(self, scope: str, kinds: t.Sequence[str]) -> list[Row]:
        """Last words that something of these kinds has failed, whose incident was ended as recovered, with ages."""
        signals, incidents = table("signals"), table("incidents")
        query = (
            rows.matching("signals", {"scope": scope, "kind": list(kinds), "state": "failed"})
            .join_from(signals, incidents, incidents.c.id == signals.c.incident_id)
            .where(signals.c.newest_key.is_not(None), incidents.c.state == "recovered")
        )
        return _aged(self.database, rows.rows(self.database, query))


def _aged(database: Database, found: t.Sequence[Row]) -> list[Row]:
    now = ages.mark(database)
    return [
        {
            **it,
            "age": ages.age(database, it["received_mark"], it["received_at"], now),
            "repeat_age": ages.age(database, it["repeated_mark"], it["repeated_at"], now),
        }
        for it in found
    ]


class _Batch:
    """One batch in its transaction: what is known of its keys, and what has to be written."""

    def __init__(self, connection: sa.Connection, scope: str, received_by: str, stamp: Row) -> None:
        self._connection, self._scope, self._received_by, self._stamp = connection, scope, received_by, stamp
        self._newest: dict[str, Row] = {}
        self._stored: dict[str, tuple[str, int]] = {}
        self._events: set[tuple[str, str]] = set()
        self._new: list[Row] = []
        self._changed: dict[str, Row] = {}

    def take(self, signals: t.Sequence[Row]) -> list[str]:
        """Sort them in, in this order, and write."""
        keys = [_key(self._scope, signal) for signal in signals]
        self._look(signals, keys)
        outcomes = [self._sort_in(signal, key) for signal, key in zip(signals, keys)]
        self._write()
        return outcomes

    def _look(self, signals: t.Sequence[Row], keys: t.Sequence[str]) -> None:
        known = table("signals")
        for some in _chunks(sorted(set(keys))):
            found = self._connection.execute(sa.select(known).where(known.c.newest_key.in_(some))).mappings()
            self._newest.update({str(row["newest_key"]): dict(row) for row in found})
        self._stored = {row["id"]: (key, row["repeats"]) for key, row in self._newest.items()}
        columns = sa.select(known.c.source, known.c.event_id)
        for some in _chunks(sorted({signal["event_id"] for signal in signals})):
            same = sa.and_(known.c.scope == self._scope, known.c.event_id.in_(some))
            self._events.update((row[0], row[1]) for row in self._connection.execute(columns.where(same)))

    def _sort_in(self, signal: Row, key: str) -> str:
        event, newest = (signal["source"], signal["event_id"]), self._newest.get(key)
        if event in self._events:
            return "duplicate"
        behind = _behind(signal, newest)
        if behind == 0:
            return "duplicate"
        if behind:
            self._events.add(event)
            late = {"verdict": "ignore", "gate": "stale", "decided_at": self._stamp["at"],
                    "verdict_reason": f"its source has sent {behind} newer signals before it"}  # fmt: skip
            self._new.append({**self._row(signal), **late})
            return "stale"
        same = newest and (newest["type"], newest["state"]) == (signal["type"], signal["state"])
        if newest and same and not signal.get("again"):
            self._repeat(newest, signal)
            return "repeat"
        self._events.add(event)
        if newest:
            self._touch(newest, {"newest_key": None})
        self._newest[key] = {**self._row(signal), "newest_key": key}
        self._new.append(self._newest[key])
        return "new"

    def _repeat(self, newest: Row, signal: Row) -> None:
        again = {"repeated_at": self._stamp["at"], "repeated_mark": self._stamp["mark"]}
        counted = {name: signal[name] for name in ("epoch", "sequence", "data")}
        self._touch(newest, {**again, **counted, "repeats": newest["repeats"] + 1})

    def _touch(self, row: Row, values: Row) -> None:
        """Change a row of the journal, or one that is about to be written there."""
        if row["id"] in self._stored:
            self._changed[row["id"]] = row
        row.update(values)

    def _row(self, signal: Row) -> Row:
        at, mark = self._stamp["at"], self._stamp["mark"]
        given = {name: signal[name] for name in GIVEN}
        return {
            **_EMPTY, **given, "id": rows.new_id(), "scope": self._scope, "received_by": self._received_by,
            "received_at": at, "received_mark": mark, "repeats": 0, "repeated_at": at, "repeated_mark": mark,
        }  # fmt: skip

    def _write(self) -> None:
        signals = table("signals")
        for row_id, row in sorted(self._changed.items()):
            newest, repeats = self._stored[row_id]
            same = sa.and_(signals.c.id == row_id, signals.c.newest_key == newest, signals.c.repeats == repeats)
            names = ("newest_key", "repeats", "repeated_at", "repeated_mark", "epoch", "sequence", "data")
            changed = signals.update().where(same).values({name: row[name] for name in names})
            if self._connection.execute(changed).rowcount != 1:
                raise _Raced
        if self._new:
            self._connection.execute(signals.insert(), self._new)


def _key(scope: str, signal: Row) -> str:
    """What fits into an index whatever the names are."""
    return hashlib.sha256(json.dumps([scope, *(signal[name] for name in _KEY)]).encode()).hexdigest()


def _behind(signal: Row, newest: Row | None) -> int | None:
    """By how many signals of its source it comes too late; None: it does not, as far as can be told."""
    if newest is None or None in (signal["sequence"], newest["sequence"]) or signal["epoch"] != newest["epoch"]:
        return None
    late: int = newest["sequence"] - signal["sequence"]
    return late if late >= 0 else None


def _chunks(values: t.Sequence[str]) -> list[list[str]]:
    return [list(values[start : start + _AT_ONCE]) for start in range(0, len(values), _AT_ONCE)]
