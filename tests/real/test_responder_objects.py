# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Responders as processes and VMs that fail on hosts that live, in real Nova: none is lost, and none is done twice."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import typing as t
from pathlib import Path

import processes
import pytest
from bed.client import Bed
from driver import until
from responders import POLICY, Hosts, Responder, Scene
from truth_monitor import TruthMonitor

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal

HOSTS = ["cmp01", "cmp02", "cmp03"]
LONG = 180  # seconds that a whole recovery may take on a busy machine
INSTANCES = {"stable": 1, "view_timeout": 60, "back_off": 1}


@dataclasses.dataclass
class Site:
    """Responders, what they write, and the monitors of the hosts."""

    cloud: Bed
    scene: Scene
    url: str
    journal_: Journal

    def journal(self) -> Journal:
        """For the monitors: a connection of their own."""
        return open_journal(self.url)

    def respond(self, *names: str) -> list[Responder]:
        """Start responders."""
        return [responder.start() for responder in self.scene.add(names, [self.url])]

    def runs(self) -> list[dict[str, t.Any]]:
        """The runs about VMs that were to be recovered."""
        found = [run for run in self.journal_.runs(limit=100) if run["kind"] == "instance"]
        return [run for run in found if any(entry["outcome"] != "held" for entry in run["hosts"])]

    def recovered(self, vms: t.Sequence[str]) -> bool:
        """Whether each VM has one incident, and that was recovered, and no run is at work."""
        incidents = self.journal_.incidents(kind="instance")
        ended = sorted((it["object"], it["state"]) for it in incidents) == sorted((vm, "recovered") for vm in vms)
        return ended and all(run["state"] != "open" for run in self.journal_.runs(limit=100))

    def closed(self, vms: t.Sequence[str]) -> bool:
        """Whether each VM has one incident, which has ended because all is well."""
        incidents = self.journal_.incidents(kind="instance")
        return sorted((it["object"], it["state"]) for it in incidents) == sorted((vm, "closed") for vm in vms)

    def starts(self, vm: str) -> int:
        """How often Nova was asked to start a VM."""
        asked = [it.get("action") for it in self.cloud.api_log() if f"/servers/{vm}/action" in it["path"]]
        return sum(action in ("os-start", "reboot") for action in asked)


@pytest.fixture
def site(cloud: Bed, tmp_path: Path) -> t.Iterator[Site]:
    """A place for responders, and monitors that tell which guests have crashed."""
    inventory = cloud.segments_file(tmp_path / "lab.failover_segments.yml", {"rack1": {"hosts": HOSTS}})
    url = f"sqlite:///{tmp_path}/journal.db"
    with contextlib.closing(Scene(tmp_path, inventory, cloud.clouds_yaml)) as scene, open_journal(url) as journal:
        (tmp_path / "ha_policy.yml").write_text(json.dumps({**POLICY, "instances": INSTANCES}))
        made = Site(cloud, scene, url, journal)
        with TruthMonitor(cloud, t.cast(t.Any, made)).watching():
            yield made
        for responder in scene.responders:
            print(responder.log[-6000:])


def test_six_vms_that_crash_at_once_are_recovered_by_one_run_of_one_responder(cloud: Bed, site: Site) -> None:
    responders = site.respond("ctl1", "ctl2")
    vms = cloud.fill("cmp01", 6)
    with Hosts(HOSTS, responders):
        for vm in vms:
            cloud.crash_guest("cmp01", vm)
        until(lambda: site.recovered(vms), LONG)
    assert sorted(cloud.running()["cmp01"]) == sorted(vms)
    assert [site.starts(vm) for vm in vms] == [1] * 6
    # The monitors tell what they see once a second, so the last one may come too late for the first run.
    assert 1 <= len(site.runs()) <= 2
    assert max(len(run["hosts"]) for run in site.runs()) >= 3
    assert {it["verdict"] for it in site.journal_.signals(kind="instance", state="failed")} == {"recover"}
    assert cloud.ever_ran_twice() == []


@pytest.mark.parametrize("reached", ["opened", "asked"])
def test_a_responder_that_is_killed_leaves_no_vm_off_and_starts_none_twice(
    cloud: Bed, site: Site, reached: str
) -> None:
    (responder,) = site.respond("ctl1")
    (vm,) = cloud.fill("cmp01", 1)
    with Hosts(HOSTS, [responder]):
        cloud.crash_guest("cmp01", vm)
        until(lambda: _reached(site, reached), LONG, pause=0.005)
        assert responder.process
        processes.kill({responder.process.pid, *processes.children(responder.process.pid)})
        responder.start()
        # Its monitor may tell that it is up before the responder is back; then there is nothing left to be done.
        until(lambda: site.recovered([vm]) or site.closed([vm]), LONG)
    assert cloud.running()["cmp01"] == [vm]
    assert site.starts(vm) == 1
    assert len({entry["incident_id"] for run in site.runs() for entry in run["hosts"]}) == 1


def _reached(site: Site, step: str) -> bool:
    runs = site.journal_.runs()
    if step == "opened" or not runs:
        return bool(runs)
    return any(it["state"] != "planned" for it in site.journal_.report(runs[-1]["id"])["ledger"])
