# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the executor of evacuations works on, with and within. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._capacity import Amounts
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError

Json = t.Dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Limits:
    """How hard and how long to try. Times in seconds.

    :param parallel: VMs under evacuation at once. :param per_target: … of them on one target host.
    :param retries: Rounds over all targets for a VM that no target took.
    :param settle: How long an evacuate request that got no answer may still take effect.
    :param vm_timeout: How long one evacuation is followed before it is reported as pending.
    :param verify_within: How long what has landed waits for a look at it while others have not.
    :param tier_timeout: The longest time that VMs wait for a VM whose turn has come. :param ready_pause: From one
        question whether it is ready to the next.
    """

    parallel: int = 20
    per_target: int = 5
    retries: int = 2
    retry_delay: float = 10.0
    settle: float = 15.0
    vm_timeout: float = 900.0
    verify_timeout: float = 60.0
    verify_pause: float = 1.0
    verify_within: float = 30.0
    poll: float = 0.5
    tier_timeout: float = 600.0
    ready_pause: float = 2.0

    def __post_init__(self) -> None:
        least = {"parallel": 1, "per_target": 1, "poll": 0.01}
        for name, value in dataclasses.asdict(self).items():
            if value < least.get(name, 0):
                raise ConfigError(f"{name}: must be at least {least.get(name, 0)}, not {value}")


class World(t.Protocol):
    """What the executor needs of the outside; the real one is in the module host_evacuate."""

    def now(self) -> float: ...

    def wait(self, seconds: float, calls: t.Collection[concurrent.futures.Future[t.Any]] = ()) -> None:
        """Let time pass, but no longer than until one of the calls has ended."""

    def submit(self, function: t.Callable[..., t.Any], /, *args: t.Any) -> concurrent.futures.Future[t.Any]: ...

    def before_call(self, host: str) -> None:
        """Raise unless this run may still change things for that host (lease)."""

    def check_dead(self) -> None:
        """Raise CertificateError unless every failed host still counts as powered off."""

    def paused(self, host: str) -> str:
        """Why nothing more may be begun for that host since an operator has ordered so; nothing if it may."""

    def lives(self, host: str, sign: str) -> t.NoReturn:
        """Void the certificate of a host and raise CertificateError."""

    def evacuate(self, server_id: str, target: str, land_stopped: bool) -> str:
        """Request it; return Nova's request id."""

    def lands_stopped(self) -> bool:
        """Whether Nova can be asked to leave a VM off where it lands."""

    def take_reserved(self, host: str, instead_of: str) -> str:
        """Take a reserved host into service, if nobody has yet; say why it cannot be, or nothing."""

    def reset_state(self, server_id: str) -> None: ...

    def stop(self, server_id: str) -> None: ...

    def start(self, server_id: str) -> None: ...

    def ready(self, how: Json, server: Json) -> str:
        """Why a VM is not ready yet; nothing if it is."""

    def server(self, server_id: str) -> Json | None: ...

    def servers(self, host: str, server_ids: t.Sequence[str]) -> dict[str, Json | None]:
        """Servers that should have landed on a host, wherever they are; None for those that are gone."""

    def migrations(self, host: str) -> list[Json]:
        """Evacuation records from a host, newest first."""

    def problems(self, server: Json) -> list[str]:
        """What is not attached as it should be."""

    def record(self, line: Line) -> None:
        """Write the line to the ledger."""

    def reached(self, step: str) -> None:
        """A step of the run was reached for the first time."""

    def progress(self, message: str) -> None: ...


@dataclasses.dataclass
class Line:
    """One VM of the plan while it is carried out. ``state`` is the ledger's word, plus ``retry`` and ``unknown``.

    :param note: What its owner must know of it also once it is recovered.
    :param noted: Its state in the ledger when the run began.
    :param reserves: Reserved hosts out of service, for when every other target has refused it.
    :param booked: The host on which room is booked for it. :param rebuilding: Until when a rebuild is waited for.
    :param rank: Its priority, or that of a more important VM that waits for it.
    :param keys: What others wait for. :param waits: Keys that it waits for. :param awaited: When it counts as ready.
    :param landed_off: This run or an earlier one may have landed it off because it waited.
    :param parked: It was seen off on its target, and waits for its turn. :param no_room: The plan had no place for it.
    :param doubted: It was seen running once although it is not its turn.
    :param facts: What the ledger says besides, where that changes while the run is at work.
    """

    id: str
    name: str
    host: str
    segment: Json
    project: str = ""
    order: int = 0
    former: str = "running"
    reset: bool = False
    need: Amounts = dataclasses.field(default_factory=dict)
    target: str | None = None
    alternates: list[str] = dataclasses.field(default_factory=list)
    reserves: list[str] = dataclasses.field(default_factory=list)
    floor: int = 0  # evacuation records up to this id belong to earlier attempts
    state: str = "planned"
    noted: str = ""
    reason: str = ""
    note: str = ""
    request_id: str = ""
    attempts: int = 0
    rounds: int = 0
    not_before: float = 0.0
    deadline: float = 0.0
    stopping: bool = False
    booked: str | None = None
    rebuilding: float | None = None
    trouble_since: float | None = None
    rank: int = 0
    keys: list[str] = dataclasses.field(default_factory=list)
    waits: list[str] = dataclasses.field(default_factory=list)
    awaited: Json | None = None
    is_ready: bool = False
    why_not_ready: str = ""
    next_question: float = 0.0
    server: Json | None = None
    landed_off: bool = False
    parked: bool = False
    doubted: bool = False
    starting: bool = False
    why_not_started: str = ""
    no_room: bool = False
    facts: Json = dataclasses.field(default_factory=dict)
    choices: list[str] = dataclasses.field(default_factory=list)
    refused: list[str] = dataclasses.field(default_factory=list)

    def ledger_state(self) -> str:
        """The state as the ledger knows it."""
        return {"retry": "pending", "unknown": "requesting"}.get(self.state, self.state)
