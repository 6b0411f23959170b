"""Make sure that programs of Debian packages are there: ``debian_packages.py base journal``.

Names what is missing before it installs anything, installs only as root, and stops with the exact command otherwise.
Services of the packages are not started.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

# group -> package -> a file or program of it, by which it is recognised
GROUPS = {
    "python": {"python3-venv": ""},
    "base": {"ipmitool": "ipmitool", "openipmi": "ipmi_sim"},
    "agents": {"fence-agents": "fence_ipmilan"},
    "hosts": {
        "mmdebstrap": "mmdebstrap",
        "nftables": "nft",
        "openssh-client": "ssh",
        "systemd-container": "systemd-nspawn",
    },
    "journal": {
        "galera-4": "/usr/lib/galera/libgalera_smm.so",
        "mariadb-server": "mariadbd",
        "postgresql": "/usr/lib/postgresql/*/bin/initdb",
        "rsync": "rsync",
    },
    "libvirt": {
        "libvirt-clients": "virsh",
        "libvirt-daemon": "libvirtd",
        "libvirt-daemon-driver-qemu": "/usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so",
        "nbdkit": "nbdkit",
        "python3-jeepney": "/usr/lib/python3/dist-packages/jeepney",
        "python3-libvirt": "/usr/lib/python3/dist-packages/libvirt.py",
        "qemu-system-x86": "qemu-system-x86_64",
        "seabios": "/usr/share/seabios/bios.bin",
    },
    "membership": {"etcd-server": "etcd"},
    "bus": {"rabbitmq-server": "rabbitmq-server"},
    "multi": {"mariadb-server": "mariadbd", "memcached": "memcached", "rabbitmq-server": "rabbitmq-server"},
}
_POLICY = Path("/usr/sbin/policy-rc.d")
_PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"


def present(mark: str) -> bool:
    """Whether the program or file is there; a mark that is empty never is."""
    return bool(glob.glob(mark)) if mark.startswith("/") else bool(mark and shutil.which(mark, path=_PATH))


def missing(groups: list[str]) -> list[str]:
    """The packages of these groups that are not there."""
    return sorted({package for group in groups for package, mark in GROUPS[group].items() if not present(mark)})


def install(packages: list[str]) -> int:
    """Say what is missing, and install it as root."""
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    print(f"Missing Debian packages: {' '.join(packages)}", flush=True)
    if not shutil.which("apt-get"):
        print("There is no apt-get here. Install these programs as your system does it, then run make again.")
        return 1
    if os.geteuid() != 0:
        print(f"Not root. As root, run this, then make again:\n  {' '.join(command)}")
        return 1
    print(f"Installing them: {' '.join(command)}", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-q"], env=quiet, stdout=subprocess.DEVNULL, check=False)
    with _services_stay_down():
        return subprocess.run(command, env=quiet, stdout=subprocess.DEVNULL, check=False).returncode


@contextlib.contextmanager
def _services_stay_down() -> Iterator[None]:
    """Debian asks this program before it starts the service of a new package; 101 means no.

    https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt
    """
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


if __name__ == "__main__":
    needed = missing(sys.argv[1:])
    sys.exit(install(needed) if needed else 0)
