# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook ``deploy`` and its roles, on hosts with systemd, over ssh; and what they have deployed at work."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import typing as t
from pathlib import Path

import pytest
from driver import until

from hosts.client import HostsBed
from hosts.lab import Host, Hosts
from hosts.net import CLOUD, CLOUD_NUMBER, NETWORKS, address

CONTROLLER, COMPUTE, OTHER = "rsp1", "cmp01", "cmp02"
KINDS = ("host", "network", "process")
MONITOR = "openstack-ha-monitor@{}.service"
RESPONDER = "openstack-ha-responder.service"
VENV = "/opt/openstack_ha"
# The lower, the less it may do; https://www.freedesktop.org/software/systemd/man/latest/systemd-analyze.html
EXPOSURE = {**{MONITOR.format(kind): 2.0 for kind in KINDS}, RESPONDER: 2.0}
ROOT = Path(__file__).resolve().parents[2]
# What comes and goes whether or not something is deployed.
TRANSIENT = re.compile(
    r"/(etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|etc/\.pwd\.lock|etc/\.updated|etc/ld\.so\.cache|root/|tmp/|run/|var/(log|tmp|cache)/|"
    r"var/lib/(systemd|private|dbus|apt|dpkg)/|etc/machine-id|var/\.updated|usr/share/ansible|opt/)"
)
Changed = t.Dict[str, int]


# The defaults, but for what would take minutes here.
POLICY: t.Dict[str, t.Any] = {
    "gates": {"start_grace": 1, "cool_down": 0, "power_restored": {"within": 0}},
    "networks": {name: {"cidrs": [f"{NETWORKS[name]}.0/24"]} for name in ("admin", "storage")},
}


class Site:
    """Compute hosts, one controller, and the operator who deploys on them from a machine beside them."""

    def __init__(self, bed: HostsBed, folder: Path) -> None:
        self.lab, self.bed, self.folder = bed.lab, bed, folder
        self.compute, self.controller = self.lab[COMPUTE], self.lab[CONTROLLER]
        _give_python(self.controller)
        _give_way_to_cloud(self.lab)
        self.secrets = self._write_segments()
        (folder / "ha_policy.yml").write_text(json.dumps(POLICY))
        self.inventory = self._inventory()

    def _write_segments(self) -> list[dict[str, str]]:
        """The segments file, with secrets where the role puts them; which these are."""
        path = self.folder / "lab.failover_segments.yml"
        rack = {"hosts": [COMPUTE, OTHER], "shared_storage": True}
        self.bed.segments_file(path, {"rack1": rack}, method="redfish")
        used = {one["password_file"] for one in self.bed.hosts.values()}
        used |= {one["redfish"]["ca"] for one in self.bed.hosts.values()}
        text, secrets = path.read_text(), [{"src": it, "name": it.strip("/").replace("/", "-")} for it in sorted(used)]
        for secret in secrets:
            text = text.replace(secret["src"], f"/etc/openstack_ha/responder/secrets/{secret['name']}")
        path.write_text(text)
        return secrets

    def _inventory(self) -> Path:
        groups = {"ha_monitors": [COMPUTE, OTHER], "ha_responders": [CONTROLLER]}
        path = self.lab.inventory(self.folder / "deploy.yml", groups)
        inventory = json.loads(path.read_text())
        for name in groups["ha_monitors"]:
            networks = {one: {"source": self.lab[name].address(one), "interface": one} for one in POLICY["networks"]}
            inventory["all"]["hosts"][name]["monitor_networks"] = networks
        inventory["all"]["vars"] |= {
            "ha_monitors_at_once": "100%",
            "monitor_kinds": list(KINDS),
            "monitor_secrets_dir": str(self.folder / "secrets"),
            "responder_clouds_file": str(self.bed.clouds_yaml),
            "responder_collection_archive": str(_archive(self.folder)),
            "responder_heartbeat": {one: f"{self.controller.address(one)}:7412" for one in POLICY["networks"]},
            "responder_listen": [f"{self.controller.address()}:7411"],
            "responder_manage_packages": False,  # there is no ipmitool in the tree, and no network to get it from
            "responder_patience": 300,
            "responder_policy_file": str(self.folder / "ha_policy.yml"),
            "responder_secret_files": self.secrets,
            "responder_secrets_dir": str(self.folder / "secrets"),
            "responder_segments_file": str(self.folder / "lab.failover_segments.yml"),
        }
        path.write_text(json.dumps(inventory, indent=1))
        return path

    def deploy(self, *options: str, check: bool = True, **variables: t.Any) -> subprocess.CompletedProcess[str]:
        """Run the playbook, as an operator does."""
        command = [Path(sys.executable).with_name("ansible-playbook"), "openstack_ha.recovery.deploy"]
        command += ["-i", self.inventory, "-e", json.dumps(variables), *options]
        return self.lab.controllers[0].run(command, env=_environment(self.folder), cwd=self.folder, check=check)


def _environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(folder / "copy"),
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_NOCOLOR": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


