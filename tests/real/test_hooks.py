"""Task files of operators in recover_host on real Nova: what they get, and what it leads to that they fail."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from bed.client import Bed
from driver import Outcome, Playbooks

Recovery = t.Callable[..., Playbooks]

PHASES = ("before_fence", "after_fence", "before_evacuate", "after_verify", "on_failure")
RACK = {"rack1": {"hosts": ["cmp01", "cmp02", "cmp03"], "shared_storage": True}}

#: Keeps what it gets.
NOTE = """
- name: Note what the hook gets
  ansible.builtin.copy:
    content: "{{{{ ha_hook | to_json }}}}"
    dest: "{directory}/{{{{ ha_hook.phase }}}}-{{{{ ha_hook.host | default('all', true) }}}}.json"
    mode: "0600"
"""
FAIL = "\n- name: Fail\n  ansible.builtin.fail: {msg: the load balancer does not answer}\n"


class Hooks:
    """A policy with hooks, and what they were given."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "hooks"
        self.directory.mkdir()
        self.policy = directory / "ha_policy.yml"
        self.note = self.add("note", NOTE.format(directory=self.directory))

    def add(self, name: str, text: str) -> str:
        path = self.directory / f"{name}.yml"
        path.write_text(text)
        return str(path)

    def set(self, **phases: t.Any) -> None:
        self.policy.write_text(json.dumps({"hooks": phases}))

    def given(self) -> dict[str, t.Any]:
        """What hooks were given, by ``phase-host``."""
        return {path.stem: json.loads(path.read_text()) for path in self.directory.glob("*.json")}


@pytest.fixture
def hooks(tmp_path: Path) -> Hooks:
    return Hooks(tmp_path)


def steps(playbooks: Playbooks) -> list[str]:
    return [step["name"] for step in playbooks.report()["steps"]]


def outcomes(playbooks: Playbooks) -> dict[str, tuple[str, str]]:
    return {it["host"]: (it["outcome"], it["reason"] or "") for it in playbooks.report()["hosts"]}


def fenced(cloud: Bed, host: str) -> bool:
    return cloud.status()[host]["power"] == "off"


def tasks_of(outcome: Outcome) -> list[str]:
    return [line for line in outcome.out.splitlines() if line.startswith("TASK [")]


def test_each_phase_gets_what_is_known_by_then_and_a_recovery_without_hooks_has_none_of_their_tasks(
    cloud: Bed, recovery: Recovery, hooks: Hooks
) -> None:
    cloud.fill("cmp01", 1)
    cloud.fill("cmp02", 1)
    playbooks = recovery(RACK)
    hooks.set(**{phase: {"files": [hooks.note]} for phase in PHASES})
    cloud.crash("cmp01")

    assert (outcome := playbooks.recover("cmp01")), outcome.out

    given = hooks.given()
    assert set(given) == {"before_fence-cmp01", "after_fence-cmp01", "before_evacuate-all", "after_verify-all"}
    run = playbooks.report()["run"]["id"]
    assert {(it["run_id"], tuple(it["hosts"])) for it in given.values()} == {(run, ("cmp01",))}
    assert given["before_fence-cmp01"]["verdicts"]["cmp01"]["verdict"] == "recover"
    assert given["before_fence-cmp01"]["certificate"] is None
    assert given["after_fence-cmp01"]["certificate"]["observed_state"] == "off"
    assert [line["host"] for line in given["before_evacuate-all"]["plan"]["lines"]] == ["cmp01"]
    assert given["after_verify-all"]["report"]["hosts"][0]["outcome"] == "recovered"
    named = [name for name in steps(playbooks) if name.startswith("hook")]
    assert named == [f"hook {phase} {word}" for phase in PHASES[:4] for word in ("begins", "done")]

    hooks.set()
    cloud.crash("cmp02")
    assert (plain := playbooks.recover("cmp02", max_hosts_at_once=2)), plain.out
    assert not [line for line in tasks_of(plain) if "hook" in line.lower()]
    assert "Could not match" not in plain.out + outcome.out


