"""A VM never runs on two hosts: what BMCs, operators and returning hosts do to recover_host."""

from __future__ import annotations

import typing as t

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from bed.client import Bed
from bed.segments import device
from driver import Playbooks, until

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Task
from ansible_collections.openstack_ha.recovery.plugins.modules import compute_service

Recovery = t.Callable[..., Playbooks]
Json = t.Dict[str, t.Any]

#: Every host may fail and be helped by the last two.
RACK = {"rack": {"hosts": [f"cmp{number:02d}" for number in range(1, 7)], "shared_storage": True}}

#: What a BMC can do instead of switching off; a host that is held by it. ``password`` is wrong in the inventory.
#: So many silent hosts are a question.
PERSON = {"answer": "recover", "answered_by": "ann", "answer_reason": "pdu-burnt"}

BAD_BMCS = {
    "ipmi": ["stuck", "refuse", "silent", "wrong_machine:cmp06"],
    "redfish": ["stuck", "refuse", "silent", "http500"],
    "ipmi who is it": ["wrong_identity", "password"],
    "redfish who is it": ["wrong_identity", "password", "wrong_machine:cmp06"],
}


def call(task: Task, params: Json) -> Json:
    """Run a module's task here."""
    validation = ArgumentSpecValidator(task.argument_spec, **task.constraints).validate(params)
    assert not validation.error_messages
    return task.run(Call(params=validation.validated_parameters))


def evacuations(cloud: Bed) -> list[str]:
    """The VMs for which an evacuation was asked, in order."""
    return [call["path"].split("/")[-2] for call in cloud.api_log() if call.get("action") == "evacuate"]


def outcomes(playbooks: Playbooks) -> dict[str, str]:
    return {entry["host"]: entry["outcome"] for entry in playbooks.report()["hosts"]}


def claimed(playbooks: Playbooks) -> list[str]:
    """Hosts that the newest run still holds."""
    with playbooks.journal() as journal:
        run = journal.run(journal.runs(limit=1)[0]["id"])
        return [claim["host"] for claim in claims.held(journal, run["id"], [entry["host"] for entry in run["hosts"]])]


def with_bad_bmcs(cloud: Bed, faults: t.Sequence[str], protocol: str) -> dict[str, str]:
    """Silent hosts with one VM each, and what is wrong with their BMCs."""
    hosts = {f"cmp{number:02d}": fault for number, fault in enumerate(faults, 1)}
    for host, fault in hosts.items():
        cloud.fill(host, 1)
        cloud.bmc_fault(host, "" if fault == "password" else fault, protocol)
        cloud.hang(host)  # guests run on: started elsewhere too soon, they run twice
    cloud.reset_api_calls()
    return hosts


def bad_passwords(cloud: Bed, hosts: t.Mapping[str, str], method: str) -> dict[str, t.Any]:
    """Entries of the segments file with a wrong password, for ``extra``."""
    return {
        host: {
            "fencing": [
                {"timeout": 3, "tries": 1, "devices": [{**device(cloud.hosts[host], method), "password": "no"}]}
            ]
        }
        for host, fault in hosts.items()
        if fault == "password"
    }


@pytest.mark.parametrize(
    "case",
    [
        "ipmi",
        pytest.param("redfish", marks=pytest.mark.deep),
        pytest.param("ipmi who is it", marks=pytest.mark.deep),
        "redfish who is it",
    ],
)
def test_a_host_whose_bmc_proves_nothing_is_held_until_the_bmc_is_repaired(
    cloud: Bed, recovery: Recovery, case: str
) -> None:
    method = case.split()[0]
    hosts = with_bad_bmcs(cloud, BAD_BMCS[case], method)
    playbooks = recovery(RACK, method=method, timeout=3, extra=bad_passwords(cloud, hosts, method))

    outcome = playbooks.recover(*hosts, **PERSON)

    assert outcome.rc != 0
    assert evacuations(cloud) == []
    assert outcomes(playbooks) == dict.fromkeys(hosts, "held")
    assert claimed(playbooks) == []
    for entry in playbooks.report()["hosts"]:
        assert "Fence" in entry["reason"]
        assert "confirmed_dead_by" in entry["reason"], "it says what a person can do"
        assert f"{entry['host']}: HELD: {entry['reason'][:40]}" in outcome.out
    with playbooks.journal() as journal:
        assert {one["state"] for one in journal.incidents()} == {"held"}
        assert journal.certificates([one["id"] for one in journal.incidents()]) == []
    assert {one["power"] for host, one in cloud.status().items() if host not in hosts} == {"on"}
    services = cloud.services()
    assert all(services[host]["forced_down"] and services[host]["status"] == "disabled" for host in hosts)

    for host in hosts:
        cloud.bmc_fault(host, "")
    repaired = recovery(RACK, method=method).recover(*hosts, **PERSON)

    assert repaired, repaired.out
    assert outcomes(playbooks) == dict.fromkeys(hosts, "recovered")
    assert sum(len(uuids) for uuids in cloud.running().values()) == len(hosts)
    assert not set(cloud.running()) & set(hosts)
    assert cloud.ever_ran_twice() == []


