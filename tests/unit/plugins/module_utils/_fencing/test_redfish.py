from __future__ import annotations

import json
import typing as t

import pytest
from unit.plugins.module_utils._fencing.fencing_fakes import fake_world

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import (
    FencingError,
    FencingRefused,
    HttpAnswer,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.redfish import Redfish

OPTIONS = {
    "address": "10.0.0.13",
    "username": "fence",
    "password": "hunter2",
    "system": "1",
    "validate_certs": True,
    "ca_path": "/etc/bmc-ca.pem",
    "use_proxy": False,
}
SYSTEM = {
    "PowerState": "On",
    "UUID": "4C4C4544-0044-4A10-8054-B7C04F564232",
    "SerialNumber": "J7D4J32",
    "Actions": {"#ComputerSystem.Reset": {"target": "/redfish/v1/Systems/1/Actions/Reset.Here"}},
}
RESET = "/redfish/v1/Systems/1/Actions/Reset.Here"
ONE = "/redfish/v1/Systems/1"


def answer(body: t.Any, status: int = 200) -> HttpAnswer:
    return HttpAnswer(status, json.dumps(body), body)


class Service:
    """Answers exactly the requests it is told, in this order."""

    def __init__(self, *expected: tuple[str, HttpAnswer]) -> None:
        self.expected = list(expected)
        self.calls: list[dict[str, t.Any]] = []

    def __call__(self, method: str, url: str, **call: t.Any) -> HttpAnswer:
        wanted, reply = self.expected.pop(0)
        assert f"{method} {url.removeprefix('https://10.0.0.13')}" == wanted
        self.calls.append(call)
        return reply


def device(*expected: tuple[str, HttpAnswer], **options: t.Any) -> tuple[Redfish, Service]:
    service = Service(*expected)
    return Redfish({**OPTIONS, **options}, fake_world(http=service)), service


def test_one_request_tells_identity_and_state_and_the_second_one_switches_off() -> None:
    redfish, service = device((f"GET {ONE}", answer(SYSTEM)), (f"POST {RESET}", HttpAnswer(204, "", None)))
    assert redfish.identity(9) == {"uuid": "4c4c4544-0044-4a10-8054-b7c04f564232", "serial": "J7D4J32"}
    assert redfish.power_state(9) == "on"
    assert redfish.power_off(9) == "HTTP 204"
    assert service.calls[1]["body"] == {"ResetType": "ForceOff"}
    assert service.calls[1]["url_password"] == "hunter2"
    assert service.calls[1]["validate_certs"] is True
    assert service.calls[1]["ca_path"] == "/etc/bmc-ca.pem"
    assert not service.expected


def test_an_old_answer_is_never_taken_for_a_read_back() -> None:
    redfish, service = device((f"GET {ONE}", answer(SYSTEM)), (f"GET {ONE}", answer({**SYSTEM, "PowerState": "Off"})))
    redfish.identity(9)
    assert redfish.power_state(9) == "on"
    assert redfish.power_state(9) == "off"
    assert not service.expected


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ("Off", "off"),
        ("PoweringOff", "on"),
        ("PoweringOn", "on"),
        ("Paused", "on"),
        (None, "unknown"),
        ("off", "unknown"),
    ],
)
def test_only_off_is_off(told: str | None, state: str) -> None:
    assert device((f"GET {ONE}", answer({"PowerState": told})))[0].power_state(1) == state


@pytest.mark.parametrize("status", [400, 409, 500])
def test_a_refused_reset_is_an_answer_with_the_services_own_words(status: int) -> None:
    error = {"error": {"code": "x", "message": "general", "@Message.ExtendedInfo": [{"Message": "Already off."}]}}
    redfish, _service = device((f"POST {ONE}/Actions/ComputerSystem.Reset", answer(error, status)))
    assert redfish.power_off(1) == f"HTTP {status} Already off."


@pytest.mark.parametrize(
    "body", [{"error": {"message": "no"}}, {"error": {"@Message.ExtendedInfo": {"Message": "x"}, "message": "no"}}]
)
def test_other_forms_of_error_bodies_are_understood(body: t.Any) -> None:
    redfish, _service = device((f"POST {ONE}/Actions/ComputerSystem.Reset", answer(body, 400)))
    assert redfish.power_off(1) == "HTTP 400 no"


def test_a_system_may_be_left_out_when_there_is_only_one() -> None:
    systems = answer({"Members": [{"@odata.id": "/redfish/v1/Systems/437XR"}]})
    redfish, _service = device(
        ("GET /redfish/v1/Systems", systems), ("GET /redfish/v1/Systems/437XR", answer(SYSTEM)), system=None
    )
    assert redfish.power_state(1) == "on"


@pytest.mark.parametrize("members", [[], ["/redfish/v1/Systems/1", "/redfish/v1/Systems/2"]])
def test_none_or_several_systems_and_none_named_is_refused(members: list[str]) -> None:
    systems = answer({"Members": [{"@odata.id": member} for member in members]})
    with pytest.raises(FencingRefused, match=f"has {len(members)} systems"):
        device(("GET /redfish/v1/Systems", systems), system=None)[0].identity(1)


def test_a_system_may_be_named_by_its_path() -> None:
    redfish, _service = device(
        ("GET /redfish/v1/Systems/blade-7", answer(SYSTEM)), system="/redfish/v1/Systems/blade-7/"
    )
    assert redfish.power_state(1) == "on"


def test_a_reset_target_on_another_host_gets_no_credentials() -> None:
    target = {"Actions": {"#ComputerSystem.Reset": {"target": "https://evil.example/redfish/v1/Reset"}}}
    redfish, service = device(
        (f"GET {ONE}", answer({**SYSTEM, **target})), ("POST /redfish/v1/Reset", HttpAnswer(204, "", None))
    )
    redfish.power_state(1)
    redfish.power_off(1)
    assert not service.expected


@pytest.mark.parametrize("status", [401, 403, 404])
def test_answers_that_another_try_cannot_change_are_refusals(status: int) -> None:
    with pytest.raises(FencingRefused, match=f"HTTP {status}"):
        device((f"GET {ONE}", answer({}, status)))[0].power_state(1)


@pytest.mark.parametrize("reply", [answer({}, 500), HttpAnswer(200, "<html>", None), answer({}, 302)])
def test_anything_but_a_resource_is_an_error(reply: HttpAnswer) -> None:
    with pytest.raises(FencingError) as caught:
        device((f"GET {ONE}", reply))[0].power_state(1)
    assert not isinstance(caught.value, FencingRefused)


@pytest.mark.parametrize("told", [{}, {"UUID": None, "SerialNumber": ""}, {"UUID": "to be filled by O.E.M."}])
def test_a_system_that_does_not_say_who_it_is_is_unreadable(told: dict[str, t.Any]) -> None:
    assert device((f"GET {ONE}", answer({"PowerState": "On", **told})))[0].identity(1) == {}


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("bmc13", "https://bmc13"),
        ("10.0.0.13:8443", "https://10.0.0.13:8443"),
        ("https://[2001:db8::1]/", "https://[2001:db8::1]"),
        ("http://bmc13", "http://bmc13"),
    ],
)
def test_an_address_without_a_scheme_means_https(address: str, url: str) -> None:
    Redfish.check({"address": address})
    assert device(address=address)[0].address == url


@pytest.mark.parametrize("address", ["https://user:pw@bmc13", "ftp://bmc13", "https://bmc13/redfish/v1", "https://"])
def test_an_address_that_says_more_or_less_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"^address: must be") as caught:
        Redfish.check({"address": address})
    assert "pw" not in caught.value.message
