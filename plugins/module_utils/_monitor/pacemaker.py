# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``pacemaker-alert``: what Pacemaker tells its alert agents. PRIVATE to this collection: may change at any time.

Pacemaker runs it on each member for each event, so the word is there at once and nobody polls.
https://clusterlabs.org/projects/pacemaker/doc/2.1/Pacemaker_Administration/html/alerts.html
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import subprocess
import threading
import typing as t

if t.TYPE_CHECKING:
    from .config import Config
    from .state import Board

Json = t.Dict[str, t.Any]

LOG = logging.getLogger(__name__)

KIND = "host"
_QUORUM = ["crm_node", "--quorum"]
_TIMEOUT = 3.0
#: Tasks of fencing that end with a host that does not run what it ran.
_FENCED = ("off", "reboot", "poweroff", "cycle")


@dataclasses.dataclass(frozen=True)
class Alert:
    """What an alert says of a host. ``proven``: by its fence device, so no quorum is needed."""

    node: str
    reachable: bool
    reason: str
    details: Json
    proven: bool = False


def run(
    config: Config,
    board: Board,
    stop: threading.Event,
    environment: t.Mapping[str, str] | None = None,
    quorate: t.Callable[[], bool] | None = None,
) -> None:
    """Take one alert."""
    options = config.section("pacemaker")
    alert = understand(os.environ if environment is None else environment)
    if alert is not None and re.fullmatch(options["nodes"], alert.node):
        unsure = not alert.reachable and not alert.proven and options["quorum"] == "required"
        if unsure and not _settled(quorate or has_quorum, options["settle"], stop):
            LOG.warning("%s is lost, but this part of the cluster has no quorum: nothing is said", alert.node)
        else:
            _say(board, options["hosts"].get(alert.node, alert.node), alert, config.principal)


def understand(environment: t.Mapping[str, str]) -> Alert | None:
    """What the variables of an alert mean; None: not about the reachability of a node."""

    def value(name: str) -> str:
        return environment.get(f"CRM_alert_{name}", "")

    node, kind = value("node"), value("kind")
    if not node:
        return None
    details = {"event": kind, "description": value("desc"), "at": value("timestamp_iso") or value("timestamp")}
    if kind == "node" and value("desc") == "member":
        return Alert(node, True, "it is a member of the Pacemaker cluster", details)
    if kind == "node" and value("desc") == "lost":
        return Alert(node, False, "the Pacemaker cluster has lost it", details)
    if kind == "fencing" and value("task") in _FENCED:
        done = value("rc") == "0"
        words = f"the Pacemaker cluster {'has fenced' if done else 'could not fence'} it ({value('task')})"
        return Alert(node, False, words, {**details, "task": value("task"), "rc": value("rc"), "fenced": done}, done)
    return None


def has_quorum() -> bool:
    """Whether this part of the cluster is the majority; not, if that cannot be found out."""
    try:
        answer = subprocess.run(
            _QUORUM, capture_output=True, text=True, timeout=_TIMEOUT, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        LOG.error("%s: %s; without it no node counts as lost", " ".join(_QUORUM), error)
        return False
    return answer.returncode == 0 and answer.stdout.strip() == "1"


def _settled(quorate: t.Callable[[], bool], settle: float, stop: threading.Event) -> bool:
    """Whether there is a quorum, and still is a moment later."""
    if not quorate():
        return False
    stop.wait(settle)
    return quorate()


def _say(board: Board, host: str, alert: Alert, principal: str) -> None:
    old = board.get(KIND, "", host=host)
    if alert.reachable and (old is None or old.state == "ok"):
        return
    state, word = ("ok", "reachable") if alert.reachable else ("failed", "unreachable")
    details = {**alert.details, "reporter": principal.partition(":")[2]}
    if board.set(KIND, "", state, word, alert.reason, host=host, **details):
        LOG.warning("%s: %s: %s", host, word, alert.reason)
