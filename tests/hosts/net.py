# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks: a switch in a namespace of its own, with a cable to every host and controller.

All is done with ``ip`` and ``nft`` inside the namespaces; the machine's own network is not touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import typing as t
from pathlib import Path

#: Network to the first three numbers of its addresses.
NETWORKS = {"admin": "10.77.0", "storage": "10.78.0", "tenant": "10.79.0"}
#: The network of the OpenStack API and of the BMCs: no compute host is in it.
CLOUD = "cloud"
_PREFIXES = {**NETWORKS, CLOUD: "10.76.0"}
CLOUD_NUMBER = 250
_CLONE_NEWNET = 0x40000000


def address(network: str, number: int) -> str:
    """The address of the one with this number."""
    return f"{_PREFIXES[network]}.{number}"


class Networks:
    """The networks of one lab."""

    def __init__(self, lab: str) -> None:
        self._lab = lab
        self.switch = f"{lab}-switch"

    def namespace(self, name: str) -> str:
        return f"{self._lab}-{name}"

    def path(self, name: str) -> Path:
        return Path("/run/netns") / self.namespace(name)

    def create(self) -> None:
        """Make the switch."""
        _run("ip", "netns", "add", self.switch)
        lines = [f"link add {name} type bridge\nlink set {name} up" for name in _PREFIXES]
        self._batch(self.switch, *lines)
        self._nft("add table bridge lab", "add chain bridge lab forward { type filter hook forward priority 0; }")

    def join(self, name: str, number: int, networks: t.Iterable[str]) -> None:
        """Make the namespace of one and put it into these networks, as ``.number`` of each."""
        inner = self.namespace(name)
        _run("ip", "netns", "add", inner)
        self._batch(inner, "link set lo up")
        for network in networks:
            # a name of an interface has at most 15 characters
            port = _port(name, network)
            self._batch(
                self.switch,
                f"link add {port} type veth peer name {network} netns {inner}",
                f"link set {port} master {network} up",
            )
            self._batch(inner, f"addr add {address(network, number)}/24 dev {network}", f"link set {network} up")

    def plug(self, name: str, networks: t.Iterable[str], on: bool) -> None:
        """Put in or pull the cables to one; who was unplugged sees that there is no link."""
        state = "up" if on else "down"
        self._batch(self.switch, *(f"link set {_port(name, network)} {state}" for network in networks))

    def fail(self, network: str, names: t.Iterable[str]) -> None:
        """The switch of a network dies: all these are unplugged at one moment."""
        self._batch(self.switch, *(f"link set {_port(name, network)} down" for name in names))

    def drop(self, network: str, percent: int = 100, sender: str = "", receiver: str = "") -> None:
        """Lose so many of the frames, of all or of these; the links stay up. :meth:`pass_all` ends it."""
        match = f'iifname "{_port(sender or "*", network)}"'
        if receiver:
            match += f' oifname "{_port(receiver, network)}"'
        chance = "" if percent >= 100 else f" numgen random mod 100 < {percent}"
        self._nft(f"add rule bridge lab forward {match}{chance} drop")

    def pass_all(self) -> None:
        """Lose nothing any more."""
        self._nft("flush chain bridge lab forward")

    def inside(self, name: str, command: t.Sequence[object]) -> list[str]:
        """The command, run in the namespace of one. Not ``ip netns exec``: that hides the cgroups."""
        return ["nsenter", f"--net={self.path(name)}", "--", *map(str, command)]

    def remove(self) -> None:
        """Forget all namespaces of the lab, also those of a lab that was not stopped."""
        for path in Path("/run/netns").glob(f"{self._lab}-*"):
            _run("ip", "netns", "del", path.name)

    def _batch(self, namespace: str, *lines: str) -> None:
        _run("ip", "-n", namespace, "-batch", "-", text="\n".join(lines) + "\n")

    def _nft(self, *lines: str) -> None:
        command = ["nft", "-f", "-"]
        _run(*self.inside("switch", command), text="\n".join(lines) + "\n")


@contextlib.contextmanager
def entered(path: Path) -> t.Iterator[None]:
    """The calling thread, and what it starts, is in this network namespace."""
    with open("/proc/thread-self/ns/net") as before, path.open() as inner:
        _enter(inner.fileno())
        try:
            yield
        finally:
            _enter(before.fileno())


def _enter(namespace: int) -> None:
    # os.setns came with Python 3.12
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")


def _port(name: str, network: str) -> str:
    port = f"{network}-{name}"
    if len(port) > 15:
        raise ValueError(f"the name {name!r} is too long for an interface in the network {network}")
    return port


def _run(*command: str, text: str = "") -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()}; its input was: {text}")
