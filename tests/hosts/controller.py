# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A controller: the programs of this machine in a network namespace of their own, on every network of the lab."""

from __future__ import annotations

import subprocess
import typing as t

from hosts.cgroup import Group
from hosts.net import CLOUD, NETWORKS, Networks, address


class Controller:
    """One controller; what it runs dies with the lab."""

    def __init__(self, lab: str, name: str, number: int) -> None:
        self.name, self._number = name, number
        self._networks = Networks(lab)
        self._group = Group(f"{lab}-{name}")

    def create(self) -> None:
        self._group.create()
        self._networks.join(self.name, self._number, [*NETWORKS, CLOUD])

    def address(self, network: str = "admin") -> str:
        return address(network, self._number)

    def popen(self, command: t.Sequence[object], **options: t.Any) -> subprocess.Popen[t.Any]:
        """Start a program there; the options are those of :class:`subprocess.Popen`."""
        options = {"stdin": subprocess.DEVNULL, **options}
        return subprocess.Popen(self.inside(command), **options)

    def run(self, command: t.Sequence[object], **options: t.Any) -> subprocess.CompletedProcess[str]:
        """Run a program there to its end, and return its output; raises where it fails, unless ``check=False``."""
        return run(self.inside(command), **options)

    def inside(self, command: t.Sequence[object]) -> list[str]:
        """The command, run there."""
        return self._group.entering(self._networks.inside(self.name, command))

    def cut(self, network: str) -> None:
        """Pull the cable to a network."""
        self._networks.plug(self.name, [network], False)

    def heal(self, network: str) -> None:
        """Put it in again."""
        self._networks.plug(self.name, [network], True)

    def heal_all(self) -> None:
        self._networks.plug(self.name, [*NETWORKS, CLOUD], True)


def run(command: t.Sequence[str], **options: t.Any) -> subprocess.CompletedProcess[str]:
    """:func:`subprocess.run`, whose error says what the program said."""
    check = options.pop("check", True)
    options = {"stdin": subprocess.DEVNULL, **options} if "input" not in options else options
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if check and done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done
