"""Opens runs as a responder does: claimed and decided on, for a playbook to take over; and sees how they end."""

from __future__ import annotations

import queue
import types
import typing as t
from pathlib import Path

from driver import Playbooks

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _recovery
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.config import defaults
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.runs import Runs

SCOPE = "RegionOne"
_VERDICT: dict[str, t.Any] = {
    "verdict": "recover",
    "gate": None,
    "reason": "dead",
    "gates": [],
    "reaction": "recover",
    "look_again": None,
}


def open_run(playbooks: Playbooks, *hosts: str, lease: float = 30.0) -> str:
    """A run that is to recover these hosts; its id."""
    with playbooks.journal() as journal:
        run = _recovery.begin(journal, SCOPE, dict.fromkeys(hosts, "rack1"), claims.opener(), lease, print)
        journal.add_verdict(run["id"], {"hosts": {}}, "hash", dict.fromkeys(hosts, _VERDICT))
        for entry in run["hosts"]:
            journal.set_incident(entry["incident_id"], "recovering")
        return str(run["id"])


class End(t.NamedTuple):
    """What :class:`Runs` says at the end of a run."""

    run_id: str
    hosts: list[str]
    status: str
    rc: int | None
    reason: str | None


class Started:
    """The runs of a responder, with what it was told."""

    def __init__(self, playbooks: Playbooks, directory: Path, start_within: float = 60.0, **settings: t.Any) -> None:
        self.playbooks = playbooks
        self.artifacts = directory / "runs" / "artifacts"
        self.log: list[str] = []
        self._ends: queue.Queue[End] = queue.Queue()
        runs = {"directory": str(directory / "runs"), "inventory": str(playbooks.inventory), "warm": False, **settings}
        config = types.SimpleNamespace(name="ctl1", runs={**defaults()["runs"], **runs})
        self.runs = Runs(config, playbooks.journal_url, self.log.append, self._ended, start_within)

    def _ended(self, *end: t.Any) -> None:
        self._ends.put(End(*end))

    def start(self, *hosts: str, **options: t.Any) -> str:
        """Open a run and start it."""
        run_id = open_run(self.playbooks, *hosts)
        self.runs.start(run_id, hosts, **options)
        return run_id

    def end(self) -> End:
        """The next end of a run."""
        return self._ends.get(timeout=120)
