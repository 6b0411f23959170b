from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from unit.plugins.module_utils._fencing.fencing_fakes import fake_world

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import (
    Completed,
    FencingError,
    FencingRefused,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.fence_agent import FenceAgent

OPTIONS = {
    "agent": "fence_example",
    "options": {"ip": "10.0.1.1", "plug": 13, "ssl": True},
    "secrets": {"password": "hunter2"},
}


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, t.Any]]:
    program = tmp_path / "fence_example"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return []


def agent(done: Completed, calls: list[dict[str, t.Any]]) -> FenceAgent:
    def run(argv: list[str], **call: t.Any) -> Completed:
        calls.append({"argv": argv, **call})
        return done

    return FenceAgent(OPTIONS, fake_world(run=run))


def test_everything_goes_by_standard_input(calls: list[dict[str, t.Any]], tmp_path: Path) -> None:
    agent(Completed(0, "", ""), calls).power_off(20)
    assert calls == [
        {
            "argv": [str(tmp_path / "fence_example")],
            "env": {},
            "stdin": "ip=10.0.1.1\nplug=13\nssl=1\npassword=hunter2\naction=off\n",
            "timeout": 20,
        }
    ]


@pytest.mark.parametrize(("rc", "state"), [(0, "on"), (2, "off")])
def test_the_exit_code_of_status_is_the_power_state(rc: int, state: str, calls: list[dict[str, t.Any]]) -> None:
    assert agent(Completed(rc, "", ""), calls).power_state(1) == state


@pytest.mark.parametrize("rc", [1, 3, -9])
def test_any_other_exit_code_is_an_error(rc: int, calls: list[dict[str, t.Any]]) -> None:
    with pytest.raises(FencingError, match=f"exit code {rc}: Connection timed out"):
        agent(Completed(rc, "", "Connection timed out"), calls).power_state(1)


def test_warnings_of_python_are_not_the_agents_words(calls: list[dict[str, t.Any]]) -> None:
    noise = "/usr/sbin/fence_x:5: DeprecationWarning: 'pipes' is deprecated\n  from pipes import quote\nERROR: no\n"
    assert agent(Completed(1, "", noise), calls).power_off(1) == "fence_example exit code 1: ERROR: no"


def test_secrets_that_an_agent_prints_are_hidden(calls: list[dict[str, t.Any]]) -> None:
    assert "hunter2" not in agent(Completed(1, "", "login hunter2 failed"), calls).power_off(1)


def test_an_agent_that_is_not_there_is_named() -> None:
    device = FenceAgent({**OPTIONS, "agent": "fence_no_such"}, fake_world())
    with pytest.raises(FencingRefused, match="no fence_no_such on this machine"):
        device.power_state(1)


@pytest.mark.parametrize("agent", ["/bin/sh", "fence_x; reboot", "sh", "../fence_x"])
def test_only_fence_agents_are_run(agent: str) -> None:
    with pytest.raises(ConfigError, match=r"^agent: must be"):
        FenceAgent.check({"agent": agent})


@pytest.mark.parametrize("key", ["password", "passwd", "snmp_priv_passwd", "api_key", "token", "community"])
def test_a_secret_among_the_open_options_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=f"^options.{key}: looks like a secret") as caught:
        FenceAgent.check({"agent": "fence_x", "options": {key: "hunter2"}})
    assert "hunter2" not in caught.value.message


def test_a_script_that_prints_a_password_is_no_secret() -> None:
    FenceAgent.check({"agent": "fence_x", "options": {"password_script": "/etc/bmc.sh"}})


@pytest.mark.parametrize(
    "options", [{"action": "on"}, {"debug_file": "/tmp/x"}, {"ip": "a\naction=on"}, {"ip": ["a"]}, {"i=p": "a"}]
)
def test_what_would_change_the_conversation_is_refused(options: dict[str, t.Any]) -> None:
    with pytest.raises(ConfigError, match=r"^options\."):
        FenceAgent.check({"agent": "fence_x", "options": options})
    with pytest.raises(ConfigError, match=r"^secrets\."):
        FenceAgent.check({"agent": "fence_x", "secrets": options})


@pytest.mark.parametrize(
    ("options", "where"),
    [({"ip": "10.0.1.1", "plug": 3}, "fence_x 10.0.1.1"), ({"plug": 3}, "fence_x 3"), ({}, "fence_x")],
)
def test_the_device_is_named_by_its_address_or_plug(options: dict[str, t.Any], where: str) -> None:
    assert FenceAgent({"agent": "fence_x", "options": options, "secrets": {}}, fake_world()).address == where
