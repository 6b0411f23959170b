"""recover_host among real processes: what ``kill -9`` and lost messages do to a recovery."""

from __future__ import annotations

import collections
import contextlib
import subprocess
import time
import typing as t

import processes
import pytest
from driver import Outcome, Playbooks, until

from multi.client import MultiBed
from multi.conftest import RPC_TIMEOUT

Recovery = t.Callable[..., Playbooks]

FAILED = "cmp01"
TARGETS = ["cmp02", "cmp03", "cmp04", "cmp05", "cmp06"]
RACKS = {
    "rack1": {"hosts": [FAILED, *TARGETS], "shared_storage": True},
    "rack2": {"hosts": ["cmp07"], "shared_storage": True},
}
#: Longer than an evacuation takes here; one that takes longer is lost.
LOST_AFTER = 60.0
IMPATIENT: dict[str, t.Any] = {"evacuate_vm_timeout": LOST_AFTER}
#: Of repair and run, after which every VM must run.
ROUNDS = 3


def evacuations(cloud: MultiBed) -> list[dict[str, t.Any]]:
    """Nova's records of evacuations, newest first."""
    return cloud.migrations(source_compute=FAILED, migration_type="evacuation")


def count(cloud: MultiBed, *states: str, to: str | None = None) -> int:
    """How many evacuations are in one of these states."""
    return sum(one["status"] in states and to in (None, one["dest_compute"]) for one in evacuations(cloud))


def hosts_of(cloud: MultiBed, vms: list[str]) -> dict[str, int]:
    """Host to the number of these VMs that really run there."""
    return {host: len(set(uuids) & set(vms)) for host, uuids in cloud.running().items() if set(uuids) & set(vms)}


def pause(seconds: float) -> None:
    """Let an outage last."""
    time.sleep(seconds)


@contextlib.contextmanager
def started(playbooks: Playbooks, **variables: t.Any) -> t.Iterator[subprocess.Popen[str]]:
    """A run for FAILED; whatever is left of it is gone afterwards."""
    process = playbooks.start("recover_host", failed_hosts=FAILED, **variables)
    family = {process.pid}
    try:
        yield process
    finally:
        family.update(processes.children(process.pid))
        processes.kill(family)
        process.communicate()


def assert_safe(cloud: MultiBed, vms: list[str]) -> None:
    """No VM ran twice at any time, none left the segment, none was evacuated twice, none is on the dead host."""
    assert cloud.ever_ran_twice() == []
    assert set(hosts_of(cloud, vms)) <= set(TARGETS)
    landed = collections.Counter(one["instance_uuid"] for one in evacuations(cloud) if one["status"] == "done")
    assert set(landed.values()) <= {1}


def assert_recovered(cloud: MultiBed, playbooks: Playbooks, outcome: Outcome, vms: list[str]) -> None:
    """… and all of them run, and the report says so."""
    assert outcome, outcome.out
    assert_safe(cloud, vms)
    assert sum(hosts_of(cloud, vms).values()) == len(vms)
    assert {line["server_id"]: line["state"] for line in playbooks.report()["ledger"]} == dict.fromkeys(vms, "verified")


def assert_accounted_for(cloud: MultiBed, playbooks: Playbooks, vms: list[str]) -> dict[str, dict[str, t.Any]]:
    """Each VM is verified, or listed with a reason; returns the lines of the latter."""
    assert_safe(cloud, vms)
    ledger = playbooks.ledger()
    assert set(ledger) == set(vms)
    rest = {vm: line for vm, line in ledger.items() if line["state"] != "verified"}
    assert {line["state"] for line in rest.values()} <= {"pending", "failed"}
    assert all(line["reason"] for line in rest.values()), rest
    return rest


def repair_by_hand(cloud: MultiBed, vms: t.Iterable[str]) -> None:
    """What the operator does with VMs that Nova lost in mid-evacuation, after a look at the target."""
    newest = {one["instance_uuid"]: one["status"] for one in reversed(evacuations(cloud))}
    running = {vm for uuids in cloud.running().values() for vm in uuids}
    for vm in set(vms) & newest.keys() - running:
        cloud.action(vm, {"os-resetState": {"state": "active" if newest[vm] == "failed" else "error"}})


def await_end(cloud: MultiBed, vms: t.Collection[str]) -> None:
    """Nova has let go of them: a nova-compute without an answer gives up late, and takes back what was set by hand.

    What is under way even then is lost for ever.
    """
    patience = time.monotonic() + 3 * RPC_TIMEOUT
    until(lambda: time.monotonic() > patience or not set(vms) & under_way(cloud), 4 * RPC_TIMEOUT, 0.5)


def under_way(cloud: MultiBed) -> set[str]:
    """The VMs that Nova is evacuating, by its records."""
    return {one["instance_uuid"] for one in evacuations(cloud) if one["status"] in ("accepted", "pre-migrating")}


def is_calm(cloud: MultiBed) -> bool:
    """Nova hears every other host and its own services: after an outage of its messages it does not for a while."""
    others = [service for service in cloud.request("GET", "/os-services")["services"] if service["host"] != FAILED]
    return all(service["state"] == "up" for service in others)


def recover_in_rounds(cloud: MultiBed, playbooks: Playbooks, vms: list[str], lost: t.Collection[str]) -> Outcome:
    """Repair and run again until every VM runs: Nova may accept an evacuation of a repair and never begin it.

    Whatever a run leaves is accounted for, was left before, and is nowhere twice. At the end pending are at most those
    that run on their target without Nova's knowing.
    """
    for number in range(1, ROUNDS + 1):
        await_end(cloud, lost)
        repair_by_hand(cloud, lost)
        until(lambda: is_calm(cloud), 180, 0.5)
        outcome = playbooks.recover(FAILED, **IMPATIENT)
        print(f"-- round {number}\n{outcome.out}\n{state_of(cloud, playbooks)}")  # shown when something fails
        rest = assert_accounted_for(cloud, playbooks, vms)
        assert set(rest) <= set(lost)
        assert bool(outcome) == (not rest)
        if sum(hosts_of(cloud, vms).values()) == len(vms):
            return outcome
        lost = rest
    raise AssertionError(f"not all run after {ROUNDS} rounds: {hosts_of(cloud, vms)}")


