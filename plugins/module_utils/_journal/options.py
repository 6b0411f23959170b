# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the journal lies. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import env_fallback

DEFAULT_URL = "sqlite:////var/lib/openstack_ha/journal.db"

# No `default` here: with `no_log` it would be masked in every message that names the file.
JOURNAL_SPEC: dict[str, dict[str, t.Any]] = {
    "journal_url": {"type": "str", "no_log": True, "fallback": (env_fallback, ["OPENSTACK_HA_JOURNAL"])},
}
