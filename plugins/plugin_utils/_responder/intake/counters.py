# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the intake counts. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError

try:
    import prometheus_client
except ImportError:
    prometheus_client = None  # type: ignore[assignment]  # reported by Counters()


class Counters:
    """Metrics in a registry."""

    def __init__(self, registry: t.Any) -> None:
        if prometheus_client is None:
            raise RecoveryError("The responder needs the Python package prometheus_client, which is missing.")
        self.requests = prometheus_client.Counter(
            "openstack_ha_intake_requests", "Requests, by path and status.", ["path", "status"], registry=registry
        )
        self.signals = prometheus_client.Counter(
            "openstack_ha_intake_signals", "Accepted signals, by what they were.", ["outcome"], registry=registry
        )
        self.accepting = prometheus_client.Histogram(
            "openstack_ha_intake_accept_seconds", "How long a request waits for the journal.", registry=registry
        )


def render(registry: t.Any, accept: str) -> tuple[bytes, str]:
    """All metrics, and their content type, in the format that is asked for."""
    encode, content_type = prometheus_client.exposition.choose_encoder(accept)
    return encode(registry), content_type
