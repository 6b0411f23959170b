"""No evacuation without proof that the host is off, and none after a sign that the proof was wrong."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from bed.client import Bed
from bed.segments import device
from driver import Playbooks, until

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CertificateError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Task
from ansible_collections.openstack_ha.recovery.plugins.modules import evacuation_plan, host_evacuate, recovery_run

Recovery = t.Callable[..., Playbooks]
Json = t.Dict[str, t.Any]

RACK = {"rack": {"hosts": ["cmp01", "cmp02", "cmp03"], "shared_storage": True}}
NO_PROBE = {"cmp01": {"probe": []}}
PERSON = {"answer": "recover", "answered_by": "Ada", "answer_reason": "it-burns"}
SLOWLY = {"evacuate_parallel": 1, "evacuate_per_target": 1}


def call(task: Task, params: Json) -> Json:
    """Run a module's task here."""
    validation = ArgumentSpecValidator(task.argument_spec, **task.constraints).validate(params)
    assert not validation.error_messages
    return task.run(Call(params=validation.validated_parameters, in_process=True))


def evacuations(cloud: Bed) -> list[Json]:
    return [one for one in cloud.api_log() if one.get("action") == "evacuate"]


def void_reasons(playbooks: Playbooks) -> list[str]:
    return [one["void_reason"] for one in playbooks.report()["certificates"] if one["state"] == "void"]


# -- none, void, another one's -----------------------------------------------------------------------------

#: Certificates that must not count, and what is said about them.
TAMPERINGS = {
    "void": "certificate of cmp01 is void: the test says so",
    "other host": "cmp01 has no power certificate in this run",
    "other run": "cmp01 has no power certificate in this run",
    "other incident": "cmp01 has no power certificate in this run",
    "on": "does not prove that it is off",
    "nobody": "does not prove that it is off",
}
OFF = {"kind": "ipmi", "observed_state": "off", "identity": "matched", "confirmed_by": None, "confirmed_reason": None}


def tamper(playbooks: Playbooks, how: str) -> None:
    """Write a certificate that must not count beside the newest run."""
    with playbooks.journal() as journal:
        run = journal.runs(limit=1)[0]["id"]
        host = {"other host": "cmp02"}.get(how, "cmp01")
        certificate = {"on": {**OFF, "observed_state": "on"}, "nobody": {**OFF, "kind": "operator"}}.get(how, OFF)
        if how in ("other run", "other incident"):
            incident = journal.run(run)["hosts"][0]["incident_id"]
            if how == "other incident":
                incident = journal.open_incident("cmp01", "Elsewhere", "rack")["id"]
            run = journal.open_run([{"host": host, "incident_id": incident}], {})["id"]
        row = journal.add_certificate(run, host, {"host": host, **certificate})
        if how == "void":
            journal.void_certificate(row["id"], "the test says so")


def play_without_fencing() -> Json:
    """What recover_host does, but for the fencing."""
    common = {"topology": "{{ ha_topology }}"}
    run = {"run_id": "{{ run.run_id }}"}
    return {
        "hosts": "localhost",
        "gather_facts": False,
        "module_defaults": {"group/openstack_ha.recovery.cloud": "{{ ha_connection }}"},
        "tasks": [
            {
                "openstack_ha.recovery.recovery_run": {"state": "open", "hosts": ["cmp01"], **PERSON, **common},
                "register": "run",
            },
            {"openstack_ha.recovery.evacuation_plan": {"hosts": ["cmp01"], **run, **common}, "register": "plan"},
            {"openstack_ha.recovery.host_evacuate": {"plan": "{{ plan }}", **run, **common}},
        ],
    }


