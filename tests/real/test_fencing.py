"""Fencing over real IPMI, real HTTPS and a real fence agent; the power switches real nova-computes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from bed.client import Bed

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import (
    FencingError,
    FencingRefused,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.world import http_request
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Task
from ansible_collections.openstack_ha.recovery.plugins.modules import host_fence, host_fence_info

HOST = "cmp03"
OTHER = "cmp04"
BOTH = pytest.mark.parametrize("protocol", ["ipmi", "redfish"])

Json = t.Dict[str, t.Any]


def ipmi(bed: Bed, host: str = HOST, **options: t.Any) -> Json:
    facts = bed.hosts[host]
    return {
        "method": "ipmi",
        **facts["ipmi"],
        "username": facts["user"],
        "password": facts["password"],
        **options,
    }


def redfish(bed: Bed, host: str = HOST, **options: t.Any) -> Json:
    facts = bed.hosts[host]
    return {
        "method": "redfish",
        "address": facts["redfish"]["address"],
        "system": facts["redfish"]["system"],
        "ca_path": facts["redfish"]["ca"],
        "username": facts["user"],
        "password": facts["password"],
        **options,
    }


def fence_ipmilan(bed: Bed, host: str = HOST, **secrets: t.Any) -> Json:
    facts = bed.hosts[host]
    options = {
        "ip": facts["ipmi"]["address"],
        "ipport": facts["ipmi"]["port"],
        "username": facts["user"],
        "lanplus": True,
        "cipher": facts["ipmi"]["cipher_suite"],
        "power_wait": 0,
    }
    secrets = {"password": facts["password"], **secrets}
    return {"method": "fence_agent", "agent": "fence_ipmilan", "options": options, "secrets": secrets}


DEVICES = {"ipmi": ipmi, "redfish": redfish}


def level(*devices: Json, timeout: float = 10, tries: int = 1) -> Json:
    return {"timeout": timeout, "tries": tries, "devices": list(devices)}


def call(task: Task, params: Json, check_mode: bool = False, warn: t.Callable[[str], None] = print) -> Json:
    validation = ArgumentSpecValidator(task.argument_spec, **task.constraints).validate(params)
    assert not validation.error_messages
    return task.run(Call(params=validation.validated_parameters, check_mode=check_mode, warn=warn))


def options(bed: Bed, *levels: Json, host: str = HOST, **params: t.Any) -> Json:
    facts = bed.hosts[host]
    identity = {"uuid": facts["uuid"], "serial": facts["serial"]}
    return {"host": host, "levels": list(levels), "identity": identity, "probe": [facts["probe"]], **params}


def fence(bed: Bed, *levels: Json, check_mode: bool = False, **params: t.Any) -> Json:
    return call(host_fence.TASK, options(bed, *levels, **params), check_mode)


def refused(bed: Bed, *levels: Json, match: str, **params: t.Any) -> Json:
    """Fence in vain; returns what the error carries."""
    with pytest.raises(FencingError, match=match) as caught:
        fence(bed, *levels, **params)
    return caught.value.facts


def is_on(bed: Bed, host: str = HOST) -> bool:
    return bool(bed.status()[host]["power"] == "on")


@BOTH
def test_a_power_off_is_real_and_proven(cloud: Bed, protocol: str) -> None:
    result = fence(cloud, level(DEVICES[protocol](cloud)))
    assert not is_on(cloud)
    assert result["power_state"] == {"before": "on", "after": "off"}
    certificate = result["certificate"]
    assert (certificate["kind"], certificate["identity"], certificate["level"]) == (protocol, "matched", 1)
    again = fence(cloud, level(DEVICES[protocol](cloud)))
    assert not again["changed"]
    assert again["certificate"]["observed_state"] == "off"


@BOTH
def test_check_mode_leaves_the_power_on(cloud: Bed, protocol: str) -> None:
    result = fence(cloud, level(DEVICES[protocol](cloud)), check_mode=True)
    assert result["changed"]
    assert result["certificate"] is None
    assert is_on(cloud)


@BOTH
def test_a_bmc_that_acknowledges_and_never_switches_off_proves_nothing(cloud: Bed, protocol: str) -> None:
    cloud.bmc_fault(HOST, "stuck")
    facts = refused(cloud, level(DEVICES[protocol](cloud), timeout=6), match="still reports on")
    assert facts["attempts"][0]["observed_state"] == "on"
    assert is_on(cloud)


@BOTH
def test_a_bmc_that_refuses_proves_nothing(cloud: Bed, protocol: str) -> None:
    cloud.bmc_fault(HOST, "refuse")
    facts = refused(cloud, level(DEVICES[protocol](cloud), timeout=6), match="still reports on")
    assert {"ipmi": "exit code 1", "redfish": "HTTP 409"}[protocol] in facts["attempts"][0]["answer"]
    assert is_on(cloud)


@BOTH
def test_a_refusal_because_it_is_off_is_resolved_by_reading_back(
    cloud: Bed, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.bmc_fault(HOST, "already_off")
    method = host_fence.parse_levels([level(DEVICES[protocol](cloud))], host_fence.real_world())[0].devices[0]
    cloud.power_off(HOST)
    assert {"ipmi": "exit code 1", "redfish": "HTTP 409"}[protocol] in method.power_off(5)
    assert fence(cloud, level(DEVICES[protocol](cloud)))["certificate"]["observed_state"] == "off"


@BOTH
def test_a_slow_bmc_is_waited_for(cloud: Bed, protocol: str) -> None:
    cloud.bmc_fault(HOST, "delay:1.5")
    result = fence(cloud, level(DEVICES[protocol](cloud), timeout=20))
    assert result["attempts"][0]["seconds"] >= 1.5
    assert not is_on(cloud)


@BOTH
def test_a_bmc_that_lies_is_seen_by_the_host_that_answers(cloud: Bed, protocol: str) -> None:
    cloud.bmc_fault(HOST, "lie")
    facts = refused(cloud, level(DEVICES[protocol](cloud)), match="shows life")
    assert facts["attempts"][-1]["observed_state"] == "alive"
    assert is_on(cloud)


def test_after_a_lie_the_second_level_is_believed(cloud: Bed) -> None:
    cloud.bmc_fault(HOST, "lie", "ipmi")
    certificate = fence(cloud, level(ipmi(cloud)), level(redfish(cloud)))["certificate"]
    assert (certificate["kind"], certificate["level"]) == ("redfish", 2)
    assert not is_on(cloud)


@BOTH
def test_a_silent_bmc_costs_no_more_than_its_time(cloud: Bed, protocol: str) -> None:
    cloud.bmc_fault(HOST, "silent")
    started = time.monotonic()
    refused(cloud, level(DEVICES[protocol](cloud), timeout=1.5), match="not proven")
    assert time.monotonic() - started < 18, "and neither the 20 s of ipmitool nor the patience of the bed"
    assert is_on(cloud)


def test_the_second_level_takes_over_from_a_silent_bmc(cloud: Bed) -> None:
    cloud.bmc_fault(HOST, "silent", "ipmi")
    certificate = fence(cloud, level(ipmi(cloud), timeout=1), level(redfish(cloud)))["certificate"]
    assert (certificate["kind"], certificate["level"]) == ("redfish", 2)
    assert not is_on(cloud)


@BOTH
def test_a_wrong_password_switches_nothing_off(cloud: Bed, protocol: str) -> None:
    device = DEVICES[protocol](cloud, password="not-the-password")
    facts = refused(
        cloud, level(device, tries=2), match={"ipmi": "Unable to establish", "redfish": "HTTP 401"}[protocol]
    )
    assert len(facts["attempts"]) == {"ipmi": 2, "redfish": 1}[protocol]
    assert "not-the-password" not in json.dumps(facts)
    assert is_on(cloud)


@BOTH
def test_a_bmc_that_is_wired_to_another_host_harms_neither(cloud: Bed, protocol: str) -> None:
    cloud.bmc_fault(HOST, f"wrong_machine:{OTHER}")
    warnings: list[str] = []
    with pytest.raises(FencingError, match="another machine"):
        call(host_fence.TASK, options(cloud, level(DEVICES[protocol](cloud))), warn=warnings.append)
    assert warnings
    assert is_on(cloud)
    assert is_on(cloud, OTHER)


def test_a_bmc_that_does_not_say_who_it_is_is_recorded_as_such(cloud: Bed) -> None:
    # Redfish only: without a GUID ipmi_sim opens no session at all.
    cloud.bmc_fault(HOST, "no_identity")
    assert fence(cloud, level(redfish(cloud)))["certificate"]["identity"] == "unreadable"
    assert not is_on(cloud)


def test_a_redfish_service_out_of_order_is_an_error(cloud: Bed) -> None:
    cloud.bmc_fault(HOST, "http500")
    refused(cloud, level(redfish(cloud), timeout=2, tries=2), match="HTTP 500 The test bed was told to fail")
    assert is_on(cloud)


def test_a_certificate_nobody_vouches_for_is_refused(cloud: Bed) -> None:
    facts = refused(cloud, level(redfish(cloud, ca_path=None), tries=3), match="validate_certs")
    assert len(facts["attempts"]) == 1
    assert is_on(cloud)
    assert fence(cloud, level(redfish(cloud, ca_path=None, validate_certs=False)))["certificate"]


def test_one_of_several_systems_must_be_named(cloud: Bed) -> None:
    shared = cloud.hosts[HOST]["redfish"]["shared_address"]
    refused(cloud, level(redfish(cloud, address=shared, system=None)), match=r"has \d systems")
    assert all(is_on(cloud, host) for host in cloud.hosts)
    fence(cloud, level(redfish(cloud, address=shared)))
    assert [host for host in cloud.hosts if not is_on(cloud, host)] == [HOST]


def test_the_only_system_of_a_service_need_not_be_named(cloud: Bed) -> None:
    assert fence(cloud, level(redfish(cloud, system=None)))["certificate"]["kind"] == "redfish"
    assert not is_on(cloud)


def test_two_devices_of_one_level_work_together(cloud: Bed) -> None:
    certificate = fence(cloud, level(ipmi(cloud), redfish(cloud)))["certificate"]
    assert certificate["kind"] == "mixed"
    assert [entry["method"] for entry in certificate["evidence"]] == ["ipmi", "redfish", "probe"]


def test_one_of_two_devices_is_not_enough(cloud: Bed) -> None:
    refused(cloud, level(ipmi(cloud), redfish(cloud, password="wrong"), timeout=3), match="HTTP 401")
    assert is_on(cloud)


def test_a_person_can_vouch_for_a_host_without_a_bmc(cloud: Bed) -> None:
    cloud.bmc_fault(HOST, "silent")
    person = {"confirmed_by": "Ada", "confirmed_reason": "both cords unplugged"}
    refused(cloud, level(ipmi(cloud), timeout=1), match="shows life", **person)
    cloud.power_off(HOST)
    certificate = fence(cloud, level(ipmi(cloud), timeout=1), **person)["certificate"]
    assert (certificate["kind"], certificate["confirmed_by"]) == ("operator", "Ada")


needs_fence_ipmilan = pytest.mark.skipif(
    not shutil.which("fence_ipmilan", path=f"{os.environ['PATH']}:/usr/sbin"),
    reason="fence_ipmilan is not installed (Debian package fence-agents)",
)


@needs_fence_ipmilan
def test_a_fence_agent_switches_off_and_reads_back(cloud: Bed) -> None:
    certificate = fence(cloud, level(fence_ipmilan(cloud), timeout=30))["certificate"]
    assert (certificate["kind"], certificate["identity"]) == ("fence_agent", "unreadable")
    assert not is_on(cloud)
    assert not fence(cloud, level(fence_ipmilan(cloud), timeout=30))["changed"]


@needs_fence_ipmilan
def test_a_fence_agent_without_success_proves_nothing(cloud: Bed) -> None:
    cloud.bmc_fault(HOST, "refuse")
    facts = refused(cloud, level(fence_ipmilan(cloud), timeout=12), match="not proven")
    assert "fence_ipmilan" in facts["attempts"][0]["answer"]
    refused(cloud, level(fence_ipmilan(cloud, password="wrong"), timeout=30), match="exit code 1")
    assert is_on(cloud)


@needs_fence_ipmilan
def test_a_fence_agent_that_hangs_is_killed_with_the_tools_it_started(cloud: Bed) -> None:
    cloud.bmc_fault(HOST, "silent")
    refused(cloud, level(fence_ipmilan(cloud), timeout=1), match="gave no answer within")
    port = str(cloud.hosts[HOST]["ipmi"]["port"])
    end = time.monotonic() + 15  # less than the 20 s that ipmitool would go on by itself
    while [line for line in command_lines() if "ipmitool" in line and port in line]:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_info_reports_every_device_and_switches_nothing(cloud: Bed) -> None:
    cloud.bmc_fault(OTHER, "silent", "ipmi")
    given = options(
        cloud,
        level(ipmi(cloud), redfish(cloud)),
        level(redfish(cloud, password="expired")),
        level(redfish(cloud, OTHER)),
        level(ipmi(cloud, OTHER), timeout=1),
    )
    del given["probe"]
    result = call(host_fence_info.TASK, given)
    shown = [(it["level"], it["method"], it["ok"], it["reachable"], it["identity_check"]) for it in result["devices"]]
    assert shown == [
        (1, "ipmi", True, True, "matched"),
        (1, "redfish", True, True, "matched"),
        (2, "redfish", False, False, "not_configured"),
        (3, "redfish", False, True, "mismatch"),
        (4, "ipmi", False, False, "not_configured"),
    ]
    assert result["ready"]
    assert all(is_on(cloud, host) for host in cloud.hosts)


def test_no_answer_is_told_apart_from_an_untrusted_one(cloud: Bed, unused_tcp_port: int) -> None:
    with pytest.raises(FencingError, match="refused") as caught:
        http_request("GET", f"https://127.0.0.1:{unused_tcp_port}/", body=None, timeout=5)
    assert not isinstance(caught.value, FencingRefused)
    with pytest.raises(FencingRefused, match="ca_path"):
        http_request("GET", cloud.hosts[HOST]["redfish"]["address"], body=None, timeout=5, ca_path="/no/such/file")


@pytest.fixture
def unused_tcp_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def command_lines() -> list[str]:
    return [line for process in Path("/proc").glob("[0-9]*/cmdline") if (line := command_line(process))]


def command_line(process: Path) -> str:
    try:
        return process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


class Watcher(threading.Thread):
    """Collects the command lines of all processes for as long as it is let."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[str] = set()
        self.enough = threading.Event()

    def run(self) -> None:
        while not self.enough.wait(0.01):
            self.seen.update(command_lines())

    def __enter__(self) -> Watcher:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.enough.set()
        self.join()


