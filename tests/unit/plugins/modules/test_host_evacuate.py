from __future__ import annotations

import dataclasses
import typing as t

import pytest
import yaml
from unit.fakes.tasks import PROOF, Tasks, WrongOptions

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import (
    CertificateError,
    ConfigError,
    LeaseLost,
    RecoveryError,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import Completed
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.world import real_world
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults
from ansible_collections.openstack_ha.recovery.plugins.modules import (
    compute_service,
    evacuation_plan,
    host_evacuate,
    recovery_run,
)
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Fate, Nova

ROOM = {"VCPU": 8, "MEMORY_MB": 8192}
AT_ONCE = Fate(takes=0.0)


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any) -> Tasks:
    hosts = ["cmp01", "cmp02", "cmp03"]
    nova = Nova(Clock(), hosts, [])
    nova.services["cmp01"].update(state="down")
    nova.add("a", "cmp01")
    nova.add("b", "cmp01", "building")
    nova.fates["a"] = [AT_ONCE]
    return Tasks(monkeypatch, FakeCloud(nova, dict.fromkeys(hosts, ROOM)), tmp_path)


@pytest.fixture
def run_id(tasks: Tasks) -> str:
    run_id = tasks.open("cmp01")
    tasks.run(compute_service, host="cmp01", status="disabled", forced_down=True, run_id=run_id)
    return run_id


def evacuate(tasks: Tasks, check_mode: bool = False, **args: t.Any) -> dict[str, t.Any]:
    plan = tasks.run(evacuation_plan, hosts=["cmp01"], topology=tasks.topology, run_id=args.get("run_id"))
    return tasks.run(host_evacuate, check_mode, **{"plan": plan, "topology": tasks.topology, **args})


def test_a_plan_is_carried_out_and_the_ledger_knows_it(tasks: Tasks, run_id: str) -> None:
    tasks.prove_off(run_id, "cmp01")
    result = evacuate(tasks, run_id=run_id)
    assert (result["changed"], result["counts"]) == (True, {"verified": 1, "skipped": 1})
    assert result["ledger"][0]["target"] == "cmp02"
    report = tasks.run(recovery_run, state="closed", run_id=run_id)["report"]
    assert [(row["server_id"], row["state"]) for row in report["ledger"]] == [("a", "verified"), ("b", "skipped")]
    assert report["hosts"][0]["outcome"] == "recovered"
    assert {step["name"] for step in report["steps"]} >= {"forced_down", "first_evacuate", "last_active"}


def test_what_is_returned_is_what_is_documented(tasks: Tasks, run_id: str) -> None:

    tasks.prove_off(run_id, "cmp01")
    documented = yaml.safe_load(host_evacuate.RETURN)
    result = evacuate(tasks, run_id=run_id)
    assert set(result) - {"changed"} == set(documented)
    assert set(result["ledger"][0]) == set(documented["ledger"]["contains"])


IPMI = {"method": "ipmi", "address": "192.0.2.9", "username": "ha", "password": "pass-word-1"}