def state_of(cloud: MultiBed, playbooks: Playbooks) -> str:
    """What became of each VM that is not verified, by the ledger and by Nova; and whom Nova hears."""
    newest = {one["instance_uuid"]: one for one in reversed(evacuations(cloud))}
    lines = [f"{host}: {service['state']}" for host, service in sorted(cloud.services().items())]
    for vm, line in playbooks.ledger().items():
        if line["state"] != "verified":
            record = (
                {key: newest[vm][key] for key in ("id", "status", "dest_compute", "updated_at")}
                if vm in newest
                else None
            )
            server = {key: cloud.server(vm)[f"OS-EXT-STS:{key}"] for key in ("vm_state", "task_state")}
            lines.append(f"{vm} {line['state']} ({line['reason']}); Nova: {server}, {record}")
    return "\n".join(lines)


def test_a_hundred_vms_of_a_killed_compute_run_elsewhere_in_their_segment(
    cloud: MultiBed, recovery: Recovery, capsys: pytest.CaptureFixture[str]
) -> None:
    vms = cloud.fill(FAILED, 100)
    playbooks = recovery(RACKS)
    cloud.hang(FAILED)  # kill -9 of nova-compute; the guests run on until the BMC cuts the power
    assert hosts_of(cloud, vms) == {FAILED: 100}

    outcome = playbooks.recover(FAILED)

    with capsys.disabled():
        print("\n" + outcome.out.partition("TASK [Report]")[2])
    assert_recovered(cloud, playbooks, outcome, vms)
    assert set(hosts_of(cloud, vms).values()) == {100 // len(TARGETS)}
    assert cloud.status()[FAILED]["power"] == "off"
    assert playbooks.report()["certificates"][0]["certificate"]["kind"] == "ipmi"
    assert cloud.tokens_issued() == 1
    assert cloud.services()[FAILED]["forced_down"]


def test_a_killed_run_and_a_killed_target_lose_nothing(cloud: MultiBed, recovery: Recovery) -> None:
    victim = "cmp03"
    vms = cloud.fill(FAILED, 30)
    playbooks = recovery(RACKS)
    cloud.knobs(victim, spawn_delay=600)
    cloud.hang(FAILED)
    with started(playbooks, **IMPATIENT):
        until(lambda: count(cloud, "done") >= 5 and count(cloud, "pre-migrating", to=victim), 120, 0.3)
    cloud.kill_compute(victim)
    cloud.knobs(victim, spawn_delay=0)
    cloud.start_host(victim)

    outcome = playbooks.recover(FAILED, **IMPATIENT)

    lost = assert_accounted_for(cloud, playbooks, vms)
    assert lost, "the killed nova-compute had a rebuild in its hands"
    assert not outcome
    for line in lost.values():
        assert line["target"] == victim
        assert line["reason"] in outcome.out

    assert_recovered(cloud, playbooks, recover_in_rounds(cloud, playbooks, vms, lost), vms)


@pytest.mark.parametrize("service", ["nova-conductor", pytest.param("rabbitmq", marks=pytest.mark.deep)])
def test_a_service_that_dies_in_the_middle_loses_no_vm(cloud: MultiBed, recovery: Recovery, service: str) -> None:
    vms = cloud.fill(FAILED, 20)
    playbooks = recovery(RACKS)
    cloud.hang(FAILED)
    with started(playbooks, **IMPATIENT) as run:
        until(lambda: count(cloud, "done") >= 2 and count(cloud, "accepted", "pre-migrating"), 120, 0.3)
        if service == "nova-conductor":
            cloud.kill(service)
        else:
            cloud.stop_service(service)
            pause(10)
        cloud.start_service(service)
        out, _nothing = run.communicate(timeout=600)
    print(out, state_of(cloud, playbooks), sep="\n")  # pytest shows it when one of the following fails

    lost = assert_accounted_for(cloud, playbooks, vms)
    assert (run.returncode == 0) == (not lost)
    if lost:
        recover_in_rounds(cloud, playbooks, vms, lost)


def test_a_guest_that_started_unknown_to_nova_is_not_started_elsewhere(cloud: MultiBed, recovery: Recovery) -> None:
    """nova-compute starts the guest, cannot tell the conductor in time, and reports the evacuation as failed."""
    vms = cloud.fill(FAILED, 5)
    playbooks = recovery(RACKS)
    cloud.knobs(spawn_lingers=600)
    cloud.hang(FAILED)
    with started(playbooks, evacuate_vm_timeout=4 * LOST_AFTER) as run:
        until(lambda: sum(hosts_of(cloud, vms).values()) == len(vms) and FAILED not in hosts_of(cloud, vms), 120, 0.3)
        cloud.kill("nova-conductor")
        cloud.knobs(spawn_lingers=0)  # now each nova-compute wants to tell; what it tells of that failure is waited for
        pause(RPC_TIMEOUT + 3)
        cloud.start_service("nova-conductor")
        out, _nothing = run.communicate(timeout=600)
    print(out)  # pytest shows it when one of the following fails

    assert count(cloud, "failed"), "Nova takes the evacuations for failed"
    assert set(assert_accounted_for(cloud, playbooks, vms)) == set(vms)
    assert sum(hosts_of(cloud, vms).values()) == len(vms)
