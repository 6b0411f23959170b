from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args
from unit.plugins.module_utils._fencing.fencing_fakes import NOW, fake_world

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import (
    ConfigError,
    LeaseLost,
    Paused,
    RecoveryError,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import Completed, FencingError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims, holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call
from ansible_collections.openstack_ha.recovery.plugins.modules import host_fence

UUID = "00112233-4455-6677-8899-aabbccddeeff"
IPMI = {"method": "ipmi", "address": "10.0.0.13", "username": "fence", "password": "hunter2"}
SSH = "tcp://192.0.2.3:22"


class Bmc:
    """What ipmitool would reach, and the host behind it."""

    def __init__(self, power: str = "on", obeys: bool = True, guid: str = UUID) -> None:
        self.power, self.obeys, self.guid = power, obeys, guid
        self.commands: list[str] = []

    def __call__(self, argv: list[str], **call: t.Any) -> Completed:
        command = " ".join(argv[argv.index("-L") + 2 :])
        self.commands.append(command)
        if command == "mc guid":
            return Completed(0, f"System GUID  : {self.guid}\n", "")
        if command == "chassis power off" and self.obeys:
            self.power = "off"
        return Completed(0, f"Chassis Power is {self.power}\n", "")


@pytest.fixture
def bmc() -> Bmc:
    return Bmc()


@pytest.fixture
def world(bmc: Bmc, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The results of probes, which a test may change; the rest is the BMC and a clock."""
    probes = {SSH: "silent"}
    monkeypatch.setattr(host_fence, "real_world", lambda: fake_world(run=bmc, probe=lambda urls, timeout: probes))
    return probes


def fence(check_mode: bool = False, **params: t.Any) -> dict[str, t.Any]:
    given = {
        "host": "cmp03",
        "levels": [{"timeout": 5, "tries": 1, "devices": [IPMI]}],
        "identity": {"uuid": UUID, "serial": None},
        "probe": [SSH],
        "probe_timeout": 1.0,
        "confirmed_by": None,
        "confirmed_reason": None,
        "run_id": None,
        "journal_url": None,
        **params,
    }
    return host_fence.run(Call(params=given, check_mode=check_mode))


@pytest.mark.usefixtures("world")
def test_a_host_is_switched_off_and_certified(bmc: Bmc) -> None:
    result = fence()
    certificate = result["certificate"]
    assert result["changed"]
    assert result["power_state"] == {"before": "on", "after": "off"}
    assert result["diff"] == {"before": {"power_state": "on"}, "after": {"power_state": "off"}}
    assert (certificate["host"], certificate["kind"], certificate["level"]) == ("cmp03", "ipmi", 1)
    assert (certificate["identity"], certificate["observed_state"]) == ("matched", "off")
    assert certificate["observed_at"] == NOW
    assert certificate["evidence"] == result["attempts"]
    assert [entry["method"] for entry in result["attempts"]] == ["ipmi", "probe"]


@pytest.mark.usefixtures("world")
def test_a_host_that_is_off_gets_a_certificate_and_nothing_is_changed(bmc: Bmc) -> None:
    bmc.power = "off"
    result = fence()
    assert not result["changed"]
    assert result["certificate"]["observed_state"] == "off"
    assert "chassis power off" not in bmc.commands


@pytest.mark.usefixtures("world")
def test_check_mode_reads_and_switches_nothing(bmc: Bmc) -> None:
    result = fence(check_mode=True)
    assert result["changed"]
    assert result["certificate"] is None
    assert result["power_state"] == {"before": "on", "after": "off"}
    assert bmc.commands == ["mc guid", "chassis power status"]
    bmc.power = "off"
    assert not fence(check_mode=True)["changed"]


@pytest.mark.usefixtures("world")
def test_check_mode_fails_where_fencing_would(bmc: Bmc) -> None:
    bmc.guid = "ffffffff-4455-6677-8899-aabbccddeeff"
    with pytest.raises(FencingError, match="another machine"):
        fence(check_mode=True)


@pytest.mark.usefixtures("world")
def test_a_host_that_stays_on_fails_with_all_attempts_and_a_way_out(bmc: Bmc) -> None:
    bmc.obeys = False
    with pytest.raises(FencingError, match="-e confirmed_dead_by=NAME") as caught:
        fence()
    assert caught.value.facts["changed"]
    assert "still reports on" in caught.value.facts["attempts"][0]["error"]
    assert "hunter2" not in str(caught.value.facts) + caught.value.message


def test_a_sign_of_life_refutes_the_bmc(bmc: Bmc, world: dict[str, str]) -> None:
    world[SSH] = "answers"
    with pytest.raises(FencingError, match=r"shows life at tcp://192\.0\.2\.3:22"):
        fence()


@pytest.mark.usefixtures("world")
def test_a_person_counts_only_when_the_levels_fail(bmc: Bmc) -> None:
    person = {"confirmed_by": "Ada", "confirmed_reason": "plugs pulled"}
    assert fence(**person)["certificate"]["kind"] == "ipmi"
    bmc.power, bmc.obeys = "on", False
    certificate = fence(**person)["certificate"]
    assert (certificate["kind"], certificate["confirmed_by"]) == ("operator", "Ada")
    assert certificate["observed_state"] == "on", "what the BMC said is not hidden"
    assert certificate["evidence"][-1]["method"] == "probe"


@pytest.mark.usefixtures("world")
def test_a_person_is_enough_where_there_is_no_device() -> None:
    certificate = fence(levels=[], confirmed_by="Ada", confirmed_reason="plugs pulled")["certificate"]
    assert certificate["kind"] == "operator"
    assert certificate["observed_state"] == "unknown"


@pytest.mark.usefixtures("bmc")
def test_no_person_overrules_a_sign_of_life(world: dict[str, str]) -> None:
    world[SSH] = "refused"
    with pytest.raises(FencingError, match="shows life"):
        fence(levels=[], confirmed_by="Ada", confirmed_reason="plugs pulled")


@pytest.mark.usefixtures("world")
def test_an_operator_level_fails_and_says_how_to_confirm() -> None:
    with pytest.raises(FencingError, match=r"Level 1 asks for a person's confirmation.*confirmed_dead_by"):
        fence(levels=[{"devices": [{"method": "operator"}]}])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"levels": []}, "^levels: empty"),
        ({"levels": [{"devices": [{**IPMI, "ca_path": "/x"}]}]}, r"^levels\[0\].devices\[0\].ca_path"),
        ({"probe": ["cmp03:22"]}, "^probe: must be tcp"),
        ({"probe_timeout": 0.0}, "^probe_timeout: must be greater"),
        ({"identity": {"uuid": "cmp03"}}, r"^identity\.uuid"),
    ],
)
@pytest.mark.usefixtures("world")
def test_wrong_options_are_refused_before_any_device_is_asked(wrong: dict[str, t.Any], message: str, bmc: Bmc) -> None:
    with pytest.raises(ConfigError, match=message):
        fence(**wrong)
    assert not bmc.commands


@pytest.fixture
def journal(tmp_path: Path) -> t.Iterator[Journal]:
    with open_journal(f"sqlite:///{tmp_path}/journal.db") as opened:
        yield opened


@pytest.fixture
def run_params(journal: Journal, tmp_path: Path) -> dict[str, str]:
    incident = journal.open_incident("cmp03", "R", "rack1")
    me = holder.describe(monotonic=0.0)
    run = journal.open_run([{"host": "cmp03", "incident_id": incident["id"]}], me)
    claims.take(journal, [("R", "cmp03")], run["id"], me)
    return {"run_id": run["id"], "journal_url": f"sqlite:///{tmp_path}/journal.db"}


@pytest.mark.usefixtures("world")
def test_the_certificate_of_a_run_is_in_the_journal(journal: Journal, run_params: dict[str, str]) -> None:
    certificate = fence(**run_params)["certificate"]
    kept = journal.certificate(run_params["run_id"], "cmp03")
    assert kept
    assert kept["state"] == "valid"
    assert kept["certificate"] == certificate
    assert [step["name"] for step in journal.steps(run_params["run_id"])] == ["fencing", "fenced"]


@pytest.mark.usefixtures("world")
def test_check_mode_leaves_no_certificate(journal: Journal, run_params: dict[str, str]) -> None:
    fence(check_mode=True, **run_params)
    assert journal.certificate(run_params["run_id"], "cmp03") is None


@pytest.mark.usefixtures("world")
def test_a_failure_leaves_no_certificate(journal: Journal, run_params: dict[str, str], bmc: Bmc) -> None:
    bmc.obeys = False
    with pytest.raises(FencingError):
        fence(**run_params)
    assert journal.certificate(run_params["run_id"], "cmp03") is None
    assert [step["name"] for step in journal.steps(run_params["run_id"])] == ["fencing", "not fenced"]


def test_a_claim_lost_while_the_bmc_is_slow_keeps_the_power_on(
    journal: Journal, run_params: dict[str, str], bmc: Bmc, monkeypatch: pytest.MonkeyPatch
) -> None:
    def status_then_lose(argv: list[str], **call: t.Any) -> Completed:
        done = bmc(argv, **call)
        claims.release(journal, run_params["run_id"], ["cmp03"])
        return done

    monkeypatch.setattr(host_fence, "real_world", lambda: fake_world(run=status_then_lose))
    with pytest.raises(LeaseLost) as caught:
        fence(**run_params)
    assert "chassis power off" not in bmc.commands
    assert caught.value.facts["changed"] is False


def test_a_pause_that_comes_while_the_bmc_is_asked_keeps_the_power_on(
    journal: Journal, run_params: dict[str, str], bmc: Bmc, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.add_verdict(run_params["run_id"], {"hosts": {}}, "", {}, orders_seen=0)

    def status_then_pause(argv: list[str], **call: t.Any) -> Completed:
        done = bmc(argv, **call)
        journal.add_order("R", "pause", "host", "cmp03", "Ada", "let me look first")
        return done

    monkeypatch.setattr(host_fence, "real_world", lambda: fake_world(run=status_then_pause))
    with pytest.raises(Paused, match="let me look first"):
        fence(**run_params)
    assert "chassis power off" not in bmc.commands
    assert [step["name"] for step in journal.steps(run_params["run_id"])] == ["fencing", "not fenced"]
    assert journal.fences_under_way("R") == []


def test_a_fencing_that_was_begun_is_under_way_until_its_end(
    journal: Journal, run_params: dict[str, str], bmc: Bmc, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def asked(argv: list[str], **call: t.Any) -> Completed:
        seen[" ".join(argv[-3:])] = [it["host"] for it in journal.fences_under_way("R")]
        return bmc(argv, **call)

    monkeypatch.setattr(host_fence, "real_world", lambda: fake_world(run=asked, probe=lambda *_: {SSH: "silent"}))
    fence(**run_params)
    assert seen["chassis power off"] == ["cmp03"]
    assert journal.fences_under_way("R") == []


@pytest.mark.usefixtures("world")
def test_a_host_that_the_run_holds_back_is_not_touched(journal: Journal, run_params: dict[str, str], bmc: Bmc) -> None:
    journal.set_run_host(run_params["run_id"], "cmp03", "held", "too many hosts")
    with pytest.raises(RecoveryError, match="holds it back"):
        fence(**run_params)
    assert not bmc.commands


@pytest.mark.usefixtures("world")
def test_the_module_masks_passwords_in_everything_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = {"host": "cmp03", "levels": [{"timeout": 5, "tries": 1, "devices": [IPMI]}]}
    with patch_module_args(arguments), pytest.raises(SystemExit) as ended:
        host_fence.main()
    printed = capsys.readouterr().out
    assert ended.value.code == 0
    assert json.loads(printed)["certificate"]["kind"] == "ipmi"
    assert "hunter2" not in printed


@pytest.mark.parametrize("lonely", [{"confirmed_by": "Ada"}, {"confirmed_reason": "plugs pulled"}])
def test_a_confirmation_needs_a_name_and_a_reason(lonely: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with patch_module_args({"host": "cmp03", **lonely}), pytest.raises(SystemExit):
        host_fence.main()
    assert "required together" in capsys.readouterr().out
