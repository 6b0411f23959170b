"""Rescue method ``heat`` on real Nova and a real Heat, whose engine and API are one process beside the bed."""

from __future__ import annotations

import os
import subprocess
import typing as t
from pathlib import Path

import pytest
import requests
from bed.client import BUILD, Bed
from bed.fakes import IMAGE_ID, PROJECT
from bed.network import NETWORK_ID
from driver import Playbooks, until
from journal_servers import free_ports

Json = t.Dict[str, t.Any]
Recovery = t.Callable[..., Playbooks]

PYTHON = os.environ.get("HEAT_PYTHON") or str(BUILD / "heat" / "bin" / "python")
RACK = {"rack1": {"hosts": [f"cmp{number:02d}" for number in range(1, 7)], "shared_storage": True}}
LONG = 180

pytestmark = pytest.mark.skipif(
    not os.access(PYTHON, os.X_OK), reason=f"no interpreter with Heat at {PYTHON}: make test-heat"
)


class Heat:
    """A running Heat, as its users see it."""

    def __init__(self, url: str, token: str) -> None:
        self.url = f"{url}/v1/{PROJECT}"
        self._session = requests.Session()
        self._session.headers["X-Auth-Token"] = token

    def call(self, method: str, path: str, **body: t.Any) -> Json:
        answer = self._session.request(method, self.url + path, json=body or None, timeout=60)
        assert answer.status_code < 300, answer.text
        return dict(answer.json()) if answer.text.startswith("{") else {}

    def create(self, name: str, **resources: Json) -> str:
        """Create a stack; its path."""
        template = {"heat_template_version": "2021-04-16", "resources": resources}
        made = self.call("POST", "/stacks", stack_name=name, template=template, timeout_mins=5)
        path = f"/stacks/{name}/{made['stack']['id']}"
        assert self.settled(path) == "CREATE_COMPLETE", self.call("GET", path)["stack"]["stack_status_reason"]
        return path

    def status(self, path: str) -> str:
        return str(self.call("GET", path)["stack"]["stack_status"])

    def settled(self, path: str) -> str:
        return str(until(lambda: not (it := self.status(path)).endswith("IN_PROGRESS") and it, LONG))

    def servers(self, path: str) -> list[str]:
        found = self.call("GET", f"{path}/resources?nested_depth=5&type=OS::Nova::Server")["resources"]
        return sorted(it["physical_resource_id"] for it in found)


@pytest.fixture(scope="module")
def site(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[tuple[str, Path]]:
    """The URL of a Heat, and a clouds.yaml that names it."""
    directory = tmp_path_factory.mktemp("heat")
    (port,) = free_ports(1)
    (identity,) = (line.split('"')[1] for line in bed.clouds_yaml.read_text().splitlines() if "auth_url" in line)
    with (directory / "heat.log").open("wb") as log:
        command = [PYTHON, str(Path(__file__).with_name("heat_server.py")), str(directory), str(port), identity]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        until(lambda: (directory / "ready").exists() or _ended(process, directory), LONG)
        clouds = directory / "clouds.yaml"
        override = f'    orchestration_endpoint_override: "http://127.0.0.1:{port}/v1/%(project_id)s"\n'
        clouds.write_text(bed.clouds_yaml.read_text().rstrip() + "\n" + override)
        yield f"http://127.0.0.1:{port}", clouds
    finally:
        process.kill()
        process.wait()


def _ended(process: subprocess.Popen[bytes], directory: Path) -> bool:
    assert process.poll() is None, (directory / "heat.log").read_text()[-3000:]
    return False


@pytest.fixture
def heat(cloud: Bed, site: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> Heat:
    import openstack

    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(site[1]))
    connection = openstack.connect(cloud="lab")
    return Heat(site[0], connection.session.get_token())


@pytest.fixture
def playbooks(cloud: Bed, site: tuple[str, Path], tmp_path: Path) -> Playbooks:
    inventory = cloud.segments_file(tmp_path / "lab.failover_segments.yml", RACK)
    return Playbooks(inventory, tmp_path, site[1])


def server(cloud: Bed, name: str, network: Json | None = None) -> Json:
    """A server of a template, with metadata that leaves it to Heat."""
    properties = {
        "name": name, "image": IMAGE_ID, "flavor": cloud.flavor(1, 64, 1),
        "networks": [network or {"network": NETWORK_ID}], "metadata": {"openstack_ha:method": "heat"},
    }  # fmt: skip
    return {"type": "OS::Nova::Server", "properties": properties}


def homes(cloud: Bed) -> dict[str, str]:
    return {vm: host for host, vms in cloud.running().items() for vm in vms}


def test_a_vm_of_a_stack_is_replaced_by_its_stack_on_another_host_once_its_own_is_fenced(
    cloud: Bed, heat: Heat, playbooks: Playbooks
) -> None:
    port = {"type": "OS::Neutron::Port", "properties": {"network": NETWORK_ID}}
    group = {"type": "OS::Heat::ResourceGroup", "properties": {"count": 1, "resource_def": server(cloud, "w%index%")}}
    single = heat.create("db", port=port, server=server(cloud, "db", {"port": {"get_resource": "port"}}))
    nested = heat.create("web", group=group)
    (vm,), others = heat.servers(single), heat.servers(nested)
    dead = homes(cloud)[vm]
    gone = [it for it in [vm, *others] if homes(cloud)[it] == dead]
    stay = [it for it in [vm, *others] if it not in gone]
    plain = cloud.fill(dead, 1)
    cloud.crash(dead)

    outcome = playbooks.recover(dead)

    assert outcome, outcome.out
    now = [*heat.servers(single), *heat.servers(nested)]
    assert set(now) & set(gone) == set()
    assert set(stay) <= set(now)
    assert set(homes(cloud)) == {*now, *plain}
    assert dead not in homes(cloud).values()
    ledger = playbooks.ledger()
    assert {ledger[it]["state"] for it in [*gone, *plain]} == {"verified"}
    assert ledger[vm]["method"] == "heat"
    assert ledger[vm]["reason"] == f"replaced by db ({heat.servers(single)[0]}), server of stack db"
    assert ledger[vm]["request_id"].startswith("req-")
    assert cloud.ever_ran_twice() == []
    assert heat.status(single) == "UPDATE_COMPLETE"
