# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which VMs ran when they were seen last. PRIVATE to this collection: may change at any time.

Kept in a file, so that a VM which fails while nobody looks is found afterwards.
"""

from __future__ import annotations

import json
import logging
import os
import typing as t

LOG = logging.getLogger(__name__)


class Memory:
    """By UUID: name, whether it ran here, whether its guest agent has answered.

    :param path: The file. What cannot be written is still known until the program ends.
    """

    def __init__(self, path: str, boot: str) -> None:
        self._path, self._boot = path, boot
        found = _read(path)
        #: Nothing was known at start: the first time, or the directory is new.
        self.fresh = not found
        #: This machine was restarted since the file was written.
        self.rebooted = bool(found) and found.get("boot") != boot
        vms = found.get("vms")
        self._vms: dict[str, dict[str, t.Any]] = vms if isinstance(vms, dict) else {}

    def uuids(self) -> list[str]:
        """All VMs that are known."""
        return list(self._vms)

    def ran(self, uuid: str) -> bool:
        """Whether it ran here when it was seen last."""
        return bool(self._vms.get(uuid, {}).get("ran"))

    def name(self, uuid: str) -> str:
        """Its name in libvirt, if it is known."""
        return str(self._vms.get(uuid, {}).get("name", ""))

    def answered(self, uuid: str) -> bool:
        """Whether its guest agent has answered since it was started."""
        return bool(self._vms.get(uuid, {}).get("agent"))

    def note(self, uuid: str, name: str, **facts: bool) -> None:
        """Keep ``ran`` or ``agent`` of a VM."""
        old = self._vms.get(uuid, {})
        new = {**old, "name": name, **facts}
        if new != old:
            self._vms[uuid] = new
            self._write()

    def forget(self, uuid: str) -> None:
        """It is not of this host any more."""
        if self._vms.pop(uuid, None) is not None:
            self._write()

    def seen(self) -> None:
        """All of it was compared with what is: a file is there from now on, and it is of this boot."""
        self.fresh = self.rebooted = False
        self._write()

    def _write(self) -> None:
        text = json.dumps({"boot": self._boot, "vms": self._vms}, sort_keys=True)
        try:
            with open(f"{self._path}.new", "w", encoding="utf-8") as opened:
                opened.write(text)
            os.replace(f"{self._path}.new", self._path)
        except OSError as error:
            LOG.warning("%s cannot be written, VMs that fail while this program is down are not found: %s", *_of(error))


def _read(path: str) -> dict[str, t.Any]:
    try:
        with open(path, encoding="utf-8") as opened:
            found = json.load(opened)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        LOG.warning("%s cannot be read, VMs that failed since it was written are not found: %s", path, error)
        return {}
    return found if isinstance(found, dict) else {}


def _of(error: OSError) -> tuple[str, str]:
    return str(error.filename), str(error.strerror)
