# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Control groups: what belongs to a host or to a controller, to be frozen and killed as one.

A container also needs a group of its own where its systemd keeps its units, or all of them share the caller's.
"""

from __future__ import annotations

import contextlib
import time
import typing as t
from pathlib import Path

_KILL_SECONDS = 30.0


def hierarchies() -> tuple[Path | None, list[Path]]:
    """Where cgroup v2 is mounted; and all mounts in which systemd may keep units (more than one where v1 is in use)."""
    second, first = None, []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _dash, after = line.partition(" - ")
        kind, _source, options = after.split(maxsplit=2)
        mount = Path(before.split()[4])
        if kind == "cgroup2":
            second = mount
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            first.append(mount)
    return second, [*first, *([second] if second else [])]


class Group:
    """One group, of this name in every hierarchy. It needs not exist."""

    def __init__(self, name: str) -> None:
        second, mounts = hierarchies()
        if second is None:
            raise RuntimeError("no cgroup v2 is mounted")
        self.folder = second / name
        self._folders = [mount / name for mount in mounts]

    def create(self) -> None:
        for folder in self._folders:
            folder.mkdir(exist_ok=True)

    def entering(self, command: t.Sequence[object], inner: str = "") -> list[str]:
        """The command, run as a member."""
        folders = [folder / inner for folder in self._folders]
        for folder in folders:
            folder.mkdir(exist_ok=True)
        enter = " && ".join(f"echo $$ > {folder}/cgroup.procs" for folder in folders)
        return ["sh", "-c", f'{enter} && exec "$@"', "sh", *map(str, command)]

    @property
    def populated(self) -> bool:
        with contextlib.suppress(OSError):
            return "populated 1" in (self.folder / "cgroup.events").read_text()
        return False

    def freeze(self, on: bool) -> None:
        """Returns when nothing in it moves any more, or when all may move again."""
        (self.folder / "cgroup.freeze").write_text("1" if on else "0")
        _until(lambda: f"frozen {int(on)}" in (self.folder / "cgroup.events").read_text())

    def kill(self) -> None:
        """``kill -9`` of all members, also of frozen ones; they are gone when this returns."""
        if self.folder.exists():
            (self.folder / "cgroup.kill").write_text("1")
            _until(lambda: not self.populated)
            (self.folder / "cgroup.freeze").write_text("0")

    def remove(self) -> None:
        """Kill what is in it, and forget it."""
        self.kill()
        for folder in self._folders:
            inner = sorted(folder.rglob("*/"), reverse=True) if folder.exists() else []
            for one in [*inner, folder]:
                with contextlib.suppress(FileNotFoundError):
                    one.rmdir()


def _until(done: t.Callable[[], bool]) -> None:
    deadline = time.monotonic() + _KILL_SECONDS
    while not done():
        if time.monotonic() > deadline:
            raise RuntimeError(f"the processes of a cgroup did not obey within {_KILL_SECONDS} s")
        time.sleep(0.002)