@pytest.mark.parametrize("in_process", [True, False], ids=["action plugin", "module"])
def test_no_password_is_seen_on_the_way(cloud: Bed, tmp_path: Path, in_process: bool) -> None:
    """Through a real ansible-playbook -vvvv, with IPMI, and with Redfish that is told a wrong password."""
    cloud.bmc_fault(HOST, "delay:1", "ipmi")
    levels = [level(redfish(cloud, password="wr0ng-one")), level(ipmi(cloud), timeout=20)]
    play = [{
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [{
            "name": "Fence",
            "openstack_ha.recovery.host_fence": options(cloud, *levels),
            "register": "fenced",
            **({} if in_process else {"environment": {"WHY": "an action plugin leaves this to the module"}}),
        }, {"name": "Show", "ansible.builtin.debug": {"var": "fenced"}}],
    }]  # fmt: skip
    (tmp_path / "play.yml").write_text(json.dumps(play))
    log = tmp_path / "ansible.log"
    with Watcher() as watcher:
        done = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), "-vvvv", tmp_path / "play.yml"],
            env={**os.environ, "ANSIBLE_LOG_PATH": str(log), "ANSIBLE_LOCALHOST_WARNING": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    said = done.stdout + done.stderr + log.read_text()
    assert done.returncode == 0, said
    assert not is_on(cloud)
    assert "kind: ipmi" in said or '"kind": "ipmi"' in said
    assert [line for line in watcher.seen if line.startswith("ipmitool")], "the watcher was too slow"
    for secret in (cloud.hosts[HOST]["password"], "wr0ng-one"):
        assert secret not in said
        assert not [line for line in watcher.seen if secret in line]
