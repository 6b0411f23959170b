"""docs/least_privilege.md is true: its access rules suffice, and each is needed."""

from __future__ import annotations

import fnmatch
import json
import re
import typing as t
from pathlib import Path

import yaml
from bed.client import Bed
from driver import Playbooks
from tree import ROOT

RACK = {
    "rack1": {
        "hosts": ["cmp01"],
        "reserved_hosts": ["cmp02"],
        "recovery_method": "reserved_host",
        "shared_storage": True,
    },
    "rack2": {"hosts": ["cmp03", "cmp04", "cmp05"]},
}


def documented_rules() -> list[dict[str, str]]:
    """The access rules in the document."""
    page = (ROOT / "docs" / "least_privilege.md").read_text()
    return list(yaml.safe_load(re.findall(r"```yaml\n(.*?)```", page, re.S)[0]))


def restricted(cloud: Bed, directory: Path, rules: list[dict[str, str]]) -> Path:
    """A clouds.yaml whose application credential has only these rules."""
    credential = cloud.application_credential("recovery", rules)
    lab = yaml.safe_load(cloud.clouds_yaml.read_text())["clouds"]["lab"]
    entry = {
        "auth_type": "v3applicationcredential",
        "auth": {
            "auth_url": lab["auth"]["auth_url"],
            "application_credential_id": credential["id"],
            "application_credential_secret": credential["secret"],
        },
        "region_name": lab["region_name"],
    }
    path = directory / "clouds.yaml"
    path.write_text(json.dumps({"clouds": {"lab": entry}}))
    return path


def prepared(cloud: Bed, tmp_path: Path, rules: list[dict[str, str]]) -> tuple[Playbooks, list[str]]:
    """A cloud in which a recovery makes every kind of call, and the playbooks with restricted rights."""
    cloud.aggregate("fast", ["cmp01"])
    cloud.update_service("cmp02", status="disabled", disabled_reason="reserved for failover")
    vms = [*cloud.fill("cmp01", 2, volume=True, network=True), *cloud.fill("cmp01", 1)]
    (tmp_path / "ha_policy.yml").write_text("{ha: {projects: {some: {priority: 600}}}, drain: {vm_timeout: 10}}")
    cloud.action(vms[0], {"pause": None})
    cloud.await_server(vms[0], lambda server: server["status"] == "PAUSED")
    inventory = cloud.segments_file(tmp_path / "lab.failover_segments.yml", RACK)
    cloud.crash("cmp01")
    cloud.reset_api_calls()
    return Playbooks(inventory, tmp_path, restricted(cloud, tmp_path, rules)), vms


def used(rules: list[dict[str, str]], routes: t.Iterable[str]) -> list[dict[str, str]]:
    """The rules that at least one call needed."""
    prefix = {
        "compute": "",
        "placement": "",
        "network": "/network",
        "block-storage": "/volume",
        "image": "/image",
        "identity": "/identity",
    }
    calls = [route.split()[:3] for route in routes]
    return [
        rule
        for rule in rules
        for service, method, path in calls
        if method == rule["method"]
        and fnmatch.fnmatch(path.rstrip("/"), prefix[rule["service"]] + rule["path"].rstrip("/"))
    ]


def test_the_documented_rules_suffice_and_none_is_idle(cloud: Bed, tmp_path: Path) -> None:
    rules = documented_rules()
    playbooks, vms = prepared(cloud, tmp_path, rules)

    drained = _a_drain_that_does_not_succeed(cloud, playbooks)
    outcome = playbooks.recover("cmp01", reserved_hosts_join_aggregates="true")

    assert outcome, outcome.out
    assert "403" not in drained
    assert {line["state"] for line in playbooks.ledger().values()} == {"verified"}, playbooks.ledger()
    assert len(playbooks.ledger()) == len(vms)
    assert cloud.ever_ran_twice() == []
    cloud.crash_guest("cmp02", vms[2], notice=True)
    cloud.await_server(vms[2], lambda server: server["OS-EXT-STS:vm_state"] == "stopped")
    outcome = playbooks.run("recover_instance", failed_instances=vms[2])
    assert outcome, outcome.out
    needed = used(rules, cloud.api_calls()["by_route"])
    assert [rule for rule in rules if rule not in needed] == []


def _a_drain_that_does_not_succeed(cloud: Bed, playbooks: Playbooks) -> str:
    """One target refuses, and the migration to the other has to be aborted; what was printed."""
    cloud.fill("cmp03", 2)
    cloud.knobs("cmp03", migrate_delay=600)
    cloud.knobs("cmp04", migrate_refused=True)
    return str(playbooks.run("recover_network", failed_hosts="cmp03").out)


def test_a_missing_rule_is_named_and_nothing_is_lost(cloud: Bed, tmp_path: Path) -> None:
    rules = [rule for rule in documented_rules() if rule["path"] != "/v2.1/os-services/*"]
    playbooks, vms = prepared(cloud, tmp_path, rules)

    outcome = playbooks.recover("cmp01")

    assert not outcome
    assert re.search(r"PUT compute /os-services/\S+: HTTP 40[13]", outcome.out)
    assert cloud.api_calls()["by_kind"].get("evacuate", 0) == 0
    assert len(vms) == len(cloud.servers(host="cmp01"))
