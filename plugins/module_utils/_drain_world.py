# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connects the executor of drains with Nova, the journal and the clock. PRIVATE: may change at any time."""

from __future__ import annotations

import concurrent.futures
import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute, _drain_states, _planning
from ansible_collections.openstack_ha.recovery.plugins.module_utils._attachments import Attachments
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud, Json
from ansible_collections.openstack_ha.recovery.plugins.module_utils._drain_contract import Line
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.states import LINE_UNDER_WAY
from ansible_collections.openstack_ha.recovery.plugins.module_utils._probe import probe, signs_of_life
from ansible_collections.openstack_ha.recovery.plugins.module_utils._run import Run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._vmstate import Step

#: Seconds between two looks whether a host lives, and how many in vain are enough.
LOOK, _IN_VAIN = 2.0, 3
#: Nova's words for such moves in its records.
_TYPES = ("live-migration", "migration")


def make_plan(
    cloud: Cloud, topology: Json, host: str, policy: Json, ledger: t.Iterable[Json] = (), silent: t.Container[str] = ()
) -> Json:
    """Plan where the VMs of a living host go.

    :param policy: The complete policy.
    :returns: As for a dead host. ``step`` is ``migrate`` where that is ``evacuate``, and ``method`` how.
    """

    drain = policy["drain"]

    def next_step(server: Json, _segment: Json, record: Json | None) -> Step:
        return _drain_states.next_step(server, drain["powered_off"], record)

    way = _planning.Way(migrations, _drain_states.UNDER_WAY, next_step, "auto", drain["vms"] == "protected")
    lines = list(ledger)
    asked = {line["server_id"]: line["method"] for line in lines if line["state"] in LINE_UNDER_WAY}
    plan = _planning.make_plan(cloud, topology, [host], lines, silent=silent, way=way, policy=policy)
    for line in plan["lines"]:
        line["step"] = "migrate" if line["step"] == "evacuate" else line["step"]
        line["method"] = asked.get(line["id"]) or _drain_states.way(line["former"])
    return plan


def migrations(cloud: Cloud, host: str) -> list[Json]:
    """Nova's records of moves from a host that was alive, newest first."""
    return _compute.migrations_from(cloud, host, *_TYPES)


def check_movable(service: Json) -> None:
    """Raise unless the nova-compute of a host can move its VMs."""
    if service["state"] != "up" or service.get("forced_down"):
        raise RecoveryError(
            f"Nova takes {service['host']} for down, so nothing on it can be moved alive. Bring its nova-compute back, "
            "or if the host has failed, recover it: ansible-playbook openstack_ha.recovery.recover_host -i INVENTORY "
            f"-e failed_hosts={service['host']}"
        )


class RealWorld:
    """See :class:`_drain_contract.World`.

    :param probes: The ``tcp://address:port`` that answer while the host lives.
    """

    def __init__(
        self,
        cloud: Cloud,
        run: Run,
        host: str,
        probes: t.Sequence[str],
        pool: concurrent.futures.ThreadPoolExecutor,
        progress: t.Callable[[str], None],
    ) -> None:
        self._cloud, self._run, self._host, self._probes = cloud, run, host, probes
        self._pool = pool
        self._attachments = Attachments(cloud)
        self._next_look = self._next_orders = 0.0
        self._in_vain = 0
        self._stopped = ""
        self.progress = progress

    def submit(self, function: t.Callable[..., t.Any], /, *args: t.Any) -> concurrent.futures.Future[t.Any]:
        """Run it in a thread."""
        return self._pool.submit(function, *args)

    def now(self) -> float:
        """Seconds on a clock that nobody sets."""
        return time.monotonic()

    def wait(self, seconds: float, calls: t.Collection[concurrent.futures.Future[t.Any]] = ()) -> None:
        """Let time pass, but no longer than until one of the calls has ended."""
        if calls:
            concurrent.futures.wait(calls, seconds, concurrent.futures.FIRST_COMPLETED)
        else:
            time.sleep(seconds)

    def before_call(self, host: str) -> None:
        """One UPDATE that must hit: otherwise another run holds the claim."""
        self._run.lease.renew(host)

    def check(self) -> None:
        """A host that has died takes its VMs with it: the rest is for its recovery, which fences it first."""
        self._run.lease.check()
        if self.now() < self._next_look:
            return
        check_movable(_compute.compute_service(self._cloud, self._host))
        silent = self._probes and not signs_of_life(probe(self._probes, LOOK / 2))
        self._in_vain = self._in_vain + 1 if silent else 0
        if self._in_vain >= _IN_VAIN:
            raise RecoveryError(f"STOP: {self._host} does not answer any more; nothing more of it is moved alive.")
        self._next_look = self.now() + LOOK

    def paused(self, host: str) -> str:
        """As the journal said within the last second."""
        if self.now() >= self._next_orders:
            stopped = self._run.stopped()
            self._stopped = next((stopped[place] for place in self._run.places(host) if place in stopped), "")
            self._next_orders = self.now() + 1.0
        return self._stopped

    def migrate(self, server_id: str, target: str, way: str) -> str:
        """In the way that is asked for."""
        ask = _compute.live_migrate if way == _drain_states.LIVE else _compute.cold_migrate
        return ask(self._cloud, server_id, target).request_id

    def confirm(self, server_id: str) -> None:
        """The guest runs on the target, and is off on the source."""
        _compute.confirm_resize(self._cloud, server_id)

    def abort(self, server_id: str, migration_id: int) -> None:
        """Of a live migration."""
        _compute.abort_live_migration(self._cloud, server_id, migration_id)

    def server(self, server_id: str) -> Json | None:
        """Nova's document of it."""
        return _compute.server(self._cloud, server_id)

    def migrations(self, host: str) -> list[Json]:
        """Newest first."""
        return migrations(self._cloud, host)

    def why(self, server_id: str, request_id: str) -> str:
        """Nova keeps it with the server's actions."""
        return _compute.action_message(self._cloud, server_id, request_id)

    def problems(self, server: Json) -> list[str]:
        """Ports and volumes."""
        return self._attachments.problems(server)

    def record(self, line: Line) -> None:
        """Write the line to the ledger, whatever its state there was, if this run still holds the claim."""
        asked = {"attempts": line.attempts, "request_id": line.request_id} if line.attempts else {}
        change = self._run.journal.line_change(
            self._run.incident(line.host),
            line.id,
            line.ledger_state(),
            run_id=self._run.id,
            method=line.way,
            target=line.target,
            reason=line.reason,
            **asked,
        )
        self._run.lease.renew(line.host, also=change)
