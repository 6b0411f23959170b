# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""nova-compute of one host: ``python -m multi.compute DIRECTORY HOST``."""

from __future__ import annotations

import importlib
import sys
import typing as t
from pathlib import Path


def main(directory: Path, name: str) -> None:
    """Nova's own program, with the bed's virt driver where Nova looks for drivers."""
    # first: it decides how Nova's threads work
    nova_compute = importlib.import_module("nova.cmd.compute")
    from bed import config, driver, patches

    from multi.knobs import Knobs, haste_file
    from multi.truth import FileTruth

    options = config.Options.read(directory / "options.json")
    host = next(one for one in options.hosts if one.name == name)
    sys.modules["nova.virt.bed"] = driver
    driver.TruthDriver.truth = t.cast(t.Any, FileTruth(directory))
    driver.TruthDriver.machines[name] = t.cast(t.Any, Knobs(directory, host, options.shared_storage))
    patches.allow_haste(haste_file(directory).exists)
    home = directory / "computes" / name
    home.mkdir(parents=True, exist_ok=True)
    # the fake driver never writes it, and without it Nova refuses to start for the second time
    (home / "compute_id").write_text(driver.node_uuid(host.hypervisor))
    files = [directory / "nova.conf", directory / f"{name}.conf"]
    sys.argv = ["nova-compute", *(word for file in files for word in ("--config-file", str(file)))]
    nova_compute.main()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
