"""What the tests of interrupted runs have in common: one host, one segment, and ways to look at a run."""

from __future__ import annotations

import contextlib
import subprocess
import typing as t

import processes
from bed.client import Bed
from driver import Playbooks

Recovery = t.Callable[..., Playbooks]

HOST = "cmp01"
TARGETS = ("cmp02", "cmp03")
RACK = {"rack1": {"hosts": [HOST, *TARGETS], "shared_storage": True}}
EVACUATE = {"service": "compute", "method": "POST", "body": "evacuate"}


@contextlib.contextmanager
def started(playbooks: Playbooks, **variables: t.Any) -> t.Iterator[subprocess.Popen[str]]:
    """A run for HOST; whatever is left of it is gone afterwards."""
    process = playbooks.start("recover_host", failed_hosts=HOST, **variables)
    family: set[int] = {process.pid}
    try:
        yield process
    finally:
        family.update(processes.children(process.pid))
        processes.kill(family)
        process.communicate()


def slow_spawns(cloud: Bed, seconds: float = 3) -> None:
    """Let each VM take its time on its new host."""
    for host in TARGETS:
        cloud.knobs(host, spawn_delay=seconds)


def requests(cloud: Bed) -> list[dict[str, t.Any]]:
    """The evacuate requests that have arrived at nova-api, processed or not."""
    return [line for line in cloud.api_log() if line.get("action") == "evacuate"]


def evacuations(cloud: Bed) -> list[str]:
    """The servers whose evacuation Nova was asked for, once per request that it has processed."""
    return [line["path"].split("/")[-2] for line in requests(cloud) if "answered" in line]


def states(playbooks: Playbooks) -> list[str]:
    """The states of the ledger's lines, once there is a run."""
    with playbooks.journal() as journal:
        runs = journal.runs(limit=1)
        return sorted(line["state"] for line in journal.report(runs[0]["id"])["ledger"]) if runs else []


def steps(playbooks: Playbooks) -> list[str]:
    """The steps that the newest run has done."""
    with playbooks.journal() as journal:
        return [step["name"] for run in journal.runs(limit=1) for step in journal.steps(run["id"])]


def given_up(cloud: Bed) -> list[str]:
    """The servers of evacuations that Nova itself gave up, once per evacuation."""
    records = cloud.request("GET", "/os-migrations?migration_type=evacuation")["migrations"]
    return [record["instance_uuid"] for record in records if record["status"] in ("error", "failed")]


def assert_moved_once(cloud: Bed, vms: list[str]) -> None:
    """Every VM runs, away from HOST, and Nova was asked for it once, or again after it had given up."""
    assert sorted(vm for uuids in cloud.running().values() for vm in uuids) == sorted(vms)
    assert not cloud.running().get(HOST)
    assert cloud.ever_ran_twice() == []
    assert sorted(evacuations(cloud)) == sorted([*vms, *given_up(cloud)]), requests(cloud)


def assert_recovered(cloud: Bed, playbooks: Playbooks, vms: list[str]) -> None:
    """… and the newest run says so, and is closed."""
    assert_moved_once(cloud, vms)
    report = playbooks.report()
    assert {line["server_id"]: line["state"] for line in report["ledger"]} == dict.fromkeys(vms, "verified")
    assert [host["outcome"] for host in report["hosts"]] == ["recovered"]
    assert report["claims"] == []


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for the run; returns what it printed."""
    return process.communicate(timeout=240)[0]
