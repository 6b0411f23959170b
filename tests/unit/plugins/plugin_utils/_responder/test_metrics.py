from __future__ import annotations

import typing as t

import prometheus_client

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.metrics import Metrics


def told(metrics: Metrics) -> list[str]:
    """The lines that have a value."""
    text = prometheus_client.generate_latest(metrics.registry).decode()
    return [line for line in text.splitlines() if not line.startswith("#") and "_created" not in line]


def test_what_is_counted_is_told_by_what_became_of_it(journal: Journal, say: t.Any) -> None:
    metrics = Metrics(lambda: 1.5)
    signal = say("cmp01", "instance.crashed", "vm-1")
    metrics.accepted([signal, signal], ["new", "repeat"])
    metrics.decided([{"id": signal["id"], "verdict": "alert"}], [signal])
    metrics.verdicts({"cmp01": {"verdict": "hold", "gate": "witnesses"}, "cmp02": {"verdict": "recover", "gate": None}})
    metrics.heartbeat("counted")
    metrics.run_started(["cmp01"], {"cmp01": 10.0}, 10.25)
    metrics.run_ended("successful")
    metrics.looked(0.01)
    metrics.failed(JournalError("away"))
    metrics.failed(ValueError("broken"))
    metrics.configuration(True)
    lines = told(metrics)
    for line in (
        'openstack_ha_signals_total{kind="instance",outcome="repeat",state="failed"} 1.0',
        'openstack_ha_signal_verdicts_total{kind="instance",verdict="alert"} 1.0',
        'openstack_ha_verdicts_total{gate="witnesses",verdict="hold"} 1.0',
        'openstack_ha_verdicts_total{gate="none",verdict="recover"} 1.0',
        'openstack_ha_heartbeats_total{outcome="counted"} 1.0',
        'openstack_ha_suspicion_to_run_seconds_bucket{le="0.3"} 1.0',
        'openstack_ha_runs_total{status="successful"} 1.0',
        'openstack_ha_failed_looks_total{why="journal"} 1.0',
        'openstack_ha_failed_looks_total{why="other"} 1.0',
        "openstack_ha_refused_configurations_total 1.0",
        "openstack_ha_configuration_refused 1.0",
        "openstack_ha_last_decision_age_seconds 1.5",
        "openstack_ha_look_seconds_count 1.0",
    ):
        assert line in lines


def test_what_the_journal_knows_is_told_as_it_is_now(journal: Journal) -> None:
    metrics = Metrics(lambda: None)
    incident = journal.open_incident("cmp01", "R", "rack1")["id"]
    journal.observe("R", "ctl1", {}, {}, decided=True)
    metrics.journaled(journal, "R")
    assert 'openstack_ha_incidents{kind="host",state="open"} 1.0' in told(metrics)
    assert any(line.startswith('openstack_ha_observer_age_seconds{name="ctl1"} ') for line in told(metrics))
    assert "openstack_ha_last_decision_age_seconds NaN" in told(metrics)
    journal.set_incident(incident, "closed")
    metrics.journaled(journal, "R")
    assert not [line for line in told(metrics) if line.startswith("openstack_ha_incidents")]
