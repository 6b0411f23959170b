# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests use::

    with Hosts() as hosts:
        hosts.start(3)
        hosts["cmp01"].run(["systemctl", "start", "something"])
        hosts.controller.run(["ssh", *hosts.ssh_options, hosts["cmp01"].address()])
        hosts["cmp01"].cut("storage")
        hosts["cmp01"].power_off()

Nothing is left when it ends, however it ends.
"""

from __future__ import annotations

import concurrent.futures
import fcntl
import json
import os
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

from hosts import cgroup, reaper
from hosts.controller import Controller, run
from hosts.machine import Machine
from hosts.net import CLOUD, CLOUD_NUMBER, NETWORKS, Networks, address
from hosts.tree import tree

TESTS = Path(__file__).resolve().parents[1]
LOGS = TESTS.parent / "build" / "hosts-logs"
_RUN = Path("/run/openstack-ha-hosts")
_CONTROLLERS = 3
_FIRST_HOST = 11
_PROGRAMS = ("ip", "mmdebstrap", "nft", "nsenter", "setpriv", "ssh-keygen", "systemd-nspawn")
#: What happens to a host, done by the lab itself or by the bed of Nova where there is one.
Doer = t.Callable[..., None]


def missing() -> str:
    """Why there can be no hosts on this machine; empty where there can."""
    if os.geteuid() != 0:
        return "containers need root"
    if cgroup.hierarchies()[0] is None:
        return "no cgroup v2 is mounted, and hosts are frozen and killed by it"
    absent = [name for name in _PROGRAMS if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")]
    return f"not installed: {' '.join(absent)}; make test-hosts installs them" if absent else ""


class Host:
    """One host, as tests see it."""

    def __init__(self, machine: Machine, number: int) -> None:
        self.machine, self.name, self._number = machine, machine.name, number
        self.happen: Doer = self._happen

    def _happen(self, what: str, **details: t.Any) -> None:
        getattr(self.machine, what)(**details)

    def address(self, network: str = "admin") -> str:
        return address(network, self._number)

    def run(self, command: t.Sequence[object], **options: t.Any) -> subprocess.CompletedProcess[str]:
        """Run a program inside as root, and return its output; raises where it fails, unless ``check=False``."""
        return run(self.machine.inside(command), **options)

    def popen(self, command: t.Sequence[object], **options: t.Any) -> subprocess.Popen[t.Any]:
        """Start a program inside as root; the options are those of :class:`subprocess.Popen`."""
        options = {"stdin": subprocess.DEVNULL, **options}
        return subprocess.Popen(self.machine.inside(command), **options)

    def copy(self, source: str | Path, target: str, mode: int | None = None) -> None:
        """Put a file or a directory of this machine at a path of the host."""
        path = self.path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        if Path(source).is_dir():
            shutil.copytree(source, path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, path)
        if mode is not None:
            path.chmod(mode)

    def write(self, target: str, text: str, mode: int = 0o644) -> None:
        """Write a file of the host."""
        path = self.path(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def path(self, inside: str) -> Path:
        """Where this machine sees a path of the host's disk."""
        return self.machine.root / inside.lstrip("/")

    @property
    def is_on(self) -> bool:
        """Whether anything of it runs, whatever its BMC says."""
        return self.machine.group.populated

    def power_off(self) -> None:
        """Pull the plug; when this returns, nothing of it runs."""
        self.happen("power_off")

    def power_on(self) -> None:
        """Returns when it has booted."""
        self.happen("power_on")
        self.await_boot()

    def await_boot(self) -> None:
        """Return when its systemd has started everything."""
        if not self.machine.await_boot():
            raise RuntimeError(f"{self.name} went off while it booted; {self.machine.last_words()}")

    def freeze(self) -> None:
        """All its programs stand still; its kernel still answers pings and accepts connections."""
        self.happen("freeze", on=True)

    def thaw(self) -> None:
        self.happen("freeze", on=False)

    def cut(self, network: str) -> None:
        """Pull the cable to a network."""
        self.happen("cut", network=network)

    def heal(self, network: str) -> None:
        """Put it in again."""
        self.happen("heal", network=network)


