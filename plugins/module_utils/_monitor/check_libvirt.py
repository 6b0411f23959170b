# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether libvirt answers. PRIVATE to this collection: may change at any time.

A program of its own: it is run with a time limit, because a libvirt that hangs lets its clients hang.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Ask something that the daemon, not only its library, has to answer."""
    try:
        import libvirt
    except ImportError:
        sys.stderr.write(
            "Python has no binding for libvirt here; install python3-libvirt, or configure another check\n"
        )
        return 0
    try:
        connection = libvirt.openReadOnly(sys.argv[1])
        connection.getVersion()
        connection.numOfDomains()
    except libvirt.libvirtError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
