"""Restart order on a real Nova: who waits lands off, and is started when what it waits for answers on a real port."""

from __future__ import annotations

import contextlib
import socket
import typing as t
import uuid
from pathlib import Path

import processes
import pytest
import scenes
from bed.client import Bed
from bed.network import NETWORK_ID, SUBNET_ID
from driver import Playbooks, until
from helpers import HASTY, Recovery, evacuations, states, where
from scenes import HOST, RACK, TARGETS, finish, started

Json = t.Dict[str, t.Any]
ADDRESS = "127.0.5.1"  # of the database; all of 127/8 is this machine
MB_OF_A_VM, RESERVED_BY_NOVA = 64, 512


@pytest.fixture
def port() -> int:
    """A free one, on which nobody listens yet."""
    with contextlib.closing(socket.create_server((ADDRESS, 0))) as found:
        return int(found.getsockname()[1])


@pytest.fixture
def policy(tmp_path: Path, port: int) -> t.Callable[..., None]:
    """Write the policy: applications after databases, these are ready when their port answers."""

    def write(**restart: t.Any) -> None:
        groups = f"{{db: {{ready: 'tcp:{port}'}}, app: {{after: [db]}}}}"
        more = "".join(f", {key}: {value}" for key, value in restart.items())
        text = f"restart: {{groups: {groups}, probe_networks: [127.0.0.0/8]{more}}}"
        (tmp_path / "ha_policy.yml").write_text(text)

    write()
    return write


class Chain(t.NamedTuple):
    """A database, an application after it, a front end after that; one that was off, and one that waits for nobody."""

    db: str
    app: str
    web: str
    off: str
    alone: str

    @classmethod
    def made(cls, cloud: Bed) -> Chain:
        nic = port_of(cloud, ADDRESS)
        options = [
            {"metadata": {"openstack_ha:group": "db"}, "networks": [{"port": nic}]},
            {"metadata": {"openstack_ha:group": "app"}},
            {"metadata": {"openstack_ha:after": "app"}},
            {"metadata": {"openstack_ha:after": "app"}},
            {},
        ]
        vms = cls(*(cloud.fill(HOST, 1, **it)[0] for it in options))
        cloud.action(vms.off, {"os-stop": None})
        cloud.await_server(vms.off, lambda one: one["status"] == "SHUTOFF")
        return vms


def port_of(cloud: Bed, address: str) -> str:
    """A port with an address that this machine has, too."""

    def made(what: str, like: str, **fields: t.Any) -> str:
        path = f"/network/v2.0/{what}s"
        one = cloud.request("GET", f"{path}/{like}", service="others")[what] if like else {}
        cloud.request("POST", path, {what: {**one, **fields}}, service="others")
        return str(fields["id"])

    network, subnet, port = (str(uuid.uuid4()) for _each in range(3))
    made("network", NETWORK_ID, id=network, name="loopback", subnets=[subnet])
    made("subnet", SUBNET_ID, id=subnet, network_id=network, cidr="127.0.5.0/24", gateway_ip="127.0.5.254")
    return made("port", "", id=port, network_id=network, fixed_ips=[{"subnet_id": subnet, "ip_address": address}])


def starts(cloud: Bed) -> list[str]:
    """The servers whose start Nova was asked for."""
    return [call["path"].split("/")[-2] for call in cloud.api_log() if call.get("action") == "os-start"]


def waiting(cloud: Bed, playbooks: Playbooks, vms: Chain) -> bool:
    """Whether all but those that wait for the database are verified, and these lie off where they have landed."""
    wanted = ["verified", "landed", "landed", "verified", "verified"]
    if sorted(scenes.states(playbooks)) != sorted(wanted):
        return False
    there = [cloud.server(vm)["OS-EXT-SRV-ATTR:host"] in TARGETS for vm in (vms.app, vms.web)]
    return states(playbooks, vms) == wanted and all(there)


def came_up(cloud: Bed, vm: str) -> float:
    """When it began to run elsewhere. What is to land off, Nova starts and powers off at once."""
    events = [event for event in cloud.truth_events() if event["uuid"] == vm and event["host"] in TARGETS]
    return float(next(it["monotonic"] for it in reversed(events) if it["event"] in ("spawn", "power_on")))


def test_who_waits_is_moved_with_the_others_and_started_when_the_port_answers(
    cloud: Bed, recovery: Recovery, policy: t.Callable[..., None], port: int
) -> None:
    vms = Chain.made(cloud)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    with started(playbooks) as process:
        until(lambda: waiting(cloud, playbooks, vms), 300)
        assert where(cloud, [vms.app, vms.web, vms.off]) == ["", "", ""]
        assert all(where(cloud, [vms.db, vms.alone]))
        assert starts(cloud) == []
        assert "waits for fill-" in playbooks.ledger()[vms.app]["reason"]
        with contextlib.closing(socket.create_server((ADDRESS, port))):
            out = finish(process)
    assert process.returncode == 0, out
    assert states(playbooks, vms) == ["verified"] * 5
    assert starts(cloud) == [vms.app, vms.web]
    assert came_up(cloud, vms.db) < came_up(cloud, vms.app) < came_up(cloud, vms.web)
    assert where(cloud, [vms.off]) == [""]
    assert sorted(call["path"].split("/")[-2] for call in evacuations(cloud)) == sorted(vms)
    assert cloud.ever_ran_twice() == []
    assert "; started after group app of project" in out
    assert "1 waited up to" in out
    assert playbooks.ledger()[vms.app]["facts"]["turn"]["not_ready"] == {}


def test_a_run_that_is_killed_while_they_wait_is_finished_in_order_and_goes_on_after_its_time(
    cloud: Bed, recovery: Recovery, policy: t.Callable[..., None]
) -> None:
    vms = Chain.made(cloud)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    with started(playbooks) as process:
        until(lambda: waiting(cloud, playbooks, vms), 300)
        processes.kill({process.pid, *processes.children(process.pid)})
    policy(tier_timeout=3)
    outcome = playbooks.recover(HOST)
    assert outcome, outcome.out
    assert states(playbooks, vms) == ["verified"] * 5
    assert starts(cloud) == [vms.app, vms.web]
    assert came_up(cloud, vms.app) < came_up(cloud, vms.web)
    assert where(cloud, [vms.off]) == [""]
    assert len(evacuations(cloud)) == 5
    assert cloud.ever_ran_twice() == []
    reason = playbooks.ledger()[vms.app]["reason"]
    assert "although what it waits for is not ready: fill-" in reason
    assert f"verified: {reason}" in outcome.out


def test_the_last_place_is_kept_for_the_more_important_one(cloud: Bed, recovery: Recovery) -> None:
    low, high = (cloud.fill(HOST, 1, metadata={"openstack_ha:priority": it})[0] for it in ("100", "900"))
    for host in TARGETS:
        cloud.knobs(host, memory_mb=RESERVED_BY_NOVA + MB_OF_A_VM)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    outcome = playbooks.recover(HOST, arguments=["--check"])
    first = next(host for host in TARGETS if f"-> {host}" in outcome.out.partition(" 900 ")[2].splitlines()[0])
    cloud.knobs(first, spawn_fails=True)

    playbooks.recover(HOST, evacuate_retries=0, **HASTY)

    [other] = set(TARGETS) - {first}
    assert where(cloud, [high, low]) == [other, ""]
    assert states(playbooks, [high, low]) == ["verified", "pending"]
    asked = {call["body"]["evacuate"]["host"] for call in evacuations(cloud, low)}
    assert asked == {first}, "the other one was not asked to go where this one may have to go"
