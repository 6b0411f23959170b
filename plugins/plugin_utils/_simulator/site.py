# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that a story is played with. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import dataclasses
import itertools
import re
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.beats import Beats, text_of
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.bmc import Bmc
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.links import CORE, Links
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.log import Log
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Nova
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.plant import Plant
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.processes import Processes

#: Where what belongs to no controller is done; it is never cut off.
_DESK = "desk"
_PATIENCE = 10

Json = t.Dict[str, t.Any]
T = t.TypeVar("T")


@dataclasses.dataclass
class MachineClock:
    """The clocks of one controller.

    :param since: When it was switched on. :param boots: How often.
    :param ahead: How far its wall clock is ahead of the right time.
    """

    since: float
    boots: int = 1
    ahead: float = 0.0


@dataclasses.dataclass
class Site:
    """The plant, the cloud in it, and what our software keeps.

    :param levels: Fencing levels of each host as lists of words. :param watchdogs: Whether the agents are armed.
    :param board: What each controller last heard, as the others learn it: when, and the word for each host.
    :param meant: What the reported names of hosts may mean, where that is not just the host.
    :param decided: Gates that objected. :param booted: When hosts were booted last.
    :param late: Seconds that signals of monitors are on their way, by controller.
    :param traps: What happens when a machine reaches a step, once.
    :param unready: VMs that are not ready for those that wait for them, although they run.
    :param homes: Where each VM was at first. :param running: VMs that ran then.
    """

    clock: Clock
    processes: Processes
    log: Log
    links: Links
    plant: Plant
    nova: Nova
    cloud: FakeCloud
    beats: Beats
    topology: Json
    policy: Json
    admin: str
    bmc_network: str
    bmcs: dict[str, Bmc]
    levels: dict[str, list[list[str]]]
    limits: Json
    monitored: bool = True
    watchdogs: dict[str, bool] = dataclasses.field(default_factory=dict)
    controllers: list[str] = dataclasses.field(default_factory=list)
    meant: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    journal: Journal = dataclasses.field(init=False)
    clocks: dict[str, MachineClock] = dataclasses.field(default_factory=dict)
    board: dict[str, tuple[float, dict[str, str]]] = dataclasses.field(default_factory=dict)
    homes: dict[str, str] = dataclasses.field(default_factory=dict)
    unready: set[str] = dataclasses.field(default_factory=set)
    running: set[str] = dataclasses.field(default_factory=set)
    decided: set[str] = dataclasses.field(default_factory=set)
    booted: dict[str, float] = dataclasses.field(default_factory=dict)
    late: dict[str, float] = dataclasses.field(default_factory=dict)
    traps: dict[tuple[str, str], t.Callable[[], None]] = dataclasses.field(default_factory=dict)
    run_names: dict[str, str] = dataclasses.field(default_factory=dict)
    ids: t.Iterator[int] = dataclasses.field(default_factory=lambda: itertools.count(1))

    @property
    def region(self) -> str:
        """The scope of claims."""
        return str(self.cloud.region)

    def here(self) -> str:
        """The machine whose program runs at this moment.

        Operators give orders and answers where the journal is: on the only controller, or from a desk of their own.
        """
        process = self.processes.current
        alone = self.controllers[0] if len(self.controllers) == 1 else _DESK
        return process.machine if process else alone

    def monotonic(self) -> float:
        """The monotonic clock of this machine."""
        return self.clock.time - self._clock().since

    def boot_id(self) -> str:
        """Which boot of which machine this is."""
        return f"{self.here()}-{self._clock().boots}"

    def wall(self) -> float:
        """This machine's wall clock in seconds."""
        return self.clock.time + self._clock().ahead

    def wall_text(self, later: float = 0.0) -> str:
        """The same for people."""
        return text_of(self.wall() + later)

    def new_id(self) -> str:
        """Ids in the order in which they are made."""
        return f"{next(self.ids):08}"

    def await_journal(self) -> None:
        """Return when this machine reaches the journal; a database driver tries for a while.

        One controller has it in a file of its own; several share a database that is where the API is.
        """
        machine, shared = self.here(), len(self.controllers) > 1
        for _second in range(_PATIENCE):
            self.processes.check()
            if not shared or machine == _DESK or self.links.reach(machine, CORE, self.admin):
                return
            self.processes.sleep(1.0)
        raise JournalError(f"{machine} cannot reach the journal")

    def reached(self, step: str) -> None:
        """A run on this machine has journaled a step: whatever is to happen then happens before it goes on."""
        trap = self.traps.pop((self.here(), step), None)
        if trap:
            self.clock.soon(trap)
            self.processes.sleep(0.001)

    def run_name(self, run_id: str) -> str:
        """Runs are counted in logs."""
        return self.run_names.setdefault(run_id, f"run {len(self.run_names) + 1}")

    def readable(self, text: str) -> str:
        """A text in which runs have their names, and nobody has a process number."""
        text = re.sub(r"run ([0-9]{8})", lambda found: self.run_name(found[1]), text)
        return re.sub(r" of \w+@(\w+), process None, which claimed \w+ at [^,]+,", r" of \1", text)

    def _clock(self) -> MachineClock:
        return self.clocks.setdefault(self.here(), MachineClock(0.0))
