# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the executor of drains works on, with and within. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._capacity import Amounts
from ansible_collections.openstack_ha.recovery.plugins.module_utils._drain_states import LIVE
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError

Json = t.Dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Limits:
    """How hard and how long to try. Times in seconds.

    :param parallel: VMs on their way at once. :param per_target: … of them to one target host.
    :param vm_timeout: How long one migration may run before it is aborted; what waits in Nova's queue does not run.
    :param abort_timeout: How long Nova may take to abort one, or to begin with one that it has accepted.
    :param settle: How long a request that got no answer may still take effect.
    :param fallback: ``none`` or ``cold_migrate``, for running VMs that no target takes alive.
    """

    parallel: int = 2
    per_target: int = 2
    vm_timeout: float = 900.0
    abort_timeout: float = 120.0
    settle: float = 15.0
    verify_timeout: float = 60.0
    verify_pause: float = 1.0
    poll: float = 0.5
    fallback: str = "none"

    def __post_init__(self) -> None:
        least = {"parallel": 1, "per_target": 1, "poll": 0.01}
        for name, value in dataclasses.asdict(self).items():
            if name != "fallback" and value < least.get(name, 0):
                raise ConfigError(f"{name}: must be at least {least.get(name, 0)}, not {value}")


@dataclasses.dataclass
class Line:
    """One VM of the plan while it is carried out. ``state`` is the ledger's word, plus ``retry``, ``unknown`` and
    ``confirming``.

    :param way: ``live_migrate`` or ``cold_migrate``. :param former: ``running``, ``paused`` or ``stopped``.
    :param noted: Its state in the ledger when the run began.
    :param floor: Nova's records of migrations up to this id belong to earlier attempts.
    :param aborted: Why Nova was asked to abort its migration. :param turned_down: Nova has said no to the last request.
    :param booked: The host on which room is booked for it.
    """

    id: str
    name: str
    host: str
    project: str = ""
    order: int = 0
    former: str = "running"
    need: Amounts = dataclasses.field(default_factory=dict)
    target: str | None = None
    alternates: list[str] = dataclasses.field(default_factory=list)
    way: str = LIVE
    floor: int = 0
    state: str = "planned"
    noted: str = ""
    reason: str = ""
    request_id: str = ""
    attempts: int = 0
    not_before: float = 0.0
    deadline: float = 0.0
    aborted: str = ""
    turned_down: bool = False
    booked: str | None = None
    trouble_since: float | None = None
    refused: list[str] = dataclasses.field(default_factory=list)

    def ledger_state(self) -> str:
        """The state as the ledger knows it."""
        return {"retry": "pending", "unknown": "requesting", "confirming": "landed"}.get(self.state, self.state)


class World(t.Protocol):
    """What the executor needs of the outside; the real one is in :mod:`_drain_world`."""

    def now(self) -> float: ...

    def wait(self, seconds: float, calls: t.Collection[concurrent.futures.Future[t.Any]] = ()) -> None:
        """Let time pass, but no longer than until one of the calls has ended."""

    def submit(self, function: t.Callable[..., t.Any], /, *args: t.Any) -> concurrent.futures.Future[t.Any]: ...

    def before_call(self, host: str) -> None:
        """Raise unless this run may still change things for that host (lease)."""

    def check(self) -> None:
        """Raise unless this run still holds its claims, and its hosts live."""

    def paused(self, host: str) -> str:
        """Why nothing more may be begun for that host since an operator has ordered so; nothing if it may."""

    def migrate(self, server_id: str, target: str, way: str) -> str:
        """Request it; return Nova's request id."""

    def confirm(self, server_id: str) -> None:
        """Let what a cold migration has left on its source go."""

    def abort(self, server_id: str, migration_id: int) -> None: ...

    def server(self, server_id: str) -> Json | None: ...

    def migrations(self, host: str) -> list[Json]:
        """Records of live and cold migrations from a host, newest first."""

    def why(self, server_id: str, request_id: str) -> str:
        """What went wrong with a request, in Nova's words."""

    def problems(self, server: Json) -> list[str]:
        """What is not attached as it should be."""

    def record(self, line: Line) -> None:
        """Write the line to the ledger."""

    def progress(self, message: str) -> None: ...
