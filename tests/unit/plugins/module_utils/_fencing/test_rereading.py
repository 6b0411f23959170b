from __future__ import annotations

import concurrent.futures
import typing as t

import pytest
from unit.plugins.module_utils._fencing.fencing_fakes import Clock, FakeDevice, broken, fake_world, level

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import OFF, ON, UNKNOWN, Level
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.operator import Operator
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.rereading import (
    AFTER_FAILURE,
    EVERY,
    Rereading,
)

HOST = "cmp03"
PROVEN = {"kind": "ipmi", "level": 1}


class Later(concurrent.futures.Executor):
    """Does what it was given when it is told to."""

    def __init__(self) -> None:
        self.work: list[t.Callable[[], None]] = []

    def submit(self, function: t.Callable[..., t.Any], /, *args: t.Any, **more: t.Any) -> t.Any:
        future: concurrent.futures.Future[t.Any] = concurrent.futures.Future()
        self.work.append(lambda: future.set_result(function(*args, **more)))
        return future

    def do(self) -> None:
        while self.work:
            self.work.pop()()


class Site:
    def __init__(self) -> None:
        self.clock, self.pool, self.said = Clock(), Later(), list[str]()
        self.bmc, self.pdu = FakeDevice(self.clock, OFF, name="bmc"), FakeDevice(self.clock, OFF, name="pdu")

    def rereading(self, *levels: Level) -> Rereading:
        return Rereading({HOST: levels or [level(self.bmc, self.pdu)]}, self.pool, self.clock, self.said.append)

    def signs(self, rereading: Rereading, certificate: t.Any = None) -> list[str]:
        """What a reading that begins now finds."""
        certificate = certificate or PROVEN
        assert rereading.signs(HOST, certificate) == []
        self.pool.do()
        return rereading.signs(HOST, certificate)


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_host_that_stays_off_shows_nothing(site: Site) -> None:
    assert site.signs(site.rereading()) == []
    assert (site.bmc.commands, site.said) == ([], [])


@pytest.mark.parametrize("which", ["bmc", "pdu"])
def test_one_device_that_reports_it_on_is_enough(site: Site, which: str) -> None:
    getattr(site, which).power = ON
    assert site.signs(site.rereading()) == [f"ipmi {which} reports that it is on"]


def test_nobody_waits_for_a_device_and_none_is_asked_twice_at_once(site: Site) -> None:
    rereading = site.rereading()
    for _look in range(20):
        assert rereading.signs(HOST, PROVEN) == []
        site.clock.wait(1.0)
    assert len(site.pool.work) == 1
    site.bmc.power = ON
    site.pool.do()
    assert rereading.signs(HOST, PROVEN)


def test_it_is_read_again_after_some_seconds(site: Site) -> None:
    rereading = site.rereading()
    assert site.signs(rereading) == []
    rereading.signs(HOST, PROVEN)
    assert site.pool.work == [], "not yet"
    site.clock.wait(EVERY)
    site.bmc.power = ON
    assert site.signs(rereading) == ["ipmi bmc reports that it is on"]


def test_what_cannot_be_read_is_no_sign_of_life_and_is_told_once(site: Site) -> None:
    site.bmc.read_errors = [broken("no route to hunter2")] * 3
    rereading = site.rereading()
    for _reading in range(3):
        assert site.signs(rereading) == []
        rereading.signs(HOST, PROVEN)
        assert site.pool.work == [], "a device that is silent is asked less often"
        site.clock.wait(AFTER_FAILURE)
    assert len(site.said) == 1
    assert site.said[0].startswith("cmp03: whether it stays off cannot be read: ipmi bmc: no route to")
    assert "hunter2" not in site.said[0]
    site.bmc.power = ON
    assert site.signs(rereading)


def test_a_device_that_cannot_be_read_hides_no_other(site: Site) -> None:
    site.bmc.read_errors = [broken("timed out")]
    site.pdu.power = ON
    assert site.signs(site.rereading()) == ["ipmi pdu reports that it is on"]


def test_a_word_that_is_neither_on_nor_off_says_nothing(site: Site) -> None:
    site.bmc.power = UNKNOWN
    assert site.signs(site.rereading()) == []


@pytest.mark.parametrize("certificate", [{"kind": "operator", "level": None}, {"kind": "kdump", "level": 1}, {}])
def test_what_no_device_has_proven_is_not_read(site: Site, certificate: t.Any) -> None:
    site.bmc.power = ON
    alone = Level(number=1, alone=Operator({}, fake_world(site.clock)))
    rereading = site.rereading(alone, level(site.bmc, number=2))
    assert rereading.signs(HOST, certificate) == []
    assert rereading.signs("cmp04", PROVEN) == []
    assert site.pool.work == []


def test_only_the_devices_of_the_level_that_did_it_are_read(site: Site) -> None:
    site.bmc.power = ON  # it has failed before, and the next level was used
    rereading = site.rereading(level(site.bmc), level(site.pdu, number=2))
    assert site.signs(rereading, {"kind": "fence_agent", "level": 2}) == []
    site.clock.wait(EVERY)
    site.pdu.power = ON
    assert site.signs(rereading, {"kind": "fence_agent", "level": 2}) == ["ipmi pdu reports that it is on"]
