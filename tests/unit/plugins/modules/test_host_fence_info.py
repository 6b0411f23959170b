from __future__ import annotations

import typing as t

import pytest
from unit.plugins.module_utils._fencing.fencing_fakes import fake_world

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import Completed, FencingError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call
from ansible_collections.openstack_ha.recovery.plugins.modules import host_fence_info

UUID = "00112233-4455-6677-8899-aabbccddeeff"


def device(address: str) -> dict[str, t.Any]:
    return {"method": "ipmi", "address": address, "username": "fence", "password": "hunter2"}


def ipmitool(argv: list[str], **call: t.Any) -> Completed:
    """The BMC ``dead`` does not answer, ``other`` belongs to another host, ``mute`` has no GUID."""
    address = argv[argv.index("-H") + 1]
    assert "off" not in argv
    if address == "dead":
        raise FencingError("ipmitool gave no answer within 5.0 s")
    if argv[-2:] == ["mc", "guid"]:
        guid = {"good": UUID, "other": UUID.replace("0", "f")}.get(address, "none")
        return Completed(0, f"System GUID : {guid}\n", "")
    return Completed(0, "Chassis Power is on\n", "")


@pytest.fixture(autouse=True)
def _world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_fence_info, "real_world", lambda: fake_world(run=ipmitool))


def ask(*levels: list[dict[str, t.Any]], **params: t.Any) -> dict[str, t.Any]:
    given = {
        "host": "cmp03",
        "levels": [{"devices": devices} for devices in levels],
        "identity": {"uuid": UUID},
        "fail_on_error": False,
        **params,
    }
    return host_fence_info.run(Call(params=given))


def test_every_device_of_every_level_is_looked_at() -> None:
    result = ask([device("good"), device("mute")], [device("dead")], [device("other")])
    shown = [(it["level"], it["ok"], it["reachable"], it["identity_check"]) for it in result["devices"]]
    assert shown == [
        (1, True, True, "matched"),
        (1, True, True, "unreadable"),
        (2, False, False, "not_configured"),
        (3, False, True, "mismatch"),
    ]
    assert result["devices"][0]["identity"] == {"uuid": UUID}
    assert result["devices"][0]["power_state"] == "on"
    assert "no answer" in result["devices"][2]["error"]
    assert result["changed"] is False


def test_the_identity_is_shown_even_if_none_is_expected() -> None:
    (shown,) = ask([device("good")], identity={})["devices"]
    assert shown["identity"] == {"uuid": UUID}
    assert shown["identity_check"] == "not_configured"


@pytest.mark.parametrize(
    ("levels", "ready"),
    [
        ([["good"]], True),
        ([["dead"], ["good"]], True),
        ([["good", "dead"]], False),
        ([["other"]], False),
        ([], False),
    ],
)
def test_a_host_is_ready_when_one_level_is_whole(levels: list[list[str]], ready: bool) -> None:
    assert ask(*[[device(address) for address in level] for level in levels])["ready"] is ready


def test_an_operator_level_is_no_device() -> None:
    result = ask([{"method": "operator"}])
    assert result["devices"] == []
    assert not result["ready"]


def test_errors_fail_the_task_only_if_asked_for() -> None:
    with pytest.raises(FencingError, match="level 2, ipmi dead:623: ipmitool gave no answer") as caught:
        ask([device("good")], [device("dead")], fail_on_error=True)
    assert len(caught.value.facts["devices"]) == 2
    assert ask([device("good")], fail_on_error=True)["ready"]


def test_no_device_at_all_is_an_error_too() -> None:
    with pytest.raises(FencingError, match="no device is configured"):
        ask(fail_on_error=True)


def test_wrong_levels_are_refused_with_their_path() -> None:
    with pytest.raises(ConfigError, match=r"^levels\[0\]\.devices\[0\]\.prt"):
        ask([{**device("good"), "prt": 1}])