def test_a_playbook_that_leaves_out_the_fencing_evacuates_nothing(
    cloud: Bed, recovery: Recovery, tmp_path: Path
) -> None:
    vms = cloud.fill("cmp01", 2)
    cloud.update_service("cmp01", forced_down=True)
    cloud.hang("cmp01")
    playbooks = recovery(RACK)
    (tmp_path / "unfenced.yml").write_text(json.dumps([play_without_fencing()]))
    cloud.reset_api_calls()

    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", playbooks.inventory, tmp_path / "unfenced.yml"],
        env=playbooks.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert done.returncode != 0, done.stdout
    assert "cmp01 has no power certificate in this run: fence it first" in done.stdout
    assert evacuations(cloud) == []
    assert cloud.running() == {"cmp01": sorted(vms)}
    assert cloud.ever_ran_twice() == []


def topology_of(playbooks: Playbooks) -> Json:
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-inventory"), "-i", playbooks.inventory, "--list"],
        env=playbooks.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    plain = json.loads(done.stdout, object_hook=lambda found: found.get("__ansible_unsafe", found))
    topology: Json = plain["_meta"]["hostvars"]["cmp01"]["ha_topology"]
    return topology


def evacuate_with(playbooks: Playbooks, how: str) -> None:
    """Decide, plan, have the certificate that must not count, and evacuate; in this process."""
    common = {"topology": topology_of(playbooks), "cloud": "lab", "journal_url": playbooks.journal_url}
    hosts = ["cmp01", "cmp02"] if how == "other host" else ["cmp01"]
    run = call(recovery_run.TASK, {"state": "open", "hosts": hosts, "max_hosts_at_once": 2, **PERSON, **common})
    plan = call(evacuation_plan.TASK, {"hosts": ["cmp01"], "run_id": run["run_id"], **common})
    tamper(playbooks, how)
    call(host_evacuate.TASK, {"plan": plan, "run_id": run["run_id"], **common})


@pytest.mark.parametrize(
    "how", ["void", "other host", pytest.param("other run", marks=pytest.mark.deep), "other incident", "on", "nobody"]
)
def test_a_certificate_that_does_not_count_sends_no_evacuate_call(cloud: Bed, recovery: Recovery, how: str) -> None:
    vms = cloud.fill("cmp01", 1)
    cloud.update_service("cmp01", forced_down=True)
    cloud.hang("cmp01")
    cloud.reset_api_calls()

    with pytest.raises(CertificateError, match=TAMPERINGS[how]):
        evacuate_with(recovery(RACK), how)

    assert evacuations(cloud) == []
    assert cloud.running() == {"cmp01": vms}
    assert cloud.ever_ran_twice() == []


def test_a_person_can_vouch_for_a_host_by_name_and_reason(cloud: Bed, recovery: Recovery) -> None:
    cloud.fill("cmp01", 2)
    cloud.bmc_fault("cmp01", "silent")
    cloud.power_off("cmp01")
    playbooks = recovery(RACK, timeout=2)

    outcome = playbooks.recover("cmp01", confirmed_dead_by="Ada", confirmed_dead_reason="cords-unplugged")

    assert outcome, outcome.out
    [certificate] = playbooks.report()["certificates"]
    assert {key: certificate["certificate"][key] for key in ("kind", "confirmed_by", "confirmed_reason")} == {
        "kind": "operator",
        "confirmed_by": "Ada",
        "confirmed_reason": "cords-unplugged",
    }
    assert cloud.ever_ran_twice() == []


# -- BMCs that lie -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["ipmi", pytest.param("redfish", marks=pytest.mark.deep)])
def test_a_lie_about_a_host_that_answers_is_seen_while_fencing(cloud: Bed, recovery: Recovery, method: str) -> None:
    vms = cloud.fill("cmp01", 2)
    cloud.bmc_fault("cmp01", "lie")
    cloud.hang("cmp01", probe=True)
    playbooks = recovery(RACK, method=method)
    cloud.reset_api_calls()

    outcome = playbooks.recover("cmp01", **PERSON)

    assert outcome.rc != 0
    assert "shows life at tcp://" in outcome.out
    assert evacuations(cloud) == []
    assert cloud.running() == {"cmp01": sorted(vms)}
    assert cloud.ever_ran_twice() == []


