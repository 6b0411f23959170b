# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The environment of the runs, which ansible-runner writes into their artifacts. PRIVATE: may change at any time.

So nothing is passed on of this process but what is known to be harmless, and no password ever.
"""

from __future__ import annotations

import os
import re
import sys
import typing as t
from pathlib import Path

#: Where ``ansible_collections`` lies that this file is part of: the playbooks are of the same version.
COLLECTIONS = Path(__file__).parents[6]

_PASSED_ON = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|TERM|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|VIRTUAL_ENV|XDG_\w+|PYTHON\w+|SSL_CERT_(FILE|DIR)"
    r"|(REQUESTS|CURL)_CA_BUNDLE|OS_CLIENT_CONFIG_FILE|OS_CLOUD|PGPASSFILE|PGSERVICEFILE|PG_CONFIG|SSH_AUTH_SOCK"
    r"|(https?|no|all)_proxy|(HTTPS?|NO|ALL)_PROXY|ANSIBLE_\w+"
)
_SECRET = re.compile(r"(PASS|PASSWORD|TOKEN|SECRET|API_KEY)$")


def passed_on(given: t.Mapping[str, str]) -> dict[str, str]:
    """What of an environment may stand in artifacts."""
    return {
        name: value
        for name, value in given.items()
        # A proxy may have a password in its URL.
        if _PASSED_ON.fullmatch(name) and not _SECRET.search(name) and not ("roxy" in name.lower() and "@" in value)
    }


def for_runs(journal_file: str, first_on_path: t.Sequence[str] = (), given: t.Mapping[str, str] | None = None) -> t.Any:
    """The environment in which playbooks of this collection are run.

    :param journal_file: Holds the URL of the journal, see ``options.resolve()``.
    """
    given = os.environ if given is None else given
    programs = [*first_on_path, str(Path(sys.executable).parent), given.get("PATH", os.defpath)]
    collections = [str(COLLECTIONS), *filter(None, [given.get("ANSIBLE_COLLECTIONS_PATH")])]
    return {
        **passed_on(given),
        "PATH": os.pathsep.join(programs),
        "ANSIBLE_COLLECTIONS_PATH": os.pathsep.join(dict.fromkeys(os.pathsep.join(collections).split(os.pathsep))),
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "OPENSTACK_HA_JOURNAL": f"file:{journal_file}",
    }
