# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of the kind ``etcd``. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

from .options import Option

OPTIONS = {
    # URLs of members, tried in this order; needed where this kind runs.
    "endpoints": Option("list", default=[], each=Option(least=1)),
    # The key PREFIX + NAME, put there with a lease, says that the host NAME is alive.
    "prefix": Option(default="openstack_ha/hosts/", least=1),
    "ca_file": Option(default=None, least=1),
    "certificate": Option(default=None, least=1),
    "key": Option(default=None, least=1),
    # All keys are read each so many seconds, besides what the watch tells; finds members that are cut off, too.
    "poll": Option("float", default=5.0, least=0.5, most=300),
    "timeout": Option("float", default=3.0, least=0.1, most=60),
}
