# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a responder counts and measures, for Prometheus. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal

try:
    import prometheus_client as prometheus
except ImportError:
    prometheus = None  # type: ignore[assignment]  # reported by Metrics()

Json = dict[str, t.Any]

_OPEN = ("open", "held", "recovering", "partial")
_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """Has a registry of its own, so that several responders can live in one process of tests."""

    def __init__(self, age: t.Callable[[], float | None]) -> None:
        if prometheus is None:
            raise RecoveryError("The responder needs the Python package prometheus_client, which is missing.")
        self.registry = prometheus.CollectorRegistry()
        own: Json = {"registry": self.registry, "namespace": "openstack_ha"}
        counter, gauge, histogram = prometheus.Counter, prometheus.Gauge, prometheus.Histogram
        self._signals = counter("signals", "Signals, by what became of them", ["kind", "state", "outcome"], **own)
        self._signal_verdicts = counter("signal_verdicts", "Verdicts on signals", ["kind", "verdict"], **own)
        self._verdicts = counter("verdicts", "Journaled verdicts on hosts, by gate", ["verdict", "gate"], **own)
        self._object_verdicts = counter(
            "object_verdicts",
            "Journaled verdicts on VMs, units and networks, by gate",
            ["kind", "verdict", "gate"],
            **own,
        )
        self._heartbeats = counter("heartbeats", "Datagrams, by what became of them", ["outcome"], **own)
        self._runs = counter("runs", "Runs that have ended", ["status"], **own)
        self._to_verdict = histogram(
            "signal_to_verdict_seconds", "From an accepted signal to its verdict", buckets=_SECONDS, **own
        )
        self._to_run = histogram(
            "suspicion_to_run_seconds", "From the first suspicion of a host to the start of its run",
            buckets=_SECONDS, **own,
        )  # fmt: skip
        self._looks = histogram("look_seconds", "How long a look takes", buckets=_SECONDS, **own)
        self._failed = counter("failed_looks", "Looks that failed", ["why"], **own)
        self._refused = counter("refused_configurations", "Changed files that were refused", **own)
        self._wrong = gauge("configuration_refused", "Whether what stands in a file is not what holds", **own)
        self._incidents = gauge("incidents", "Incidents that have not ended", ["kind", "state"], **own)
        self._observers = gauge("observer_age_seconds", "Since each responder was heard of last", ["name"], **own)
        last = gauge("last_decision_age_seconds", "Since a look ended without trouble", **own)
        last.set_function(lambda: _or_nan(age()))

    def accepted(self, rows: t.Sequence[Json], outcomes: t.Sequence[str]) -> None:
        """Signals were accepted."""
        for row, outcome in zip(rows, outcomes):
            self._signals.labels(row["kind"], row["state"], outcome).inc()

    def heartbeat(self, outcome: str) -> None:
        """A datagram came."""
        self._heartbeats.labels(outcome).inc()

    def decided(self, decisions: t.Sequence[Json], signals: t.Sequence[Json]) -> None:
        """Signals got their verdicts."""
        by_id = {it["id"]: it for it in signals}
        for decision in decisions:
            signal = by_id[decision["id"]]
            self._signal_verdicts.labels(signal["kind"], decision["verdict"]).inc()
            if signal["age"] is not None:
                self._to_verdict.observe(signal["age"])

    def verdicts(self, verdicts: t.Mapping[str, Json]) -> None:
        """Verdicts on hosts were journaled."""
        for verdict in verdicts.values():
            self._verdicts.labels(verdict["verdict"], verdict["gate"] or "none").inc()

    def object_verdicts(self, kind: str, verdicts: t.Mapping[str, Json]) -> None:
        """Verdicts on VMs, units or networks were journaled."""
        for verdict in verdicts.values():
            self._object_verdicts.labels(kind, verdict["verdict"], verdict["gate"] or "none").inc()

    def run_started(self, hosts: t.Sequence[str], suspected: t.Mapping[str, float], now: float) -> None:
        """A run has started."""
        for host in hosts:
            self._to_run.observe(now - suspected.get(host, now))

    def run_ended(self, status: str) -> None:
        """A run has ended."""
        self._runs.labels(status).inc()

    def looked(self, seconds: float) -> None:
        """A look has ended without trouble."""
        self._looks.observe(seconds)

    def failed(self, error: Exception) -> None:
        """A look has failed."""
        self._failed.labels("journal" if isinstance(error, JournalError) else "other").inc()

    def configuration(self, refused: bool) -> None:
        """A changed file was read."""
        self._wrong.set(refused)
        if refused:
            self._refused.inc()

    def journaled(self, journal: Journal, scope: str) -> None:
        """What the journal knows now."""
        self._incidents.clear()
        for incident in journal.incidents(scope=scope, state=list(_OPEN)):
            self._incidents.labels(incident["kind"], incident["state"]).inc()
        for observer in journal.observers(scope):
            self._observers.labels(observer["name"]).set(_or_nan(observer["age"]))


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
