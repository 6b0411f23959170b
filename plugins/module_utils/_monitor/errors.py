# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong in a monitor. PRIVATE to this collection: may change at any time."""

from __future__ import annotations


class MonitorError(Exception):
    """Something could not be done; the message says what, what came back, and what to do."""


class ConfigError(MonitorError):
    """The configuration is wrong; the message starts with the path of the wrong key."""


class EventError(MonitorError):
    """A signal is not as it must be; the message starts with the path of what is wrong."""
