from __future__ import annotations

import types
import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor import instance_resume
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor import libvirt_events as le
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.instance_resume import Resumer
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.libvirt_link import Ours


class LibvirtError(Exception):
    """As the binding's."""


class Domain:
    def __init__(self, uuid: str, state: int, reason: int, fails: bool = False) -> None:
        self.uuid, self.now, self.fails = uuid, (state, reason), fails

    def UUIDString(self) -> str:
        return self.uuid

    def name(self) -> str:
        return f"instance-{self.uuid}"

    def state(self) -> list[int]:
        return list(self.now)

    def resume(self) -> None:
        if self.fails:
            raise LibvirtError("busy")
        self.now = (le.RUNNING, 1)


@pytest.fixture(autouse=True)
def binding(monkeypatch: pytest.MonkeyPatch) -> None:
    """The part of the binding that is used."""
    made = types.SimpleNamespace(libvirtError=LibvirtError, VIR_CONNECT_LIST_DOMAINS_PAUSED=32)
    monkeypatch.setattr(instance_resume, "libvirt", made)


def resumer(domains: list[Domain], opened: list[str]) -> Resumer:
    def connect(uri: str) -> t.Any:
        opened.append(uri)
        if not domains:
            raise LibvirtError("away")
        return types.SimpleNamespace(listAllDomains=lambda _flags: domains)

    return Resumer("qemu:///system", {"interval": 5.0}, Ours(None), connect)


def test_only_those_are_resumed_that_an_io_error_has_paused() -> None:
    by_io_error, by_owner, by_watchdog = Domain("1", le.PAUSED, 5), Domain("2", le.PAUSED, 1), Domain("3", le.PAUSED, 6)
    assert resumer([by_io_error, by_owner, by_watchdog], []).round() == ["1"]
    assert by_io_error.now[0] == le.RUNNING
    assert {by_owner.now[0], by_watchdog.now[0]} == {le.PAUSED}


def test_one_that_refuses_does_not_stop_the_others() -> None:
    assert resumer([Domain("1", le.PAUSED, 5, fails=True), Domain("2", le.PAUSED, 5)], []).round() == ["2"]


def test_a_libvirt_that_is_away_is_tried_again() -> None:
    opened: list[str] = []
    made = resumer([], opened)
    assert [made.round(), made.round()] == [[], []]
    assert len(opened) == 2
