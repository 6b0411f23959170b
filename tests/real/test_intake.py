# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The intake as a process, over TLS, before real journals: killed, flooded, and fed with anything."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import http.client
import os
import random
import signal
import socket
import sqlite3
import threading
import time
import typing as t
from pathlib import Path

import intake_process
import journal_servers
import pytest
import schemathesis
from bed.tls import server_context
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.app import create_app
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.writer import Writer
from ansible_collections.openstack_ha.recovery.tests.unit.fakes import intake as fakes
from ansible_collections.openstack_ha.recovery.tests.unit.fakes.intake import SCOPE, basic, bearer, event, notification

CMP01 = bearer("host:cmp01")
HOSTS = sorted(fakes.TOPOLOGY["hosts"])
DEADLINE = 120.0


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    server_context(folder)
    return folder


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/journal.db"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def any_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('journal')}/journal.db"
        return
    with journal_servers.postgresql() as server:
        yield server.new_journal()[0]


def in_threads(works: t.Sequence[t.Callable[[], None]]) -> None:
    """Run all at the same time; what one of them raises is raised."""
    errors: list[BaseException] = []

    def run(work: t.Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads)


def test_what_was_acknowledged_before_kill_9_is_in_the_journal(any_url: str, tls: Path, tmp_path: Path) -> None:
    acknowledged: list[str] = []
    with intake_process.running(tmp_path, any_url, tls) as intake:

        def send(host: str, name: int) -> None:
            client = intake.client()
            for number in range(100_000):
                sent = [event(host, object=f"{name}-{number}-{part}") for part in range(1 + number % 3)]
                try:
                    status, answer = intake.post(client, sent, bearer(f"host:{host}"))
                except (OSError, ValueError, http.client.HTTPException):
                    return  # killed
                assert status == 202
                acknowledged.extend(answer["accepted"])

        def kill() -> None:
            deadline = time.monotonic() + DEADLINE
            while len(acknowledged) < 500 and time.monotonic() < deadline:
                time.sleep(0.01)
            os.kill(intake.process.pid, signal.SIGKILL)

        in_threads([kill, *(functools.partial(send, host, name) for name in range(2) for host in HOSTS)])
    with open_journal(any_url) as journal:
        written = {row["event_id"] for row in journal.signals(scope=SCOPE)}
    assert len(acknowledged) >= 500
    assert set(acknowledged) <= written


def test_ten_thousand_at_once_doubled_and_in_any_order_are_all_taken_and_the_newest_word_counts(
    url: str, tls: Path, tmp_path: Path
) -> None:
    chance, refused = random.Random(4), list[int]()
    with intake_process.running(tmp_path, url, tls, queue=100) as intake:

        def send(host: str) -> None:
            words = [("crashed", "failed"), ("ok", "ok")]
            sent = []
            for number in range(1, 1251):
                word, state = words[number % 2]
                made = event(host, object=f"vm-{number % 10}", sequence=number, state=state)
                sent += [{**made, "type": f"openstack_ha.instance.{word}"}] * 2
            chance.shuffle(sent)
            client, headers = intake.client(), bearer(f"host:{host}")
            for start in range(0, len(sent), 50):
                while (status := intake.post(client, sent[start : start + 50], headers)[0]) != 202:
                    assert status == 503
                    refused.append(status)
                    time.sleep(0.05)

        def hold_up() -> None:
            """Keep the journal busy until the queue is full."""
            with contextlib.closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                deadline = time.monotonic() + DEADLINE
                while not refused and time.monotonic() < deadline:
                    time.sleep(0.01)

        in_threads([hold_up, *(functools.partial(send, host) for host in HOSTS)])
    assert refused
    with open_journal(url) as journal:
        rows = journal.signals(scope=SCOPE)
        last = journal.last_states(SCOPE, ["instance"])
    assert len({row["event_id"] for row in rows}) == len(rows)
    assert {(row["host"], row["object"]): row["sequence"] for row in last} == {
        (host, f"vm-{number % 10}"): number for host in HOSTS for number in range(1241, 1251)
    }
    assert all(row["verdict"] == "ignore" for row in rows if row["gate"] == "stale")


def test_while_the_journal_is_away_nothing_is_accepted_and_later_it_is(tls: Path, tmp_path: Path) -> None:
    file = tmp_path / "journal.db"
    with intake_process.running(tmp_path, f"sqlite:///{file}", tls) as intake:
        client = intake.client()
        lost = event()
        with moved_away(file):
            status, answer = intake.post(client, lost, CMP01)
            assert (status, answer["status"]) == (503, 503)
            again = intake.post(client, notification(), basic("reporter:pcmk"), "/v1/notifications")
            assert again[0] == 503
            assert intake.healthy()
        assert intake.post(client, lost, CMP01)[0] == 202
    with open_journal(f"sqlite:///{file}") as journal:
        assert [row["event_id"] for row in journal.signals()] == [lost["id"]]


