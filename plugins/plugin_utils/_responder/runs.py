# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runs that this responder has started, from their claims to their end. PRIVATE: may change at any time.

A run is opened in the journal by who decided (``_recovery.begin()`` and ``_recovery.decide()``), with ``claims.opener()``
as its holder, and started here::

    run = _recovery.begin(journal, scope, segments, claims.opener(), lease_seconds, say)
    verdicts = _recovery.decide(journal, run["id"], ...)
    runs.start(run["id"], [host for host, it in verdicts.items() if it["verdict"] == "recover"])
"""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.launch import RECOVER_HOST, Json, Say

#: run id, hosts, status, return code, reason
OnEnd = t.Callable[[str, t.List[str], str, t.Optional[int], t.Optional[str]], None]

#: How a run may end: what :class:`launch.Ended` says, or ``lost``: its processes are gone and it is still open, so
#: somebody must take it up again.
STATUSES = ("successful", "failed", "canceled", "timeout", "lost")


class Runs:
    """Starts runs and sees them to their end.

    :param config: The configuration of the responder, complete with defaults: ``name``, ``segments_file`` and ``runs``.
    :param say: Told what people should read in the log.
    :param on_end: Told once of each run, from the run's thread: run id, hosts, one of :data:`STATUSES`, rc, reason.
    """

    def __init__(self, config: Json, journal_url: str, say: Say, on_end: OnEnd) -> None:
        self._config, self._journal_url, self._say, self._on_end = config, journal_url, say, on_end

    def start(
        self, run_id: str, hosts: t.Sequence[str], playbook: str = RECOVER_HOST, extra: Json | None = None
    ) -> None:
        """Start the playbook for an open run and return at once."""
        raise NotImplementedError

    def cancel(self, run_id: str, reason: str) -> bool:
        """End a run soon; tell whether it is one of these."""
        raise NotImplementedError

    def active(self) -> dict[str, list[str]]:
        """Hosts by run."""
        raise NotImplementedError

    def stop(self, grace: float) -> None:
        """Start nothing any more; give the runs so many seconds to end, then cancel them and leave them open."""
        raise NotImplementedError

    def retain(self) -> int:
        """Remove artifacts that are too old or too many; return how many. Never those of what has not ended."""
        raise NotImplementedError
