"""A libvirtd of our own, without root, and VMs whose whole software is one boot sector that obeys keys.

It runs as an ordinary user in session mode, all of it below one short directory (paths of sockets are limited).
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import typing as t
import uuid
from pathlib import Path

from processes import alive

#: What the boot sector says on its serial line when it is up.
UP = "G"
#: Assembled from guest.S by: as --32 guest.S -o guest.o && ld -m elf_i386 -Ttext 0x7c00 --oformat binary guest.o
_CODE = bytes.fromhex(
    "fa31c08ed88ec08ed0bc007cfbb047e8540031c0cd163c7074123c7374163c72741b3c77741f3c647423ebe6ba0505b001eeebdeba0406b80020ef"
    "ebd5baf90cb006eeebcdba4304b00feeebc5b80102b90100ba8100bb0080cd13b02e7302b045e80200ebacbaf803eec3"
)
#: Is told when the QEMUs of a libvirtd die, as PID 1 of a real host is: of one whose death nobody takes note libvirt
#: thinks for two seconds that it lives. Ends when the test does.
_PARENT = """
import ctypes, os, sys, subprocess, threading, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
print(subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr).pid, flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
while True:
    try:
        os.wait()
    except ChildProcessError:
        time.sleep(0.1)
"""
_DOMAIN = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>{metadata}
<memory unit='MiB'>16</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
<on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>{on_crash}</on_crash>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{boot}'/><target dev='vda' bus='virtio'/>
<boot order='1'/><readonly/></disk>{disk}
<serial type='file'><source path='{serial}'/></serial>
<channel type='unix'><source mode='bind'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
<watchdog model='ib700' action='{watchdog}'/><panic model='isa'/><memballoon model='none'/></devices></domain>"""
_DISK = """<disk type='network' device='disk'>
<driver name='qemu' type='raw' error_policy='{policy}' rerror_policy='{policy}' cache='none'/>
<source protocol='nbd' name='exp'><host transport='unix' socket='{socket}'/></source>
<target dev='vdb' bus='virtio'/><boot order='2'/></disk>"""
_NOVA = '<metadata><n:instance xmlns:n="http://openstack.org/xmlns/libvirt/nova/1.1"><n:name>web</n:name></n:instance></metadata>'


def missing() -> str:
    """What is not installed here; empty: all there."""
    programs = ("libvirtd", "virsh", "qemu-system-x86_64", "nbdkit", "setpriv")
    gone = [it for it in programs if not shutil.which(it, path=_path())]
    binding = subprocess.run(["/usr/bin/python3", "-c", "import libvirt"], capture_output=True, check=False)
    return ", ".join([*gone, *(["python3-libvirt"] if binding.returncode else [])])


