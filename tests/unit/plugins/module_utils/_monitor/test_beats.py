from __future__ import annotations

import math
import socket
import threading
import typing as t
from pathlib import Path

import pytest
from unit.plugins.module_utils._monitor.monitor_fakes import Clock, board, config

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor import beats as module
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor import kind_host
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.beats import Beats
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.config import Config
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.errors import MonitorError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.heartbeat import Heard, Receiver, key_of

TOKEN = "secret"


class Ear:
    """A responder on the loopback network: hears all that has come, and answers."""

    def __init__(self, seed: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(60)
        self.restart()
        self.heard: list[Heard] = []
        self.senders: list[str] = []

    def restart(self) -> None:
        self.receiver = Receiver(lambda _host: [key_of(TOKEN)])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.socket.getsockname()[1]}"

    def hear(self, answer: bool = True) -> Heard:
        """The next datagram, which must be on its way."""
        datagram, sender = self.socket.recvfrom(2048)
        heard = self.receiver.take(datagram)
        assert heard
        self.heard.append(heard)
        self.senders.append(sender[0])
        if answer and heard.answer:
            self.socket.sendto(heard.answer, sender)
        return heard


class Site:
    def __init__(self, folder: Path, count: int = 3, **more: t.Any) -> None:
        self.clock, self.ears = Clock(), [Ear(n) for n in range(count)]
        (folder / "token").write_text(TOKEN)
        self.config: Config = config(
            token_file=str(folder / "token"),
            networks={"admin": {"source": "127.0.0.1"}},
            responders=[
                {"name": f"ctl{n}", "url": "http://127.0.0.1:1", "beats": {"admin": ear.address}}
                for n, ear in enumerate(self.ears)
            ],
            **more,
        )
        self.beats = Beats(self.config, self.clock)

    def round(self, *silent: int) -> None:
        """Beats leave; all but some answer, and the answers are taken in."""
        self.beats.step()
        for n, ear in enumerate(self.ears):
            ear.hear(answer=n not in silent)
        self.settle()
        self.clock.now += 0.5

    def settle(self) -> None:
        """Take in what is there; on the loopback network it is there as soon as it is sent."""
        self.clock.now -= 0.25
        self.beats.step()
        self.clock.now += 0.25

    def close(self) -> None:
        self.beats.close()
        for ear in self.ears:
            ear.socket.close()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LONGEST_WAIT", 0.0)


@pytest.fixture
def site(tmp_path: Path) -> t.Iterator[Site]:
    found = Site(tmp_path)
    yield found
    found.close()


def meet(site: Site) -> None:
    """Hello, answer, and the first beat, which leaves as soon as the answer is there."""
    site.round()
    for ear in site.ears:
        assert ear.hear().counted
    site.settle()


def test_every_responder_hears_every_beat(site: Site) -> None:
    meet(site)
    for _each in range(5):
        site.round()
    assert [[it.counted for it in ear.heard] for ear in site.ears] == [[False] + [True] * 6] * 3
    assert {it.network for ear in site.ears for it in ear.heard} == {"admin"}


def test_beats_leave_from_the_address_of_their_network(tmp_path: Path) -> None:
    site = Site(tmp_path, 1)
    found = config(
        token_file=site.config.token_file,
        networks={"storage": {"source": "127.0.0.8"}},
        responders=[{"name": "ctl0", "url": "http://127.0.0.1:1", "beats": {"storage": site.ears[0].address}}],
    )
    beats = Beats(found, site.clock)
    beats.step()
    site.ears[0].hear()
    assert site.ears[0].senders == ["127.0.0.8"]
    beats.close()
    site.close()


def test_it_is_known_since_when_a_majority_has_heard_this_host(site: Site) -> None:
    assert site.beats.majority_since() == -math.inf
    meet(site)
    first = site.clock.now
    site.round(1)
    assert site.beats.majority_since() == first, "two of three have answered"
    site.round(1, 2)
    assert site.beats.majority_since() == first
    site.round(1)
    assert site.beats.majority_since() == first + 1.0


def test_it_is_known_since_when_a_majority_knows_that_it_is_not_armed(site: Site) -> None:
    meet(site)
    site.beats.armed = True
    disarmed = site.beats.majority_disarmed_since()
    site.round()
    site.round()
    assert site.beats.majority_disarmed_since() == disarmed
    site.beats.armed = False
    site.round(0, 1)
    assert site.beats.majority_disarmed_since() == disarmed
    now = site.clock.now
    site.round(0)
    assert site.beats.majority_disarmed_since() == now
    assert [it.armed for it in site.ears[0].heard[-4:]] == [True, True, False, False]


def test_a_responder_that_was_restarted_counts_again_before_the_next_beat_is_due(site: Site) -> None:
    meet(site)
    site.ears[0].restart()
    site.round()
    assert not site.ears[0].heard[-1].counted
    assert site.ears[0].hear().counted


def test_beats_that_were_missed_are_not_sent_later(site: Site) -> None:
    meet(site)
    site.clock.now += 3600
    site.round()
    site.settle()
    for ear in site.ears:
        ear.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            ear.socket.recv(2048)


def test_a_network_whose_address_is_not_there_yet_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path, 1)
    line = site.beats._lines[0]
    monkeypatch.setattr(line, "network", site.config.networks[0].__class__("admin", "192.0.2.77", None, ()))
    site.beats.step()
    site.clock.now += 0.5
    site.beats.step()
    assert caplog.text.count("network admin: cannot send from 192.0.2.77: Cannot assign") == 1
    monkeypatch.setattr(line, "network", site.config.networks[0])
    site.clock.now += 1.0
    site.beats.step()
    site.ears[0].hear()
    site.close()


def test_a_responder_without_a_way_is_told_once_and_does_not_disturb_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(tmp_path, 1)
    lane = site.beats._lines[0].lanes[0]
    good, lane.address = lane.address, ("255.255.255.255", 7412)  # a broadcast is not permitted
    for _each in range(3):
        site.beats.step()
        site.clock.now += 0.5
    assert caplog.text.count("cannot send to ctl0") == 1
    lane.address = good
    site.beats.step()
    site.ears[0].hear()
    site.close()


def test_strangers_are_not_listened_to(site: Site) -> None:
    meet(site)
    site.beats.step()
    datagram, sender = site.ears[0].socket.recvfrom(2048)
    for content in (b"", b"x" * 2000, datagram):
        site.ears[1].socket.sendto(content, sender)
    site.settle()
    site.clock.now += 0.5
    site.beats.step()


def test_without_any_way_to_send_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    with pytest.raises(MonitorError, match="none has an address for heartbeats"):
        Beats(config(token_file=str(tmp_path / "token")))


def test_a_missing_token_is_told(tmp_path: Path) -> None:
    with pytest.raises(MonitorError, match=r"token_file: .*none: cannot be read"):
        Beats(config(token_file=str(tmp_path / "none")))


def test_kind_host_beats_until_it_is_told_to_stop(site: Site) -> None:
    states, _spool = board(Clock())
    stop = threading.Event()
    thread = threading.Thread(target=kind_host.run, args=(site.config, states, stop))
    thread.start()
    try:
        assert not site.ears[0].hear().counted
        assert site.ears[0].hear().counted
        assert site.ears[0].hear().up_for > 0
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()


def test_the_start_of_the_first_process_is_that_of_the_host() -> None:
    assert 0 <= module._started() < module.boot_clock()
