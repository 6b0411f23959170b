from __future__ import annotations

import contextlib
import types
import typing as t
from pathlib import Path

import pytest
from unit.plugins.module_utils._fencing.fencing_fakes import fake_world

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import Completed, FencingError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call
from ansible_collections.openstack_ha.recovery.plugins.modules import host_fence_info

SSH = "tcp://192.0.2.3:22"
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
def probes(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What endpoints answer, which a test may change."""
    answers = {SSH: "answers"}
    world = fake_world(run=ipmitool, probe=lambda urls, timeout: {url: answers[url] for url in urls})
    monkeypatch.setattr(host_fence_info, "real_world", lambda: world)
    monkeypatch.setattr(host_fence_info._cloud, "connect", lambda params: types.SimpleNamespace(region="R"))
    return answers


def ask(*levels: list[dict[str, t.Any]], check_mode: bool = False, **params: t.Any) -> dict[str, t.Any]:
    given = {
        "host": "cmp03",
        "levels": [{"devices": devices} for devices in levels],
        "identity": {"uuid": UUID},
        "probe": [],
        "probe_timeout": 1.0,
        "record": False,
        "journal_url": None,
        "fail_on_error": False,
        **params,
    }
    return host_fence_info.run(Call(params=given, check_mode=check_mode))


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/journal.db"


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


def test_a_probe_that_is_silent_on_a_healthy_host_is_told(probes: dict[str, str]) -> None:
    probes[SSH] = "silent"
    result = ask([device("good")], probe=[SSH])
    assert (result["result"], result["silent_probes"]) == ("failed", [SSH])
    assert result["said"] == f"probes that are silent although the host is not off: {SSH}"
    assert result["ready"], "it could be fenced all the same"
    with pytest.raises(FencingError, match="silent although"):
        ask([device("good")], probe=[SSH], fail_on_error=True)


@pytest.mark.parametrize("answer", ["answers", "refused"])
def test_a_probe_that_shows_life_is_good(answer: str, probes: dict[str, str]) -> None:
    probes[SSH] = answer
    assert ask([device("good")], probe=[SSH])["result"] == "ok"


def test_a_probe_of_a_host_that_is_off_may_be_silent(probes: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    def off(argv: list[str], **call: t.Any) -> Completed:
        return Completed(0, "Chassis Power is off\n" if argv[-1] == "status" else f"System GUID : {UUID}\n", "")

    world = fake_world(run=off, probe=lambda urls, timeout: dict.fromkeys(urls, "silent"))
    monkeypatch.setattr(host_fence_info, "real_world", lambda: world)
    assert ask([device("good")], probe=[SSH])["result"] == "ok"


def test_an_endpoint_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^probe: must be tcp"):
        ask([device("good")], probe=["cmp03"])


@pytest.mark.parametrize(
    ("levels", "result", "said"),
    [
        ([["good"]], "ok", ""),
        ([["good"], ["dead"]], "failed", "level 2, ipmi dead:623: ipmitool gave no answer within 5.0 s"),
        ([["dead"], ["other"]], "mismatch", "another machine"),
        ([], "failed", "no device is configured"),
    ],
)
def test_the_result_is_recorded_and_the_one_before_is_returned(
    levels: list[list[str]], result: str, said: str, url: str
) -> None:
    given = [[device(address) for address in level] for level in levels]
    first = ask(*given, record=True, journal_url=url)
    assert (first["result"], first["last_check"]) == (result, None)
    assert said in first["said"]
    with open_journal(url) as journal:
        kept = journal.fence_checks("R")["cmp03"]
    assert (kept["result"], kept["said"]) == (result, first["said"])
    last = ask([device("good")], record=True, journal_url=url)["last_check"]
    assert (last["result"], last["said"]) == (result, first["said"])
    assert 0 <= last["age"] < 60


def test_a_failure_is_recorded_as_well_as_told(url: str) -> None:
    with pytest.raises(FencingError) as caught:
        ask([device("dead")], record=True, journal_url=url, fail_on_error=True)
    assert caught.value.facts["result"] == "failed"
    with open_journal(url) as journal:
        assert journal.fence_checks("R")["cmp03"]["result"] == "failed"


def test_check_mode_records_nothing(url: str) -> None:
    assert ask([device("good")], record=True, journal_url=url, check_mode=True)["result"] == "ok"
    with open_journal(url) as journal:
        assert journal.fence_checks("R") == {}


def test_nothing_is_recorded_unless_asked_for(url: str) -> None:
    ask([device("good")], journal_url=url)
    with open_journal(url) as journal:
        assert journal.fence_checks("R") == {}


def test_a_journal_that_cannot_be_written_does_not_hide_what_was_seen() -> None:
    with pytest.raises(RecoveryError, match="The fence check was not recorded: ") as caught:
        ask([device("dead")], record=True, journal_url="sqlite:////dev/null/journal.db")
    assert caught.value.facts["devices"][0]["error"] == "ipmitool gave no answer within 5.0 s"
    assert caught.value.facts["result"] == "failed"


def test_a_watchdog_is_checked_by_what_the_journal_knows_of_the_agent(url: str) -> None:
    def check() -> dict[str, t.Any]:
        return ask([{"method": "watchdog"}], record=True, journal_url=url)

    assert "never heard" in check()["said"]
    with open_journal(url) as journal:
        journal.sight("R", "cmp03", "ctl1", armed=True)
    result = check()
    assert (result["result"], result["ready"]) == ("ok", True)
    assert "safe time of 180 s" in result["devices"][0]["told"]
    with open_journal(url) as journal:
        journal.sight("R", "cmp03", "ctl1", armed=False)
    assert "not armed when ctl1" in check()["said"]
    assert "not checked: what its agent said" in ask([{"method": "watchdog"}])["said"]


def test_a_wait_for_a_crash_kernel_alone_makes_no_host_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    world = fake_world(listen=lambda *where: contextlib.nullcontext())
    monkeypatch.setattr(host_fence_info, "real_world", lambda: world)
    result = ask([{"method": "kdump", "from": ["192.0.2.3"], "accept": True}])
    assert (result["result"], result["ready"]) == ("failed", False)
    assert result["said"] == "no level fences it in every case"
