"""Does to a real QEMU what a virt driver of the bed does to a guest: ``guest_command.py ROOT WHAT UUID``."""

from __future__ import annotations

import sys
from pathlib import Path

from libvirt_site import Libvirt

#: The disk of all guests, see :meth:`Libvirt.serve_disk`.
DISK = "shared"


def main(root: str, what: str, guest: str) -> None:
    """One call of the driver; ``state`` prints the first word of libvirt's."""
    site = Libvirt.attach(Path(root))
    known = site.virsh("domstate", guest, check=False)
    state = known.stdout.split(" ")[0].strip() if known.returncode == 0 else ""
    if what == "state":
        print(state)
    elif what == "define" and not state:
        site.define(guest, DISK)
    elif what == "start" and state != "running":
        site.virsh("start", guest)
    elif what == "stop" and state != "shut":
        site.virsh("destroy", guest, check=False)
    elif what == "remove" and state:
        site.virsh("destroy", guest, check=False)
        site.virsh("undefine", guest)


if __name__ == "__main__":
    main(*sys.argv[1:])
