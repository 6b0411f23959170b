# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of the kind ``instance``. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

from .options import Option

_GUEST_AGENT = {
    "enabled": Option("bool", default=False),
    "interval": Option("float", default=10.0, least=1, most=3600),
    "timeout": Option("int", default=2, least=1, most=60),
    "threshold": Option("int", default=3, least=1, most=100),
}
_RESUME = {
    "enabled": Option("bool", default=False),
    "interval": Option("float", default=5.0, least=1, most=3600),
}
OPTIONS = {
    "uri": Option(default="qemu:///system", least=1),
    # Which VMs are watched: those of Nova (by the name pattern, or by Nova's metadata), or all.
    "vms": Option(default="nova", choices=("nova", "all")),
    "name_pattern": Option(default="instance-[0-9a-f]{8}", least=1),
    # All VMs are looked at each so many seconds, besides the events.
    "scan": Option("float", default=60.0, least=1, most=3600),
    # A reported I/O error, or a watchdog that only reports, is over when nothing more came for so many seconds.
    "quiet": Option("float", default=600.0, least=1, most=86400),
    # VMs that are paused because of an I/O error are tried again; needs a connection that may write.
    "resume": Option("object", options=_RESUME),
    "guest_agent": Option("object", options=_GUEST_AGENT),
}