def test_a_fenced_host_that_its_bmc_reports_on_is_not_evacuated_any_more(
    tasks: Tasks, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def run(argv: list[str], **_how: t.Any) -> Completed:
        asked.append(argv)
        return Completed(0, "Chassis Power is on", "")

    monkeypatch.setattr(host_evacuate, "real_world", lambda: dataclasses.replace(real_world(), run=run))
    with tasks.journal() as journal:
        journal.add_certificate(run_id, "cmp01", {**PROOF, "level": 1})
    fencing = [{"host": "cmp01", "levels": [{"devices": [IPMI]}]}, {"host": "cmp09", "levels": []}]
    tasks.nova.fates["a"] = [Fate(takes=600.0)]
    with pytest.raises(CertificateError, match=r"STOP: cmp01 shows life .*: ipmi 192.0.2.9:623 reports that it is on"):
        evacuate(tasks, run_id=run_id, fencing=fencing)
    assert asked[0][-3:] == ["chassis", "power", "status"]


def test_levels_that_are_wrong_are_refused_before_anything_is_done(tasks: Tasks, run_id: str) -> None:
    tasks.prove_off(run_id, "cmp01")
    before = list(tasks.cloud.changes)
    with pytest.raises(ConfigError, match=r"fencing\[0\].levels\[0\].devices\[0\]"):
        evacuate(tasks, run_id=run_id, fencing=[{"host": "cmp01", "levels": [{"devices": [{"method": "ipmi"}]}]}])
    assert tasks.cloud.changes == before


@pytest.mark.parametrize("proof", [None, {"kind": "ipmi", "observed_state": "unknown"}])
def test_without_proof_that_the_host_is_off_no_call_is_made(
    tasks: Tasks, run_id: str, proof: dict[str, str] | None
) -> None:
    before = list(tasks.cloud.changes)
    if proof:
        with tasks.journal() as journal:
            journal.add_certificate(run_id, "cmp01", proof)
    with pytest.raises(CertificateError):
        evacuate(tasks, run_id=run_id)
    assert tasks.cloud.changes == before


def test_a_void_certificate_stops_it_and_says_why(tasks: Tasks, run_id: str) -> None:
    tasks.prove_off(run_id, "cmp01")
    with tasks.journal() as journal:
        found = journal.certificate(run_id, "cmp01")
        assert found
        journal.void_certificate(found["id"], "it answered ping")
    with pytest.raises(CertificateError, match="it answered ping"):
        evacuate(tasks, run_id=run_id)
    assert tasks.nova.requests == []


def test_a_run_that_lost_its_claim_makes_no_call(tasks: Tasks, run_id: str) -> None:
    tasks.prove_off(run_id, "cmp01")
    plan = tasks.run(evacuation_plan, hosts=["cmp01"], topology=tasks.topology)
    with tasks.journal() as journal:
        claims.release(journal, run_id, ["cmp01"])
    with pytest.raises(LeaseLost):
        tasks.run(host_evacuate, plan=plan, topology=tasks.topology, run_id=run_id)
    assert tasks.nova.requests == []


def test_check_mode_needs_no_run_and_makes_no_call(tasks: Tasks) -> None:
    result = evacuate(tasks, check_mode=True)
    assert (result["changed"], result["counts"]) == (True, {"planned": 1, "skipped": 1})
    assert tasks.cloud.changes == []


def test_carrying_out_the_same_plan_again_changes_nothing(tasks: Tasks, run_id: str) -> None:
    tasks.prove_off(run_id, "cmp01")
    plan = tasks.run(evacuation_plan, hosts=["cmp01"], topology=tasks.topology, run_id=run_id)
    given = {"plan": plan, "topology": tasks.topology, "run_id": run_id}
    assert tasks.run(host_evacuate, **given)["changed"]
    again = tasks.run(host_evacuate, **given)
    assert not again["changed"]
    assert again["counts"] == {"verified": 1, "skipped": 1}
    assert len(tasks.nova.requests) == 1


def test_a_host_without_vms_is_recovered_as_well(tasks: Tasks, run_id: str) -> None:
    tasks.nova.servers.clear()
    result = evacuate(tasks, run_id=run_id)
    assert (result["changed"], result["ledger"]) == (False, [])
    report = tasks.run(recovery_run, state="closed", run_id=run_id)["report"]
    assert report["hosts"][0]["outcome"] == "recovered"


def test_it_must_belong_to_a_run(tasks: Tasks) -> None:
    with pytest.raises(RecoveryError, match="run_id"):
        evacuate(tasks)


@pytest.mark.parametrize(
    ("option", "value"), [("parallel", 0), ("per_target", -1), ("retries", -1), ("settle", -0.5), ("silent_for", 0)]
)
def test_numbers_that_make_no_sense_are_refused_also_in_check_mode(tasks: Tasks, option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"^{option}: "):
        evacuate(tasks, check_mode=True, **{option: value})


def test_a_plan_is_needed(tasks: Tasks) -> None:
    with pytest.raises(WrongOptions):
        tasks.run(host_evacuate, topology={})


# -- restart order ---------------------------------------------------------------------------------------------------


def agent_word(number: int, **data: t.Any) -> dict[str, t.Any]:
    """What the monitor of cmp02 says of VM a."""
    return {
        "source": "/hosts/cmp02/monitors/instance",
        "event_id": str(number),
        "type": "openstack_ha.instance.ok",
        "kind": "instance",
        "host": "cmp02",
        "object": "a",
        "state": "ok",
        "epoch": "e",
        "sequence": number,
        "data": data,
        "reporter": "host:cmp02",
    }


def test_a_guest_agent_answers_when_the_monitor_has_said_so_since_the_host_failed(
    tasks: Tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tasks.journal() as journal:
        journal.accept_signals("RegionOne", "ctl1", [agent_word(1, agent=True)])
        run_id = tasks.open("cmp01")
        run = _run.Run(journal, run_id)
        assert "has not said" in host_evacuate._agent(run, "a", "cmp02"), "that was before"
        journal.accept_signals("RegionOne", "ctl1", [agent_word(2)])
        assert "has not said" in host_evacuate._agent(run, "a", "cmp02")
        journal.accept_signals("RegionOne", "ctl1", [agent_word(3, agent=True)])
        assert host_evacuate._agent(run, "a", "cmp02") == ""
        assert "has not said" in host_evacuate._agent(run, "a", "cmp03")
        assert "has not said" in host_evacuate._agent(run, "b", "cmp02")


def test_what_waits_is_started_in_turn_and_the_policy_says_how_long_it_waits(tasks: Tasks, run_id: str) -> None:
    tasks.nova.servers["a"]["metadata"] = {"openstack_ha:group": "db", "openstack_ha:ready": "tcp:1"}
    tasks.nova.add("c", "cmp01", metadata={"openstack_ha:after": "db"})
    tasks.nova.fates["c"] = [AT_ONCE]
    tasks.prove_off(run_id, "cmp01")
    policy = defaults()
    policy["restart"]["tier_timeout"] = 0
    result = evacuate(tasks, run_id=run_id, policy=policy)
    reasons = {line["id"]: line["reason"] for line in result["ledger"]}
    assert "vm-a is planned" in reasons["c"] or "vm-a is not ready" in reasons["c"]
    assert result["counts"] == {"verified": 2, "skipped": 1}
