# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The multi-process bed: the same hosts, BMCs and truth as :mod:`bed`, around services as a site runs them.

Real Keystone, Nova and Placement, RabbitMQ, MariaDB and memcached, one process per service and one nova-compute
process per host, so that ``kill -9`` is what it says. Everything listens on the loopback address, keeps its data in
the bed's directory, and ends with the server process, which ends with the process that started it.
:class:`multi.client.MultiBed` starts, drives and stops it.
"""
