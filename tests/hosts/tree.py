# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The root file system that all hosts share: made once by mmdebstrap, kept under ``build/hosts-tree``."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import typing as t
from pathlib import Path

BUILD = Path(__file__).resolve().parents[2] / "build" / "hosts-tree"
SUITE = "bookworm"
#: What a compute host has before anything of this collection is deployed on it.
PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "openssh-server",
    "python3",
    "python3-apt",
    "python3-jeepney",
    "systemd",
    "systemd-sysv",
)
_SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
_COMMAND = (
    "mmdebstrap",
    "--variant=minbase",
    "--aptopt=APT::Install-Recommends false",
    "--aptopt=Acquire::Check-Valid-Until false",
)


def tree(more: t.Sequence[str] = ()) -> Path:
    """The directory of the tree with these packages besides :data:`PACKAGES`; takes half a minute when it is new."""
    packages = sorted({*PACKAGES, *more})
    folder = BUILD / hashlib.sha256(" ".join([SUITE, *_COMMAND, *packages]).encode()).hexdigest()[:12]
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _build(packages, folder)
    return folder


def _build(packages: t.Sequence[str], folder: Path) -> None:
    new = folder.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    print(f"Making the tree of the hosts with {' '.join(packages)}", flush=True)
    made = subprocess.run(
        [*_COMMAND, *_proxies(), f"--include={','.join(packages)}", SUITE, new, *_sources()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if made.returncode:
        raise RuntimeError(f"mmdebstrap could not make {new}: {made.stdout[-2000:]}")
    # each host is to have an identity of its own
    (new / "etc" / "machine-id").write_text("")
    new.rename(folder)


def _proxies() -> list[str]:
    """How this machine gets at packages, where that is not the direct way."""
    settings = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=False).stdout
    return [f"--aptopt={line.rstrip(';')}" for line in settings.splitlines() if "::Proxy " in line]


def _sources() -> list[Path]:
    """Where this machine gets its packages, if it is of the same release; otherwise mmdebstrap knows where from."""
    return [path for path in _SOURCES if path.exists() and f"{SUITE} " in path.read_text()][:1]
