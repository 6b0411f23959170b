# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks systemd with systemctl. PRIVATE to this collection: may change at any time.

For hosts without jeepney: what happens is seen when it is looked for.
"""

from __future__ import annotations

import subprocess
import threading
import typing as t

from .errors import MonitorError
from .process_states import Facts

PROPERTIES = {
    "Id": "id",
    "LoadState": "load",
    "ActiveState": "active",
    "SubState": "sub",
    "Result": "result",
    "UnitFileState": "file_state",
    "NRestarts": "restarts",
}
_TIMEOUT = 30.0


class Systemctl:
    """Systemd through its command.

    :param run: For tests.
    """

    def __init__(self, run: t.Callable[..., subprocess.CompletedProcess[str]] = subprocess.run) -> None:
        self._run = run

    def facts(self, names: t.Sequence[str]) -> dict[str, Facts]:
        """The units with these names.

        :raises MonitorError: systemd does not answer.
        """
        argv = ["systemctl", "show", "--no-pager", f"--property={','.join(PROPERTIES)}", "--", *names]
        answer = self._call(argv)
        if answer.returncode:
            raise MonitorError(f"{' '.join(argv[:2])}: exit code {answer.returncode}: {answer.stderr.strip()}")
        blocks = [parse(block) for block in answer.stdout.strip().split("\n\n")]
        # One block for each name that was asked for, in this order; an alias has the Id of its unit.
        return {name: facts(block) for name, block in zip(names, blocks)}

    def restart(self, name: str) -> str:
        """Let it be restarted, without waiting for it; what came back if that was refused."""
        answer = self._call(["systemctl", "restart", "--no-block", "--", name])
        return "" if answer.returncode == 0 else answer.stderr.strip() or f"exit code {answer.returncode}"

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        """Until it is time to look again."""
        stop.wait(seconds)
        return False

    def _call(self, argv: list[str]) -> subprocess.CompletedProcess[str]:
        try:
            return self._run(
                argv, capture_output=True, text=True, timeout=_TIMEOUT, check=False, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MonitorError(f"{' '.join(argv[:2])}: {error}") from error


def parse(block: str) -> dict[str, str]:
    """``name=value`` lines."""
    return {name: value for name, _equals, value in (line.partition("=") for line in block.splitlines())}


def facts(properties: t.Mapping[str, t.Any]) -> Facts:
    """Facts from properties; sockets and targets have no result or number of restarts."""
    found = {
        ours: properties[theirs] for theirs, ours in PROPERTIES.items() if properties.get(theirs) not in (None, "")
    }
    return Facts(**{"file_state": "", **found, "restarts": int(found.get("restarts", 0))})
