# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The server process: ``python -m multi.server DIRECTORY [PARENT_PID]``. Started by :mod:`multi.client`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bed import server
from bed.config import Options, free_block

from multi.processes import MARK
from multi.settings import Ports
from multi.world import World

_HOSTS_OF_A_WHOLE_BLOCK = 30


def main(directory: Path, parent: int | None) -> None:
    """See :func:`bed.server.main`."""
    os.environ[MARK] = str(directory)
    options = Options.read(directory / "options.json")
    ports = Ports(options.port or free_block(_HOSTS_OF_A_WHOLE_BLOCK))
    server.live(World(options, ports), directory, ports, parent)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else None)
