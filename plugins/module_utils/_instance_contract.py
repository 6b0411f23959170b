# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the recovery of single VMs works on, with and within. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._instances_gates import HERE

Json = t.Dict[str, t.Any]

#: What a domain is, in a monitor's words, that cannot run: it is off, or its host does not have it any more.
OFF = ("shutoff", "gone")


class Halted(RecoveryError):
    """Nothing may be begun now: an order, another run, or a host that does not answer stands in the way."""


class Ended(RecoveryError):
    """The work on a VM is over.

    :param state: Of its line in the ledger. :param outcome: Of its place in the run.
    """

    def __init__(self, state: str, outcome: str, reason: str) -> None:
        super().__init__(reason)
        self.state, self.outcome = state, outcome


class Failed(RecoveryError):
    """A try was in vain."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """How long to wait, in seconds; see the section ``instances`` of the policy.

    :param settle: How long a request that got no answer may still take effect.
    """

    stop_timeout: float = 150.0
    start_timeout: float = 300.0
    move_timeout: float = 1800.0
    view_timeout: float = 90.0
    stable: float = 10.0
    settle: float = 15.0
    poll: float = 0.5
    hang: bool = True
    how: str = "cold_migrate"

    @classmethod
    def of_policy(cls, rules: t.Mapping[str, t.Any], **more: t.Any) -> Limits:
        """From the section ``instances`` of a policy."""
        names = ("stop_timeout", "start_timeout", "move_timeout", "view_timeout", "stable")
        given = {name: rules[name] for name in names}
        return cls(**given, hang=rules["hard_reboot"] == "hang", how=rules["elsewhere"]["how"], **more)


@dataclasses.dataclass(frozen=True)
class View:
    """The last word of a monitor about a VM.

    :param row: Its row in the journal; a repeat stays in it. :param domain: What libvirt says; empty: not told.
    :param ago: Seconds since it was said, on its way and in the journal; None: not known.
    """

    row: str
    epoch: str
    sequence: int
    state: str
    reason: str
    domain: str
    ago: float | None = 0.0

    @property
    def mark(self) -> Json:
        """What tells it from other words."""
        return {"row": self.row, "epoch": self.epoch, "sequence": self.sequence}

    def newer(self, mark: t.Mapping[str, t.Any] | None) -> bool:
        """Whether it was said after that one; the numbers of a new spool begin anew."""
        return not mark or self.epoch != mark["epoch"] or self.sequence > mark["sequence"]


@dataclasses.dataclass
class Line:
    """One VM of a run.

    :param reaction: See :mod:`_instances_gates`. :param word: What its monitor says is wrong; empty: a person says so.
    :param noted: Its state in the ledger when the run began. :param vouched_by: Who vouches that it is off, if need be.
    :param facts: Kept in the ledger, so that another run can go on: ``step``, ``requests``, ``floor``.
    """

    place: str
    host: str
    id: str
    name: str = ""
    project: str = ""
    segment: str = ""
    priority: int = 500
    reaction: str = HERE
    word: str = ""
    method: str = "restart"
    state: str = "planned"
    noted: str = ""
    reason: str = ""
    target: str | None = None
    attempts: int = 0
    request_id: str = ""
    vouched_by: str = ""
    outcome: str = ""
    facts: Json = dataclasses.field(default_factory=dict)


class World(t.Protocol):
    """What the executor needs of the outside."""

    def now(self) -> float: ...

    def wait(self, seconds: float) -> None: ...

    def permit(self, line: Line, host: str, begin: bool) -> None:
        """Raise Halted unless the host answers and no other run is at work on it.

        :param begin: Something new is to be begun, which an order may forbid.
        """

    def moment(self) -> Json:
        """Now, in a way that can be kept in the ledger."""

    def since(self, moment: Json) -> float | None:
        """Seconds since then; None: that cannot be told."""

    def server(self, server_id: str) -> Json | None: ...

    def stopped_by(self, server_id: str) -> Json | None:
        """The last thing that anybody did to its power, if that was a stop: ``user_id`` and ``request_id``."""

    def is_me(self, user_id: str | None) -> bool:
        """Whether it is the account that this run uses."""

    def act(self, server_id: str, step: str, target: str | None) -> str:
        """Ask Nova for one step, see :data:`_instance_recovery.STEPS`; return its request id."""

    def view(self, line: Line, host: str) -> View | None:
        """The last word of the monitor of a host about it."""

    def targets(self, line: Line) -> list[str]:
        """The hosts that it may go to, the best first. :raises Ended: there is none."""

    def record(self, line: Line) -> None:
        """Renew the lease, and write the line to the ledger."""

    def progress(self, message: str) -> None: ...
