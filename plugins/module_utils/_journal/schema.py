# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables of the journal. PRIVATE to this collection: may change at any time.

Every change here needs a revision beside it in ``revisions/``; a test compares the two. Ids are
UUIDs. Times are UTC text for people; order is told by ``number`` or ``token``, never by a clock.
"""

from __future__ import annotations

import functools
import typing as t

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported when the journal is opened

Column = t.Any

# Names of hosts are compared exactly; the default collations of MariaDB ignore case.
OPTIONS = {
    f"{dialect}_{name}": value
    for dialect in ("mysql", "mariadb")
    for name, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def _id(name: str, *extra: t.Any, **options: t.Any) -> Column:
    return sa.Column(name, sa.String(36), *extra, **options)


def _name(name: str, **options: t.Any) -> Column:
    return sa.Column(name, sa.String(255), **options)


def _state() -> Column:
    return sa.Column("state", sa.String(16), nullable=False)


def _time(name: str, **options: t.Any) -> Column:
    return sa.Column(name, sa.String(32), **options)


def _json(name: str, **options: t.Any) -> Column:
    return sa.Column(name, sa.JSON(none_as_null=True), **options)


def _mark(name: str) -> Column:
    """See ``ages``: how long ago that was, on a clock that nobody sets."""
    return _json(f"{name}_mark")


def _number() -> Column:
    return sa.Column("number", sa.Integer, nullable=False)


def _of(table: str, **options: t.Any) -> Column:
    return _id(f"{table[:-1]}_id", sa.ForeignKey(f"{table}.id"), nullable=False, **options)


def _incidents() -> list[t.Any]:
    return [
        _id("id", primary_key=True),
        _name("scope", nullable=False),
        _name("host", nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        # The VM, unit or network that it is about; empty where it is the host.
        _name("object", nullable=False, server_default=""),
        _name("segment"),
        _state(),
        sa.Column("reason", sa.Text),
        # Set while the incident is not final: the database itself refuses a second one for a host.
        sa.Column("open_key", sa.String(528), unique=True),
        _time("opened_at", nullable=False),
        _time("changed_at", nullable=False),
        _mark("opened"),
        # Set while it is held because its host could not be fenced.
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        _time("next_look_at"),
        sa.Column("look_after", sa.Float),
        _mark("held"),
        sa.Index("ix_incidents_host", "host"),
    ]


def _runs() -> list[t.Any]:
    return [
        _id("id", primary_key=True),
        # See ``places.KINDS``.
        sa.Column("kind", sa.String(16), nullable=False, server_default="host"),
        _state(),
        sa.Column("check_mode", sa.Boolean, nullable=False),
        _id("resumes", sa.ForeignKey("runs.id")),
        _json("holder", nullable=False),
        _json("outcome"),
        # How a responder started it: locally with its artifacts, or as a job elsewhere.
        _json("launch"),
        _time("opened_at", nullable=False),
        _time("closed_at"),
        sa.Index("ix_runs_opened_at", "opened_at"),
    ]


def _run_hosts() -> list[t.Any]:
    return [
        _of("runs", primary_key=True),
        # The place, see ``places``.
        _name("host", primary_key=True),
        _of("incidents"),
        _name("outcome"),
        sa.Column("reason", sa.Text),
        _mark("ended"),
        sa.Index("ix_run_hosts_host", "host"),
        sa.Index("ix_run_hosts_incident_id", "incident_id"),
    ]


def _claims() -> list[t.Any]:
    return [
        _name("scope", primary_key=True),
        _name("host", primary_key=True),
        _id("run_id"),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("beats", sa.BigInteger, nullable=False),
        sa.Column("lease_seconds", sa.Float, nullable=False),
        _json("holder"),
        _time("taken_at"),
        sa.Index("ix_claims_run_id", "run_id"),
    ]


def _verdicts() -> list[t.Any]:
    return [
        _id("id", primary_key=True),
        _of("runs"),
        _number(),
        _json("result", nullable=False),
        _name("policy_hash", nullable=False),
        _name("segments_hash"),
        # Orders up to this number were known; the run stops for newer ones.
        sa.Column("orders_seen", sa.Integer),
        _json("snapshot", nullable=False),
        _time("decided_at", nullable=False),
        sa.UniqueConstraint("run_id", "number", name="uq_verdicts_number"),
    ]


def _certificates() -> list[t.Any]:
    return [
        _id("id", primary_key=True),
        _of("incidents"),
        _number(),
        _of("runs"),
        _name("host", nullable=False),
        _state(),
        _json("certificate", nullable=False),
        _time("made_at", nullable=False),
        _mark("made"),
        sa.Column("void_reason", sa.Text),
        _time("voided_at"),
        sa.UniqueConstraint("incident_id", "number", name="uq_certificates_number"),
        sa.Index("ix_certificates_run_id", "run_id"),
    ]


def _ledger() -> list[t.Any]:
    return [
        _of("incidents", primary_key=True),
        _id("server_id", primary_key=True),
        _of("runs"),
        _state(),
        _name("name"),
        _name("host"),
        sa.Column("position", sa.Integer),
        sa.Column("priority", sa.Integer),
        _name("method"),
        _name("target"),
        _name("former_state"),
        sa.Column("attempts", sa.Integer, nullable=False),
        _name("migration_id"),
        _name("request_id"),
        sa.Column("reason", sa.Text),
        _json("facts"),
        *(_time(f"{state}_at") for state in ("planned", "requesting", "requested", "landed", "started", "verified")),
        _time("changed_at", nullable=False),
        sa.Index("ix_ledger_run_id", "run_id"),
    ]


def _reserved_uses() -> list[t.Any]:
    return [
        _id("id", primary_key=True),
        _of("runs"),
        _name("host", nullable=False),
        _name("segment"),
        sa.Column("reason_before", sa.Text),
        _state(),
        _time("taken_at", nullable=False),
        _time("ended_at"),
        sa.Index("ix_reserved_uses_run_id", "run_id"),
        sa.Index("ix_reserved_uses_host", "host"),
    ]


def _steps() -> list[t.Any]:
    return [
        _of("runs", primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        _name("host"),
        _name("name", nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        _time("ended_at", nullable=False),
    ]


def _orders() -> list[t.Any]:
    return [
        _id("id", primary_key=True),
        _name("scope_region", nullable=False),
        _number(),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        _name("name"),
        _name("owner", nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        _json("limits"),
        sa.Column("seconds", sa.Float),
        _time("made_at", nullable=False),
        _mark("made"),
        _time("ended_at"),
        _name("ended_by"),
        sa.Column("end_reason", sa.Text),
        sa.Column("announced", sa.String(16)),
        sa.UniqueConstraint("scope_region", "number", name="uq_orders_number"),
    ]


def _questions() -> list[t.Any]:
    return [
        _id("id", primary_key=True),
        _of("incidents"),
        _of("runs"),
        _name("host", nullable=False),
        _name("gate", nullable=False),
        _name("digest", nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        _json("plan"),
        sa.Column("wait", sa.Float, nullable=False),
        sa.Column("default", sa.String(16), nullable=False),
        _state(),
        _time("asked_at", nullable=False),
        _mark("asked"),
        sa.Column("answer", sa.String(16)),
        _name("answered_by"),
        sa.Column("answer_reason", sa.Text),
        _time("answered_at"),
        _mark("answered"),
        sa.Index("ix_questions_incident_id", "incident_id"),
        sa.Index("ix_questions_run_id", "run_id"),
    ]


def _fence_checks() -> list[t.Any]:
    return [
        _name("scope", primary_key=True),
        _name("host", primary_key=True),
        sa.Column("result", sa.String(16), nullable=False),
        sa.Column("said", sa.Text),
        _time("checked_at", nullable=False),
        _mark("checked"),
    ]


def _sightings() -> list[t.Any]:
    return [
        _name("scope", primary_key=True),
        _name("host", primary_key=True),
        sa.Column("source", sa.String(64), primary_key=True),
        sa.Column("armed", sa.Boolean, nullable=False),
        _time("heard_at", nullable=False),
        _mark("heard"),
    ]


def _storms() -> list[t.Any]:
    return [
        _id("id", primary_key=True),
        _name("scope", nullable=False),
        _number(),
        _time("began_at", nullable=False),
        _mark("began"),
        _time("ended_at"),
        _mark("ended"),
        sa.UniqueConstraint("scope", "number", name="uq_storms_number"),
    ]


def _signals() -> list[t.Any]:
    return [
        _id("id", primary_key=True),
        _name("scope", nullable=False),
        _name("source", nullable=False),
        sa.Column("event_id", sa.String(128), nullable=False),
        sa.Column("type", sa.String(128), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        _name("host", nullable=False),
        _name("object", nullable=False),
        _state(),
        sa.Column("epoch", sa.String(64), nullable=False),
        sa.Column("sequence", sa.BigInteger),
        _json("data", nullable=False),
        _name("reporter", nullable=False),
        _name("received_by", nullable=False),
        _time("received_at", nullable=False),
        _mark("received"),
        sa.Column("repeats", sa.Integer, nullable=False),
        _time("repeated_at", nullable=False),
        _mark("repeated"),
        # Set while it is the last word of its source about this: the database itself refuses a second one.
        sa.Column("newest_key", sa.String(64), unique=True),
        _id("incident_id"),
        sa.Column("verdict", sa.String(16)),
        _name("gate"),
        sa.Column("verdict_reason", sa.Text),
        _time("decided_at"),
        sa.UniqueConstraint("scope", "source", "event_id", name="uq_signals_event"),
        sa.Index("ix_signals_scope_host", "scope", "host"),
        sa.Index("ix_signals_scope_verdict", "scope", "verdict"),
        sa.Index("ix_signals_incident_id", "incident_id"),
        sa.Index("ix_signals_received_at", "received_at"),
    ]


def _observers() -> list[t.Any]:
    return [
        _name("scope", primary_key=True),
        _name("name", primary_key=True),
        _json("holder", nullable=False),
        sa.Column("beats", sa.BigInteger, nullable=False),
        _time("seen_at", nullable=False),
        _mark("seen"),
        _json("view"),
        _time("decided_at"),
        _mark("decided"),
    ]


def _notices() -> list[t.Any]:
    return [
        _id("id", primary_key=True),
        _name("scope", nullable=False),
        _id("incident_id"),
        _id("run_id"),
        _name("target", nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        _json("body", nullable=False),
        _state(),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text),
        _time("made_at", nullable=False),
        _mark("made"),
        _time("ended_at"),
        sa.Index("ix_notices_scope_state", "scope", "state"),
        sa.Index("ix_notices_incident_id", "incident_id"),
    ]


_TABLES: dict[str, t.Callable[[], list[t.Any]]] = {
    "incidents": _incidents,
    "runs": _runs,
    "run_hosts": _run_hosts,
    "claims": _claims,
    "verdicts": _verdicts,
    "certificates": _certificates,
    "ledger": _ledger,
    "reserved_uses": _reserved_uses,
    "steps": _steps,
    "orders": _orders,
    "questions": _questions,
    "fence_checks": _fence_checks,
    "sightings": _sightings,
    "storms": _storms,
    "signals": _signals,
    "observers": _observers,
    "notices": _notices,
}


@functools.cache
def metadata() -> t.Any:
    """All tables; built on first use, because SQLAlchemy may be missing where files are only checked."""
    found = sa.MetaData()
    for name, columns in _TABLES.items():
        sa.Table(name, found, *columns(), **t.cast(t.Any, OPTIONS))
    return found


def table(name: str) -> sa.Table:
    """One table by its name."""
    found: sa.Table = metadata().tables[name]
    return found
