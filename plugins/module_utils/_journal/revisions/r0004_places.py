# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kinds of runs, when they ended for each place, and an index to prune signals by. PRIVATE: may change at any time.

Like the first revision it makes only what is missing.
"""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.revisions.r0001_initial import _json

try:
    import sqlalchemy as sa
except ImportError:
    sa = None  # type: ignore[assignment]  # reported when the journal is opened

revision = "0004"
down_revision = "0003"

_INDEXES = {"signals": ["received_at"]}


def _columns() -> dict[str, list[t.Any]]:
    return {
        "runs": [sa.Column("kind", sa.String(16), nullable=False, server_default="host")],
        "run_hosts": [_json("ended_mark")],
    }


def upgrade() -> None:
    """Make the columns and the index; run by Alembic."""
    from alembic import op

    existing = sa.inspect(op.get_bind())
    for name, columns in _columns().items():
        known = {column["name"] for column in existing.get_columns(name)}
        for column in columns:
            if column.name not in known:
                op.add_column(name, column)
    for name, indexed in _INDEXES.items():
        for column in indexed:
            op.create_index(f"ix_{name}_{column}", name, [column], if_not_exists=True)
