"""recover_process with services of a real systemd, restarted over real SSH."""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from hosts.client import HostsBed
from hosts.deployment import environment
from hosts.lab import Hosts

UNIT = "ailing.service"
_BROKEN = "/var/tmp/broken"
_TEXT = f"""[Service]
ExecStart=/bin/sh -c "test ! -e {_BROKEN} || exit 3; exec sleep infinity"
"""

Recover = t.Callable[[], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def recover(hosts: Hosts, cloud: HostsBed, tmp_path: Path) -> Recover:
    """Run recover_process for a unit of cmp01 that has failed, with one more restart over SSH."""
    host = hosts["cmp01"]
    host.write(f"/etc/systemd/system/{UNIT}", _TEXT)
    host.write(_BROKEN, "")
    host.run(["systemctl", "daemon-reload"])
    host.run(["systemctl", "restart", UNIT])
    segments = cloud.segments_file(tmp_path / "lab.failover_segments.yml", {"rack1": {"hosts": list(hosts.hosts)}})
    policy = {"processes": {"restart": {"over_ssh": True, "settle": 1}}}
    (tmp_path / "ha_policy.yml").write_text(json.dumps(policy))
    access = hosts.inventory(tmp_path / "access.yml")
    command = [Path(sys.executable).with_name("ansible-playbook"), "openstack_ha.recovery.recover_process"]
    command += ["-i", access, "-i", segments, "-e", "failed_hosts=cmp01", "-e", f"failed_processes={UNIT}"]
    settings = {**environment(cloud), "OPENSTACK_HA_JOURNAL": f"sqlite:///{tmp_path}/journal.db"}

    def run() -> subprocess.CompletedProcess[str]:
        return hosts.controller.run(command, env=settings, cwd=tmp_path, check=False)

    return run


def test_a_service_that_comes_back_by_one_more_restart_leaves_its_host_in_service(
    hosts: Hosts, cloud: HostsBed, recover: Recover
) -> None:
    hosts["cmp01"].run(["rm", _BROKEN])
    outcome = recover()
    assert outcome.returncode == 0, outcome.stdout
    assert f"cmp01/{UNIT}: RECOVERED: It was restarted over SSH, and runs." in outcome.stdout
    assert hosts["cmp01"].run(["systemctl", "is-active", UNIT]).stdout.strip() == "active"
    assert cloud.services()["cmp01"]["status"] == "enabled"


def test_a_service_that_does_not_come_back_takes_its_host_out_of_service(cloud: HostsBed, recover: Recover) -> None:
    outcome = recover()
    assert outcome.returncode != 0
    assert f"cmp01/{UNIT}: PARTIAL: " in outcome.stdout
    assert cloud.services()["cmp01"]["disabled_reason"].startswith(f"openstack_ha: process {UNIT}: ")