class Libvirt:
    """The daemon, its VMs, and what their owner does to them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.wrap = _unprivileged(root)
        self.socket = root / "run/libvirt/libvirt-sock"
        self.uri = f"qemu+unix:///session?socket={self.socket}"
        self._daemon = 0
        self._parents: list[subprocess.Popen[bytes]] = []
        self._disks: list[subprocess.Popen[bytes]] = []
        self._prepare()

    @classmethod
    def attach(cls, root: Path) -> Libvirt:
        """The one that another process has started there, for its VMs."""
        made = cls.__new__(cls)
        made.root, made.wrap = root, _unprivileged(root)
        made.uri = f"qemu+unix:///session?socket={root / 'run/libvirt/libvirt-sock'}"
        return made

    def start(self) -> None:
        """Start the daemon, and wait until it answers."""
        with open(self.root / "libvirtd.log", "ab") as log:
            parent = subprocess.Popen(
                [*self.wrap, "/usr/bin/python3", "-c", _PARENT, "libvirtd"],
                env=self._environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self._parents.append(parent)
        assert parent.stdout is not None
        self._daemon = int(parent.stdout.readline())
        wait(lambda: self.socket.exists() and self.virsh("list", check=False).returncode == 0, "libvirtd answers")

    def kill(self) -> None:
        """``kill -9`` of the daemon; its VMs run on."""
        self.signal(signal.SIGKILL)
        wait(lambda: not alive(self._daemon), "libvirtd is gone")

    def signal(self, number: int) -> None:
        """Send the daemon a signal."""
        os.kill(self._daemon, number)

    def create(
        self,
        number: int,
        on_crash: str = "destroy",
        watchdog: str = "none",
        policy: str = "",
        name: str = "",
        nova: bool = False,
    ) -> VM:
        """Define a VM and start it. With an error policy it has a second disk, for :meth:`break_disk`."""
        vm = VM(self, name or f"instance-{number:08x}", str(uuid.uuid4()))
        disk = _DISK.format(policy=policy, socket=self.serve_disk(vm.name)) if policy else ""
        self._define(vm, on_crash=on_crash, watchdog=watchdog, disk=disk, metadata=_NOVA if nova else "")
        vm.start()
        return vm

    def define(self, uuid_: str, disk: str) -> VM:
        """Define a VM of Nova, off, that is paused by I/O errors of a disk which is served already."""
        vm = VM(self, f"instance-{uuid_[:8]}", uuid_)
        source = _DISK.format(policy="stop", socket=self.root / f"{disk}.nbd")
        self._define(vm, on_crash="destroy", watchdog="none", disk=source, metadata=_NOVA)
        return vm

    def _define(self, vm: VM, **words: str) -> None:
        text = _DOMAIN.format(name=vm.name, uuid=vm.uuid, boot=self.root / "boot.img", serial=vm.serial, **words)
        path = self.root / f"{vm.name}.xml"
        path.write_text(text)
        self.virsh("define", str(path))

    def remove(self, vm: VM) -> None:
        """End it and undefine it, in whatever state it is."""
        self.virsh("destroy", vm.name, check=False)
        self.virsh("undefine", vm.name, check=False)

    def break_disk(self, vm: VM | str) -> None:
        """Each access to the second disk of a VM, or to a disk of this name, fails from now on."""
        (self.root / f"{vm if isinstance(vm, str) else vm.name}.broken").touch()

    def mend_disk(self, vm: VM | str) -> None:
        """It works again."""
        (self.root / f"{vm if isinstance(vm, str) else vm.name}.broken").unlink()

    def serve_no_more(self) -> None:
        """All servers of disks are killed, and their sockets are gone."""
        for process in self._disks:
            process.kill()
            process.wait()
        for path in self.root.glob("*.nbd"):
            path.unlink()

    def virsh(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run virsh."""
        done = subprocess.run(
            [*self.wrap, "virsh", "-q", "-c", self.uri, *words],
            env=self._environment(), capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0 or not check, f"virsh {' '.join(words)}: {done.stderr}"
        return done

    def end(self) -> None:
        """Leave nothing behind, whatever state things are in."""
        for pid in [self._daemon, *self._qemus()] if self._daemon else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait(lambda: not self._qemus(), "no QEMU is left")
        for process in [*self._parents, *self._disks]:
            process.kill()
            process.communicate()
        shutil.rmtree(self.root)

    def _qemus(self) -> list[int]:
        """By what they have open on their command line: libvirt's own notes may be gone."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = path.read_bytes().split(b"\0")
                if b"qemu" in words[0] and any(os.fsencode(f"{self.root}/") in it for it in words):
                    found.append(int(path.parent.name))
        return [pid for pid in found if alive(pid)]

    def serve_disk(self, name: str) -> Path:
        """Serve a disk in memory; where."""
        socket = self.root / f"{name}.nbd"
        # The error filter fails an access as long as its file exists.
        argv = ["nbdkit", "-f", "-U", str(socket), "-e", "exp", "--filter=error", "memory", "1M"]
        argv += ["error=EIO", "error-rate=100%", f"error-file={self.root / f'{name}.broken'}"]
        self._disks.append(
            subprocess.Popen(
                [*self.wrap, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )
        wait(socket.exists, "nbdkit serves")
        return socket

    def _prepare(self) -> None:
        for name in ("run", "config/libvirt", "cache", "data"):
            (self.root / name).mkdir(parents=True)
        # Without virtlogd, and without AppArmor or SELinux: neither is here.
        (self.root / "config/libvirt/qemu.conf").write_text('stdio_handler = "file"\nsecurity_driver = "none"\n')
        (self.root / "boot.img").write_bytes(_CODE.ljust(510, b"\0") + b"\x55\xaa" + bytes(2**20 - 512))
        if self.wrap:
            nobody = pwd.getpwnam("nobody")
            for path in [self.root, *self.root.rglob("*")]:
                os.chown(path, nobody.pw_uid, nobody.pw_gid)

    def _environment(self) -> dict[str, str]:
        names = {"RUNTIME_DIR": "run", "CONFIG_HOME": "config", "CACHE_HOME": "cache", "DATA_HOME": "data"}
        return {
            "PATH": _path(),
            "HOME": str(self.root),
            **{f"XDG_{it}": str(self.root / at) for it, at in names.items()},
        }


class VM:
    """One VM; keys make it fail in its own ways."""

    def __init__(self, libvirt: Libvirt, name: str, uuid_: str) -> None:
        self._libvirt, self.name, self.uuid = libvirt, name, uuid_
        self.serial = libvirt.root / f"{name}.serial"

    def start(self) -> None:
        """Start it, and wait until its boot sector runs."""
        self._libvirt.virsh("start", self.name)
        self.wait_up()

    def wait_up(self) -> None:
        """Until its boot sector runs (since QEMU was started)."""
        wait(lambda: self.serial.exists() and UP in self.serial.read_text(), f"{self.name} is up")

    def virsh(self, command: str, *words: str) -> str:
        """A command about it."""
        return self._libvirt.virsh(command, self.name, *words).stdout.strip()

    def panic(self) -> None:
        """Its software reports a panic through pvpanic."""
        self._key("KEY_P")

    def power_off(self) -> None:
        """It switches itself off."""
        self._key("KEY_S")

    def reset(self) -> None:
        """It restarts itself."""
        self._key("KEY_R")

    def arm_watchdog(self) -> None:
        """Its watchdog fires at once, if it is up."""
        self._key("KEY_W")

    def read_disk(self) -> None:
        """It reads from its second disk."""
        self._key("KEY_D")

    def kill(self) -> None:
        """``kill -9`` of its QEMU."""
        os.kill(self.pid(), signal.SIGKILL)

    def pid(self) -> int:
        """Of its QEMU."""
        return int((self._libvirt.root / f"run/libvirt/qemu/run/{self.name}.pid").read_text())

    def state(self) -> str:
        """As virsh tells it, with the reason."""
        return self.virsh("domstate", "--reason")

    def _key(self, key: str) -> None:
        self._libvirt.virsh("send-key", self.name, key, check=False)  # it may be gone before it answers


@contextlib.contextmanager
def libvirt() -> t.Iterator[Libvirt]:
    """A daemon that is gone afterwards, with all of its VMs."""
    made = Libvirt(Path(tempfile.mkdtemp(prefix="lv", dir="/tmp")))
    try:
        made.start()
        yield made
    finally:
        made.end()


def _unprivileged(root: Path) -> list[str]:
    """In session mode libvirtd wants to be nobody in particular."""
    root.chmod(0o755)
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


def wait(ready: t.Callable[[], bool], what: str, timeout: float = 60.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + timeout
    while not ready():
        assert time.monotonic() < end, f"not within {timeout} s: {what}"
        time.sleep(0.05)