@contextlib.contextmanager
def moved_away(file: Path) -> t.Iterator[None]:
    other = file.with_suffix(".away")
    file.rename(other)
    try:
        yield
    finally:
        other.rename(file)


def test_who_has_no_certificate_is_kept_out_where_one_is_asked_for(url: str, tls: Path, tmp_path: Path) -> None:
    with intake_process.running(tmp_path, url, tls, client_ca=str(tls / "ca.pem")) as intake:
        assert intake.post(intake.client(), event(), CMP01)[0] == 202
        assert intake.post(intake.client(), event(), {})[0] == 401, "a certificate is no token"
        stranger = dataclasses.replace(intake, certificate=None)
        with pytest.raises(OSError, match=r"certificate|reset|closed|EOF"):
            intake.post(stranger.client(), event(), CMP01)


# -- anything at all -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sturdy(tls: Path, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[intake_process.Intake]:
    """One intake for all that may be sent; it must live to the end."""
    directory = tmp_path_factory.mktemp("sturdy")
    url = f"sqlite:///{directory}/journal.db"
    with intake_process.running(directory, url, tls, head_seconds=1.0, limits={"body_seconds": 1.0}) as intake:
        yield intake
        assert intake.process.poll() is None
        assert intake.healthy()


def told(intake: intake_process.Intake, sent: bytes) -> bytes:
    """What comes back until the connection ends."""
    received = b""
    with intake.raw() as connection:
        try:
            connection.sendall(sent)
            while chunk := connection.recv(65536):
                received += chunk
                if b"\r\n\r\n" in received and b"connection: close" not in received.lower():
                    return received
        except OSError:
            pass
    return received


HEAD = b"POST /v1/signals HTTP/1.1\r\nHost: x\r\nContent-Type: application/cloudevents+json\r\n"
pieces = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([
        b"GET / HTTP/1.1\r\n", HEAD, b"\r\n", b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"{}",
        b"Content-Length: 99999999999999999999\r\n", b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n",
        b"GET http://[::1/ HTTP/1.1\r\n", b"CONNECT x:1 HTTP/1.1\r\n", b"GET /%ff%00 HTTP/1.1\r\n", b"HTTP/2.0\r\n",
        b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"Expect: 100-continue\r\n", b"Authorization: Basic /\r\n",
        b"Authorization: " + CMP01["Authorization"].encode() + b"\r\n",
    ]),
)  # fmt: skip


@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(pieces, max_size=8))
def test_no_bytes_on_the_connection_make_it_fail(sturdy: intake_process.Intake, sent: list[bytes]) -> None:
    received = told(sturdy, b"".join(sent))
    assert b"HTTP/1.1 5" not in received, received


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        HEAD,
        HEAD + b"X: " + b"x" * 100_000,
        HEAD + b"".join(b"X%d: 1\r\n" % number for number in range(20_000)),
        b"GET /" + b"x" * 100_000,
    ],
    ids=["nothing", "half a head", "a long header", "many headers", "a long path"],
)
def test_who_is_slow_or_long_winded_before_a_word_is_said_loses_the_connection(
    sturdy: intake_process.Intake, sent: bytes
) -> None:
    began = time.monotonic()
    assert b"202" not in told(sturdy, sent)
    assert time.monotonic() - began < DEADLINE


def test_a_body_that_does_not_come_is_not_waited_for(sturdy: intake_process.Intake) -> None:
    head = HEAD + b"Authorization: " + CMP01["Authorization"].encode() + b"\r\nContent-Length: 5\r\n\r\n{"
    assert told(sturdy, head).startswith(b"HTTP/1.1 408")


def test_bytes_that_are_no_tls_harm_nothing(sturdy: intake_process.Intake) -> None:
    for sent in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(1000), b"\x16\x03\x01\xff\xff"):
        with socket.create_connection(("127.0.0.1", sturdy.port), timeout=60) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                connection.recv(1000)
    assert sturdy.healthy()


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[t.Any]:
    """The intake as it describes itself."""
    with open_journal(f"sqlite:///{tmp_path_factory.mktemp('described')}/journal.db") as journal:
        writer = Writer(lambda rows: journal.accept_signals(SCOPE, "ctl1", rows))
        writer.start()
        app = create_app(fakes.deps(journal, writer.accept, CollectorRegistry()))
        yield schemathesis.openapi.from_asgi("/v1/openapi.json", app)
        writer.close()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_it_does_what_it_says_of_itself_and_never_fails(described: t.Any, mode: GenerationMode, data: t.Any) -> None:
    operation = data.draw(st.sampled_from(["/v1/signals"] * 8 + ["/healthz", "/metrics"]))
    method = "POST" if operation == "/v1/signals" else "GET"
    case = data.draw(described[operation][method].as_strategy(generation_mode=mode))
    answer = case.call(headers=bearer("reporter:fuzz"))
    assert answer.status_code < 500, answer.text
    # A schema cannot say which hosts there are, nor which state a type has; and what nobody reads is ignored.
    case.validate_response(answer, excluded_checks=[ignored_auth, positive_data_acceptance, negative_data_rejection])
