# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unmodified masakari-monitors and openstacksdk against the intake."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
import typing as t
import uuid
from pathlib import Path

import intake_process
import openstack.connection
import openstack.exceptions
import pytest
from bed.client import default_python
from bed.tls import server_context
from keystoneauth1 import http_basic, session

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.credentials import token_of
from ansible_collections.openstack_ha.recovery.tests.unit.fakes.intake import KEY, SCOPE, notification

ME = socket.gethostname()
DEADLINE = 120.0


class Site(t.NamedTuple):
    """An intake and its journal."""

    intake: intake_process.Intake
    journal: Journal

    @property
    def url(self) -> str:
        """What stands in the catalogue of a cloud, or in the configuration of a monitor."""
        return f"https://127.0.0.1:{self.intake.port}/v1"

    def rows(self, number: int) -> list[dict[str, t.Any]]:
        """The signals, as soon as there are so many."""
        deadline = time.monotonic() + DEADLINE
        while len(found := self.journal.signals(scope=SCOPE)) < number and time.monotonic() < deadline:
            time.sleep(0.05)
        return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Site]:
    directory = tmp_path_factory.mktemp("masakari")
    server_context(directory)
    url = f"sqlite:///{directory}/journal.db"
    with intake_process.running(directory, url, directory, hosts=[ME]) as intake, open_journal(url) as journal:
        yield Site(intake, journal)


@pytest.fixture
def fresh(tmp_path: Path) -> t.Iterator[Site]:
    server_context(tmp_path)
    url = f"sqlite:///{tmp_path}/journal.db"
    with intake_process.running(tmp_path, url, tmp_path, hosts=[ME]) as intake, open_journal(url) as journal:
        yield Site(intake, journal)


# -- masakari-monitors ------------------------------------------------------------------------------------------------


def configured(site: Site, directory: Path, user: str, principal: str, **sections: str) -> Path:
    """A configuration file of masakari-monitors: HTTP basic authentication, so neither Keystone nor an admin."""
    more = "\n".join(f"[{name}]\n{text}" for name, text in sections.items())
    file = directory / "masakari-monitors.conf"
    file.write_text(f"""
[api]
auth_type = http_basic
endpoint = {site.url}
username = {user}
password = {token_of(KEY, principal)}
cafile = {site.intake.tls}/ca.pem
{more}
""")
    return file


def monitor_python() -> Path:
    found = Path(default_python())
    if not (found.parent / "masakari-hostmonitor").exists():
        pytest.skip(f"no masakari-monitors beside {found}: run make, or set BED_PYTHON")
    return found


@contextlib.contextmanager
def monitor(name: str, config: Path, log: Path, path: str = "") -> t.Iterator[None]:
    """A monitor that ends, with all that it has started, with the context."""
    program = monitor_python().parent / name
    environment = {**os.environ, "PATH": f"{path}:{program.parent}:{os.environ['PATH']}"}
    with log.open("wb") as output:
        command = [str(program), "--config-file", str(config)]
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def cib(**nodes: str) -> str:
    states = "".join(f'<node_state uname="{name}" crmd="{state}"/>' for name, state in nodes.items())
    return f'<cib have-quorum="1"><status>{states}</status></cib>'


def test_a_host_monitor_of_pacemaker_tells_that_hosts_go_and_come_back(fresh: Site, tmp_path: Path) -> None:
    told = tmp_path / "cib.xml"
    told.write_text(cib(cmp01="online", cmp02="online"))
    asked = tmp_path / "asked"
    program = tmp_path / "cibadmin"
    program.write_text(f"#!/bin/sh\necho >> {asked}\ncat {told}\n")
    program.chmod(0o755)
    host = "monitoring_interval = 1\npacemaker_node_type = remote\ndisable_ipmi_check = true"
    helper = (
        f"helper_command = {monitor_python().parent}/privsep-helper --config-file {tmp_path}/masakari-monitors.conf"
    )
    config = configured(
        fresh, tmp_path, "reporter:pcmk", "reporter:pcmk", host=host, masakarimonitors_privileged=helper
    )
    with monitor("masakari-hostmonitor", config, tmp_path / "log", str(tmp_path)):
        wait_for(lambda: asked.exists() and len(asked.read_text()) > 1, tmp_path / "log")
        told.write_text(cib(cmp01="offline", cmp02="online"))
        (down,) = fresh.rows(1)
        told.write_text(cib(cmp01="online", cmp02="online"))
        up = fresh.rows(2)[1]
    assert (down["host"], down["type"], down["state"]) == ("cmp01", "openstack_ha.host.unreachable", "failed")
    assert (down["reporter"], down["source"]) == ("reporter:pcmk", "/reporters/pcmk/masakari")
    assert (up["host"], up["type"], up["state"]) == ("cmp01", "openstack_ha.host.reachable", "ok")


