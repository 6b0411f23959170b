"""An incident decided again."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from unit.fakes.gates import DEAD, cloud, policy

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _recovery
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call
from ansible_collections.openstack_ha.recovery.plugins.modules import verdict_info

Json = t.Dict[str, t.Any]
HOLDER = {"user": "ann", "hostname": "ctl1", "boot_id": None, "pid_namespace": None, "pid": None, "monotonic": 0.0}


class Site:
    """A journal in which one host was decided about, twice."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.url = f"sqlite:///{directory}/journal.db"
        with open_journal(self.url) as journal:
            run = _recovery.begin(journal, "RegionOne", {DEAD: "rack1"}, HOLDER, 30.0, lambda text: None)
            self.run_id = run["id"]
            self.incident = journal.run(run["id"])["hosts"][0]["incident_id"]
            for snapshot in (cloud(control={}), cloud()):
                _recovery.decide(journal, run["id"], snapshot, policy())

    def ask(self, **params: t.Any) -> Json:
        given = {**dict.fromkeys(("run_id", "incident", "policy", "policy_file")), "journal_url": self.url, **params}
        return verdict_info.run(Call(given))

    def file(self, text: str) -> str:
        path = self.directory / "ha_policy.yml"
        path.write_text(text)
        return str(path)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_with_the_same_policy_each_verdict_is_the_same(site: Site) -> None:
    result = site.ask(run_id=site.run_id)
    assert [(it["host"], it["number"], it["before"]["verdict"], it["differs"]) for it in result["replays"]] == [
        (DEAD, 1, "hold", False),
        (DEAD, 2, "recover", False),
    ]
    assert not result["differs"]


def test_another_policy_is_seen_where_it_would_have_decided_in_another_way(site: Site) -> None:
    result = site.ask(incident=site.incident, policy=policy(gates__witnesses__needed=4, gates__witnesses__ask_after=60))
    assert [it["differs"] for it in result["replays"]] == [False, True]
    assert result["differs"]
    after = result["replays"][1]["after"]
    assert (after["verdict"], after["gate"]) == ("ask", "witnesses")
    assert result["replays"][1]["gates"][-1]["gate"] == "witnesses"


def test_a_policy_file_may_name_places_that_the_incident_did_not_have(site: Site) -> None:
    text = "budgets: {segments: {elsewhere: {at_once: 2}}}\ngates: {witnesses: {needed: 4}}\n"
    assert site.ask(run_id=site.run_id, policy_file=site.file(text))["differs"]


def test_a_mistake_in_the_policy_file_is_told(site: Site) -> None:
    with pytest.raises(ConfigError, match=r"gates\.witnesses\.neded"):
        site.ask(run_id=site.run_id, policy_file=site.file("gates: {witnesses: {neded: 3}}"))
    with pytest.raises(ConfigError, match="cannot read /nowhere"):
        site.ask(run_id=site.run_id, policy_file="/nowhere")


def test_an_incident_that_the_journal_does_not_have_is_an_error(site: Site) -> None:
    with pytest.raises(RecoveryError, match="There is no verdict of that run or incident"):
        site.ask(incident="other")


def test_a_snapshot_of_an_older_version_is_refused_and_not_misread(site: Site) -> None:
    with open_journal(site.url) as journal:
        journal.add_verdict(site.run_id, {"hosts": {DEAD: {}}}, "hash", {DEAD: {"verdict": "recover", "gate": None}})
    with pytest.raises(RecoveryError, match="older version"):
        site.ask(run_id=site.run_id)
