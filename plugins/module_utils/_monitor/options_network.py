# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of the kind ``network``. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

from .options import Option

OPTIONS: dict[str, Option] = {
    "interval": Option("float", default=2.0, least=0.1, most=300),
    "timeout": Option("float", default=1.0, least=0.05, most=60),
    "failures": Option("int", default=3, least=1, most=100),
    "successes": Option("int", default=2, least=1, most=100),
}
