# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the intake is handed. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.credentials import Credentials

Json = t.Dict[str, t.Any]
Row = t.Dict[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one request and one principal may take."""

    body: int = 65536  # bytes
    rate: float = 50.0  # signals of one principal in a second, for long
    burst: float = 200.0  # and at once
    body_seconds: float = 10.0  # in which a body must have come
    retry_after: int = 2  # seconds that who was sent away for no fault of theirs should wait


@dataclasses.dataclass(frozen=True)
class Deps:
    """What the intake is handed.

    :param name: Of this responder. :param scope: Of the cloud in the journal.
    :param accept: ``Writer.accept``: waits until the rows are in the journal; raises Busy or JournalError.
    :param topology: The ``ha_topology`` of the segments file as last read, without any I/O; None: not known yet.
    :param policy: The complete policy as last read, without any I/O.
    :param health: ``{"ok": bool, "reason": str, ...}``; whatever else is in it is shown to those who may read.
    :param registry: Of prometheus_client, for ``/metrics`` and for what is counted here.
    :param metrics_public: ``/metrics`` needs no credential.
    """

    scope: str
    name: str
    credentials: Credentials
    accept: t.Callable[[t.List[Row]], t.Awaitable[t.List[str]]]
    topology: t.Callable[[], t.Optional[Json]]
    policy: t.Callable[[], Json]
    journal: Journal
    health: t.Callable[[], Json]
    registry: t.Any
    limits: Limits = dataclasses.field(default_factory=Limits)
    metrics_public: bool = False
