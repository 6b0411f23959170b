# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of ``pacemaker-alert``. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

from .options import Option

OPTIONS = {
    # Which nodes of the cluster are compute hosts: a regular expression for the whole name.
    "nodes": Option(default=".*", least=1),
    # Hosts that have another name in Nova than in the cluster.
    "hosts": Option("map", default={}, each=Option(least=1)),
    # "ignored" is for clusters of two nodes, which have no majority.
    "quorum": Option(default="required", choices=("required", "ignored")),
    # Corosync tells the loss of a node and the loss of the quorum one after the other.
    "settle": Option("float", default=0.5, least=0, most=10),
}
