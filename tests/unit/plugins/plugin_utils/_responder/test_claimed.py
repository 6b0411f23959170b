from __future__ import annotations

import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims, holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import (
    claim_of,
    host_of,
    object_of,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.schema import table
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.claimed import Claimed

Row = t.Dict[str, t.Any]

ALIVE = holder.describe()
DEAD = {**ALIVE, "pid_start": 1}
ELSEWHERE = {**ALIVE, "boot_id": "another machine"}


@pytest.fixture
def run(journal: Journal) -> t.Callable[..., Row]:
    """Open a run that holds its claim."""

    def begin(at: str, who: Row, claim: bool = True, kind: str = "host") -> Row:
        incident = journal.open_incident(host_of(at), "R", "rack1", kind, object_of(at))["id"]
        run = journal.open_run([{"host": at, "incident_id": incident}], who, kind=kind)
        if claim:
            claims.take(journal, [("R", claim_of(kind, at))], run["id"], who, lease_seconds=10.0)
        return dict(run)

    return begin


def test_who_lives_is_at_work_and_who_is_dead_has_left_it(journal: Journal, run: t.Callable[..., Row]) -> None:
    run("cmp01", ALIVE)
    run("cmp02", DEAD)
    run("cmp03", DEAD, claim=False)
    run("cmp04", ALIVE, claim=False)
    claimed = Claimed(journal, "R", lambda: 0.0)
    claimed.look()
    assert claimed.at_work == {"cmp01"}
    assert claimed.abandoned == {"cmp02", "cmp03"}


def test_a_run_of_another_machine_is_at_work_while_its_claim_is_renewed(
    journal: Journal, run: t.Callable[..., Row]
) -> None:
    now = [0.0]
    claimed = Claimed(journal, "R", lambda: now[0])
    run("cmp01", ELSEWHERE)
    claimed.look()
    now[0] = 4.9
    claimed.look()
    assert claimed.at_work == {"cmp01"}
    now[0] = 5.1
    claimed.look()
    assert (claimed.at_work, claimed.abandoned) == (set(), {"cmp01"})
    journal.database.write(lambda connection: connection.execute(table("claims").update().values(beats=7)))
    claimed.look()
    assert (claimed.at_work, claimed.abandoned) == ({"cmp01"}, set())


def test_hosts_that_a_run_has_given_up_are_not_left_by_it(journal: Journal, run: t.Callable[..., Row]) -> None:
    it = run("cmp01", DEAD)
    journal.set_run_host(it["id"], "cmp01", "held", "not fenced")
    claimed = Claimed(journal, "R", lambda: 0.0)
    claimed.look()
    assert claimed.abandoned == set()
    journal.close_run(it["id"], "closed")
    claims.release(journal, it["id"], ["cmp01"])
    claimed.look()
    assert (claimed.at_work, claimed.abandoned) == (set(), set())


def test_runs_about_vms_units_and_networks_make_no_host_busy_and_leave_none_behind(
    journal: Journal, run: t.Callable[..., Row]
) -> None:
    run("cmp01/vm-1", ALIVE, kind="instance")
    unit = run("cmp02/libvirtd", ALIVE, kind="process")
    run("cmp03", ALIVE, kind="network")
    run("cmp04", DEAD, kind="network")
    claimed = Claimed(journal, "R", lambda: 0.0)
    claimed.look()
    assert (claimed.at_work, claimed.abandoned) == (set(), set())
    assert claimed.of_kind["process"] == {"cmp02": unit["id"]}
    assert claimed.works("instance", "cmp01/vm-1")
    assert not claimed.works("instance", "cmp01/vm-2")
    assert claimed.works("process", "cmp02/another unit"), "one at a time on a host"
    assert claimed.works("network", "cmp03")
    assert not claimed.works("network", "cmp04")