def test_a_lie_about_a_host_without_a_probe_is_seen_by_its_next_heartbeat(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill("cmp01", 2)
    cloud.bmc_fault("cmp01", "lie")
    playbooks = recovery(RACK, extra=NO_PROBE)
    cloud.reset_api_calls()

    outcome = playbooks.recover("cmp01", **PERSON)

    assert outcome.rc != 0
    assert evacuations(cloud) == []
    [reason] = void_reasons(playbooks)
    assert "reported to Nova again" in reason
    assert f"cmp01: {reason}" in outcome.out.replace("STOP: cmp01 shows life although it was fenced: ", "cmp01: ")
    assert cloud.running() == {"cmp01": sorted(vms)}
    assert cloud.ever_ran_twice() == []


def first_evacuate_after_fencing(playbooks: Playbooks) -> float:
    steps = {step["name"]: step["seconds"] for step in playbooks.report()["steps"]}
    return float(steps["first_evacuate"] - steps["fenced"])


def recovered_while_fresh(cloud: Bed, playbooks: Playbooks, host: str, **variables: t.Any) -> str:
    """Recover a host whose heartbeats end only when it is forced down; returns what the playbook said."""
    cloud.bmc_fault(host, "delay:3")
    cloud.hang(host)
    cloud.heartbeat(host)
    running = playbooks.start("recover_host", failed_hosts=host, **variables)
    try:
        until(lambda: cloud.services()[host]["forced_down"], 90)
        cloud.heartbeat(host, on=False)
        out, _nothing = running.communicate(timeout=120)
    finally:
        running.kill()
    assert running.returncode == 0, out
    return out


def test_a_host_without_a_probe_that_nova_held_for_alive_is_waited_for(cloud: Bed, recovery: Recovery) -> None:
    cloud.fill("cmp01", 1)
    playbooks = recovery(RACK, extra=NO_PROBE)

    out = recovered_while_fresh(cloud, playbooks, "cmp01", evacuate_silent_for=4, **PERSON)

    assert "Waiting 4 s for a heartbeat of cmp01" in out
    assert first_evacuate_after_fencing(playbooks) >= 4
    assert cloud.ever_ran_twice() == []


def test_a_silent_probe_spares_the_wait(cloud: Bed, recovery: Recovery) -> None:
    cloud.fill("cmp01", 1)

    out = recovered_while_fresh(cloud, recovery(RACK), "cmp01", evacuate_silent_for=1000)

    assert "Waiting" not in out
    assert cloud.ever_ran_twice() == []


def test_a_host_that_nova_had_missed_before_is_not_waited_for(cloud: Bed, recovery: Recovery) -> None:
    cloud.fill("cmp01", 1)
    cloud.hang("cmp01")
    until(lambda: cloud.services()["cmp01"]["state"] == "down")

    outcome = recovery(RACK, extra=NO_PROBE).recover("cmp01", evacuate_silent_for=1000)

    assert outcome, outcome.out
    assert "Waiting" not in outcome.out
    assert cloud.ever_ran_twice() == []


@contextlib.contextmanager
def answering(url: str) -> t.Iterator[None]:
    """Something answers where the probe of a dead host was."""
    with socket.create_server(("127.0.0.1", int(url.rpartition(":")[2]))):
        yield


@contextlib.contextmanager
def sign_of_life(cloud: Bed, kind: str) -> t.Iterator[None]:
    if kind == "heartbeat":
        cloud.heartbeat("cmp01")
        yield
        cloud.heartbeat("cmp01", on=False)
    elif kind == "probe":
        with answering(cloud.hosts["cmp01"]["probe"]):
            yield
    elif kind == "power":
        cloud.bmc_fault("cmp01", "")  # which tells the truth from now on
        yield
    else:
        cloud.update_service("cmp01", forced_down=False)
        yield


SIGNS = {
    "heartbeat": "its nova-compute reported to Nova again",
    "probe": "tcp://127.0.0.1:",
    "forced up": "somebody forced it up in Nova",
    "power": "reports that it is on",
}


@pytest.mark.parametrize("kind", SIGNS)
def test_a_sign_of_life_in_the_middle_stops_the_run_and_voids_the_certificate(
    cloud: Bed, recovery: Recovery, kind: str
) -> None:
    vms = cloud.fill("cmp01", 5)
    cloud.knobs(spawn_delay=2)
    cloud.bmc_fault("cmp01", "lie")
    cloud.crash("cmp01")
    playbooks = recovery(RACK)
    cloud.reset_api_calls()
    running = playbooks.start("recover_host", failed_hosts="cmp01", **SLOWLY)
    try:
        until(lambda: evacuations(cloud), 90)
        with sign_of_life(cloud, kind):
            out, _nothing = running.communicate(timeout=120)
    finally:
        running.kill()

    assert running.returncode != 0
    assert "STOP: cmp01 shows life" in out
    [reason] = void_reasons(playbooks)
    assert SIGNS[kind] in reason
    assert 0 < len(evacuations(cloud)) < len(vms)
    report = playbooks.report()
    assert [entry["outcome"] for entry in report["hosts"]] == ["partial"]
    never_asked = {line["server_id"] for line in report["ledger"] if line["state"] == "planned"}
    assert never_asked.isdisjoint({one["path"].split("/")[-2] for one in evacuations(cloud)})
    assert cloud.ever_ran_twice() == []


def test_a_host_that_was_lied_about_is_not_believed_off_quickly_again(cloud: Bed, recovery: Recovery) -> None:
    """Its probe is silent, which is enough for others."""
    vms = cloud.fill("cmp01", 2)
    cloud.bmc_fault("cmp01", "lie")
    playbooks = recovery(RACK)
    cloud.crash("cmp01")
    cloud.knobs(spawn_delay=3)
    with sign_of_life(cloud, "heartbeat"):
        assert playbooks.recover("cmp01", **SLOWLY).rc != 0
        first = len(evacuations(cloud))
        assert first <= 1

        again = playbooks.recover("cmp01")

        assert again.rc != 0
        assert "reported to Nova again" in again.out
        assert len(evacuations(cloud)) == first
    cloud.bmc_fault("cmp01", "")
    repaired = playbooks.recover("cmp01", evacuate_silent_for=3)
    assert repaired, repaired.out
    assert sorted(vm for uuids in cloud.running().values() for vm in uuids) == sorted(vms)
    assert cloud.ever_ran_twice() == []


def test_a_lie_about_a_host_that_is_silent_in_every_way_cannot_be_seen(cloud: Bed, recovery: Recovery) -> None:
    """Not wanted, but true, and told in docs/fencing.md. If this fails, so much the better: correct the page."""
    vms = cloud.fill("cmp01", 2)
    cloud.bmc_fault("cmp01", "lie", "ipmi")
    cloud.hang("cmp01")

    outcome = recovery(RACK, method="ipmi").recover("cmp01")

    assert outcome, outcome.out
    assert {vm for vm, _host, _other in cloud.ever_ran_twice()} == set(vms)


def test_a_second_device_in_the_level_makes_the_lie_of_one_harmless(cloud: Bed, recovery: Recovery) -> None:
    cloud.fill("cmp01", 2)
    cloud.bmc_fault("cmp01", "lie", "ipmi")
    cloud.hang("cmp01")
    both = [device(cloud.hosts["cmp01"], method) for method in ("ipmi", "redfish")]
    playbooks = recovery(RACK, extra={"cmp01": {"fencing": [{"timeout": 10, "tries": 1, "devices": both}]}})

    outcome = playbooks.recover("cmp01")

    assert outcome, outcome.out
    assert playbooks.report()["certificates"][0]["certificate"]["kind"] == "mixed"
    assert cloud.ever_ran_twice() == []
