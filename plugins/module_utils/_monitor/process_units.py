# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Units that a compute host usually has. PRIVATE to this collection: may change at any time.

Those that a distribution or a deployment does not have are left out.
"""

from __future__ import annotations

import typing as t

Json = t.Dict[str, t.Any]

LIBVIRT_CHECK = "libvirt"

DEFAULTS: dict[str, Json] = {
    "nova-compute": {"names": ["nova-compute.service", "openstack-nova-compute.service"]},
    # The daemons of libvirt end by themselves when nobody needs them; the check wakes them through their sockets.
    "libvirtd": {"names": ["libvirtd.service"], "check": [LIBVIRT_CHECK]},
    "virtqemud": {"names": ["virtqemud.service"], "check": [LIBVIRT_CHECK]},
    "virtqemud-socket": {"names": ["virtqemud.socket"]},
    "virtlogd": {"names": ["virtlogd.service"]},
    "neutron-dhcp-agent": {"names": ["neutron-dhcp-agent.service"]},
    "neutron-l3-agent": {"names": ["neutron-l3-agent.service"]},
    "neutron-linuxbridge-agent": {"names": ["neutron-linuxbridge-agent.service"]},
    "neutron-metadata-agent": {"names": ["neutron-metadata-agent.service"]},
    "neutron-openvswitch-agent": {"names": ["neutron-openvswitch-agent.service"]},
    "neutron-ovn-agent": {"names": ["neutron-ovn-agent.service"]},
    "neutron-ovn-metadata-agent": {"names": ["neutron-ovn-metadata-agent.service"]},
    "neutron-sriov-agent": {"names": ["neutron-sriov-agent.service", "neutron-sriov-nic-agent.service"]},
    "openvswitch": {"names": ["ovs-vswitchd.service", "openvswitch.service"]},
    "ovn-controller": {"names": ["ovn-controller.service", "ovn-host.service"]},
}