def _archive(folder: Path) -> Path:
    """The collection, as it is released; what is deployed comes from the same copy."""
    command = [sys.executable, str(ROOT / "tests" / "tools" / "collection_copy.py"), str(folder / "copy")]
    copied = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    galaxy = str(Path(sys.executable).with_name("ansible-galaxy"))
    build = [galaxy, "collection", "build", "--output-path", str(folder), copied]
    subprocess.run(build, check=True, capture_output=True, env=_environment(folder))
    return next(folder.glob("openstack_ha-recovery-*.tar.gz"))


def binds() -> list[str]:
    """This Python and its packages, for a machine that has neither."""
    return [f"--bind-ro={sys.base_prefix}:/opt/python", f"--bind-ro={sysconfig.get_path('purelib')}:{_packages()}"]


def _packages() -> str:
    return f"{VENV}/lib/python{sysconfig.get_python_version()}/site-packages"


def _give_python(host: Host) -> None:
    """A virtual environment at the place where the role expects one, of the Python that runs this."""
    version = sysconfig.get_python_version()
    host.write(f"{VENV}/pyvenv.cfg", "home = /opt/python/bin\ninclude-system-site-packages = false\n")
    host.write("/etc/ld.so.conf.d/python.conf", "/opt/python/lib\n")
    for name in ("ansible-galaxy", "ansible-playbook"):
        _first, _newline, rest = Path(sys.executable).with_name(name).read_text().partition("\n")
        host.write(f"{VENV}/bin/{name}", f"#!{VENV}/bin/python\n{rest}", 0o755)
    host.run(["ln", "-s", f"/opt/python/bin/python{version}", f"{VENV}/bin/python"])
    host.run(["ldconfig"])
    found = host.run([f"{VENV}/bin/python", "-c", "import ansible, ctypes, openstack, sqlite3, ssl"], check=False)
    if found.returncode:
        pytest.skip(f"the Python of these tests does not run on the hosts: {found.stderr[-500:]}")


