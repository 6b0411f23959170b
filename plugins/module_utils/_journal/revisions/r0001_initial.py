# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The first tables of the journal. PRIVATE to this collection: may change at any time.

Everything is made only if it is missing: MariaDB cannot roll table definitions back, so a process
that died in the middle leaves some of them behind.
"""

from __future__ import annotations

import typing as t

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported when the journal is opened

revision = "0001"
down_revision = None

_OPTIONS = {
    f"{dialect}_{name}": value
    for dialect in ("mysql", "mariadb")
    for name, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}
_INDEXES = {
    "incidents": ["host"],
    "runs": ["opened_at"],
    "run_hosts": ["host", "incident_id"],
    "claims": ["run_id"],
    "certificates": ["run_id"],
    "ledger": ["run_id"],
    "reserved_uses": ["run_id", "host"],
}


def _text(name: str, length: int = 255, required: bool = False, key: bool = False) -> t.Any:
    return sa.Column(name, sa.String(length), nullable=not (required or key), primary_key=key)


def _long(name: str) -> t.Any:
    return sa.Column(name, sa.Text)


def _number(name: str, required: bool = False, key: bool = False) -> t.Any:
    kind = sa.Integer()
    return sa.Column(name, kind, nullable=not (required or key), primary_key=key, autoincrement=False)


def _json(name: str, required: bool = False) -> t.Any:
    return sa.Column(name, sa.JSON(none_as_null=True), nullable=not required)


def _time(name: str, required: bool = False) -> t.Any:
    return _text(name, 32, required)


def _of(table: str, key: bool = False) -> t.Any:
    target = sa.ForeignKey(f"{table}.id")
    return sa.Column(f"{table[:-1]}_id", sa.String(36), target, nullable=False, primary_key=key)


# fmt: off
def _who() -> dict[str, list[t.Any]]:
    return {
        "incidents": [
            _text("id", 36, key=True), _text("scope", required=True), _text("host", required=True),
            _text("kind", 16, required=True), _text("segment"), _text("state", 16, required=True), _long("reason"),
            sa.Column("open_key", sa.String(528), unique=True), _time("opened_at", True), _time("changed_at", True),
        ],
        "runs": [
            _text("id", 36, key=True), _text("state", 16, required=True),
            sa.Column("check_mode", sa.Boolean, nullable=False),
            sa.Column("resumes", sa.String(36), sa.ForeignKey("runs.id")),
            _json("holder", True), _json("outcome"), _time("opened_at", True), _time("closed_at"),
        ],
        "run_hosts": [
            _of("runs", key=True), _text("host", key=True), _of("incidents"), _text("outcome"), _long("reason"),
        ],
        "claims": [
            _text("scope", key=True), _text("host", key=True), _text("run_id", 36),
            sa.Column("token", sa.BigInteger, nullable=False), sa.Column("beats", sa.BigInteger, nullable=False),
            sa.Column("lease_seconds", sa.Float, nullable=False), _json("holder"), _time("taken_at"),
        ],
    }


def _what() -> dict[str, list[t.Any]]:
    return {
        "verdicts": [
            _text("id", 36, key=True), _of("runs"), _number("number", True), _json("result", True),
            _text("policy_hash", required=True), _json("snapshot", True), _time("decided_at", True),
            sa.UniqueConstraint("run_id", "number", name="uq_verdicts_number"),
        ],
        "certificates": [
            _text("id", 36, key=True), _of("incidents"), _number("number", True), _of("runs"),
            _text("host", required=True), _text("state", 16, required=True), _json("certificate", True),
            _time("made_at", True), _long("void_reason"), _time("voided_at"),
            sa.UniqueConstraint("incident_id", "number", name="uq_certificates_number"),
        ],
        "ledger": [
            _of("incidents", key=True), _text("server_id", 36, key=True), _of("runs"),
            _text("state", 16, required=True), _text("name"), _text("host"), _number("position"), _number("priority"),
            _text("method"), _text("target"), _text("former_state"), _number("attempts", True),
            _text("migration_id"), _text("request_id"), _long("reason"), _json("facts"),
            _time("planned_at"), _time("requesting_at"), _time("requested_at"), _time("landed_at"),
            _time("started_at"), _time("verified_at"), _time("changed_at", True),
        ],
        "reserved_uses": [
            _text("id", 36, key=True), _of("runs"), _text("host", required=True), _text("segment"),
            _long("reason_before"), _text("state", 16, required=True), _time("taken_at", True), _time("ended_at"),
        ],
        "steps": [
            _of("runs", key=True), _number("number", key=True), _text("host"), _text("name", required=True),
            sa.Column("seconds", sa.Float, nullable=False), _time("ended_at", True),
        ],
    }


# fmt: on
def upgrade() -> None:
    """Make the tables; run by Alembic."""
    from alembic import op

    for name, columns in {**_who(), **_what()}.items():
        op.create_table(name, *columns, if_not_exists=True, **_OPTIONS)
        for column in _INDEXES.get(name, []):
            op.create_index(f"ix_{name}_{column}", name, [column], if_not_exists=True)
