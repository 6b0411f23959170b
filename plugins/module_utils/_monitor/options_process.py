# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of the kind ``process``. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

from .options import Option

UNIT = {
    # Names that the unit has in distributions; those that exist are watched. Default: the name of this entry.
    "names": Option("list", default=None, least=1, each=Option(least=1)),
    # One of the names must exist.
    "required": Option("bool", default=False),
    # It must always run: that somebody has stopped it on purpose is a failure, too.
    "always": Option("bool", default=False),
    # How often it is restarted before it is reported, and how long it is waited before the first and the second time;
    # the wait doubles each time.
    "restarts": Option("int", default=3, least=0, most=100),
    "back_off": Option("float", default=2.0, least=0, most=3600),
    # It is well again when it has run for so long.
    "stable": Option("float", default=30.0, least=0, most=3600),
    # So long may a start take.
    "start_timeout": Option("float", default=120.0, least=1, most=3600),
    # A command that ends with 0 in time while the unit works; "libvirt" alone is built in.
    "check": Option("list", default=[], each=Option(least=1)),
    "check_interval": Option("float", default=30.0, least=1, most=3600),
    "check_timeout": Option("float", default=10.0, least=0.1, most=600),
    # So many failed checks in a row mean that it hangs.
    "check_failures": Option("int", default=2, least=1, most=100),
}
OPTIONS = {
    # Whether the units in process_units.py are watched, too. An entry in units of the same name replaces one of them.
    "defaults": Option("bool", default=True),
    "units": Option("map", default={}, each=Option("object", options=UNIT)),
    "bus": Option(default="dbus", choices=("dbus", "systemctl")),
    # All units are looked at each so many seconds, besides the signals of D-Bus; without D-Bus it is the only way.
    "poll": Option("float", default=15.0, least=0.2, most=3600),
    "libvirt_uri": Option(default="qemu:///system", least=1),
}
