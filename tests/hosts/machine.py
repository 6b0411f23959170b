# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host as hardware: power, cables, a disk that survives. Told from any process by lab and name."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
import typing as t
from pathlib import Path

from hosts.cgroup import Group
from hosts.net import NETWORKS, Networks

_BOOT_SECONDS = 120.0
_ATTACHED = {"running", "degraded"}
# nspawn takes CAP_NET_ADMIN from a container whose network is not of its making
_NSPAWN = (
    "--boot",
    "--quiet",
    "--register=no",
    "--keep-unit",
    "--capability=CAP_NET_ADMIN",
    "--console=pipe",
    "--link-journal=no",
    "--resolv-conf=off",
    "--timezone=off",
    "--kill-signal=SIGRTMIN+3",
)
# the clock and the kernel are those of the machine: nsenter would keep the right to set them
_WITHOUT = "-sys_time,-sys_boot,-sys_module,-sys_rawio,-syslog,-wake_alarm"


class Machine:
    """One host. Its state is what the kernel says; nothing is remembered here."""

    def __init__(self, directory: Path, name: str) -> None:
        lab = directory.name
        self.name = name
        self.folder = directory / "hosts" / name
        self._unit = f"{lab}-{name}"
        self._networks = Networks(lab)
        self.group = Group(self._unit)

    @property
    def root(self) -> Path:
        """Its root file system, also while it is off."""
        return self.folder / "root"

    def create(self, tree: Path, files: t.Mapping[str, str], binds: t.Sequence[str] = ()) -> None:
        """Give it a disk with these files over the tree, and these ``--bind`` options of systemd-nspawn."""
        for name in ("upper", "work", "root"):
            (self.folder / name).mkdir(parents=True)
        options = f"lowerdir={tree},upperdir={self.folder}/upper,workdir={self.folder}/work"
        subprocess.run(["mount", "-t", "overlay", self._unit, "-o", options, self.root], check=True)
        (self.folder / "binds").write_text("\n".join(binds))
        for path, text in files.items():
            file = self.root / path.lstrip("/")
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.write_text(text)

    def power_on(self) -> None:
        """It begins to boot; without effect on one that runs."""
        if self.group.populated:
            return
        self.group.create()
        self._networks.plug(self.name, self.plugged(), True)
        binds = (self.folder / "binds").read_text().split()
        pid_file = self.folder / "pid"
        nspawn = ["systemd-nspawn", *_NSPAWN, *binds]
        nspawn += [f"--directory={self.root}", f"--machine={self._unit}", f"--hostname={self.name}"]
        # not --network-namespace-path: /sys/class/net would show the interfaces of this machine
        inner = self._networks.inside(self.name, nspawn)
        start = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', pid_file, *inner]
        with (self.folder / "console").open("ab") as console:
            subprocess.run(
                self.group.entering(["setsid", "--fork", *start]),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                check=True,
            )

    def power_off(self) -> None:
        """The plug is pulled. The cables go first: the network stack of a dead container still answers."""
        self._networks.plug(self.name, NETWORKS, False)
        self.group.kill()
        (self.folder / "pid").unlink(missing_ok=True)

    def freeze(self, on: bool) -> None:
        """Its programs stand still; its kernel still answers pings and accepts connections."""
        if self.group.populated:
            self.group.freeze(on)

    def cut(self, network: str) -> None:
        """Pull one cable."""
        self._cut_mark(network).touch()
        self._networks.plug(self.name, [network], False)

    def heal(self, network: str) -> None:
        """Put it in again."""
        self._cut_mark(network).unlink(missing_ok=True)
        if self.group.populated:
            self._networks.plug(self.name, [network], True)

    def _cut_mark(self, network: str) -> Path:
        return self.folder / f"cut-{network}"

    def plugged(self) -> list[str]:
        """The networks that it is in while it runs."""
        return [network for network in NETWORKS if not self._cut_mark(network).exists()]

    def await_boot(self) -> bool:
        """Return when its systemd has started everything; false where it was switched off before that."""
        deadline = time.monotonic() + _BOOT_SECONDS
        while self.group.populated:
            if self.state() in _ATTACHED:
                return True
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not boot within {_BOOT_SECONDS} s; {self.last_words()}")
            time.sleep(0.05)
        return False

    def last_words(self) -> str:
        """The end of its console."""
        return "its console ends: " + (self.folder / "console").read_text(errors="replace")[-1000:]

    def state(self) -> str:
        """What ``systemctl is-system-running`` says; nothing where nobody answers."""
        with contextlib.suppress(LookupError, OSError):
            command = self.inside(["systemctl", "is-system-running"])
            return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        return ""

    def inside(self, command: t.Sequence[object]) -> list[str]:
        """The command, run inside as root; it dies and freezes with the host."""
        entered = ["nsenter", f"--target={self.leader()}", "-m", "-u", "-i", "-n", "-p", "--"]
        entered += ["setpriv", "--bounding-set", _WITHOUT, "--", *map(str, command)]
        return self.group.entering(entered, inner="lab")

    def leader(self) -> int:
        """The pid of its systemd."""
        try:
            nspawn = int((self.folder / "pid").read_text())
            children = Path(f"/proc/{nspawn}/task/{nspawn}/children").read_text().split()
            return next(int(pid) for pid in children if os.path.exists(f"/proc/{pid}/root/etc/hostname"))
        except (OSError, ValueError, StopIteration):
            raise LookupError(f"{self.name} is off") from None

    def destroy(self) -> None:
        """Power off, and forget the disk."""
        self.group.remove()
        _unmount(self.root)
        shutil.rmtree(self.folder, ignore_errors=True)


def _unmount(path: Path) -> None:
    while path.is_mount():
        # lazily: what died a moment ago may still be letting go of it
        subprocess.run(["umount", "--lazy", path], check=True)
