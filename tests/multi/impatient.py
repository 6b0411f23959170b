# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook with less patience for Nova, so that a test of lost evacuations does not take a quarter of an hour."""

from __future__ import annotations

import typing as t
from pathlib import Path

import yaml
from driver import Playbooks
from tree import ROOT

_NAME = "recover_host.yml"
_EVACUATE = "openstack_ha.recovery.host_evacuate"


class ImpatientPlaybooks(Playbooks):
    """Runs the collection with a playbook in which each evacuation is followed for a given time only.

    :param vm_timeout: Option of ``host_evacuate``, in seconds.
    """

    def __init__(self, inventory: Path, directory: Path, clouds_yaml: Path, vm_timeout: float) -> None:
        super().__init__(inventory, directory, clouds_yaml)
        collections = directory / "collections"
        copy = collections / "ansible_collections" / "openstack_ha" / "recovery"
        (copy / "playbooks").mkdir(parents=True)
        for name in ("galaxy.yml", "meta", "plugins", "playbooks/templates"):
            (copy / name).symlink_to(ROOT / name)
        (copy / "playbooks" / _NAME).write_text(_edited(vm_timeout))
        self.environment["ANSIBLE_COLLECTIONS_PATH"] = str(collections)


def _edited(vm_timeout: float) -> str:
    plays = yaml.safe_load((ROOT / "playbooks" / _NAME).read_text())
    (task,) = [task for task in _tasks(plays) if _EVACUATE in task]
    task[_EVACUATE]["vm_timeout"] = vm_timeout
    return str(yaml.safe_dump(plays, sort_keys=False))


def _tasks(node: t.Any) -> t.Iterator[dict[str, t.Any]]:
    """Every mapping in a playbook, however deep in blocks."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _tasks(child)
