# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of the kind ``watchdog``. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

from .options import Option
from .safe_time import TERMS

OPTIONS: dict[str, Option] = {
    "mode": Option(default="device", choices=("device", "sbd")),
    "device": Option(default="/dev/watchdog", least=1),
    "sbd_pid_file": Option(default="/run/sbd.pid", least=1),
    "pause_file": Option(default="/run/openstack_ha_monitor/watchdog.pause", least=1),
    "safe_time": Option("float", default=None, least=1),
    **{
        name: Option(
            "int" if name == "threshold" else "float", default=default, least=5 if name == "device_timeout" else least
        )
        for name, (default, least) in TERMS.items()
    },
}
