from __future__ import annotations

import logging
import math
import typing as t
from pathlib import Path

import pytest
from unit.plugins.module_utils._monitor.monitor_fakes import Clock, board, config, said

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.errors import ConfigError, MonitorError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.kind_watchdog import Watchdog, check
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.options import check as checked
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.options_watchdog import OPTIONS


class Beats:
    """Who has heard what; hears is whether a majority hears every beat."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.armed, self.hears = clock, False, True
        self._since = {True: -math.inf, False: -math.inf}

    def send(self) -> None:
        if self.hears:
            self._since[self.armed] = self.clock.now

    def majority_since(self) -> float:
        return max(self._since.values())

    def majority_disarmed_since(self) -> float:
        return self._since[False]


class Device:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.trouble = ""

    def _do(self, what: str) -> None:
        if self.trouble:
            raise MonitorError(self.trouble)
        self.log.append(what)

    def open(self) -> None:
        self._do("open")

    def feed(self) -> None:
        self._do("feed")

    def release(self) -> None:
        self._do("release")


class Site:
    def __init__(self, pause: Path) -> None:
        self.clock = Clock()
        self.board, self.spool = board(self.clock)
        self.beats, self.device, self.pause = Beats(self.clock), Device(), pause
        options = checked({}, OPTIONS)
        beats: t.Any = self.beats
        device: t.Any = self.device
        self.watchdog = Watchdog(beats, self.board, device, options, lambda: not pause.exists())

    def run(self, seconds: float, stopping: bool = False) -> None:
        for _each in range(int(seconds * 2)):
            self.clock.now += 0.5
            self.beats.send()
            self.watchdog.step(self.clock.now, stopping)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "pause")


def test_it_is_fed_often_enough_but_not_with_every_beat(site: Site) -> None:
    site.run(60)
    assert site.device.log.count("feed") == 12
    assert site.beats.armed
    assert said(site.spool) == [("", "armed", 1)]


def test_beats_say_armed_only_when_the_device_runs(site: Site) -> None:
    site.device.trouble = "/dev/watchdog: cannot be opened: Permission denied"
    site.run(5)
    assert not site.beats.armed
    signal = site.spool.batch(1, 9999)[0]
    assert (signal["type"], signal["data"]["reason"]) == ("openstack_ha.watchdog.disarmed", site.device.trouble)
    site.device.trouble = ""
    site.run(15)
    assert site.beats.armed
    assert [word for _object, word, _number in said(site.spool)] == ["disarmed", "armed"]


def test_it_starves_when_nobody_hears_the_host(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    site.run(10)
    site.beats.hears = False
    site.run(62)
    fed = site.device.log.count("feed")
    site.run(300)
    assert site.device.log.count("feed") == fed
    assert "release" not in site.device.log
    assert "armed => starving" in caplog.text


def test_a_pause_releases_it_and_its_end_arms_it_again(site: Site) -> None:
    site.run(10)
    site.pause.touch()
    site.run(5)
    assert not site.beats.armed
    assert "release" not in site.device.log
    site.run(15)
    assert site.device.log[-1] == "release"
    site.pause.unlink()
    site.run(2)
    assert site.device.log[-2:] == ["open", "feed"]
    assert site.beats.armed
    assert [word for _object, word, _number in said(site.spool)] == ["armed", "disarmed", "armed"]


def test_the_end_of_the_program_releases_it_first(site: Site) -> None:
    assert site.watchdog.off
    site.run(10)
    assert not site.watchdog.off
    site.run(10, stopping=True)
    assert not site.watchdog.off
    site.run(10, stopping=True)
    assert site.watchdog.off


def test_a_device_that_fails_while_it_runs_is_tried_again_soon(site: Site) -> None:
    site.run(10)
    site.device.trouble = "/dev/watchdog: cannot be fed"
    site.run(11)
    assert not site.beats.armed
    site.device.trouble = ""
    site.run(6)
    assert site.beats.armed


def test_a_safe_time_that_is_too_short_is_refused() -> None:
    check(checked({"safe_time": 180}, OPTIONS), 0.5)
    with pytest.raises(ConfigError, match=r"^watchdog.safe_time: 179 s is too short: .* at least 180 s"):
        check(checked({"safe_time": 179}, OPTIONS), 0.5)


def test_a_patience_that_a_few_lost_beats_would_end_is_refused() -> None:
    options = checked({"heartbeat_interval": 1, "heartbeat_timeout": 0.5, "threshold": 1}, OPTIONS)
    with pytest.raises(ConfigError, match=r"^watchdog.threshold: 1.5 s without a majority is too short"):
        check(options, 0.5)


def test_the_section_of_the_file_is_the_one_that_is_used() -> None:
    assert config(watchdog={"mode": "sbd"}).section("watchdog")["mode"] == "sbd"
