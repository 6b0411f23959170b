# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import owners

Json = t.Dict[str, t.Any]


class Site:
    """Everything around owners; time passes only in pauses."""

    def __init__(self, journal: Journal) -> None:
        self.journal, self.now, self.told, self.log = journal, 0.0, [], []  # type: ignore[var-annotated]
        self.wanted = {"vms_affected", "vms_ended"}
        self.servers: dict[str, list[Json]] = {}
        self.trouble = 0
        self.asked_at: list[float] = []
        self.later: list[t.Callable[[], None]] = []
        incident = journal.open_incident("cmp01", "R", None)["id"]
        self.incident = incident
        self.run = journal.open_run([{"host": "cmp01", "incident_id": incident}], {"monotonic": 0.0})["id"]
        self.owners = owners.Owners(
            self, t.cast(t.Any, self), journal, lambda name, work: self.later.append(work), self.log.append,
            lambda: self.now, self._pause,
        )  # fmt: skip

    def wants(self, event: str) -> bool:
        return event in self.wanted

    def tell(self, event: str, body: Json, incident_id: str | None = None, run_id: str | None = None) -> None:
        self.told.append((event, body, run_id))

    def supports(self, _version: str) -> bool:
        return True

    def best_microversion(self, wanted: str) -> str:
        return wanted

    def get(self, _service: str, _path: str, _version: str | None = None, **params: t.Any) -> Json:
        self.asked_at.append(self.now)
        if self.trouble:
            self.trouble -= 1
            raise CloudError("Nova is away")
        return {"servers": self.servers.get(params["host"], [])}

    def _pause(self, seconds: float) -> None:
        self.now += seconds
        if self.now >= 1.0 and not self.journal.steps(self.run):
            self.journal.add_step(self.run, "cmp01", "forced_down", 0.3)

    def work(self) -> None:
        while self.later:
            self.later.pop()()


@pytest.fixture
def site(tmp_path: Path) -> t.Iterator[Site]:
    with open_journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        yield Site(journal)


def server(server_id: str, project: str) -> Json:
    return {"id": server_id, "name": f"vm-{server_id}", "tenant_id": project, "OS-EXT-STS:vm_state": "active"}


def test_nova_is_asked_for_the_vms_of_a_host_once_it_was_taken_out_of_service_and_nobody_waits(site: Site) -> None:
    site.servers["cmp01"] = [server("1", "p1"), server("2", "p2"), server("3", "p1")]
    site.owners.tell("run_started", {"hosts": ["cmp01"]}, run_id=site.run)
    assert [event for event, *_rest in site.told] == ["run_started"]
    site.work()
    event, body, run = site.told[-1]
    assert (event, body["hosts"], run) == ("vms_affected", ["cmp01"], site.run)
    assert {project: [vm["id"] for vm in vms] for project, vms in body["projects"].items()} == {
        "p1": ["1", "3"],
        "p2": ["2"],
    }
    assert len(site.asked_at) == 1
    assert 1.0 <= site.asked_at[0] < 2.0


def test_a_run_that_is_slow_to_begin_is_waited_for_no_longer_than_some_seconds(site: Site) -> None:
    site.owners._pause = lambda seconds: setattr(site, "now", site.now + seconds)
    site.owners.tell("run_started", {"hosts": ["cmp01"]}, run_id=site.run)
    site.work()
    assert 5.0 <= site.asked_at[0] < 6.0


def test_nova_is_not_asked_where_nobody_wants_to_know_or_where_it_is_not_about_hosts(site: Site) -> None:
    site.owners.tell("run_started", {"hosts": ["cmp01"], "kind": "instance"}, run_id=site.run)
    site.owners.tell("verdict", {"host": "cmp01"})
    site.wanted.clear()
    site.owners.tell("run_started", {"hosts": ["cmp01"]}, run_id=site.run)
    assert site.later == []
    assert len(site.told) == 3


def test_what_became_of_them_is_what_the_ledger_says(site: Site) -> None:
    facts = {"project": "p1", "note": "was paused"}
    line = {"incident_id": site.incident, "server_id": "1", "name": "web", "host": "cmp01", "facts": facts}
    site.journal.plan_lines(site.run, [{**line, "state": "pending", "reason": "no room", "target": "cmp02"}])
    site.owners.tell("run_ended", {"hosts": {"cmp01": "partial"}}, run_id=site.run)
    site.work()
    assert site.told[-1][:2] == (
        "vms_ended",
        {
            "hosts": ["cmp01"],
            "projects": {
                "p1": [
                    {"id": "1", "name": "web", "host": "cmp01", "target": "cmp02", "state": "pending",
                     "reason": "no room", "note": "was paused"},
                ]
            },
        },
    )  # fmt: skip


def test_of_runs_on_single_vms_the_end_is_told_too_and_of_others_nothing(site: Site) -> None:
    line = {"incident_id": site.incident, "server_id": "1", "name": "web", "host": "cmp01", "facts": {"project": "p1"}}
    site.journal.plan_lines(site.run, [{**line, "state": "verified"}])
    for kind in ("instance", "process", "network"):
        site.owners.tell("run_ended", {"kind": kind, "hosts": {"cmp01/1": "recovered"}}, run_id=site.run)
    site.work()
    (body,) = [body for event, body, _run in site.told if event == "vms_ended"]
    assert [(vm["id"], vm["state"]) for vm in body["projects"]["p1"]] == [("1", "verified")]


def test_a_cloud_that_is_away_for_a_moment_is_asked_again_and_one_that_stays_away_is_told_in_the_log(
    site: Site,
) -> None:
    site.trouble = 2
    site.owners.tell("run_started", {"hosts": ["cmp01"]}, run_id=site.run)
    site.work()
    assert site.told[-1][0] == "vms_affected"
    site.trouble = 99
    site.owners.tell("run_started", {"hosts": ["cmp01"]}, run_id=site.run)
    site.work()
    assert site.log == [f"run {site.run}: vms_affected cannot be told: Nova is away"]
