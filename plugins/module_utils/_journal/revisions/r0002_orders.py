# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Orders, questions, fence checks, sightings, storms; marks beside times. PRIVATE: may change at any time.

Like the first revision it makes only what is missing.
"""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.revisions.r0001_initial import (
    _OPTIONS,
    _json,
    _long,
    _number,
    _of,
    _text,
    _time,
)

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported when the journal is opened

revision = "0002"
down_revision = "0001"

_INDEXES = {"questions": ["incident_id", "run_id"]}


def _float(name: str, required: bool = False) -> t.Any:
    return sa.Column(name, sa.Float, nullable=not required)


# fmt: off
def _columns() -> dict[str, list[t.Any]]:
    return {
        "incidents": [
            _json("opened_mark"), sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
            _time("next_look_at"), _float("look_after"), _json("held_mark"),
        ],
        "verdicts": [_text("segments_hash"), _number("orders_seen")],
        "certificates": [_json("made_mark")],
    }


def _tables() -> dict[str, list[t.Any]]:
    return {
        "orders": [
            _text("id", 36, key=True), _text("scope_region", required=True), _number("number", True),
            _text("kind", 16, required=True), _text("scope", 16, required=True), _text("name"),
            _text("owner", required=True), sa.Column("reason", sa.Text, nullable=False), _json("limits"),
            _float("seconds"), _time("made_at", True), _json("made_mark"), _time("ended_at"), _text("ended_by"),
            _long("end_reason"), _text("announced", 16),
            sa.UniqueConstraint("scope_region", "number", name="uq_orders_number"),
        ],
        "questions": [
            _text("id", 36, key=True), _of("incidents"), _of("runs"), _text("host", required=True),
            _text("gate", required=True), _text("digest", required=True),
            sa.Column("reason", sa.Text, nullable=False), _json("plan"), _float("wait", True),
            _text("default", 16, required=True), _text("state", 16, required=True), _time("asked_at", True),
            _json("asked_mark"), _text("answer", 16), _text("answered_by"), _long("answer_reason"),
            _time("answered_at"), _json("answered_mark"),
        ],
        "fence_checks": [
            _text("scope", key=True), _text("host", key=True), _text("result", 16, required=True), _long("said"),
            _time("checked_at", True), _json("checked_mark"),
        ],
        "sightings": [
            _text("scope", key=True), _text("host", key=True), _text("source", 64, key=True),
            sa.Column("armed", sa.Boolean, nullable=False), _time("heard_at", True), _json("heard_mark"),
        ],
        "storms": [
            _text("id", 36, key=True), _text("scope", required=True), _number("number", True),
            _time("began_at", True), _json("began_mark"), _time("ended_at"), _json("ended_mark"),
            sa.UniqueConstraint("scope", "number", name="uq_storms_number"),
        ],
    }


# fmt: on
def upgrade() -> None:
    """Make the tables and columns; run by Alembic."""
    from alembic import op

    existing = sa.inspect(op.get_bind())
    for name, columns in _columns().items():
        known = {column["name"] for column in existing.get_columns(name)}
        for column in columns:
            if column.name not in known:
                op.add_column(name, column)
    for name, columns in _tables().items():
        op.create_table(name, *columns, if_not_exists=True, **_OPTIONS)
        for column in _INDEXES.get(name, []):
            op.create_index(f"ix_{name}_{column}", name, [column], if_not_exists=True)
