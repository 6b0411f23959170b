from __future__ import annotations

import errno
import socket
import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _probe
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._probe import endpoint, probe, signs_of_life

PATIENCE = 20.0


@pytest.fixture
def listener() -> t.Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def url(server: socket.socket) -> str:
    return f"tcp://127.0.0.1:{server.getsockname()[1]}"


def test_an_open_port_answers(listener: socket.socket) -> None:
    assert probe([url(listener)], PATIENCE) == {url(listener): "answers"}


def test_a_closed_port_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = url(server)
    assert probe([closed], PATIENCE) == {closed: "refused"}


def test_a_full_backlog_is_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, socket.create_connection(server.getsockname()):
        assert probe([url(server)], 0.2) == {url(server): "silent"}


def raising(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def connect(where: t.Any, timeout: float) -> t.NoReturn:
        raise error

    monkeypatch.setattr(_probe.socket, "create_connection", connect)


@pytest.mark.parametrize("number", [errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT, errno.EHOSTDOWN])
def test_a_network_that_does_not_reach_the_host_is_silence(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, OSError(number, "x"))
    assert probe(["tcp://192.0.2.3:22"], 1) == {"tcp://192.0.2.3:22": "silent"}


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.EPERM])
def test_trouble_of_this_machine_is_never_taken_for_silence(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, OSError(number, "x"))
    with pytest.raises(RecoveryError, match="This machine itself is the reason"):
        probe(["tcp://192.0.2.3:22"], 1)


def test_a_name_that_means_this_machine_says_nothing_by_refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    raising(monkeypatch, ConnectionRefusedError(errno.ECONNREFUSED, "x"))
    monkeypatch.setattr(_probe.socket, "getaddrinfo", lambda *where: [(2, 1, 6, "", ("127.0.1.1", 22))])
    assert probe(["tcp://cmp03:22"], 1) == {"tcp://cmp03:22": "silent"}
    monkeypatch.setattr(_probe.socket, "getaddrinfo", lambda *where: [(2, 1, 6, "", ("192.0.2.3", 22))])
    assert probe(["tcp://cmp03:22"], 1) == {"tcp://cmp03:22": "refused"}


def test_nothing_to_probe_is_no_result() -> None:
    assert probe([], 1) == {}


def test_answers_and_refusals_are_signs_of_life_and_silence_is_none() -> None:
    results = {"tcp://192.0.2.3:22": "answers", "tcp://192.0.2.3:16509": "refused", "tcp://192.0.2.4:22": "silent"}
    assert signs_of_life(results) == ["tcp://192.0.2.3:22", "tcp://192.0.2.3:16509"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "[::1]", "localhost"])
def test_a_refusal_from_loopback_says_nothing_but_an_answer_does(host: str) -> None:
    assert signs_of_life({f"tcp://{host}:22": "refused"}) == []
    assert signs_of_life({f"tcp://{host}:22": "answers"}) == [f"tcp://{host}:22"]


@pytest.mark.parametrize(
    "bad", ["cmp03:22", "tcp://cmp03", "tcp://:22", "udp://cmp03:22", "tcp://a:99999", "tcp://a:2/x"]
)
def test_anything_but_tcp_address_and_port_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="must be tcp://address:port"):
        endpoint(bad)
