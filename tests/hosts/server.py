# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nova for the hosts of a lab: ``python -m hosts.server DIRECTORY PARENT_PID``. Started by :mod:`hosts.client`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hosts.net import CLOUD, CLOUD_NUMBER, address


def main(directory: Path, parent: int) -> None:
    """See :func:`bed.server.main`."""
    # bed.config reads it when it is imported
    os.environ["BED_ADDRESS"] = address(CLOUD, CLOUD_NUMBER)
    from bed import config, server

    options = config.Options.read(directory / "options.json")
    ports = config.Ports(options.port or config.free_block(len(options.hosts)))
    server.prepare(options, ports)
    from hosts.containers import World

    server.live(World(options, ports), directory, ports, parent)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), int(sys.argv[2]))
