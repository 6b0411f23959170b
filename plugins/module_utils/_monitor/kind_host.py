# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kind ``host``: says that this host is alive. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import threading

from .beats import Beats
from .config import Config
from .state import Board


def run(config: Config, board: Board, stop: threading.Event) -> None:
    """Send heartbeats until told to stop."""
    Beats(config).run(stop, lambda _now: board.alive("host"))
