from __future__ import annotations

import threading
import typing as t

import pytest
from unit.plugins.module_utils._monitor.monitor_fakes import Clock, board, config, said

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor import systemd_bus
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.errors import ConfigError, MonitorError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.kind_process import Watch, wanted, way
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.process_states import Facts
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.systemd_poll import Systemctl

GONE = Facts(load="not-found", active="inactive", sub="dead")
FAILED = Facts(active="failed", sub="failed", result="exit-code")


class Systemd:
    """Has the units that it is given."""

    def __init__(self, **units: Facts) -> None:
        self.units = {f"{name.replace('_', '-')}.service": it for name, it in units.items()}
        self.restarts: list[str] = []
        self.deaf = False

    def facts(self, names: t.Sequence[str]) -> dict[str, Facts]:
        if self.deaf:
            raise MonitorError("no answer")
        return {name: self.units.get(name, GONE) for name in names}

    def restart(self, name: str) -> str:
        self.restarts.append(name)
        return ""

    def wait(self, seconds: float, stop: threading.Event) -> bool:
        return False


class Host:
    def __init__(self, systemd: Systemd, **options: t.Any) -> None:
        section = config(process=options).section("process")
        self.clock, self.systemd = Clock(), systemd
        self.board, self.spool = board(self.clock)
        self.watch = Watch(wanted(section), systemd, self.board, section, self.clock)

    def go(self, seconds: int) -> list[tuple[str, str]]:
        for _each in range(seconds):
            self.watch.step()
            self.clock.now += 1
        return [(name, word) for name, word, _sequence in said(self.spool)]


def test_units_of_the_distribution_are_watched_and_others_left_out() -> None:
    host = Host(Systemd(openstack_nova_compute=FAILED, neutron_l3_agent=Facts()))
    assert host.go(60) == [("openstack-nova-compute.service", "failed")]
    assert host.systemd.restarts == ["openstack-nova-compute.service"] * 3


def test_a_second_name_of_a_unit_is_the_same_unit() -> None:
    again = Facts(**{**FAILED.__dict__, "id": "openstack-nova-compute.service"})
    host = Host(Systemd(nova_compute=again, openstack_nova_compute=again))
    assert host.go(60) == [("openstack-nova-compute.service", "failed")]


def test_a_unit_that_must_be_there_and_is_not_is_told() -> None:
    units = {"agent": {"required": True, "restarts": 0}, "other": {}}
    assert Host(Systemd(), defaults=False, units=units).go(10) == [("agent.service", "failed")]


def test_a_unit_that_is_removed_is_over() -> None:
    host = Host(Systemd(agent=FAILED), defaults=False, units={"agent": {"restarts": 0}})
    host.go(10)
    host.systemd.units.clear()
    assert host.go(2) == [("agent.service", "failed"), ("agent.service", "ok")]


def test_what_is_not_configured_any_more_is_over() -> None:
    host = Host(Systemd(), defaults=False, units={"agent": {}})
    host.board.set("process", "old.service", "failed", "failed", "before")
    assert host.go(1) == [("old.service", "failed"), ("old.service", "ok")]


def test_a_systemd_that_does_not_answer_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    host = Host(Systemd(agent=FAILED), defaults=False, units={"agent": {"restarts": 0}})
    host.go(10)
    host.systemd.deaf = True
    assert host.go(20) == [("agent.service", "failed")]
    assert caplog.text.count("no answer from systemd") == 1


def test_a_unit_that_is_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="named twice"):
        Host(Systemd(), units={"mine": {"names": ["nova-compute.service"]}})


def test_without_jeepney_units_are_polled_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(systemd_bus, "DBusAddress", None)
    assert isinstance(way("dbus"), Systemctl)
    assert "python3-jeepney" in caplog.text
