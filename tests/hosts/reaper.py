# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes a lab away: ``python -m hosts.reaper DIRECTORY LOGS``, which waits until its standard input is closed.

It is started with the lab and outlives whoever started it, so that nothing is left even after ``kill -9`` of pytest.
It is also the only way in which a lab is stopped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from hosts.cgroup import Group, hierarchies
from hosts.net import Networks

_NSPAWN = Path("/run/systemd/nspawn")


def remove(directory: Path) -> None:
    """Everything that carries the name of the lab; all of it may be gone already."""
    lab = directory.name
    for group in _groups(lab):
        group.remove()
    for mount in _mounts_below(directory):
        # lazily: what died a moment ago may still be letting go of it
        subprocess.run(["umount", "--lazy", mount], check=False)
    Networks(lab).remove()
    for left in _NSPAWN.glob(f"*/{lab}-*"):
        with contextlib.suppress(OSError):
            left.rmdir()
    with contextlib.suppress(FileNotFoundError):
        directory.rmdir()


def _groups(lab: str) -> list[Group]:
    names = {folder.name for mount in hierarchies()[1] for folder in mount.glob(f"{lab}-*")}
    return [Group(name) for name in sorted(names)]


def _mounts_below(directory: Path) -> list[str]:
    """The innermost first."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [mount for mount in reversed(mounts) if directory in (Path(mount), *Path(mount).parents)]


def keep(directory: Path, folder: Path) -> None:
    """Copy the logs of a lab: what is in ``logs`` and the consoles of the hosts."""
    shutil.rmtree(folder, ignore_errors=True)
    if (directory / "logs").exists():
        shutil.copytree(directory / "logs", folder)
    for console in directory.glob("hosts/*/console"):
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(console, folder / f"{console.parent.name}.console")


def main(directory: Path, logs: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.write(1, b"ready\n")
    sys.stdin.buffer.read()
    try:
        keep(directory, logs)
    finally:
        remove(directory)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
