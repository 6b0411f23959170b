"""The kind ``process`` with a real systemd: restarts first, then a signal; what people stop is left alone."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from driver import until

from hosts.lab import Host, Hosts

_MONITOR = Path(__file__).parents[2] / "plugins/module_utils/_monitor"
_LOG = "/var/log/monitor-under-test"
_MARKS = ("/var/tmp/healed", "/var/tmp/hangs")
_SPOOL = "/var/lib/openstack_ha_monitor/process/spool.json"
#: Units by name: what they run, and how systemd restarts them.
_UNITS = {
    "steady": ("sleep infinity", "no"),
    "dead": ("false", "no"),
    "healing": ("sh -c 'test -e /var/tmp/healed || exit 3; exec sleep infinity'", "no"),
    "loop": ("false", "always"),
    "hanging": ("sleep infinity", "no"),
}
_QUICK = {"restarts": 2, "back_off": 0.2, "stable": 1.5, "start_timeout": 20.0}


class Program:
    """The monitor on a host. What it has said waits in its spool, for no responder is there."""

    def __init__(self, host: Host, bus: str) -> None:
        self._host = host
        check = ["sh", "-c", "! test -e /var/tmp/hangs || exec sleep 60"]
        units: dict[str, t.Any] = dict.fromkeys(_UNITS, _QUICK)
        units["hanging"] = {**_QUICK, "check": check, "check_interval": 1.0, "check_timeout": 1.0, "restarts": 1}
        units["absent"] = {"required": True, "restarts": 0, "back_off": 0}
        host.copy(_MONITOR, "/opt/monitor/openstack_ha_monitor")
        host.write("/etc/token", "x\n")
        config = {
            "host": host.name,
            "token_file": "/etc/token",
            "responders": [{"name": "ctl1", "url": "http://127.0.0.1:9"}],
            "process": {"defaults": False, "bus": bus, "poll": 1.0, "units": units},
        }
        host.write("/etc/monitor.json", json.dumps(config))
        for name, (command, restart) in _UNITS.items():
            host.write(f"/etc/systemd/system/{name}.service", _unit(command, restart))
        host.run(["systemctl", "daemon-reload"])
        host.path(_LOG).unlink(missing_ok=True)
        command = "python3 -s -m openstack_ha_monitor process --config /etc/monitor.json"
        options = ["--quiet", "--unit=monitor-under-test", "--setenv=PYTHONPATH=/opt/monitor"]
        host.run(["systemd-run", *options, f"--property=StandardError=append:{_LOG}", *command.split()])

    def log(self) -> str:
        path = self._host.path(_LOG)
        return path.read_text() if path.exists() else ""

    def said(self, unit: str) -> list[str]:
        """What was said about a unit, oldest first."""
        path = self._host.path(_SPOOL)
        queue = json.loads(path.read_text())["queue"] if path.exists() else []
        events = [it["event"] for it in queue if it["event"]["data"]["object"] == f"{unit}.service"]
        return [it["type"].rpartition(".")[2] for it in events]

    def until_said(self, unit: str, *words: str) -> None:
        until(lambda: self.said(unit) == list(words), 90)

    def systemctl(self, *words: str) -> None:
        self._host.run(["systemctl", *words])

    def stop(self) -> None:
        """Leave no trace of the monitor and its units."""
        self._host.run(["systemctl", "stop", "monitor-under-test", *_UNITS], check=False)
        self._host.run(["systemctl", "reset-failed"])
        self._host.run(["rm", "-rf", str(Path(_SPOOL).parents[1]), *_MARKS])


def _unit(command: str, restart: str) -> str:
    return (
        f"[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/usr/bin/env {command}\n"
        f"Restart={restart}\nRestartSec=0.3\n[Install]\nWantedBy=multi-user.target\n"
    )


@pytest.fixture(params=["dbus", "systemctl"])
def program(hosts: Hosts, request: pytest.FixtureRequest) -> t.Iterator[Program]:
    """A monitor that has looked at all units."""
    made = Program(hosts["cmp01"], request.param)
    try:
        until(lambda: made.log().count("watching ") >= len(_UNITS), 90)
        yield made
    finally:
        print(made.log())
        made.stop()


def test_units_that_fail_are_restarted_then_told_and_ok_when_they_last(program: Program, hosts: Hosts) -> None:
    host = hosts["cmp01"]
    program.until_said("absent", "failed")
    assert not any(program.said(name) for name in _UNITS)  # that nobody has started them is nobody's failure
    program.systemctl("start", "steady", "loop", "hanging")
    host.run(["systemctl", "start", "dead", "healing"], check=False)
    program.until_said("dead", "failed")
    program.until_said("loop", "failed")
    program.until_said("healing", "failed")
    host.write("/var/tmp/healed", "")
    program.systemctl("restart", "healing")
    program.until_said("healing", "failed", "ok")
    host.write("/var/tmp/hangs", "")
    program.until_said("hanging", "hung")
    host.path("/var/tmp/hangs").unlink()
    program.until_said("hanging", "hung", "ok")
    program.systemctl("stop", "steady", "loop")
    program.until_said("loop", "failed", "ok")  # on purpose: it is over
    assert program.said("steady") == []


def test_a_killed_service_that_comes_back_after_a_restart_is_not_told(program: Program, hosts: Hosts) -> None:
    host = hosts["cmp01"]
    program.systemctl("start", "steady")
    host.run(["systemctl", "kill", "--signal", "KILL", "steady"])
    until(lambda: "steady.service: failed (failed, signal); restarted" in program.log(), 90)
    until(lambda: host.run(["systemctl", "is-active", "steady"], check=False).stdout == "active\n", 90)
    program.until_said("absent", "failed")
    assert program.said("steady") == []
