"""The playbooks simulate and replay as an operator runs them."""

from __future__ import annotations

import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from tree import collections_path

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _recovery
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults

BIN = Path(sys.executable).parent
RECKLESS = """
gates:
  mass_silence: {hosts: 1000}
  cool_down: 0
budgets:
  cloud: {at_once: 100, per_hour: 100}
  segment: {at_once: 100, per_hour: 100}
  failure_domain: {at_once: 100, per_hour: 100}
"""
Playbook = t.Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def playbook(tmp_path: Path) -> Playbook:
    def run(name: str, **variables: t.Any) -> subprocess.CompletedProcess[str]:
        extra = [word for key, value in variables.items() for word in ("-e", f"{key}={value}")]
        environment = {
            "ANSIBLE_COLLECTIONS_PATH": str(collections_path()),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_NOCOLOR": "true",
        }
        return subprocess.run(
            [BIN / "ansible-playbook", f"openstack_ha.recovery.{name}", *extra],
            capture_output=True,
            text=True,
            timeout=300,
            cwd=tmp_path,
            env={**os.environ, **environment},
            check=False,
        )

    return run


def test_stories_are_listed_and_one_is_shown(playbook: Playbook) -> None:
    listed = playbook("simulate")
    assert listed.returncode == 0, listed.stdout
    assert "rack_loss: A rack of four hosts loses its power" in listed.stdout
    played = playbook("simulate", story="rack_loss")
    assert played.returncode == 0, played.stdout
    assert "   2:00  power of rack-a is lost" in played.stdout
    assert "1 stories played; 0 end in another way, 0 with harm" in played.stdout


def test_a_policy_is_tried_out_on_stories_and_its_harm_is_told(playbook: Playbook, tmp_path: Path) -> None:
    policy = tmp_path / "ha_policy.yml"
    policy.write_text(RECKLESS)
    done = playbook("simulate", story="rack_loss,single_dead_host", policy_file=policy)
    assert done.returncode == 0, done.stdout
    assert "rack_loss ends in another way than with its own policy" in done.stdout
    assert "single_dead_host ends" not in done.stdout


def test_a_policy_that_hurts_somebody_fails(playbook: Playbook, tmp_path: Path) -> None:
    policy = tmp_path / "ha_policy.yml"
    policy.write_text("gates: {kdump: {timeout: 30}}\n")
    done = playbook("simulate", story="kdump_is_written", policy_file=policy)
    assert done.returncode != 0
    assert "HARM: the crash dump of cmp01 was cut short" in done.stdout


def test_a_mistake_in_the_policy_is_told(playbook: Playbook, tmp_path: Path) -> None:
    policy = tmp_path / "ha_policy.yml"
    policy.write_text("gates: {witnesses: {neded: 1}}\n")
    done = playbook("simulate", story="single_dead_host", policy_file=policy)
    assert done.returncode != 0
    assert "gates.witnesses.neded" in done.stdout + done.stderr


def test_a_journaled_run_is_decided_again_with_another_policy(playbook: Playbook, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    run_id = journaled(url)
    same = playbook("replay", run=run_id, ha_journal_url=url)
    assert same.returncode == 0, same.stdout
    assert "then: recover: all gates passed" in same.stdout
    policy = tmp_path / "ha_policy.yml"
    policy.write_text("gates: {witnesses: {needed: 3, ask_after: 60}}\n")
    other = playbook("replay", run=run_id, ha_journal_url=url, policy_file=policy)
    assert other.returncode != 0
    assert "now:  ask (witnesses): only 2 of 3" in other.stdout
    assert "1 of 1 verdicts differ." in other.stdout


def journaled(url: str) -> str:
    """A run that decided about a dead host, by hand."""
    holder = {"user": "ann", "hostname": "ctl1", "boot_id": None, "pid_namespace": None, "pid": None, "monotonic": 0.0}
    with open_journal(url) as journal:
        run = _recovery.begin(journal, "RegionOne", {"cmp01": "rack1"}, holder, 30.0, lambda text: None)
        _recovery.decide(journal, run["id"], snapshot(), defaults())
    return str(run["id"])


def snapshot() -> dict[str, t.Any]:
    well = {
        "known": True, "segment": "rack1", "domain": None, "role": "active", "state": "up", "status": "enabled",
        "disabled_reason": None, "forced_down": False, "maintenance": False, "silent": False, "networks": {},
        "kdump": None, "recoveries": 0, "fencing": {"levels": 1, "check": "ok", "age": 1.0, "said": ""},
    }  # fmt: skip
    hosts = {name: {**well, "names": [name]} for name in ("cmp01", "cmp02", "cmp03", "cmp04")}
    hosts["cmp01"].update(
        state="down", silent=True, witnesses={"operator": "down", "nova": "down"}, signs_of_life=[], suspected_for=90.0
    )
    return {
        "caller": "operator", "suspects": ["cmp01"], "hosts": hosts, "answers": [],
        "control": {"nova-conductor": 1, "nova-scheduler": 1}, "in_flight": [], "fences": [], "orders": [],
        "storm": {"silent_for": None, "ended_ago": None}, "observer": {"name": "ctl1", "api": True, "networks": {}},
    }  # fmt: skip
