"""Runs that a responder starts: they take over what it opened, and never end without being settled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from bed.client import Bed
from driver import Playbooks, until
from opened_runs import Started
from processes import alive, children
from tree import collections_path

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.holder import is_alive

Recovery = t.Callable[..., Playbooks]
Make = t.Callable[..., Started]

RACK = {"rack1": {"hosts": ["cmp01", "cmp02", "cmp03"], "shared_storage": True}}
SECRET = "hunter2-of-the-journal"


@pytest.fixture
def make(recovery: Recovery, tmp_path: Path) -> t.Iterator[Make]:
    made: list[Started] = []

    def start(**options: t.Any) -> Started:
        made.append(Started(recovery(RACK), tmp_path, **options))
        return made[-1]

    yield start
    for started in made:
        started.runs.stop(0)


def test_a_run_that_was_opened_is_taken_over_recovers_the_host_and_leaves_no_secret_anywhere(
    cloud: Bed, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OS_PASSWORD", "OPENSTACK_HA_JOURNAL"):
        monkeypatch.setenv(name, f"mysql://ha:{SECRET}@db/journal")
    vms = cloud.fill("cmp01", 2)
    cloud.crash("cmp01")
    started = make(extra_vars={"harmless": SECRET})
    run_id = started.start("cmp01")
    seen: list[bytes] = []
    until(lambda: _look(seen) and started.runs.active() == {}, 120)
    end = started.end()

    assert (end.run_id, end.hosts, end.status, end.rc) == (run_id, ["cmp01"], "successful", 0), (end, started.log)
    assert not set(cloud.running().get("cmp01", [])) & set(vms)
    report = started.playbooks.report()
    assert {line["state"] for line in report["ledger"]} == {"verified"}
    assert (report["run"]["id"], report["run"]["state"]) == (run_id, "closed")
    assert report["run"]["holder"]["opened_by"]
    assert "Fence, and prove it" in " ".join(started.log)
    assert seen, "no process was seen at work"
    assert not [it for it in seen if SECRET.encode() in it]
    artifacts = [path for path in (started.artifacts / run_id).rglob("*") if path.is_file()]
    assert [path.name for path in artifacts if SECRET in path.read_text(encoding="utf-8")] == ["variables.json"]
    assert (started.artifacts / run_id).stat().st_mode & 0o077 == 0


def _look(seen: list[bytes]) -> bool:
    """Note arguments and environment of all processes that this one has started; tell whether there were some."""
    for pid in children(os.getpid()):
        try:
            found = [Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ")]
        except OSError:
            continue
        if b"recover_host" in found[0]:
            seen.extend(found)
    return bool(seen)


def test_a_canceled_run_stops_acting_at_once_and_leaves_nothing_behind(cloud: Bed, make: Make) -> None:
    cloud.fill("cmp01", 4)
    cloud.crash("cmp01")
    started = make(extra_vars={"evacuate_parallel": 1})
    run_id = started.start("cmp01")
    until(lambda: any("Evacuate, follow, verify" in line for line in started.log), 120)
    working = children(os.getpid())

    started.runs.cancel(run_id, "an operator said so")
    end = started.end()

    assert (end.status, end.reason) == ("canceled", "an operator said so")
    assert not [pid for pid in working if alive(pid) and _is_ansible(pid)]
    with started.playbooks.journal() as journal:
        assert journal.run(run_id)["outcome"] == {"canceled": "canceled: an operator said so"}
        assert claims.taken(journal, "RegionOne") == []
    assert cloud.ever_ran_twice() == []


def _is_ansible(pid: int) -> bool:
    try:
        return b"ansible-playbook" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize(
    ("playbook", "why"),
    [("openstack_ha.recovery.no_such_playbook", "no_such_playbook"), ("openstack_ha.recovery.segments", "taking")],
)
def test_a_playbook_that_cannot_be_started_ends_the_run_with_its_reason(
    cloud: Bed, make: Make, playbook: str, why: str
) -> None:
    started = make()
    started.start("cmp01", playbook=playbook)
    end = started.end()
    assert end.status == "failed"
    assert end.reason
    assert why in end.reason
    with started.playbooks.journal() as journal:
        assert journal.incidents()[0]["state"] == "held"
        assert [it["host"] for it in journal.retries("RegionOne")] == ["cmp01"]


RESPONDER = """
import sys, threading
from pathlib import Path
sys.path[:0] = sys.argv[5:]
from driver import Playbooks
from opened_runs import Started
playbooks = Playbooks(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
started = Started(playbooks, Path(sys.argv[2]), warm=sys.argv[4] == "warm")
if sys.argv[4] == "warm":
    started.runs._warm.ready(120)
print(started.start("cmp01"), flush=True)
threading.Event().wait()
"""


@pytest.mark.parametrize("how", ["cold", "warm"])
def test_a_run_whose_responder_was_killed_is_taken_up_when_nothing_of_it_can_act_any_more(
    cloud: Bed, recovery: Recovery, make: Make, tmp_path: Path, how: str
) -> None:
    vms = cloud.fill("cmp01", 4)
    cloud.crash("cmp01")
    playbooks = recovery(RACK)
    given = [str(playbooks.inventory), str(tmp_path), str(cloud.clouds_yaml), how, *sys.path, str(collections_path())]
    with subprocess.Popen([sys.executable, "-c", RESPONDER, *given], stdout=subprocess.PIPE, text=True) as responder:
        assert responder.stdout
        first = responder.stdout.readline().strip()
        with playbooks.journal() as journal:
            until(lambda: any(step["name"] == "first_evacuate" for step in journal.steps(first)), 120)
        responder.send_signal(signal.SIGKILL)

    with playbooks.journal() as journal:
        until(lambda: is_alive(journal.run(first)["holder"]) is False, 120)
        assert journal.run(first)["state"] == "open"
        started = make()
        second = started.start("cmp01")
        assert started.end().status == "successful"
        assert journal.run(second)["resumes"] == first
    assert sorted(vm for uuids in cloud.running().values() for vm in uuids) == sorted(vms)
    assert cloud.ever_ran_twice() == []
