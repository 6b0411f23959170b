# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bed of hosts: containers with a real systemd, networks, power, and Nova beside them.

:mod:`hosts.lab` is what tests use. A lab is everything that was made for one session; all of it carries
the name of the lab, so that the reaper (:mod:`hosts.reaper`) finds it whatever became of its makers.
"""
