# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the journal lies. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import os
import stat
import typing as t

from ansible.module_utils.basic import env_fallback

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError

DEFAULT_URL = "sqlite:////var/lib/openstack_ha/journal.db"

# No `default` here: with `no_log` it would be masked in every message that names the file.
JOURNAL_SPEC: dict[str, dict[str, t.Any]] = {
    "journal_url": {"type": "str", "no_log": True, "fallback": (env_fallback, ["OPENSTACK_HA_JOURNAL"])},
}

_FILE = "file:"


def resolve(url: str | None) -> str:
    """The database URL itself: the default, or what stands in the file that ``file:/absolute/path`` names.

    :raises ConfigError: There is no such file, or others may read it.
    """
    if url is None or not url.startswith(_FILE):
        return url or DEFAULT_URL
    path = url[len(_FILE) :]
    try:
        with open(path, encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            found = file.read().strip()
    except OSError as error:
        raise ConfigError(
            f"journal_url: cannot read {path} as user id {os.geteuid()}: {error.strerror}. "
            "It must hold the URL of the database."
        ) from error
    if mode & 0o007:
        raise ConfigError(f"journal_url: everybody can read {path}, mode {mode:04o}. Make it 0600 or 0640.")
    if not found or found.startswith(_FILE):
        raise ConfigError(f"journal_url: {path} must hold one line, a database URL.")
    return found
