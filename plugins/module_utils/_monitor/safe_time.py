# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""After which silence a host must have reset itself. PRIVATE to this collection: may change at any time.

One formula for both sides: the monitor that feeds the watchdog of its host, and the fencing level that waits until it
has run down. https://github.com/medik8s/self-node-remediation/blob/main/pkg/reboot/calculator.go
"""

from __future__ import annotations

import typing as t

#: Seconds for clocks that run differently, and for a monitor that is late.
MARGIN = 30.0

#: Name, default and least value of the terms; all are seconds but ``threshold``.
TERMS: dict[str, tuple[float, float]] = {
    "heartbeat_interval": (15.0, 0.001),
    "heartbeat_timeout": (5.0, 0.001),
    "threshold": (3, 1),
    "peer_time": (30.0, 0.0),
    "device_timeout": (60.0, 0.001),
}


def patience(options: t.Mapping[str, t.Any]) -> float:
    """Seconds without a majority that a monitor bears before it feeds no more."""
    return float((options["heartbeat_interval"] + options["heartbeat_timeout"]) * options["threshold"])


def computed(options: t.Mapping[str, t.Any]) -> float:
    """The least safe time, in seconds."""
    return patience(options) + float(options["peer_time"] + options["device_timeout"] + MARGIN)