def test_a_process_monitor_tells_that_a_process_is_gone_for_good(fresh: Site, tmp_path: Path) -> None:
    commands = (
        "".join(f"  {when}{what}_command:\n" for what in ("start", "restart") for when in ("pre_", "post_"))
        + "  start_command: 'true'\n  restart_command: 'false'\n  run_as_root: false\n"
    )
    (tmp_path / "list.yaml").write_text(f"-\n  process_name: {tmp_path}/bin/no-such-agent\n{commands}")
    process = f"process_list_path = {tmp_path}/list.yaml\ncheck_interval = 1\nrestart_retries = 0\nrestart_interval = 0"
    config = configured(fresh, tmp_path, ME, f"host:{ME}", process=process)
    with monitor("masakari-processmonitor", config, tmp_path / "log"):
        rows = fresh.rows(1)
    assert [(it["host"], it["type"], it["object"]) for it in rows] == [
        (ME, "openstack_ha.process.failed", "no-such-agent")
    ], (tmp_path / "log").read_text()


#: What the callback of masakari-instancemonitor does for an event of libvirt, with its own code.
_EVENTS = """
import sys, datetime
import masakarimonitors.conf
from masakarimonitors import config
from masakarimonitors.instancemonitor.libvirt_handler import callback
config.parse_args(["x", "--config-file", sys.argv[1]])
send = callback.Callback().libvirt_event_callback
for event in sys.argv[3:]:
    send(*event.split("/"), sys.argv[2], "VM", {host!r}, datetime.datetime.utcnow())
"""


def test_an_instance_monitor_tells_what_libvirt_saw(fresh: Site, tmp_path: Path) -> None:
    vm = str(uuid.uuid4())
    config = configured(fresh, tmp_path, "cmp02", "host:cmp02", callback="retry_max = 0")
    events = ["LIFECYCLE/STOPPED_FAILED", "LIFECYCLE/STOPPED_FAILED", "LIFECYCLE/STOPPED_DESTROYED"]
    script = _EVENTS.format(host="cmp02.example.net")
    done = subprocess.run(
        [monitor_python(), "-c", script, config, vm, *events],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )
    rows = fresh.journal.signals(scope=SCOPE)
    assert done.returncode == 0, done.stderr
    assert [(it["host"], it["type"], it["object"], it["state"]) for it in rows] == [
        ("cmp02", "openstack_ha.instance.crashed", vm, "failed"),
        ("cmp02", "openstack_ha.instance.crashed", vm, "failed"),
        ("cmp02", "openstack_ha.instance.stopped", vm, "ok"),
    ], done.stderr


