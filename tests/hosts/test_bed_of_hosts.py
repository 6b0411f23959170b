"""The bed of hosts itself: what it says happens, happens; and it leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from driver import until

from hosts.client import HostsBed
from hosts.lab import TESTS, Host, Hosts

_REACHES = "import socket, sys; socket.create_connection((sys.argv[1], 22), 0.5)"


def reaches(hosts: Hosts, host: Host, network: str) -> bool:
    command = [sys.executable, "-c", _REACHES, host.address(network)]
    return hosts.controller.run(command, check=False).returncode == 0


def test_hosts_have_a_systemd_of_their_own_and_are_reached_by_ssh(hosts: Hosts) -> None:
    host = hosts["cmp02"]
    said = hosts.controller.run(["ssh", *hosts.ssh_options, host.address("storage"), "hostname; systemctl --failed -q"])
    assert said.stdout == "cmp02\n"


def test_no_host_reaches_what_only_controllers_may_reach(hosts: Hosts) -> None:
    routes = hosts["cmp01"].run(["ip", "-brief", "address"]).stdout
    assert "10.77.0.11" in routes
    assert "10.76.0." not in routes
    assert "10.76.0.1/" in hosts.controller.run(["ip", "-brief", "address"]).stdout


def test_pulling_the_plug_ends_everything_at_once_and_the_disk_survives(hosts: Hosts) -> None:
    host = hosts["cmp01"]
    host.run(["sh", "-c", "echo kept > /var/tmp/kept"])
    sleeper = host.popen(["sleep", "1000"])
    host.power_off()
    assert not host.is_on
    assert sleeper.wait(10)
    assert not reaches(hosts, host, "admin")
    host.power_on()
    assert host.run(["cat", "/var/tmp/kept"]).stdout == "kept\n"
    assert reaches(hosts, host, "admin")


def test_a_cut_takes_one_network_of_one_host(hosts: Hosts) -> None:
    host, other = hosts["cmp02"], hosts["cmp03"]
    host.cut("storage")
    assert not reaches(hosts, host, "storage")
    assert reaches(hosts, host, "admin")
    assert reaches(hosts, other, "storage")
    assert (host.run(["cat", "/sys/class/net/storage/carrier"]).stdout, host.is_on) == ("0\n", True)
    host.heal("storage")
    until(lambda: reaches(hosts, host, "storage"))


def test_a_switch_that_fails_takes_a_network_of_all(hosts: Hosts) -> None:
    hosts.fail_switch("tenant")
    assert not any(reaches(hosts, host, "tenant") for host in hosts.hosts.values())
    assert reaches(hosts, hosts["cmp01"], "admin")
    hosts.heal()
    until(lambda: all(reaches(hosts, host, "tenant") for host in hosts.hosts.values()))


def test_frames_are_lost_one_way_while_the_link_stays_up(hosts: Hosts) -> None:
    host = hosts["cmp03"]
    hosts.networks.drop("admin", sender="cmp03", receiver="ctl1")
    assert not reaches(hosts, host, "admin")
    assert reaches(hosts, hosts["cmp02"], "admin")
    assert host.run(["cat", "/sys/class/net/admin/carrier"]).stdout == "1\n"
    hosts.heal()
    until(lambda: reaches(hosts, host, "admin"))


def test_a_frozen_host_still_accepts_connections(hosts: Hosts) -> None:
    host = hosts["cmp03"]
    host.freeze()
    assert reaches(hosts, host, "admin")
    ssh = ["ssh", *hosts.ssh_options, "-o", "ConnectTimeout=1", host.address(), "true"]
    assert hosts.controller.run(ssh, check=False).returncode == 255
    host.thaw()
    assert hosts.controller.run(ssh, check=False).returncode == 0


def compute_is_up(cloud: HostsBed, host: str) -> bool:
    return bool(cloud.services()[host]["state"] == "up")


def test_the_bmc_pulls_the_plug_of_the_container_and_puts_it_in_again(hosts: Hosts, cloud: HostsBed) -> None:
    host, facts = hosts["cmp01"], cloud.hosts["cmp01"]
    (vm,) = cloud.fill("cmp01", 1)
    ipmitool = ["ipmitool", "-I", "lanplus", "-C", "3", "-H", facts["ipmi"]["address"], "-p", facts["ipmi"]["port"]]
    ipmitool += ["-U", facts["user"], "-f", facts["password_file"], "power"]
    hosts.controller.run([*ipmitool, "off"])
    assert not host.is_on
    assert "off" in hosts.controller.run([*ipmitool, "status"]).stdout
    assert vm not in cloud.running().get("cmp01", [])
    hosts.controller.run([*ipmitool, "on"])
    until(lambda: host.is_on)
    host.await_boot()
    assert reaches(hosts, host, "admin")
    until(lambda: compute_is_up(cloud, "cmp01"))


def test_nova_hears_a_host_as_long_as_it_has_power_and_the_admin_network(hosts: Hosts, cloud: HostsBed) -> None:
    hosts["cmp01"].cut("admin")
    hosts["cmp02"].cut("storage")
    hosts["cmp03"].freeze()
    until(lambda: [compute_is_up(cloud, name) for name in hosts.hosts] == [False, True, False])
    hosts["cmp01"].heal("admin")
    hosts["cmp03"].thaw()
    hosts["cmp02"].power_off()
    until(lambda: [compute_is_up(cloud, name) for name in hosts.hosts] == [True, False, True])
    assert cloud.ever_ran_twice() == []


def test_only_controllers_reach_nova(hosts: Hosts, cloud: HostsBed) -> None:
    url = f"http://{cloud.ports['address']}:{cloud.ports['compute']}/"
    ask = ["python3", "-c", "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).status)", url]
    assert hosts.controllers[2].run(ask).stdout == "200\n"
    assert "unreachable" in hosts["cmp01"].run(ask, check=False).stderr


_VICTIM = """
import sys
from hosts.client import HostsBed
from hosts.lab import Hosts
hosts = Hosts()
hosts.start(1)
hosts.controller.popen(["sleep", "1000"])
print(hosts.name, flush=True)
sys.stdin.read()
"""


def left(name: str) -> list[str]:
    """What carries the name of a lab: mounts, namespaces, cgroups, processes."""
    found = [str(path) for root in ("/run/netns", "/sys/fs/cgroup") for path in Path(root).rglob(f"{name}-*")]
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if name in line]
    return found


def test_nothing_is_left_when_the_tests_are_killed(can_have_hosts: None) -> None:
    command = [sys.executable, "-c", _VICTIM]
    victim = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert victim.stdout
    name = victim.stdout.readline().strip()
    assert left(name)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.communicate()
    until(lambda: not left(name), 60)
