"""The bed itself: what it says must be so, or every other test against it proves nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import time
import typing as t
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from bed import history
from bed.client import Bed, BedError, default_python
from bed.rest import call

TESTS = Path(__file__).resolve().parents[1]


def wait_until(accept: t.Callable[[], t.Any], timeout: float = 60) -> t.Any:
    """The first true answer."""
    deadline = time.monotonic() + timeout
    while True:
        answer = accept()
        if answer or time.monotonic() > deadline:
            return answer
        time.sleep(0.05)


def ipmi(bed: Bed, host: str, *words: str, password: str | None = None) -> subprocess.CompletedProcess[str]:
    login = bed.hosts[host]
    return subprocess.run(
        [
            "ipmitool",
            "-I",
            "lanplus",
            "-H",
            login["ipmi"]["address"],
            "-p",
            str(login["ipmi"]["port"]),
            "-U",
            login["user"],
            "-E",
            "-C",
            str(login["ipmi"]["cipher_suite"]),
            "-N",
            "1",
            "-R",
            "1",
            *words,
        ],
        env={**os.environ, "IPMI_PASSWORD": password or login["password"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def redfish(bed: Bed, host: str, reset: str = "", password: str | None = None, timeout: float = 10) -> t.Any:
    """The system resource, or the status of a reset."""
    login = bed.hosts[host]
    place = login["redfish"]
    context = ssl.create_default_context(cafile=place["ca"])
    manager = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    manager.add_password(None, place["address"], login["user"], password or login["password"])
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPBasicAuthHandler(manager),
    )
    url = place["address"] + place["system"]
    if not reset:
        with opener.open(url, timeout=timeout) as answer:
            return json.load(answer)
    request = urllib.request.Request(
        url + "/Actions/ComputerSystem.Reset",
        json.dumps({"ResetType": reset}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with opener.open(request, timeout=timeout) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def probe_answers(bed: Bed, host: str) -> bool:
    port = int(bed.hosts[host]["probe"].rpartition(":")[2])
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return False
    return True


def user_token(bed: Bed) -> str:
    user = {"name": "admin", "domain": {"name": "Default"}, "password": "secret"}
    scope = {"project": {"name": "admin", "domain": {"name": "Default"}}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
    _answer, headers = call("POST", f"http://127.0.0.1:{bed.ports['others']}/identity/v3/auth/tokens", body)
    return headers["X-Subject-Token"]


def user_call(
    bed: Bed, token: str, method: str, path: str, body: t.Any = None, microversion: str = "2.1", timeout: float = 30
) -> t.Any:
    headers = {"X-Auth-Token": token, "OpenStack-API-Version": f"compute {microversion}"}
    return call(method, f"http://127.0.0.1:{bed.ports['compute']}{path}", body, headers, timeout)[0]


def evacuated(bed: Bed, uuid: str, source: str) -> dict[str, t.Any]:
    bed.action(uuid, {"evacuate": {}}, "2.94")
    return bed.await_server(
        uuid, lambda one: one["OS-EXT-SRV-ATTR:host"] != source and not one["OS-EXT-STS:task_state"]
    )


def test_evacuating_without_fencing_is_seen_as_running_twice(cloud: Bed) -> None:
    vms = cloud.fill("cmp01", 2)
    cloud.kill_compute("cmp01")
    cloud.update_service("cmp01", forced_down=True)
    target = evacuated(cloud, vms[0], "cmp01")["OS-EXT-SRV-ATTR:host"]

    assert cloud.ever_ran_twice() == [(vms[0], "cmp01", target)]
    assert set(cloud.running()["cmp01"]) == set(vms)
    cloud.power_off("cmp01")
    assert cloud.ever_ran_twice() == [(vms[0], "cmp01", target)], "the past can not be undone"


def test_evacuating_after_power_off_is_not_running_twice(cloud: Bed) -> None:
    vms = cloud.fill("cmp01", 2)
    assert ipmi(cloud, "cmp01", "power", "off").returncode == 0
    cloud.update_service("cmp01", forced_down=True)
    server = evacuated(cloud, vms[0], "cmp01")

    assert server["status"] == "ACTIVE"
    assert cloud.ever_ran_twice() == []
    assert cloud.running() == {server["OS-EXT-SRV-ATTR:host"]: [vms[0]]}


def test_overlap_is_found_in_any_order_of_events() -> None:
    def event(host: str, what: str) -> dict[str, str]:
        return {"uuid": "vm", "host": host, "event": what}

    one_after_the_other = [event("a", "spawn"), event("a", "vanish"), event("b", "spawn")]
    stopped_copy = [event("a", "spawn"), event("a", "power_off"), event("b", "spawn")]
    assert history.ran_twice(one_after_the_other) == []
    assert history.ran_twice(stopped_copy) == []
    assert history.ran_twice([*stopped_copy, event("a", "power_on")]) == [("vm", "b", "a")]
    assert history.ran_twice([event("a", "spawn_stopped"), event("b", "spawn")]) == []


@pytest.mark.parametrize("protocol", ["ipmi", "redfish"])
def test_power_off_ends_the_host_and_power_on_brings_it_back(cloud: Bed, protocol: str) -> None:
    cloud.fill("cmp02", 1)
    if protocol == "ipmi":
        assert ipmi(cloud, "cmp02", "power", "off").returncode == 0
    else:
        assert redfish(cloud, "cmp02", "ForceOff") == 204
    assert cloud.running() == {}
    assert not probe_answers(cloud, "cmp02")
    assert "is off" in ipmi(cloud, "cmp02", "power", "status").stdout
    assert redfish(cloud, "cmp02")["PowerState"] == "Off"
    assert wait_until(lambda: cloud.services()["cmp02"]["state"] == "down")

    if protocol == "ipmi":
        assert ipmi(cloud, "cmp02", "power", "on").returncode == 0
    else:
        assert redfish(cloud, "cmp02", "On") == 204
    assert wait_until(lambda: cloud.services()["cmp02"]["state"] == "up")
    assert wait_until(lambda: probe_answers(cloud, "cmp02"))
    assert cloud.running() == {}, "guests do not come back by themselves"


def test_conditions_differ_in_what_still_lives(cloud: Bed) -> None:
    vms = {host: cloud.fill(host, 1) for host in ("cmp01", "cmp02", "cmp03", "cmp04")}
    cloud.crash("cmp01")
    cloud.kill_compute("cmp02")
    cloud.hang("cmp03")
    cloud.hang("cmp04", probe=True)

    assert cloud.running() == {host: vms[host] for host in ("cmp02", "cmp03", "cmp04")}
    assert [probe_answers(cloud, f"cmp0{number}") for number in (1, 2, 3, 4, 5)] == [False, True, False, True, True]
    assert all("is on" in ipmi(cloud, host, "power", "status").stdout for host in vms)
    assert wait_until(lambda: {host for host, one in cloud.services().items() if one["state"] == "down"} == set(vms))


def test_a_thread_of_a_dead_host_starts_no_guest(cloud: Bed) -> None:
    cloud.knobs("cmp01", spawn_delay=1)
    cloud.knobs("cmp02", spawn_delay=2)
    body = {
        "server": {
            "name": "late",
            "flavorRef": cloud.flavor(),
            "imageRef": "11111111-1111-4111-8111-111111111111",
            "networks": "none",
            "host": "cmp01",
        }
    }
    uuid = cloud.request("POST", "/servers", body)["server"]["id"]
    cloud.await_server(uuid, lambda one: one["OS-EXT-STS:task_state"] == "spawning")
    cloud.kill_compute("cmp01")
    cloud.start_host("cmp01")

    assert wait_until(lambda: cloud.server(uuid)["status"] == "ERROR"), "as after a restart in the middle of a build"
    cloud.fill("cmp02", 1)
    assert [one["host"] for one in cloud.truth_events()] == ["cmp02"], "the spawn on cmp01 would be over by now"


def test_ipmi_faults_do_what_they_say(cloud: Bed) -> None:
    cloud.bmc_fault("cmp01", "stuck")
    assert ipmi(cloud, "cmp01", "power", "off").returncode == 0
    assert "is on" in ipmi(cloud, "cmp01", "power", "status").stdout
    cloud.bmc_fault("cmp01", "refuse")
    assert ipmi(cloud, "cmp01", "power", "off").returncode != 0
    assert cloud.status()["cmp01"]["power"] == "on"
    cloud.bmc_fault("cmp01", "delay:1")
    assert ipmi(cloud, "cmp01", "power", "off").returncode == 0
    assert cloud.status()["cmp01"]["power"] == "on"
    assert wait_until(lambda: "is off" in ipmi(cloud, "cmp01", "power", "status").stdout)
    cloud.bmc_fault("cmp01", "already_off")
    assert ipmi(cloud, "cmp01", "power", "off").returncode != 0
    cloud.bmc_fault("cmp01", "silent")
    assert ipmi(cloud, "cmp01", "power", "status").returncode != 0
    cloud.bmc_fault("cmp01", "")
    assert "is off" in ipmi(cloud, "cmp01", "power", "status").stdout
    assert ipmi(cloud, "cmp01", "power", "status", password="wrong").returncode != 0


def test_redfish_faults_do_what_they_say(cloud: Bed) -> None:
    cloud.bmc_fault("cmp01", "stuck")
    assert redfish(cloud, "cmp01", "ForceOff") == 204
    assert redfish(cloud, "cmp01")["PowerState"] == "On"
    cloud.bmc_fault("cmp01", "refuse")
    assert redfish(cloud, "cmp01", "ForceOff") == 409
    cloud.bmc_fault("cmp01", "http500")
    with pytest.raises(urllib.error.HTTPError, match="500"):
        redfish(cloud, "cmp01")
    cloud.bmc_fault("cmp01", "delay:1")
    assert redfish(cloud, "cmp01", "ForceOff") == 204
    assert redfish(cloud, "cmp01")["PowerState"] == "On"
    assert wait_until(lambda: redfish(cloud, "cmp01")["PowerState"] == "Off")
    cloud.bmc_fault("cmp01", "already_off")
    assert redfish(cloud, "cmp01", "ForceOff") == 409
    cloud.bmc_fault("cmp01", "silent")
    with pytest.raises(TimeoutError):
        redfish(cloud, "cmp01", timeout=0.5)
    cloud.bmc_fault("cmp01", "")
    assert redfish(cloud, "cmp01", "Explode") == 400
    with pytest.raises(urllib.error.HTTPError, match="401"):
        redfish(cloud, "cmp01", password="wrong")


@pytest.mark.parametrize("protocol", ["ipmi", "redfish"])
def test_a_lying_bmc_says_off_while_the_host_runs_and_beats(cloud: Bed, protocol: str) -> None:
    vms = cloud.fill("cmp01", 1)
    cloud.bmc_fault("cmp01", "lie", protocol)
    if protocol == "ipmi":
        ipmi(cloud, "cmp01", "power", "off")
        assert "is off" in ipmi(cloud, "cmp01", "power", "status").stdout
    else:
        redfish(cloud, "cmp01", "ForceOff")
        assert redfish(cloud, "cmp01")["PowerState"] == "Off"
    assert cloud.running() == {"cmp01": vms}
    assert probe_answers(cloud, "cmp01")
    before = cloud.services()["cmp01"]["updated_at"]
    assert wait_until(lambda: cloud.services()["cmp01"]["updated_at"] > before)


def test_a_heartbeat_can_outlive_its_host(cloud: Bed) -> None:
    cloud.power_off("cmp01")
    cloud.heartbeat("cmp01")
    before = cloud.services()["cmp01"]["updated_at"]
    assert wait_until(lambda: cloud.services()["cmp01"]["updated_at"] > before)
    assert cloud.services()["cmp01"]["state"] == "up"


def test_a_bmc_can_be_another_ones(cloud: Bed) -> None:
    mine, other = cloud.hosts["cmp01"]["uuid"], cloud.hosts["cmp02"]["uuid"]
    assert mine in ipmi(cloud, "cmp01", "mc", "guid").stdout
    assert (redfish(cloud, "cmp01")["UUID"], redfish(cloud, "cmp01")["SerialNumber"]) == (
        mine,
        cloud.hosts["cmp01"]["serial"],
    )
    cloud.bmc_fault("cmp01", "wrong_machine:cmp02")
    assert other in ipmi(cloud, "cmp01", "mc", "guid").stdout
    assert redfish(cloud, "cmp01")["UUID"] == other
    ipmi(cloud, "cmp01", "power", "off")
    assert (cloud.status()["cmp01"]["power"], cloud.status()["cmp02"]["power"]) == ("on", "off")
    cloud.bmc_fault("cmp01", "no_identity")
    assert mine not in ipmi(cloud, "cmp01", "mc", "guid").stdout
    assert "UUID" not in redfish(cloud, "cmp01")


def test_calls_are_counted_by_route_and_novas_own_are_not(cloud: Bed) -> None:
    vms = cloud.fill("cmp01", 2, network=True)
    cloud.reset_api_calls()
    token = user_token(cloud)
    user_call(cloud, token, "GET", "/v2.1/servers/detail?all_tenants=1")
    for vm in vms:
        user_call(cloud, token, "GET", f"/v2.1/servers/{vm}")
    user_call(cloud, token, "POST", f"/v2.1/servers/{vms[0]}/action", {"reboot": {"type": "HARD"}}, "2.10")

    calls = cloud.api_calls()
    assert calls["by_route"] == {
        "compute GET /v2.1/servers/detail": 1,
        "compute GET /v2.1/servers/{id}": 2,
        "compute POST /v2.1/servers/{id}/action reboot": 1,
        "identity POST /identity/v3/auth/tokens": 1,
    }
    assert (calls["tokens"], calls["total"]) == (1, 5)
    assert calls["by_kind"] == {"token": 1, "read": 3, "write": 1}
    [line] = cloud.api_log()
    assert (line["action"], line["microversion"], line["status"]) == ("reboot", "2.10", 202)
    assert line["body"] == {"reboot": {"type": "HARD"}}


def test_an_api_fault_hits_as_often_as_told_before_or_after_the_work(cloud: Bed) -> None:
    [vm] = cloud.fill("cmp01", 1)
    token = user_token(cloud)
    path = f"/v2.1/servers/{vm}/action"
    fault = cloud.fail_api(service="compute", method="POST", path="/action$", body="lock", status=503, times=1)
    with pytest.raises(BedError, match="503"):
        user_call(cloud, token, "POST", path, {"lock": None}, "2.10")
    assert cloud.server(vm)["locked"] is False
    user_call(cloud, token, "POST", path, {"lock": None}, "2.10")
    assert cloud.server(vm)["locked"] is True
    assert cloud.api_fault_hits() == {fault: 1}

    cloud.fail_api(service="compute", body="unlock", status=503, when="after")
    with pytest.raises(BedError, match="503"):
        user_call(cloud, token, "POST", path, {"unlock": None}, "2.10")
    assert cloud.server(vm)["locked"] is False, "it was done, only the answer was lost"


def test_a_call_can_be_dropped_or_held(cloud: Bed) -> None:
    token = user_token(cloud)
    cloud.fail_api(path="/servers", status=0)
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        user_call(cloud, token, "GET", "/v2.1/servers")
    cloud.fail_api(path="/servers", status=0, seconds=3)
    with pytest.raises(TimeoutError):
        user_call(cloud, token, "GET", "/v2.1/servers", timeout=0.3)
    assert user_call(cloud, token, "GET", "/v2.1/servers")["servers"] == []


def test_an_expired_token_is_refused_until_a_new_one_is_fetched(cloud: Bed) -> None:
    token = user_token(cloud)
    user_call(cloud, token, "GET", "/v2.1/servers")
    assert cloud.expire_tokens() >= 1
    for _attempt in range(2):
        with pytest.raises(BedError, match="401"):
            user_call(cloud, token, "GET", "/v2.1/servers")
    assert user_call(cloud, user_token(cloud), "GET", "/v2.1/servers")["servers"] == []
    assert cloud.fill("cmp01", 1), "Nova's own tokens are still good"


def test_servers_can_have_volumes_ports_groups_and_sizes(cloud: Bed) -> None:
    group = cloud.server_group("anti-affinity")
    first = cloud.fill("cmp01", 1, volume=True, network=True, metadata={"HA_Enabled": "True"}, group=group)[0]
    cloud.fill("cmp02", 1, vcpus=2, ram=128, disk=2, ephemeral=1, extra_specs={"ha:priority": "10"}, group=group)
    cloud.power_off("cmp01")
    cloud.update_service("cmp01", forced_down=True)
    target = evacuated(cloud, first, "cmp01")["OS-EXT-SRV-ATTR:host"]

    assert target not in ("cmp01", "cmp02")
    [port] = cloud.request("GET", f"/network/v2.0/ports?device_id={first}", service="others")["ports"]
    assert port["binding:host_id"] == target
    attachments = cloud.request("GET", f"/volume/v3/attachments/detail?instance_id={first}", service="others")[
        "attachments"
    ]
    assert [one["connector"]["host"] for one in attachments] == [target]


def test_states_that_no_call_can_produce_can_be_set(cloud: Bed) -> None:
    vms = cloud.fill("cmp01", 2)
    cloud.edit_server(vms[0], task_state="powering-off")
    assert cloud.server(vms[0])["OS-EXT-STS:task_state"] == "powering-off"
    cloud.attach_share(vms[1])
    cloud.power_off("cmp01")
    cloud.update_service("cmp01", forced_down=True)
    with pytest.raises(BedError, match="share"):
        cloud.action(vms[1], {"evacuate": {}}, "2.94")


def test_a_server_with_a_vtpm_boots_and_nova_refuses_to_evacuate_it(cloud: Bed) -> None:
    [vm] = cloud.fill("cmp01", 1, extra_specs={"hw:tpm_version": "2.0", "hw:tpm_model": "tpm-crb"})
    cloud.power_off("cmp01")
    cloud.update_service("cmp01", forced_down=True)
    with pytest.raises(BedError, match="vTPM"):
        cloud.action(vm, {"evacuate": {}}, "2.94")


def test_spawning_can_be_slow_or_fail_and_capacity_can_change(cloud: Bed) -> None:
    cloud.knobs("cmp01", spawn_fails=True)
    with pytest.raises(BedError, match="1 failed"):
        cloud.fill("cmp01", 1)
    cloud.knobs("cmp02", vcpus=7, memory_mb=4096)
    provider = next(
        one["uuid"]
        for one in cloud.request("GET", "/resource_providers", service="placement")["resource_providers"]
        if one["name"] == "cmp02"
    )
    inventory = cloud.request("GET", f"/resource_providers/{provider}/inventories", service="placement")["inventories"]
    assert (inventory["VCPU"]["total"], inventory["MEMORY_MB"]["total"]) == (7, 4096)
    cloud.knobs("cmp03", spawn_delay=1.5)
    began = time.monotonic()
    cloud.fill("cmp03", 1)
    assert time.monotonic() - began > 1.5


def test_a_jump_of_the_wall_clock_makes_every_compute_look_down_for_a_moment(cloud: Bed) -> None:
    def all_look_down() -> bool:
        cloud.jump_clock(3600)
        return {one["state"] for one in cloud.services().values()} == {"down"}

    assert wait_until(all_look_down), "one may beat between the jump and the look, but hardly each time"
    assert wait_until(lambda: {one["state"] for one in cloud.services().values()} == {"up"})


def test_reset_leaves_nothing_behind(cloud: Bed) -> None:
    cloud.aggregate("rack1", ["cmp01", "cmp02"], zone="east", ha="true")
    cloud.fill("cmp01", 2, network=True, volume=True)
    cloud.update_service("cmp03", status="disabled", disabled_reason="test")
    cloud.power_off("cmp04")
    cloud.bmc_fault("cmp05", "silent")
    cloud.reset()

    assert cloud.servers() == []
    assert (cloud.running(), cloud.truth_events()) == ({}, [])
    services = cloud.services().values()
    assert {(one["state"], one["status"], one["zone"]) for one in services} == {("up", "enabled", "nova")}
    assert {(one["power"], one["condition"]) for one in cloud.status().values()} == {("on", "running")}
    assert "is on" in ipmi(cloud, "cmp05", "power", "status").stdout
    assert cloud.request("GET", "/network/v2.0/ports", service="others")["ports"] == []
    assert cloud.request("GET", "/os-aggregates")["aggregates"] == []
    assert cloud.fill(None, 3)


def test_a_snapshot_brings_its_servers_back(cloud: Bed) -> None:
    vms = cloud.fill("cmp01", 3)
    cloud.snapshot("three")
    cloud.power_off("cmp01")
    cloud.update_service("cmp01", forced_down=True)
    evacuated(cloud, vms[0], "cmp01")
    cloud.restore("three")

    assert cloud.running() == {"cmp01": sorted(vms)}
    assert {(one["status"], one["OS-EXT-SRV-ATTR:host"]) for one in cloud.servers()} == {("ACTIVE", "cmp01")}
    assert cloud.services()["cmp01"]["forced_down"] is False
    cloud.action(vms[0], {"os-stop": None})
    cloud.await_server(vms[0], lambda one: one["status"] == "SHUTOFF")


def test_the_segments_file_says_how_to_reach_each_host(cloud: Bed, tmp_path: Path) -> None:
    path = cloud.segments_file(
        tmp_path / "lab.failover_segments.yml",
        {"rack1": {"hosts": ["cmp01"], "reserved_hosts": ["cmp02"]}},
        method="ipmi+redfish",
        only=["cmp01", "cmp02"],
    )
    content = json.loads(path.read_text())
    first, second = content["hosts"]["cmp01"]["fencing"]
    assert first["devices"][0]["port"] == cloud.hosts["cmp01"]["ipmi"]["port"]
    assert second["devices"][0]["address"] == cloud.hosts["cmp01"]["redfish"]["address"]
    assert cloud.hosts["cmp01"]["password"] not in path.read_text()


def test_an_older_cloud_says_so_and_refuses_newer_microversions(tmp_path: Path) -> None:
    with Bed.start(tmp_path / "old", computes=2, max_microversion="2.68") as bed:
        token = user_token(bed)
        versions = user_call(bed, token, "GET", "/v2.1/")
        assert versions["version"]["version"] == "2.68"
        with pytest.raises(BedError, match="406"):
            user_call(bed, token, "GET", "/v2.1/servers", microversion="2.69")
        user_call(bed, token, "GET", "/v2.1/servers", microversion="2.68")
        assert bed.api_calls()["tokens"] == 1, "nova-api's own first login is not the user's"
        assert bed.fill("cmp01", 1), "the bed's own calls may be newer"


def test_service_hosts_and_hypervisors_may_have_different_names(tmp_path: Path) -> None:
    hosts: list[str | dict[str, t.Any]] = [
        {"name": "cmp01", "hypervisor": "cmp01.dc1.example.net"},
        "cmp02.a.example",
        "cmp02.b.example",
    ]
    with Bed.start(tmp_path / "names", hosts=hosts) as bed:
        assert set(bed.services()) == {"cmp01", "cmp02.a.example", "cmp02.b.example"}
        hypervisors = bed.request("GET", "/os-hypervisors/detail")["hypervisors"]
        assert {(one["service"]["host"], one["hypervisor_hostname"]) for one in hypervisors} == {
            ("cmp01", "cmp01.dc1.example.net"),
            ("cmp02.a.example", "cmp02.a.example"),
            ("cmp02.b.example", "cmp02.b.example"),
        }
        [vm] = bed.fill("cmp01", 1)
        assert bed.running() == {"cmp01": [vm]}
        assert ipmi(bed, "cmp02.b.example", "power", "off").returncode == 0
        assert bed.status()["cmp02.a.example"]["power"] == "on"
        bed.reset()


def processes_of(directory: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(directory) in entry.read_text():
                found.append(entry.parent.name)
    return found


def test_nothing_is_left_when_the_one_who_started_it_is_killed(tmp_path: Path) -> None:
    state = tmp_path / "orphan"
    program = textwrap.dedent(f"""
        import sys, time
        sys.path.insert(0, {str(TESTS)!r})
        from bed.client import Bed
        bed = Bed.start(sys.argv[1], computes=2, python={default_python()!r})
        print("ready", flush=True)
        time.sleep(600)
    """)
    with subprocess.Popen([sys.executable, "-c", program, str(state)], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "ready\n"
        assert len(processes_of(state)) >= 4, "the starter, the server and two BMCs"
        starter.kill()
    gone = wait_until(lambda: not processes_of(state))
    for left in processes_of(state):
        os.kill(int(left), signal.SIGKILL)
    assert gone


def test_a_bed_that_can_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(BedError, match="no_such_option"):
        Bed.start(tmp_path / "broken", computes=1, conf={"DEFAULT.report_interval": "no_such_option"})
    assert processes_of(tmp_path / "broken") == []


def test_access_rules_of_an_application_credential_are_enforced(cloud: Bed) -> None:
    rules = [
        {"service": "compute", "method": "GET", "path": "/v2.1/servers"},
        {"service": "placement", "method": "GET", "path": "/resource_providers"},
    ]
    made = cloud.application_credential("narrow", rules)
    method = {"methods": ["application_credential"]}
    body = {"auth": {"identity": {**method, "application_credential": {"id": made["id"], "secret": made["secret"]}}}}
    _answer, headers = call("POST", f"http://127.0.0.1:{cloud.ports['others']}/identity/v3/auth/tokens", body)
    token = headers["X-Subject-Token"]

    assert user_call(cloud, token, "GET", "/v2.1/servers")["servers"] == []
    with pytest.raises(BedError, match="401"):
        user_call(cloud, token, "GET", "/v2.1/os-services")
    placement = f"http://127.0.0.1:{cloud.ports['placement']}"
    assert call("GET", placement + "/resource_providers", headers={"X-Auth-Token": token})[0]["resource_providers"]
    with pytest.raises(BedError, match="401"):
        call("GET", placement + "/traits", headers={"X-Auth-Token": token})
