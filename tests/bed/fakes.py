# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the stand-ins for identity, image, network and volume have in common."""

from __future__ import annotations

import copy
import threading
import typing as t

from bed.web import Answer, App, Request, json_app

PROJECT = "0123456789abcdef0123456789abcdef"
IMAGE_ID = "11111111-1111-4111-8111-111111111111"
LONG_AGO = "2026-01-01T00:00:00Z"

Objects = t.Dict[str, t.Dict[str, t.Any]]


class StandIn:
    """A service that keeps its objects in dictionaries, one request at a time."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.state: dict[str, Objects] = {}

    def handle(self, request: Request) -> Answer:
        raise NotImplementedError

    def app(self) -> App:
        def locked(request: Request) -> Answer:
            with self._lock:
                return self.handle(request)

        return json_app(locked)

    def snapshot(self) -> dict[str, Objects]:
        with self._lock:
            return copy.deepcopy(self.state)

    def restore(self, snapshot: dict[str, Objects]) -> None:
        with self._lock:
            self.state = copy.deepcopy(snapshot)
