# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signals, observers, notices; what an incident is about; how a run was launched. PRIVATE: may change at any time.

Like the first revision it makes only what is missing.
"""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.revisions.r0001_initial import (
    _OPTIONS,
    _json,
    _long,
    _number,
    _text,
    _time,
)

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported when the journal is opened

revision = "0003"
down_revision = "0002"

_INDEXES = {
    "signals": [["scope", "host"], ["scope", "verdict"], ["incident_id"]],
    "notices": [["scope", "state"], ["incident_id"]],
}


def _columns() -> dict[str, list[t.Any]]:
    return {
        "incidents": [sa.Column("object", sa.String(255), nullable=False, server_default="")],
        "runs": [_json("launch")],
    }


# fmt: off
def _tables() -> dict[str, list[t.Any]]:
    return {
        "signals": [
            _text("id", 36, key=True), _text("scope", required=True), _text("source", required=True),
            _text("event_id", 128, required=True), _text("type", 128, required=True), _text("kind", 16, required=True),
            _text("host", required=True), _text("object", required=True), _text("state", 16, required=True),
            _text("epoch", 64, required=True), sa.Column("sequence", sa.BigInteger),
            _json("data", True), _text("reporter", required=True), _text("received_by", required=True),
            _time("received_at", True), _json("received_mark"), _number("repeats", True), _time("repeated_at", True),
            _json("repeated_mark"), sa.Column("newest_key", sa.String(64), unique=True), _text("incident_id", 36),
            _text("verdict", 16), _text("gate"), _long("verdict_reason"), _time("decided_at"),
            sa.UniqueConstraint("scope", "source", "event_id", name="uq_signals_event"),
        ],
        "observers": [
            _text("scope", key=True), _text("name", key=True), _json("holder", True),
            sa.Column("beats", sa.BigInteger, nullable=False), _time("seen_at", True), _json("seen_mark"),
            _json("view"), _time("decided_at"), _json("decided_mark"),
        ],
        "notices": [
            _text("id", 36, key=True), _text("scope", required=True), _text("incident_id", 36), _text("run_id", 36),
            _text("target", required=True), _text("event", 64, required=True), _json("body", True),
            _text("state", 16, required=True), _number("attempts", True), _long("reason"), _time("made_at", True),
            _json("made_mark"), _time("ended_at"),
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
        for indexed in _INDEXES.get(name, []):
            op.create_index(f"ix_{name}_{'_'.join(indexed)}", name, indexed, if_not_exists=True)
