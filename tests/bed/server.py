# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The server process: ``python -m bed.server DIRECTORY [PARENT_PID]``. Started by :mod:`bed.client`."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
import typing as t
from pathlib import Path

os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "1"

STATE = "state.json"


def main(directory: Path, parent: int | None) -> None:
    """Build the world, say that it is ready, and live until told to stop or until the parent is gone."""
    from bed import config

    options = config.Options.read(directory / "options.json")
    ports = config.Ports(options.port or config.free_block(len(options.hosts)))
    live(_world(options, ports), directory, ports, parent)


def live(world: t.Any, directory: Path, ports: t.Any, parent: int | None) -> None:
    """See :func:`main`; ends the process."""
    stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda caught, _frame: stop.append(caught))
    try:
        world.build()
        _write_state(directory, ports)
        # PR_SET_PDEATHSIG would fire when the starting *thread* ends, so the parent is looked at instead
        while not stop and (parent is None or os.getppid() == parent):
            world.run_main_thread_job(0.25)
    except Exception:
        traceback.print_exc()
    finally:
        world.close()
        # not sys.exit: dozens of service threads would be waited for
        os._exit(0 if stop else 1)


def _world(options: t.Any, ports: t.Any) -> t.Any:
    prepare(options, ports)
    from bed import world

    return world.World(options, ports)


def prepare(options: t.Any, ports: t.Any) -> None:
    """What must be done before anything of Nova is imported; and the configuration files."""
    from nova import monkey_patch

    monkey_patch.patch(backend="threading")
    from bed import patches

    patches.apply(options.max_microversion)
    from bed import world

    world.write_files(options, ports)


def _write_state(directory: Path, ports: t.Any) -> None:
    new = directory / (STATE + ".new")
    new.write_text(
        json.dumps(
            {
                "pid": os.getpid(),
                "address": ports.address,
                "base": ports.base,
                "control": ports.control,
                "compute": ports.compute,
                "placement": ports.placement,
                "others": ports.others,
                "auth_url": ports.auth_url,
            }
        )
    )
    new.replace(directory / STATE)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else None)
