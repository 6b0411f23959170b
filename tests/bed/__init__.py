# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The test bed: a cloud of real Nova services in one process, with hosts that can be powered off.

One server process runs nova-api, conductor, scheduler, N nova-computes and placement on SQLite, small
stand-ins for identity, image, network and volume, and for every host an IPMI and a Redfish endpoint
whose power-off really ends that host. What runs where is written down by the virt driver, so a VM that
runs twice is seen. :class:`bed.client.Bed` starts, drives and stops it with nothing but the standard library.
"""
