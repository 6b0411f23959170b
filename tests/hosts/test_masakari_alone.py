# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unmodified masakari-monitors as the only source: no monitor of ours runs anywhere."""

from __future__ import annotations

import os
import sys
import typing as t
from pathlib import Path

import pytest
from bed.client import default_python
from driver import until

from hosts.client import HostsBed
from hosts.deployment import INTAKE, Deployment
from hosts.journaled import assert_recovered, incidents

VMS = 6
POLICY = {"gates": {"start_grace": 1}}
REPORTER = "pcmk"

#: What masakari-hostmonitor asks Pacemaker with; this membership is by whose sshd answers.
_CIBADMIN = """\
#!{python}
import socket
def state(address):
    try:
        socket.create_connection((address, 22), 0.5).close()
    except OSError:
        return "offline"
    return "online"
nodes = "".join(f'<node_state uname="{{name}}" crmd="{{state(address)}}"/>' for name, address in {hosts}.items())
print(f'<cib have-quorum="1"><status>{{nodes}}</status></cib>')
"""
_CONFIGURATION = """
[api]
auth_type = http_basic
endpoint = {url}/v1
username = reporter:{reporter}
password = {token}
cafile = {authority}
[host]
monitoring_interval = 1
pacemaker_node_type = remote
disable_ipmi_check = true
[masakarimonitors_privileged]
helper_command = {programs}/privsep-helper --config-file {file}
"""


@pytest.fixture(scope="module")
def site(bed: HostsBed, journal_url: str) -> t.Iterator[Deployment]:
    """One responder that listens to no heartbeats."""
    if not (Path(default_python()).parent / "masakari-hostmonitor").exists():
        pytest.skip(f"no masakari-monitors beside {default_python()}: run make, or set BED_PYTHON")
    segments = {"rack1": {"hosts": list(bed.lab.hosts), "shared_storage": True}}
    made = Deployment(bed, bed.lab.directory / "site", segments)
    made.start(journal_url, POLICY, count=1, heartbeat={"networks": {}}, reporters={REPORTER: {}})
    yield made
    made.stop()


def start_monitor(site: Deployment, folder: Path) -> None:
    """Start the host monitor on another controller; it ends with the lab."""
    programs, file = Path(default_python()).parent, folder / "masakari-monitors.conf"
    settings = {"reporter": REPORTER, "token": site.token(f"reporter:{REPORTER}"), "authority": site.authority}
    url = f"https://{site.lab.controller.address()}:{INTAKE}"
    file.write_text(_CONFIGURATION.format(url=url, programs=programs, file=file, **settings))
    asked = folder / "cibadmin"
    addresses = {name: host.address() for name, host in site.lab.hosts.items()}
    asked.write_text(_CIBADMIN.format(python=sys.executable, hosts=addresses))
    asked.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{programs}:{os.environ['PATH']}"}
    with (site.lab.logs / "masakari-hostmonitor.log").open("wb") as log:
        command = [programs / "masakari-hostmonitor", "--config-file", file]
        site.lab.controllers[1].popen(command, env=environment, stdout=log, stderr=log)


def test_a_pulled_plug_that_only_masakari_tells_about_is_all_it_takes(site: Deployment, tmp_path: Path) -> None:
    vms = site.bed.fill("cmp01", VMS)
    start_monitor(site, tmp_path)
    log = site.lab.logs / "masakari-hostmonitor.log"
    # it tells only what is different from what it saw before
    until(lambda: "'cmp01' is 'online'" in log.read_text(errors="replace"), 60)
    site.lab["cmp01"].power_off()
    until(lambda: incidents(site, host="cmp01", state="recovered"), 180)
    report = assert_recovered(site, "cmp01", vms)
    with site.journal() as journal:
        (signal,) = journal.signals(host="cmp01", state="failed")
    assert (signal["reporter"], signal["type"]) == (f"reporter:{REPORTER}", "openstack_ha.host.unreachable")
    assert (signal["verdict"], signal["incident_id"]) == ("recover", report["incidents"][0]["id"])
    witnesses = report["verdicts"][0]["snapshot"]["hosts"]["cmp01"]["witnesses"]
    assert witnesses[REPORTER] == "down"
    assert site.lab.controller.name not in witnesses