def test_a_second_level_does_what_the_first_could_not(cloud: Bed, recovery: Recovery) -> None:
    hosts = with_bad_bmcs(cloud, ["stuck", "refuse", "silent", "wrong_identity"], "ipmi")
    playbooks = recovery(RACK, method="ipmi+redfish", timeout=3)

    outcome = playbooks.recover(*hosts, **PERSON)

    assert outcome, outcome.out
    assert {
        (one["certificate"]["kind"], one["certificate"]["level"]) for one in playbooks.report()["certificates"]
    } == {("redfish", 2)}
    assert outcomes(playbooks) == dict.fromkeys(hosts, "recovered")
    assert cloud.ever_ran_twice() == []


def test_no_vm_is_evacuated_before_a_slow_bmc_has_really_switched_off(cloud: Bed, recovery: Recovery) -> None:
    extra = {}
    for host, method in {"cmp01": "ipmi", "cmp02": "redfish"}.items():
        cloud.fill(host, 1)
        cloud.bmc_fault(host, "delay:20")
        cloud.hang(host)
        extra[host] = {"fencing": [{"timeout": 90, "tries": 1, "devices": [device(cloud.hosts[host], method)]}]}
    playbooks = recovery(RACK, extra=extra)
    cloud.reset_api_calls()

    outcome = playbooks.recover("cmp01", "cmp02", max_hosts_at_once=2)

    assert outcome, outcome.out
    assert len(evacuations(cloud)) == 2
    assert {one["certificate"]["evidence"][0]["seconds"] >= 20 for one in playbooks.report()["certificates"]} == {True}
    assert cloud.ever_ran_twice() == []


def test_a_bmc_that_refuses_because_the_host_is_off_already_is_no_obstacle(cloud: Bed, recovery: Recovery) -> None:
    extra = {}
    for host, method in {"cmp01": "ipmi", "cmp02": "redfish"}.items():
        cloud.fill(host, 1)
        cloud.bmc_fault(host, "already_off")
        cloud.power_off(host)
        extra[host] = {"fencing": [{"devices": [device(cloud.hosts[host], method)]}]}
    playbooks = recovery(RACK, extra=extra)

    outcome = playbooks.recover("cmp01", "cmp02", max_hosts_at_once=2)

    assert outcome, outcome.out
    certificates = [one["certificate"] for one in playbooks.report()["certificates"]]
    assert {(one["kind"], one["observed_state"]) for one in certificates} == {("ipmi", "off"), ("redfish", "off")}
    assert cloud.ever_ran_twice() == []


def test_of_two_failed_hosts_the_one_that_cannot_be_fenced_is_left_alone(cloud: Bed, recovery: Recovery) -> None:
    fenced, unfenced = cloud.fill("cmp01", 3), cloud.fill("cmp02", 3)
    cloud.bmc_fault("cmp02", "stuck")
    cloud.hang("cmp01")
    cloud.hang("cmp02")
    playbooks = recovery(RACK, timeout=3)
    cloud.reset_api_calls()

    outcome = playbooks.recover("cmp01", "cmp02", max_hosts_at_once=2)

    assert outcome.rc != 0
    assert outcomes(playbooks) == {"cmp01": "recovered", "cmp02": "held"}
    assert sorted(evacuations(cloud)) == sorted(fenced)
    assert cloud.running()["cmp02"] == sorted(unfenced)
    assert "cmp01: RECOVERED" in outcome.out
    assert "cmp02: HELD" in outcome.out
    assert claimed(playbooks) == []
    assert cloud.ever_ran_twice() == []


