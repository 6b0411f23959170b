# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The client side of Nova for the hosts of a lab; drives and asks it as :class:`bed.client.Bed` does."""

from __future__ import annotations

import contextlib
import functools
import typing as t
from pathlib import Path

from bed.client import Bed

from hosts.lab import Hosts
from hosts.net import CLOUD, entered

# what a lab calls it, and what the bed does
_BED = {"power_on": "start"}


class HostsBed(Bed):
    """Nova and the BMCs of a lab's hosts. Whoever calls it must be in the network ``cloud``: see :func:`running`."""

    SERVER = "hosts.server"
    lab: Hosts

    def happen(self, what: str, host: str, **details: t.Any) -> None:
        """What happens to a host, happens to its container and to its nova-compute."""
        self.control("host", host=host, what=_BED.get(what, what), **details)

    def reset(self) -> None:
        """Also all cables are in."""
        self.lab.networks.pass_all()
        for controller in self.lab.controllers:
            controller.heal_all()
        super().reset()

    def segments_file(self, path: str | Path, segments_: t.Mapping[str, t.Any], **options: t.Any) -> Path:
        """See :meth:`bed.client.Bed.segments_file`; hosts are probed by their sshd."""
        given = options.pop("extra", {})
        probes = {name: {"probe": [f"tcp://{host.address()}:22"]} for name, host in self.lab.hosts.items()}
        extra = {name: {**probe, **given.get(name, {})} for name, probe in probes.items()}
        return super().segments_file(path, segments_, extra=extra, **options)


@contextlib.contextmanager
def running(lab: Hosts, **options: t.Any) -> t.Iterator[HostsBed]:
    """Nova for all hosts of the lab; the calling thread is in the network of its API meanwhile."""
    with entered(lab.networks.path(CLOUD)):
        bed = t.cast(HostsBed, HostsBed.start(lab.directory / "bed", hosts=list(lab.hosts), **options))
        bed.lab = lab
        with bed:
            for host in lab.hosts.values():
                host.happen = functools.partial(bed.happen, host=host.name)
            yield bed
