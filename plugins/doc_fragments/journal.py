# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of tasks that use the journal."""

from __future__ import annotations


class ModuleDocFragment:
    """Where the journal lies."""

    DOCUMENTATION = r"""
options:
  journal_url:
    description:
      - The database of the journal. The default is the SQLite file C(sqlite:////var/lib/openstack_ha/journal.db), which
        serves one controller. Its directory must be on a local file system.
      - Where several controllers may recover hosts, all of them must name the same database server, as
        C(postgresql://user:password@host/database), or C(mysql://user:password@host/database) for MariaDB and Galera.
      - The tables are created, and brought up to date, by the first task that opens the journal.
      - If not given, the environment variable E(OPENSTACK_HA_JOURNAL) is used. Prefer it to a variable of the inventory
        when the URL has a password.
      - C(file:/absolute/path) names a file in which the URL stands, readable by its owner and group only. It keeps a
        password out of the artifacts of ansible-runner, which writes the environment of each run into them.
    type: str
requirements:
  - SQLAlchemy >= 2.0 (Python library) for the journal
  - alembic >= 1.14 (Python library) to create or upgrade its tables
  - psycopg >= 3 (Python library) for a journal in PostgreSQL
  - PyMySQL >= 1.1 (Python library) for a journal in MariaDB
"""