def wait_for(condition: t.Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


# -- openstacksdk -----------------------------------------------------------------------------------------------------


def proxy(site: Site, version: str | None, user: str = "reporter:sdk") -> t.Any:
    """openstacksdk's instance_ha, in a microversion."""
    auth = http_basic.HTTPBasicAuth(endpoint=site.url, username=user, password=token_of(KEY, user))
    opened = session.Session(auth=auth, verify=str(site.intake.tls / "ca.pem"))
    made = openstack.connection.Connection(session=opened).instance_ha
    made.default_microversion = version
    return made


@pytest.fixture
def recovered(site: Site) -> str:
    """The uuid of the notification of a host failure that led to a run with one VM."""
    sent = notification()["notification"]
    made = proxy(site, None).create_notification(**sent)
    if made.status == "new":
        incident = site.journal.open_incident("cmp01", SCOPE, "rack1")["id"]
        site.journal.decide_signals([made.notification_uuid], "recover", None, "", incident)
        run = site.journal.open_run([{"host": "cmp01", "incident_id": incident}], holder.describe())["id"]
        site.journal.add_step(run, "cmp01", "fencing", 1.0)
        line = {"server_id": str(uuid.uuid4()), "name": "web", "host": "cmp01", "target": "cmp02", "attempts": 0}
        site.journal.plan_lines(run, [{"incident_id": incident, "state": "verified", **line}])
        site.journal.set_incident(incident, "recovered")
    return str(made.notification_uuid)


@pytest.mark.parametrize("version", [None, "1.0", "1.1", "1.2", "1.3"])
def test_all_calls_of_the_sdk_are_answered(site: Site, recovered: str, version: str | None) -> None:
    cloud, minor = proxy(site, version), int((version or "1.0")[-1])
    listed = {it.notification_uuid: it for it in cloud.notifications(type="COMPUTE_HOST")}
    assert (listed[recovered].status, listed[recovered].hostname) == ("finished", "cmp01")
    one = cloud.get_notification(recovered)
    names = [it.name for it in one.recovery_workflow_details or []]
    assert names == (["Verdict", "fencing"] if minor >= 1 else [])
    assert [it.notification_uuid for it in cloud.notifications(limit=1)] != []
    segments = {it.name: it for it in cloud.segments()}
    assert sorted(segments) == ["rack1", "rack2"]
    rack2 = cloud.get_segment(segments["rack2"].uuid)
    # Left to itself the SDK asks for segments in 1.2.
    assert (rack2.recovery_method, rack2.is_enabled) == ("reserved_host", True if minor >= 2 or not version else None)
    hosts = {it.name: it for it in cloud.hosts(rack2.uuid)}
    assert {name: it.reserved for name, it in hosts.items()} == {"cmp03": False, "cmp04": True}
    assert cloud.get_host(hosts["cmp03"].uuid, rack2.uuid).failover_segment_id == rack2.uuid
    if minor >= 3:
        (move,) = cloud.vmoves(recovered)
        assert (move.server_name, move.dest_host, move.status) == ("web", "cmp02", "succeeded")
        assert cloud.get_vmove(move.uuid, recovered).uuid == move.uuid
    else:
        with pytest.raises(openstack.exceptions.NotFoundException):
            list(cloud.vmoves(recovered))


def test_calls_of_the_sdk_that_would_change_segments_and_hosts_are_refused(site: Site) -> None:
    cloud = proxy(site, "1.3")
    segment = next(iter(cloud.segments()))
    host = next(iter(cloud.hosts(segment.uuid)))
    forbidden: list[t.Callable[[], t.Any]] = [
        lambda: cloud.create_segment(name="x", recovery_method="auto", service_type="compute"),
        lambda: cloud.update_segment(segment.uuid, name="x"),
        lambda: cloud.delete_segment(segment.uuid),
        lambda: cloud.create_host(segment.uuid, name="x", type="y", control_attributes="z"),
        lambda: cloud.update_host(host.uuid, segment.uuid, on_maintenance=True),
        lambda: cloud.delete_host(host.uuid, segment.uuid),
    ]
    for call in forbidden:
        with pytest.raises(openstack.exceptions.ForbiddenException, match="segments file"):
            call()


@pytest.mark.parametrize(
    ("user", "call", "status"),
    [
        ("reporter:sdk", lambda cloud: cloud.get_notification(str(uuid.uuid4())), 404),
        (
            "reporter:sdk",
            lambda cloud: cloud.create_notification(**notification(hostname="cmp99")["notification"]),
            400,
        ),
        ("host:cmp02", lambda cloud: cloud.create_notification(**notification()["notification"]), 403),
    ],
)
def test_errors_reach_the_sdk_with_their_words(
    site: Site, user: str, call: t.Callable[[t.Any], t.Any], status: int
) -> None:
    with pytest.raises(openstack.exceptions.HttpException) as error:
        call(proxy(site, "1.3", user))
    assert error.value.status_code == status
    assert error.value.details


def test_the_sdk_finds_the_version_by_itself(site: Site) -> None:
    auth = http_basic.HTTPBasicAuth(
        endpoint=site.url.removesuffix("/v1"), username="reader:sdk", password=token_of(KEY, "reader:sdk")
    )
    opened = session.Session(auth=auth, verify=str(site.intake.tls / "ca.pem"))
    cloud = openstack.connection.Connection(session=opened).instance_ha
    data = cloud.get_endpoint_data()
    assert (data.min_microversion, data.max_microversion) == ((1, 0), (1, 3))
