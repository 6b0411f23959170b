"""The HA policy on real Nova: marks on aggregates, flavors, images and VMs, rules of the file, and who decides."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from bed.client import Bed
from driver import Playbooks
from opened_runs import Started

Recovery = t.Callable[..., Playbooks]
Write = t.Callable[[str], object]

HOST = "cmp01"
RACK = {"rack1": {"hosts": [HOST, "cmp02", "cmp03"], "shared_storage": True}}
POLICY = """
ha:
  presets: [masakari, redhat]
  regions: {RegionOne: {protect: false, method: none, deadline: 30}}
  cells: {cell1: {segments: [rack1], method: evacuate, otherwise: rebuild}}
  zones: {az1: {protect: true}}
  projects: {admin: {group: everybody}}
  vms:
    - {name: databases, when: "metadata.role == 'db'", priority: 950, group: databases}
    - {name: fresh, when: "starts_with(name, 'new')", priority: 100, after: [databases]}
"""


@pytest.fixture
def policy(tmp_path: Path) -> Write:
    """Write the policy beside the segments file."""
    return (tmp_path / "ha_policy.yml").write_text


def image(cloud: Bed, tags: t.Sequence[str] = (), **properties: str) -> str:
    body = {"name": "marked", "tags": list(tags), **properties}
    return str(cloud.request("POST", "/image/v2/images", body, service="others")["id"])


def filled(cloud: Bed) -> dict[str, str]:
    """VMs about which different places speak, by name."""
    cloud.aggregate("zone1", [HOST, "cmp02", "cmp03"], zone="az1", **{"openstack_ha:priority": "600"})
    cloud.aggregate("blue", [HOST], **{"openstack_ha:local_disk_loss": "true", "openstack_ha:after": "databases"})
    cloud.aggregate("green", [HOST], **{"openstack_ha:local_disk_loss": "false"})
    amphora = image(cloud, ["amphora"])
    owned = image(cloud, openstack_ha_method="notify", openstack_ha_priority="10")
    wanted: dict[str, dict[str, t.Any]] = {
        "plain": {},
        "no-ha": {"extra_specs": {"openstack_ha:protect": "false"}},
        "owned": {"imageRef": owned},
        "amphora": {"imageRef": amphora},
        "kept-amphora": {"imageRef": amphora, "metadata": {"openstack_ha:protect": "true"}},
        "db": {"metadata": {"role": "db"}},
        "new-db": {"metadata": {"role": "db"}},
        "waits": {"metadata": {"openstack_ha:method": "restart"}, "tags": ["openstack_ha:ready=tcp:22"]},
        "torn": {"metadata": {"openstack_ha:protect": "false"}, "tags": ["openstack_ha:protect=true"]},
        "odd": {"metadata": {"openstack_ha:priority": "very", "HA_Enabled": "no"}},
    }
    return {name: cloud.fill(HOST, 1, name=name, **fields)[0] for name, fields in wanted.items()}


def test_a_recovery_does_what_the_finest_level_says_and_explains_it(
    cloud: Bed, recovery: Recovery, policy: Write
) -> None:
    policy(POLICY)
    ids = filled(cloud)
    playbooks = recovery(RACK)
    explained = playbooks.run("policy_explain", vm="torn")
    assert explained, explained.out
    cloud.crash(HOST)
    cloud.reset_api_calls()

    outcome = playbooks.recover(HOST)

    lines = {line["name"]: line for line in playbooks.ledger().values()}
    assert {name: line["state"] for name, line in lines.items()} == {
        "plain": "verified",
        "no-ha": "skipped",
        "owned": "pending",
        "amphora": "skipped",
        "kept-amphora": "verified",
        "db": "verified",
        "new-db": "verified",
        "waits": "pending",
        "torn": "verified",
        "odd": "skipped",
    }, outcome.out
    assert not outcome
    assert {name: line["priority"] for name, line in lines.items() if line["priority"] != 600} == {
        "owned": 10,
        "db": 950,
    }
    reasons = {name: line["reason"] for name, line in lines.items()}
    assert reasons["no-ha"] == "is not protected: flavor extra specs openstack_ha:protect=false"
    assert "ha.exclude.octavia (Octavia replaces amphorae itself)" in reasons["amphora"]
    assert reasons["owned"].startswith("is left to its owner for 30 s, then rebuild: image property")
    assert reasons["waits"].startswith("comes back with its host: VM metadata openstack_ha:method=restart")
    assert (reasons["torn"], reasons["new-db"]) == ("", "")
    assert "VM metadata HA_Enabled=no" in reasons["odd"]
    facts = {name: line["facts"] for name, line in lines.items()}
    notes = {name: " ".join(fact["policy_notes"]) for name, fact in facts.items()}
    assert "contradiction about protect at the level VM: " in notes["torn"]
    assert "contradiction about priority at the level VM rule: " in notes["new-db"]
    assert "VM metadata openstack_ha:priority='very' is not understood" in notes["odd"]
    assert "contradiction about local_disk_loss at the level aggregate: " in notes["plain"]
    for told in (outcome.out.partition("TASK [Report]")[0], outcome.out.partition("TASK [Report]")[2]):
        assert (
            "torn: contradiction about protect at the level VM: VM metadata openstack_ha:protect=false, VM tag" in told
        )
    assert (facts["plain"]["group"], facts["db"]["group"]) == ("everybody", "databases")
    assert facts["waits"]["ready"] == {"is": "tcp", "port": 22}
    assert cloud.ever_ran_twice() == []
    stayed = {name for name, server_id in ids.items() if server_id in cloud.running().get(HOST, [])}
    assert not stayed
    calls = cloud.api_calls()["by_route"]
    extra = [
        count for route, count in sorted(calls.items()) if " /identity/v3/projects" in route or " /image/" in route
    ]
    assert sorted(extra) == [1, 3], calls  # one project, three images
    _explains(explained.out)


def _explains(out: str) -> None:
    assert "torn (" in out
    shown = [" ".join(line.strip(' ",').split()) for line in out.splitlines()]
    assert "protect yes zone ha.zones.az1 protect=true" in shown
    assert "group everybody project ha.projects.admin group=everybody" in shown
    assert "priority 600 aggregate aggregate zone1 openstack_ha:priority=600" in shown
    assert "VM protect no VM metadata openstack_ha:protect" in shown
    assert "VM protect yes VM tag openstack_ha:protect" in shown
    assert "zone protect yes ha.zones.az1 protect decides" in shown
    assert "region protect no ha.regions.RegionOne protect" in shown
    assert any(line.startswith("contradiction about local_disk_loss at the level aggregate") for line in shown)


def test_a_run_that_a_responder_starts_after_the_policy_was_changed_goes_by_the_new_one(
    cloud: Bed, recovery: Recovery, policy: Write, tmp_path: Path
) -> None:
    started = Started(recovery(RACK), tmp_path, warm=True)
    try:
        for host, protect, state in ((HOST, "false", "skipped"), ("cmp02", "true", "verified")):
            cloud.fill(host, 1, extra_specs={"class": "gold"})
            policy(f"ha: {{vms: [{{when: \"flavor.extra_specs.class == 'gold'\", protect: {protect}}}]}}")
            cloud.crash(host)
            started.start(host)
            assert started.end().status == "successful", started.log
            lines = started.playbooks.ledger().values()
            assert [line["state"] for line in lines] == [state]
    finally:
        started.runs.stop(0)