class Hosts:
    """A lab: hosts, controllers, and the networks between them.

    :param binds: Options of systemd-nspawn for every host, such as ``--bind-ro=/path``.
    :param packages: Debian packages that hosts have besides those of :data:`hosts.tree.PACKAGES`.
    :ivar controllers: Of :class:`hosts.controller.Controller`, named ``ctl1`` …; ``controller`` is the first.
    """

    def __init__(self, binds: t.Sequence[str] = (), packages: t.Sequence[str] = ()) -> None:
        self._tree, self._binds = tree(packages), binds
        self._lock, number = _take_number()
        self.name = f"oha{number}"
        self.directory = _RUN / self.name
        self.networks = Networks(self.name)
        self.hosts: dict[str, Host] = {}
        self.controllers = [Controller(self.name, f"ctl{one}", one) for one in range(1, _CONTROLLERS + 1)]
        self.controller = self.controllers[0]
        self._reaper = self._start_reaper()
        try:
            self._create()
        except BaseException:
            self.stop()
            raise

    def _start_reaper(self) -> subprocess.Popen[bytes]:
        # what an earlier lab of this number may have left, should its reaper have been killed, too
        reaper.remove(self.directory)
        process = subprocess.Popen(
            [sys.executable, "-m", "hosts.reaper", self.directory, LOGS / self.name],
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[self._lock],
            start_new_session=True,
        )
        if not process.stdout or process.stdout.readline() != b"ready\n":
            raise RuntimeError("the reaper of the hosts did not start")
        return process

    def _create(self) -> None:
        self.directory.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0700", self.name, self.directory], check=True)
        self.logs.mkdir()
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)])
        self.networks.create()
        self.networks.join("cloud", CLOUD_NUMBER, [CLOUD])
        for controller in self.controllers:
            controller.create()

    @property
    def key(self) -> Path:
        """The private key that root's account on every host accepts."""
        return self.directory / "key"

    @property
    def logs(self) -> Path:
        """What is written there is found in ``build/hosts-logs`` afterwards."""
        return self.directory / "logs"

    @property
    def ssh_options(self) -> list[str]:
        """For ssh from a controller as root; the hosts' keys are not looked at."""
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "User=root")
        return ["-i", str(self.key), *(word for option in options for word in ("-o", option))]

    def __enter__(self) -> Hosts:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]

    def start(self, count: int = 3, names: t.Sequence[str] = ()) -> list[Host]:
        """Make hosts, ``cmp01`` … or of these names (at most 7 characters), and boot them."""
        first = len(self.hosts) + 1
        made = [self._make(name) for name in names or [f"cmp{first + index:02d}" for index in range(count)]]
        for host in made:
            host.machine.power_on()
        with concurrent.futures.ThreadPoolExecutor(len(made)) as pool:
            list(pool.map(Host.await_boot, made))
        return made

    def _make(self, name: str) -> Host:
        number = _FIRST_HOST + len(self.hosts)
        host = Host(Machine(self.directory, name), number)
        self.networks.join(name, number, NETWORKS)
        files = {
            "/etc/hostname": f"{name}\n",
            "/etc/hosts": f"127.0.0.1 localhost\n{host.address()} {name}\n" + self._known_names(),
            "/root/.ssh/authorized_keys": self.key.with_suffix(".pub").read_text(),
        }
        host.machine.create(self._tree, files, self._binds)
        self.hosts[name] = host
        return host

    def _known_names(self) -> str:
        return "".join(f"{one.address()} {one.name}\n" for one in self.controllers)

    def inventory(self, path: Path, groups: t.Mapping[str, t.Sequence[str]] | None = None) -> Path:
        """Write an inventory (YAML) of the hosts for ansible-playbook on a controller: ssh over the admin network."""
        variables = {
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": " ".join(self.ssh_options),
            "ansible_python_interpreter": "/usr/bin/python3",
            # hosts of all labs have the same addresses: a connection that is kept open must not be found by another lab
            "ansible_control_path_dir": str(self.directory / "ssh"),
            "ansible_pipelining": True,
        }
        entries = {name: {"ansible_host": host.address()} for name, host in self.hosts.items()}
        children = {name: {"hosts": dict.fromkeys(members)} for name, members in (groups or {}).items()}
        # JSON is YAML, and needs no library here
        path.write_text(json.dumps({"all": {"hosts": entries, "vars": variables, "children": children}}, indent=1))
        return path

    def fail_switch(self, network: str) -> None:
        """Everybody loses the link to a network at one moment: hosts and controllers."""
        self.networks.fail(network, [one.name for one in self._all()])
        for one in self._all():
            one.cut(network)

    def heal_switch(self, network: str) -> None:
        for one in self._all():
            one.heal(network)

    def _all(self) -> list[Host | Controller]:
        return [*self.hosts.values(), *self.controllers]

    def heal(self) -> None:
        """All cables in, nothing lost on the way."""
        self.networks.pass_all()
        for network in NETWORKS:
            self.heal_switch(network)

    def stop(self) -> None:
        """Take everything away. May be called twice."""
        if self._reaper.stdin and not self._reaper.stdin.closed:
            self._reaper.stdin.close()
            self._reaper.wait(60)
            os.close(self._lock)


def _take_number() -> tuple[int, int]:
    """The number of a lab that nobody has, and the lock that says so: it is held by this process and by the reaper."""
    _RUN.mkdir(exist_ok=True)
    for number in range(100):
        lock = os.open(_RUN / f"{number}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        return lock, number
    raise RuntimeError(f"a hundred labs are in use: {_RUN}")
