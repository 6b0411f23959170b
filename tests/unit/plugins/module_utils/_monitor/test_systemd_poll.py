from __future__ import annotations

import subprocess
import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.errors import MonitorError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.process_states import Facts
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.systemd_poll import Systemctl

#: As systemd 252 writes it: in an order of its own, without what a kind of unit has not.
_SHOWN = """Result=exit-code
NRestarts=2
Id=nova-compute.service
LoadState=loaded
ActiveState=failed
SubState=failed
UnitFileState=enabled

Result=success
Id=virtqemud.socket
LoadState=loaded
ActiveState=active
SubState=listening
UnitFileState=enabled

Result=success
NRestarts=0
Id=absent.service
LoadState=not-found
ActiveState=inactive
SubState=dead
UnitFileState=
"""


def systemctl(code: int = 0, out: str = "", error: str = "") -> Systemctl:
    def run(argv: list[str], **_options: t.Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(argv, code, out, error)

    return Systemctl(run)


def test_units_are_read_in_the_order_in_which_they_were_asked_for() -> None:
    names = ["nova-compute.service", "virtqemud.socket", "absent.service"]
    found = systemctl(out=_SHOWN).facts(names)
    assert found["nova-compute.service"] == Facts(
        "nova-compute.service", "loaded", "failed", "failed", "exit-code", "enabled", 2
    )
    assert found["virtqemud.socket"].sub == "listening"
    assert not found["absent.service"].exists


def test_what_systemctl_cannot_do_is_told() -> None:
    with pytest.raises(MonitorError, match="systemctl show: exit code 1: Failed to connect to bus"):
        systemctl(1, error="Failed to connect to bus\n").facts(["x.service"])
    assert systemctl(4, error="Access denied\n").restart("x.service") == "Access denied"
    assert systemctl().restart("x.service") == ""


def test_a_systemctl_that_is_not_there_or_hangs_is_told() -> None:
    def run(argv: list[str], **_options: t.Any) -> subprocess.CompletedProcess[str]:
        raise subprocess.TimeoutExpired(argv, 30)

    with pytest.raises(MonitorError, match="timed out"):
        Systemctl(run).facts(["x.service"])
