# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be turned on a running nova-compute: files that it looks at, because it is another process."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from bed.config import Host


class Knobs:
    """The knobs of one host; read like a :class:`bed.driver.Machine`."""

    def __init__(self, directory: Path, host: Host, shared_storage: bool) -> None:
        self._file = directory / "knobs" / f"{host.name}.json"
        self._defaults: dict[str, t.Any] = {
            "name": host.name,
            "hypervisor": host.hypervisor,
            "vcpus": host.vcpus,
            "memory_mb": host.memory_mb,
            "local_gb": host.local_gb,
            "spawn_delay": 0.0,
            "spawn_lingers": 0.0,
            "spawn_fails": False,
            "shared_storage": shared_storage,
            "migrate_delay": 0.0,
            "guest_command": "",
            "migrate_fails": False,
            "migrate_refused": False,
        }

    def __getattr__(self, name: str) -> t.Any:
        return self._now()[name]

    def turn(self, knobs: t.Mapping[str, t.Any]) -> None:
        """Change some."""
        unknown = set(knobs) - set(self._defaults)
        if unknown:
            raise ValueError(f"unknown knobs {sorted(unknown)}; known: {sorted(self._defaults)}")
        self._file.parent.mkdir(exist_ok=True)
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps({**self._now(), **knobs}))
        new.replace(self._file)

    def _now(self) -> dict[str, t.Any]:
        return {**self._defaults, **(json.loads(self._file.read_text()) if self._file.exists() else {})}


def haste_file(directory: Path) -> Path:
    """It exists while a scene is being set: see :func:`bed.patches.allow_haste`."""
    return directory / "haste"
