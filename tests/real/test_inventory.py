"""The inventory plugin, read by the command line tools, against a real Nova."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest
from ansible.parsing.vault import VaultLib, VaultSecret
from bed.client import Bed

Run = t.Callable[..., "subprocess.CompletedProcess[str]"]
BIN = Path(sys.executable).parent
ODD_NAMES: list[str | dict[str, t.Any]] = [
    {"name": "cmp01", "hypervisor": "cmp01.dc1.example.net"},
    "cmp02.a.example",
    "cmp02.b.example",
]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a tool of Ansible on a segments file."""

    def run(tool: str, file: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "lab.failover_segments.yml"
        path.write_text("plugin: openstack_ha.recovery.failover_segments\n" + file)
        return subprocess.run(
            [BIN / tool, "-i", path, *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
            check=False,
            env={**os.environ, "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_NOCOLOR": "true", **environment},
        )

    return run


def listed(run: Run, file: str, **environment: str) -> dict[str, t.Any]:
    """What ``ansible-inventory --list`` says; any warning is a failure."""
    done = run("ansible-inventory", file, "--list", **environment)
    assert (done.returncode, done.stderr) == (0, "")
    # What Nova says is no template: Ansible marks such strings.
    return dict(json.loads(done.stdout, object_hook=lambda mapping: mapping.get("__ansible_unsafe", mapping)))


def shown(done: subprocess.CompletedProcess[str]) -> t.Any:
    """What the last task of a playbook shows."""
    assert (done.returncode, done.stderr) == (0, "")
    assert "changed=0" in done.stdout
    return json.loads(done.stdout.rpartition("=> ")[2].partition("PLAY RECAP")[0])["msg"]


def members(inventory: dict[str, t.Any], group: str) -> list[str]:
    return sorted(inventory.get(group, {}).get("hosts", []))


def awaited(seconds: float, question: t.Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        time.sleep(0.1)


@pytest.fixture
def counted(cloud: Bed) -> Bed:
    """A cloud that counts from now on, after nova-api's own login for its first request."""
    cloud.services()
    cloud.reset_api_calls()
    return cloud


def test_the_graph_shows_segments_by_aggregate_zone_and_metadata(cloud: Bed, run: Run) -> None:
    cloud.aggregate("ha-rack1", ["cmp01", "cmp02"])
    cloud.aggregate("west", ["cmp03"], zone="az-west")
    cloud.aggregate("ceph-1", ["cmp04"], ha_segment="ceph")
    cloud.aggregate("ceph-2", ["cmp05"], ha_segment="ceph", more="x")
    cloud.aggregate("spare", ["cmp02", "cmp06"])
    done = run(
        "ansible-inventory",
        """
cloud: lab
segments:
  rack1: {aggregate: ha-rack1, reserved_aggregate: spare}
  west: {availability_zone: az-west}
  ceph: {aggregate_metadata: {ha_segment: ceph}}
keyed_groups: [{key: ha_zone, prefix: zone}]
""",
        "--graph",
    )
    assert done.stderr == ""
    assert (
        done.stdout
        == """@all:
  |--@ungrouped:
  |--@failover_segments:
  |  |--@segment_rack1:
  |  |  |--cmp01
  |  |  |--cmp02
  |  |--@segment_west:
  |  |  |--cmp03
  |  |--@segment_ceph:
  |  |  |--cmp04
  |  |  |--cmp05
  |--@ha_reserved:
  |  |--cmp02
  |--@ha_down:
  |--@ha_forced_down:
  |--@ha_maintenance:
  |--@ha_unassigned:
  |  |--cmp06
  |--@zone_nova:
  |  |--cmp01
  |  |--cmp02
  |  |--cmp04
  |  |--cmp05
  |  |--cmp06
  |--@zone_az_west:
  |  |--cmp03
"""
    )


FOUR = """
cloud: lab
segments: {rack1: {hosts: [cmp01, cmp02, cmp03, cmp04]}}
"""


def test_groups_follow_the_services_as_nova_sees_them(cloud: Bed, run: Run) -> None:
    cloud.kill_compute("cmp01")
    cloud.update_service("cmp02", forced_down=True)
    cloud.update_service("cmp03", status="disabled", disabled_reason="Maintenance of the rack")
    awaited(30, lambda: cloud.services()["cmp01"]["state"] == "down")
    inventory = listed(run, FOUR)
    assert members(inventory, "ha_down") == ["cmp01", "cmp02"]
    assert members(inventory, "ha_forced_down") == ["cmp02"]
    assert members(inventory, "ha_maintenance") == ["cmp03"]


def test_variables_are_those_of_nova(cloud: Bed, run: Run) -> None:
    cloud.fill("cmp01", 2)
    variables = listed(run, FOUR)["_meta"]["hostvars"]["cmp01"]
    service = cloud.services()["cmp01"]
    (hypervisor,) = cloud.request(
        "GET", "/os-hypervisors/detail?hypervisor_hostname_pattern=cmp01", microversion="2.87"
    )["hypervisors"]
    assert variables["ha_service_id"] == service["id"]
    assert variables["ha_hypervisor_id"] == hypervisor["id"]
    assert (variables["ha_service_state"], variables["ha_service_status"]) == ("up", "enabled")
    assert variables["ha_capacity"] == {key: hypervisor[key] for key in variables["ha_capacity"]}
    assert variables["ha_capacity"]["running_vms"] == 2
    assert variables["ha_topology"]["hosts"]["cmp01"]["hypervisor_id"] == hypervisor["id"]


def test_reading_takes_one_token_and_three_calls(counted: Bed, run: Run) -> None:
    listed(run, FOUR)
    calls = counted.api_calls()
    assert calls["tokens"] == 1
    lists = {route: count for route, count in calls["by_route"].items() if "/os-" in route}
    assert len(lists) == sum(lists.values()) == 3, calls


def test_tasks_in_the_same_run_use_the_token_of_the_inventory(counted: Bed, run: Run) -> None:
    options = '{"cloud": "lab", "topology": "{{ ha_topology }}"}'
    done = run("ansible", FOUR, "localhost", "-m", "openstack_ha.recovery.reserved_host_info", "-a", options)
    assert done.returncode == 0, done.stdout + done.stderr
    calls = counted.api_calls()
    assert calls["by_service"]["compute"] > 3, "the task asked Nova, too"
    assert calls["tokens"] == 1, calls


@pytest.fixture(scope="module")
def odd_names(tmp_path_factory: pytest.TempPathFactory, bed: Bed) -> t.Iterator[Bed]:
    """A second cloud; ``bed`` is asked for only to be skipped with it."""
    with Bed.start(tmp_path_factory.mktemp("odd") / "state", hosts=ODD_NAMES) as running:
        yield running


def test_the_inventory_name_is_the_service_host_also_when_the_hypervisor_is_an_fqdn(odd_names: Bed, run: Run) -> None:
    file = "cloud: lab\nsegments: {r: {hosts: [cmp01.dc1.example.net, cmp02.a.example, cmp02.b.example]}}\n"
    inventory = listed(run, file, OS_CLIENT_CONFIG_FILE=str(odd_names.clouds_yaml))
    assert members(inventory, "segment_r") == ["cmp01", "cmp02.a.example", "cmp02.b.example"]
    assert inventory["_meta"]["hostvars"]["cmp01"]["ha_hypervisor_hostname"] == "cmp01.dc1.example.net"


def test_a_short_name_that_two_hosts_have_is_refused(odd_names: Bed, run: Run) -> None:
    file = "cloud: lab\nsegments: {r: {hosts: [cmp02]}}\n"
    done = run("ansible-inventory", file, "--list", OS_CLIENT_CONFIG_FILE=str(odd_names.clouds_yaml))
    message = (
        "segments.r.hosts[0]: 'cmp02' is ambiguous: it can be 'cmp02.a.example' or 'cmp02.b.example'. "
        "Give the service host in full."
    )
    assert message in " ".join(done.stderr.split())
    assert members(json.loads(done.stdout), "segment_r") == []


def test_an_unreachable_api_ends_the_run_where_ansible_is_told_to_insist(cloud: Bed, run: Run) -> None:
    file = """
auth: {auth_url: "http://127.0.0.1:9/v3", username: u, password: s3cret-word, project_name: p}
segments: {rack1: {hosts: [cmp01]}}
"""
    done = run("ansible-inventory", file, "--list", ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED="true", OS_CLOUD="")
    assert done.returncode != 0
    assert "127.0.0.1:9" in done.stderr
    assert "s3cret-word" not in done.stderr + done.stdout


def test_no_secret_is_shown_and_no_vault_password_is_needed_to_look(cloud: Bed, run: Run, tmp_path: Path) -> None:
    (tmp_path / "bmc_password").write_text("s3cret-file")
    ciphertext = (
        VaultLib().encrypt("s3cret-vault", VaultSecret(b"vault-password")).decode().replace("\n", "\n" + " " * 10)
    )
    file = f"""{FOUR}
fencing:
  - devices:
      - method: ipmi
        address: 192.0.2.1
        username: admin
        password: "{{{{ lookup('ansible.builtin.file', '{tmp_path}/bmc_password') }}}}"
      - method: ipmi
        address: 192.0.2.2
        username: admin
        password: !vault |
          {ciphertext}
"""
    done = run("ansible-inventory", file, "--list")
    assert (done.returncode, done.stderr) == (0, "")
    assert "s3cret" not in done.stdout
    (tmp_path / "vault_password").write_text("vault-password")
    used = run(
        "ansible",
        file,
        "cmp01",
        "--connection=local",
        f"--vault-password-file={tmp_path}/vault_password",
        "-m",
        "ansible.builtin.debug",
        "-a",
        "msg={{ ha_fencing[0].devices | map(attribute='password') | join(',') }}",
    )
    assert "s3cret-file,s3cret-vault" in used.stdout, used.stderr


def test_the_playbook_segments_shows_an_aligned_table(cloud: Bed, run: Run) -> None:
    cloud.fill("cmp01", 2)
    cloud.update_service("cmp03", status="disabled", disabled_reason="broken fan")
    cloud.update_service("cmp02", forced_down=True)
    table = shown(run("ansible-playbook", FOUR, "openstack_ha.recovery.segments"))
    assert [line.split()[:5] for line in table] == [
        ["SEGMENT", "HOST", "ROLE", "STATE", "SERVICE"],
        ["rack1", "cmp01", "active", "up", "enabled"],
        ["rack1", "cmp02", "active", "forced", "down"],
        ["rack1", "cmp03", "active", "up", "disabled"],
        ["rack1", "cmp04", "active", "up", "enabled"],
        ["(none)", "cmp05", "-", "up", "enabled"],
        ["(none)", "cmp06", "-", "up", "enabled"],
    ]
    head, first = table[:2]
    assert first[head.index("VMS") :].split()[:2] == ["2", "2/128"]
    assert table[3][head.index("REASON") :] == "broken fan"


def test_the_playbook_segments_can_speak_json(cloud: Bed, run: Run) -> None:
    done = run("ansible-playbook", FOUR, "openstack_ha.recovery.segments", "-e", "segments_format=json")
    facts = shown(done)
    assert facts["segments"]["rack1"]["recovery_method"] == "auto"
    assert (facts["hosts"]["cmp01"]["segment"], facts["hosts"]["cmp06"]["segment"]) == ("rack1", None)


def test_the_playbook_segments_says_what_to_do_without_segments(cloud: Bed, run: Run) -> None:
    done = run("ansible-playbook", "segments: {rack1: {hots: [cmp01]}}\n", "openstack_ha.recovery.segments")
    assert done.returncode == 2
    assert "segments.rack1.hots: unknown key. Did you mean 'hosts'?" in " ".join(done.stderr.split())
    assert "Give a segments file with -i" in done.stdout + done.stderr
