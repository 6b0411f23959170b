# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is common to all ways to start a run of a playbook. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import typing as t
from pathlib import Path

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import KINDS

Json = t.Dict[str, t.Any]
Say = t.Callable[[str], None]
#: Why the run is to end now; None: it is not.
Canceled = t.Callable[[], t.Optional[str]]

RECOVER_HOST = "openstack_ha.recovery.recover_host"
#: The playbook for runs of each kind.
PLAYBOOKS = {kind: f"openstack_ha.recovery.recover_{kind}" for kind in KINDS}

_MOST_FAILURES = 20
_LONGEST = 500  # characters of a message in the journal


@dataclasses.dataclass(frozen=True)
class Order:
    """One run to start.

    :param variables: Extra variables of the playbook; no secrets.
    :param timeout: Seconds that it may take; None: any time.
    """

    run_id: str
    hosts: tuple[str, ...]
    playbook: str
    variables: Json
    timeout: float | None = None


@dataclasses.dataclass(frozen=True)
class Ended:
    """How it ended: ``successful``, ``failed``, ``canceled`` or ``timeout``."""

    status: str
    rc: int | None = None
    reason: str | None = None


class Launcher(t.Protocol):
    """A way to start runs.

    ``outlives``: whether runs go on when this process ends.
    """

    kind: str
    outlives: bool

    def run(self, order: Order, progress: Progress, canceled: Canceled) -> Ended:
        """Run it to its end. Nothing of it is at work any more when this returns."""


class Progress:
    """What a run has said so far, from events as ansible-runner and AWX shape them. Safe to use in threads."""

    def __init__(self, order: Order, kind: str, say: Say) -> None:
        self._order, self._say = order, say
        self._lock = threading.Lock()
        self._launch: Json = {"kind": kind, "playbook": order.playbook, "task": None, "failed": []}
        self._errors: list[str] = []
        self._last = ""
        self.pid: int | None = None
        self._changed = True

    def heard(self, event: Json) -> bool:
        """Note one event; an odd one must not end the run, as an error in a handler would. True: keep it on disk."""
        try:
            self.take(event)
        except Exception as error:
            self._say(f"run {self._order.run_id}: an event that was not understood: {error}")
        return True

    def take(self, event: Json) -> None:
        """Note one event."""
        name, data = event.get("event"), event.get("event_data") or {}
        with self._lock:
            if isinstance(event.get("pid"), int):
                self.pid = event["pid"]
            self._listen(str(event.get("stdout") or ""))
            if name == "playbook_on_task_start":
                self._note(task=data.get("name") or data.get("task"))
                self._say(f"run {self._order.run_id}: {self._launch['task']}")
            elif name in ("runner_on_failed", "runner_on_unreachable", "runner_item_on_failed"):
                self._fail(data)

    def set(self, **facts: t.Any) -> None:
        """Note how it was started or ended."""
        with self._lock:
            self._note(**facts)

    def news(self) -> Json | None:
        """What the journal should know, if that is something else than the last time."""
        with self._lock:
            if not self._changed:
                return None
            self._changed = False
            return {**self._launch, "failed": list(self._launch["failed"])}

    def why(self) -> str | None:
        """Why it failed, as far as it said."""
        with self._lock:
            failed = [it for it in self._launch["failed"] if not it["ignored"]] or self._launch["failed"]
            if failed:
                return f"{failed[-1]['host']}: {failed[-1]['task']}: {failed[-1]['msg']}"
            return " ".join(self._errors)[:_LONGEST] or self._last[:_LONGEST] or None

    def _note(self, **facts: t.Any) -> None:
        self._launch.update(facts)
        self._changed = True

    def _fail(self, data: Json) -> None:
        result = data.get("res")
        message = str((result.get("msg") if isinstance(result, dict) else result) or "failed without a message")[
            :_LONGEST
        ]
        failure = {"host": data.get("host"), "task": data.get("task"), "msg": message}
        failure["ignored"] = bool(data.get("ignore_errors"))
        self._launch["failed"] = [*self._launch["failed"], failure][-_MOST_FAILURES:]
        self._changed = True
        self._say(f"run {self._order.run_id}: {failure['host']}: {failure['task']}: failed: {message}")

    def _listen(self, out: str) -> None:
        for line in (line.strip() for line in out.splitlines()):
            if line.startswith(("ERROR!", "[ERROR]")):
                self._errors = [*self._errors, line][-5:]
            self._last = line or self._last


def write_secret(path: Path, data: t.Any) -> None:
    """Write JSON, or text as it is, into a file for its owner only."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = data if isinstance(data, str) else json.dumps(data)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
