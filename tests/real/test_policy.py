"""The policy file, read by the command line tools with a segments file of a real Nova."""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from bed.client import Bed
from driver import Playbooks

Recovery = t.Callable[..., Playbooks]
RACK = {"rack1": {"hosts": ["cmp01", "cmp02", "cmp03"], "shared_storage": True, "failure_domain": "pdu-a"}}


@pytest.fixture
def policy(tmp_path: Path) -> t.Callable[[str], object]:
    """Write the policy beside the segments file."""
    return (tmp_path / "ha_policy.yml").write_text


def variables(playbooks: Playbooks) -> dict[str, t.Any]:
    """What ``ansible-inventory`` says of the group ``all``; any warning is a failure."""
    tool = Path(sys.executable).with_name("ansible-inventory")
    command = [tool, "-i", playbooks.inventory, "--host", "cmp01"]
    done = subprocess.run(command, env=playbooks.environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return dict(json.loads(done.stdout))


def test_the_inventory_has_the_whole_policy_and_asks_nova_no_more_for_it(
    cloud: Bed, recovery: Recovery, policy: t.Callable[[str], object]
) -> None:
    playbooks = recovery(RACK)
    before = variables(playbooks)
    cloud.reset_api_calls()
    variables(playbooks)
    calls = cloud.api_calls()
    policy("{ask: {wait: 60}, budgets: {failure_domains: {pdu-a: {at_once_percent: 50}}}, networks: {admin: {}}}")
    cloud.reset_api_calls()
    after = variables(playbooks)
    assert cloud.api_calls() == calls
    assert before["ha_policy"].keys() == after["ha_policy"].keys()
    assert (before["ha_policy"]["ask"]["wait"], after["ha_policy"]["ask"]["wait"]) == (0, 60)
    assert after["ha_policy"]["reactions"]
    assert before["ha_policy_hash"] != after["ha_policy_hash"]
    assert before["ha_segments_hash"] == after["ha_segments_hash"]


def test_validate_policy_shows_the_policy_that_the_inventory_has_and_changes_nothing(
    cloud: Bed, recovery: Recovery, policy: t.Callable[[str], object]
) -> None:
    playbooks = recovery(RACK)
    policy("ask: {wait: 61}")
    outcome = playbooks.run("validate_policy", show="true")
    assert outcome, outcome.out
    assert "changed=0" in outcome.out
    assert "wait: 61" in outcome.out
    assert "answer_valid: 900" in outcome.out
    of_inventory = variables(playbooks)
    assert f"hash of the policy: {of_inventory['ha_policy_hash']}" in outcome.out
    assert f"hash of the segments file: {of_inventory['ha_segments_hash']}" in outcome.out


def test_validate_policy_fails_with_every_error_of_both_files(
    cloud: Bed, recovery: Recovery, policy: t.Callable[[str], object]
) -> None:
    playbooks = recovery({"rack1": {"hots": ["cmp01"]}, "rack2": {"hosts": ["cmp02"], "priority": 1001}})
    policy("gates: {cool_dwn: 3, start_grace: soon}\nbudgets: {segments: {rack3: {}}}")
    cloud.reset_api_calls()
    outcome = playbooks.run("validate_policy")
    assert outcome.rc != 0
    shown = outcome.out.partition("TASK [Segments file and policy]")[2]
    for path in (
        "lab.failover_segments.yml: segments.rack1.hots: unknown key.",
        "lab.failover_segments.yml: segments.rack2.priority: must be a whole number from 0 to 1000",
        "ha_policy.yml: gates.cool_dwn: unknown key. Did you mean 'cool_down'?",
        "ha_policy.yml: gates.start_grace: must be a whole number of seconds",
        "ha_policy.yml: budgets.segments.rack3: the segments file has no segment 'rack3'.",
    ):
        assert f"  error: {path}" in shown
    assert cloud.api_calls()["total"] == 0


def test_without_an_inventory_nobody_is_asked(tmp_path: Path, cloud: Bed, recovery: Recovery) -> None:
    playbooks = recovery(RACK)
    elsewhere = Playbooks(Path("localhost,"), tmp_path, tmp_path / "no_clouds.yaml")
    cloud.reset_api_calls()
    outcome = elsewhere.run("validate_policy", segments_file=playbooks.inventory)
    assert outcome, outcome.out
    assert "valid, with the policy of the defaults" in outcome.out
    assert cloud.api_calls()["total"] == 0
    assert elsewhere.run("validate_policy").rc != 0


def test_a_segments_file_in_a_directory_of_inventories_is_found(
    tmp_path: Path, cloud: Bed, recovery: Recovery, policy: t.Callable[[str], object]
) -> None:
    recovery(RACK)
    policy("ask: {wait: soon}")
    outcome = Playbooks(tmp_path, tmp_path, cloud.clouds_yaml).run("validate_policy")
    assert outcome.rc != 0
    assert "  error: ha_policy.yml: ask.wait: must be a whole number of seconds" in outcome.out


def test_a_changed_policy_holds_from_the_next_run_on(
    cloud: Bed, recovery: Recovery, policy: t.Callable[[str], object]
) -> None:
    cloud.fill("cmp01", 1)
    playbooks = recovery(RACK)
    cloud.crash("cmp01")
    shown = {}
    for protect in ("false", "true"):
        policy(f"vms: {{protect: {protect}}}")
        outcome = playbooks.recover("cmp01", arguments=["--check"])
        assert outcome, outcome.out
        shown[protect] = outcome.out.count("evacuate cmp01 ->")
    assert shown == {"false": 0, "true": 1}