def test_a_fenced_host_that_boots_again_stays_out_of_service(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill("cmp01", 2)
    cloud.hang("cmp01")
    assert recovery(RACK).recover("cmp01")

    cloud.start_host("cmp01")

    until(lambda: not [one for one in cloud.migrations(source_compute="cmp01") if one["status"] == "done"])
    service = cloud.services()["cmp01"]
    assert (service["status"], service["forced_down"], service["state"]) == ("disabled", True, "down")
    assert service["disabled_reason"].startswith("openstack_ha:")
    assert sorted(vm for uuids in cloud.running().values() for vm in uuids) == sorted(vms)
    assert "cmp01" not in cloud.running()
    assert cloud.ever_ran_twice() == []


def test_a_host_is_forced_up_only_when_its_stale_guests_are_gone(cloud: Bed, recovery: Recovery) -> None:
    cloud.fill("cmp01", 2)
    cloud.hang("cmp01")
    assert recovery(RACK).recover("cmp01")
    back = {"cloud": "lab", "host": "cmp01", "status": "enabled", "forced_down": False}

    with pytest.raises(CloudError, match=r"2 evacuation records in status 'done'.*Start nova-compute there"):
        call(compute_service.TASK, back)
    assert cloud.services()["cmp01"]["forced_down"]

    cloud.start_host("cmp01")
    until(lambda: {one["status"] for one in cloud.migrations(source_compute="cmp01")} == {"completed"})
    assert call(compute_service.TASK, back)["changed"]
    until(lambda: cloud.services()["cmp01"]["state"] == "up")
    assert cloud.services()["cmp01"]["status"] == "enabled"
    assert cloud.ever_ran_twice() == []


def test_calls_that_waited_for_the_dead_host_harm_no_recovered_vm(cloud: Bed, recovery: Recovery) -> None:
    """Nova casts calls into the queue of a host that it still believes in; the host reads them on its return."""
    stopped, rebooted, deleted, untouched = cloud.fill("cmp01", 4)
    playbooks = recovery(RACK)
    cloud.hang("cmp01")
    cloud.action(stopped, {"os-stop": None})
    cloud.action(rebooted, {"reboot": {"type": "HARD"}})
    cloud.request("DELETE", f"/servers/{deleted}")

    outcome = playbooks.recover("cmp01")

    assert outcome, outcome.out
    assert playbooks.ledger()[deleted]["reason"].startswith("its owner has deleted it")
    recovered = cloud.running()
    assert sorted(vm for uuids in recovered.values() for vm in uuids) == sorted([rebooted, untouched])

    cloud.start_host("cmp01")

    until(lambda: deleted not in [server["id"] for server in cloud.servers()])  # the last call in the queue
    until(lambda: not [one for one in cloud.migrations(source_compute="cmp01") if one["status"] == "done"])
    assert cloud.running() == recovered
    assert {vm: cloud.server(vm)["status"] for vm in (stopped, rebooted, untouched)} == {
        stopped: "SHUTOFF",
        rebooted: "ACTIVE",
        untouched: "ACTIVE",
    }
    assert cloud.ever_ran_twice() == []


@pytest.mark.parametrize("purged", [True, False])
def test_a_start_that_waits_for_the_dead_host_is_told_because_it_would_start_a_second_copy(
    cloud: Bed, recovery: Recovery, purged: bool
) -> None:
    """Nova carries it out when the host returns; only an empty queue prevents it. docs/fencing.md tells so."""
    [vm] = cloud.fill("cmp01", 1)
    cloud.action(vm, {"os-stop": None})
    cloud.await_server(vm, lambda one: one["status"] == "SHUTOFF" and not one["OS-EXT-STS:task_state"])
    playbooks = recovery(RACK)
    cloud.hang("cmp01")
    cloud.action(vm, {"os-start": None})

    outcome = playbooks.recover("cmp01")

    assert outcome, outcome.out
    assert "purge the queue before nova-compute starts on that host" in outcome.out
    assert playbooks.ledger()[vm]["state"] == "verified"
    assert cloud.ever_ran_twice() == []

    cloud.action(vm, {"os-start": None})  # its owner tries again
    started = cloud.await_server(vm, lambda one: one["status"] == "ACTIVE" and not one["OS-EXT-STS:task_state"])
    if purged:
        cloud.purge_queue("cmp01")
    cloud.start_host("cmp01")
    if purged:
        until(lambda: not [one for one in cloud.migrations(source_compute="cmp01") if one["status"] == "done"])
        assert cloud.running().get("cmp01") is None
        assert cloud.ever_ran_twice() == []
    else:
        until(cloud.ever_ran_twice)
        assert cloud.ever_ran_twice() == [(vm, started["OS-EXT-SRV-ATTR:host"], "cmp01")]