def _give_way_to_cloud(lab: Hosts) -> None:
    """A controller that is a host is not in the network of the cloud: another one passes on what it sends there."""
    router, host = lab.controllers[0], lab[CONTROLLER]
    router.run(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
    cloud = address(CLOUD, CLOUD_NUMBER).rpartition(".")[0]
    host.run(["ip", "route", "add", f"{cloud}.0/24", "via", router.address()])
    subprocess.run(["ip", "route", "add", f"{NETWORKS['admin']}.0/24", "via", router.address(CLOUD)], check=True)


def recap(done: subprocess.CompletedProcess[str]) -> Changed:
    """How much the playbook has changed on each host."""
    found = re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", done.stdout, re.MULTILINE)
    return {host: int(changed) for host, changed in found}


def files(host: Host) -> dict[str, tuple[int, int]]:
    """What there is on the disk beyond the tree that all hosts share: size and time of the last change."""
    upper = host.machine.folder / "upper"
    found = {f"/{path.relative_to(upper)}": path.lstat() for path in upper.rglob("*") if not path.is_dir()}
    return {name: (it.st_size, it.st_mtime_ns) for name, it in found.items() if not TRANSIENT.match(name)}


def installed(host: Host) -> dict[str, tuple[int, int]]:
    """The same without what programs write at work."""
    return {name: it for name, it in files(host).items() if not name.startswith("/var/")}


def shown(host: Host, unit: str, *names: str) -> dict[str, str]:
    lines = host.run(["systemctl", "show", unit, f"--property={','.join(names)}"]).stdout.splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.fixture(scope="module")
def hosts(can_have_hosts: None) -> t.Iterator[Hosts]:
    """The compute hosts; the controller comes after the cloud, which would take it for one of them."""
    with Hosts(binds=binds()) as started:
        started.start(names=[COMPUTE, OTHER])
        yield started


@pytest.fixture(scope="module")
def site(hosts: Hosts, bed: HostsBed, tmp_path_factory: pytest.TempPathFactory) -> Site:
    hosts.start(names=[CONTROLLER])
    return Site(bed, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def before(site: Site) -> dict[str, set[str]]:
    """The files of each host before anything is deployed."""
    return {name: set(files(host)) for name, host in site.lab.hosts.items()}


@pytest.fixture(scope="module")
def deployed(site: Site, before: dict[str, set[str]]) -> Site:
    done = site.deploy()
    assert all(changed > 0 for changed in recap(done).values()), done.stdout
    return site


def on(site: Site, unit: str) -> Host:
    return site.controller if unit == RESPONDER else site.compute


@pytest.mark.parametrize("unit", EXPOSURE)
def test_each_unit_runs_and_may_do_little(deployed: Site, unit: str) -> None:
    host = on(deployed, unit)
    found = shown(host, unit, "ActiveState", "MainPID", "User", "NRestarts", "UnitFileState")
    assert (found["ActiveState"], found["UnitFileState"], found["NRestarts"]) == ("active", "enabled", "0")
    status = host.run(["cat", f"/proc/{found['MainPID']}/status"]).stdout
    assert re.search(r"^CapEff:\s*0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s*1$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\s*2$", status, re.MULTILINE)
    told = host.run(["systemd-analyze", "security", "--no-pager", unit], check=False).stdout
    exposure = re.search(r"Overall exposure level .*: ([0-9.]+)", told)
    assert exposure is not None, told
    assert float(exposure[1]) <= EXPOSURE[unit], told


def test_only_what_restarts_units_runs_as_root(deployed: Site) -> None:
    users = {kind: shown(deployed.compute, MONITOR.format(kind), "User")["User"] for kind in KINDS}
    assert users == {"host": "openstack-ha", "network": "openstack-ha", "process": "root"}


def test_a_credential_is_readable_for_the_monitors_and_for_nobody_else(deployed: Site) -> None:
    told = deployed.compute.run(["stat", "--format=%a %U %G", "/etc/openstack_ha/monitor.token"]).stdout
    assert told.split() == ["640", "root", "openstack-ha"]
    private = ["keys", "certificate.key", "responder.yml", "environment", "lab.failover_segments.yml"]
    paths = [f"/etc/openstack_ha/responder/{name}" for name in private]
    told = deployed.controller.run(["stat", "--format=%a %U %G", *paths]).stdout
    assert set(told.splitlines()) == {"640 root openstack-ha-responder"}


def test_the_key_of_the_responders_does_not_come_to_compute_hosts(deployed: Site) -> None:
    key = (deployed.folder / "secrets" / "responder.keys").read_text().strip()
    assert deployed.controller.run(["grep", "-rl", key, "/etc/openstack_ha"]).stdout
    assert not deployed.compute.run(["grep", "-rl", key, "/etc", "/usr/local", "/var"], check=False).stdout


def test_a_second_run_changes_nothing(deployed: Site) -> None:
    done = deployed.deploy("--limit", f"{COMPUTE},{CONTROLLER}")
    assert recap(done) == {COMPUTE: 0, CONTROLLER: 0}, done.stdout


def test_check_mode_shows_what_would_change_and_changes_nothing(deployed: Site) -> None:
    held = {host.name: installed(host) for host in (deployed.compute, deployed.controller)}
    wanted: t.Dict[str, t.Any] = {"monitor_settings": {"repeat": 45}, "responder_settings": {"look": 3.5}}
    done = deployed.deploy("--check", "--diff", "--limit", f"{COMPUTE},{CONTROLLER}", **wanted)
    assert '+    "repeat": 45,' in done.stdout
    assert "+look: 3.5" in done.stdout
    assert all(changed > 0 for changed in recap(done).values())
    assert {host.name: installed(host) for host in (deployed.compute, deployed.controller)} == held


@pytest.mark.parametrize(
    ("unit", "wrong", "told"),
    [
        (MONITOR.format("host"), {"monitor_settings": {"repeat": "often"}}, "repeat: must be a number, not 'often'"),
        (RESPONDER, {"responder_settings": {"lok": 3}}, "lok"),
    ],
)
def test_a_wrong_configuration_is_refused_and_what_runs_goes_on(
    deployed: Site, unit: str, wrong: dict[str, t.Any], told: str
) -> None:
    host = on(deployed, unit)
    held, process = installed(host), shown(host, unit, "MainPID", "ActiveState")
    done = deployed.deploy("--limit", host.name, check=False, **wrong)
    assert done.returncode != 0
    assert told in done.stdout
    assert installed(host) == held
    assert shown(host, unit, "MainPID", "ActiveState") == process


def test_a_kind_that_is_not_wanted_any_more_is_stopped(deployed: Site) -> None:
    deployed.deploy("--limit", COMPUTE, monitor_kinds=["host", "network"])
    unit = MONITOR.format("process")
    found = shown(deployed.compute, unit, "ActiveState", "UnitFileState")
    assert found == {"ActiveState": "inactive", "UnitFileState": "disabled"}


def test_what_is_deployed_recovers_a_host_whose_plug_is_pulled_and_the_monitors_start_when_it_boots(
    deployed: Site,
) -> None:
    vms = deployed.bed.fill(COMPUTE, 2)
    deployed.compute.power_off()
    until(lambda: set(vms) <= set(deployed.bed.running().get(OTHER, ())), 300)
    assert deployed.bed.ever_ran_twice() == []
    deployed.compute.power_on()
    found = shown(deployed.compute, MONITOR.format("host"), "ActiveState")
    assert found == {"ActiveState": "active"}


def test_nothing_is_left_when_it_is_removed(deployed: Site, before: dict[str, set[str]]) -> None:
    """The last test of this file."""
    deployed.deploy(ha_state="absent", responder_remove_data=True)
    for host in (deployed.compute, deployed.controller):
        assert set(files(host)) - before[host.name] == set(), host.name
        assert host.run(["getent", "passwd", "openstack-ha", "openstack-ha-responder"], check=False).stdout == ""
        assert not host.run(["systemctl", "list-units", "--all", "--no-legend", "openstack-ha-*"]).stdout
