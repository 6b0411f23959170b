from __future__ import annotations

import typing as t

import pytest
from unit.plugins.module_utils._fencing.fencing_fakes import fake_world

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import Completed, FencingError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.ipmi import Ipmi

OPTIONS = {
    "address": "10.0.0.13",
    "port": 623,
    "username": "fence",
    "password": "hunter2",
    "cipher_suite": 17,
    "privilege": "operator",
}


class Runner:
    """Answers one command after the other and remembers the calls."""

    def __init__(self, *answers: Completed) -> None:
        self.answers = list(answers)
        self.calls: list[dict[str, t.Any]] = []

    def __call__(self, argv: list[str], **call: t.Any) -> Completed:
        self.calls.append({"argv": argv, **call})
        return self.answers.pop(0)


def device(*answers: Completed) -> tuple[Ipmi, Runner]:
    runner = Runner(*answers)
    return Ipmi(OPTIONS, fake_world(run=runner)), runner


def test_the_password_goes_by_environment_and_never_on_the_command_line() -> None:
    ipmi, runner = device(Completed(0, "Chassis Power is on\n", ""))
    assert ipmi.power_state(7.5) == "on"
    call = runner.calls[0]
    assert call["env"] == {"IPMI_PASSWORD": "hunter2", "IPMITOOL_PASSWORD": "hunter2"}
    assert "hunter2" not in " ".join(call["argv"]) + call["stdin"]
    assert call["timeout"] == 7.5
    assert " ".join(call["argv"]) == (
        "ipmitool -I lanplus -H 10.0.0.13 -p 623 -U fence -E -C 17 -N 1 -R 3 -L OPERATOR chassis power status"
    )


@pytest.mark.parametrize(
    ("output", "state"),
    [
        ("Chassis Power is on", "on"),
        ("Chassis Power is off", "off"),
        ("Chassis Power is offline", "unknown"),
        ("", "unknown"),
    ],
)
def test_only_clear_words_are_a_power_state(output: str, state: str) -> None:
    assert device(Completed(0, output, ""))[0].power_state(1) == state


def test_an_error_is_no_power_state_even_if_the_words_are_there() -> None:
    with pytest.raises(FencingError, match="exit code 1: Chassis Power is off"):
        device(Completed(1, "Chassis Power is off", ""))[0].power_state(1)


def test_a_refused_power_off_is_an_answer() -> None:
    refused = "Set Chassis Power Control to Down/Off failed: Unspecified error"
    assert refused in device(Completed(1, "", refused))[0].power_off(1)


@pytest.mark.parametrize(
    "output",
    [
        "System GUID   : 00112233445566778899AABBCCDDEEFF\n",
        "System GUID  : 00112233-4455-6677-8899-aabbccddeeff\nTimestamp    : 06/06/1999 10:26:27\n",
        "System GUID   : 00112233-4455-6677-8899-aabbccddeeff\nGUID Encoding : SMBIOS\n",
    ],
    ids=["dump", "ipmitool 1.8.18", "ipmitool 1.8.19"],
)
def test_the_guid_is_read_as_any_ipmitool_prints_it(output: str) -> None:
    assert device(Completed(0, output, ""))[0].identity(1) == {"uuid": "00112233-4455-6677-8899-aabbccddeeff"}


@pytest.mark.parametrize(
    "done",
    [
        Completed(1, "", "Get GUID command failed: Invalid command"),
        Completed(0, "System GUID   : 00000000000000000000000000000000\n", ""),
        Completed(0, "System GUID   : FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF\n", ""),
        Completed(0, "something else\n", ""),
    ],
)
def test_a_bmc_without_a_guid_is_unreadable(done: Completed) -> None:
    assert device(done)[0].identity(1) == {}


def test_no_session_is_an_error_and_not_an_unreadable_identity() -> None:
    with pytest.raises(FencingError, match="Unable to establish"):
        device(Completed(1, "", "Error: Unable to establish IPMI v2 / RMCP+ session"))[0].identity(1)


def test_a_password_that_comes_back_is_hidden() -> None:
    assert "hunter2" not in device(Completed(1, "", "bad password hunter2"))[0].power_off(1)


def test_a_port_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^port: must be from 1 to 65535"):
        Ipmi.check({"port": 70000})