def test_hooks_that_fail_are_told_and_the_recovery_goes_on(cloud: Bed, recovery: Recovery, hooks: Hooks) -> None:
    vms = cloud.fill("cmp01", 1)
    playbooks = recovery(RACK)
    slow = hooks.add("slow", "- ansible.builtin.command: sleep 300\n- ansible.builtin.command: sleep 300\n")
    lost = hooks.add(
        "lost", "- ansible.builtin.ping:\n  delegate_to: nowhere.invalid\n  vars: {ansible_connection: ssh}\n"
    )
    failing = hooks.add("failing", FAIL)
    hooks.set(
        before_fence={"files": [lost], "timeout": 20},
        after_fence={"files": [failing]},
        before_evacuate={"files": [slow], "timeout": 1},
        after_verify={"files": [str(hooks.directory / "none.yml")]},
    )
    cloud.crash("cmp01")

    outcome = playbooks.recover("cmp01")

    assert outcome, outcome.out
    assert outcomes(playbooks) == {"cmp01": ("recovered", "")}
    assert cloud.ever_ran_twice() == []
    assert sorted(vm for uuids in cloud.running().values() for vm in uuids) == vms
    told = [name for name in steps(playbooks) if "went on" in name]
    assert told[0] == "hook after_fence failed, went on: Fail: the load balancer does not answer"
    assert [name.split(",")[0] for name in told] == [
        f"hook {phase} failed" for phase in ("after_fence", "before_evacuate", "after_verify")
    ]
    assert told[0] in outcome.out


def test_a_hook_that_is_to_stop_a_recovery_before_it_fences_leaves_the_host_untouched(
    cloud: Bed, recovery: Recovery, hooks: Hooks
) -> None:
    cloud.fill("cmp01", 1)
    playbooks = recovery(RACK)
    failing = {"files": [hooks.add("failing", FAIL)], "on_error": "stop"}
    hooks.set(before_fence=failing, on_failure={"files": [hooks.note]})
    cloud.crash("cmp01")
    cloud.reset_api_calls()

    outcome = playbooks.recover("cmp01")

    assert not outcome
    assert not fenced(cloud, "cmp01")
    assert not cloud.services()["cmp01"]["forced_down"]
    assert cloud.api_log() == []
    how, why = outcomes(playbooks)["cmp01"]
    assert how == "held"
    assert "hook before_fence failed, stopped: Fail: the load balancer does not answer" in why
    assert "NOT FENCED: cmp01 was not touched" in outcome.out
    assert hooks.given()["on_failure-all"]["report"]["hosts"][0]["outcome"] == "held"


def test_what_a_hook_has_stopped_before_it_was_evacuated_is_recovered_by_the_next_run(
    cloud: Bed, recovery: Recovery, hooks: Hooks
) -> None:
    vms = cloud.fill("cmp01", 1)
    playbooks = recovery(RACK)
    hooks.set(before_evacuate={"files": [hooks.add("failing", FAIL)], "on_error": "stop"})
    cloud.crash("cmp01")

    assert not playbooks.recover("cmp01")

    assert fenced(cloud, "cmp01")
    assert [call for call in cloud.api_log() if call.get("action") == "evacuate"] == []
    how, why = outcomes(playbooks)["cmp01"]
    assert (how, why) == ("held", "hook before_evacuate failed, stopped: Fail: the load balancer does not answer")

    hooks.set()

    assert (again := playbooks.recover("cmp01")), again.out
    assert outcomes(playbooks) == {"cmp01": ("recovered", "")}
    assert sorted(vm for uuids in cloud.running().values() for vm in uuids) == vms


def test_a_missing_file_that_is_to_stop_a_recovery_is_told_before_anything_is_begun(
    cloud: Bed, recovery: Recovery, hooks: Hooks
) -> None:
    playbooks = recovery(RACK)
    missing = str(hooks.directory / "none.yml")
    hooks.set(after_fence={"files": [missing], "on_error": "stop"})
    cloud.crash("cmp01")

    outcome = playbooks.recover("cmp01")

    assert not outcome
    assert f"are missing here: {missing}" in outcome.out
    assert not fenced(cloud, "cmp01")
    checked = playbooks.run("validate_policy")
    assert f"hooks.after_fence.files[0]: {missing} is not here" in checked.out
