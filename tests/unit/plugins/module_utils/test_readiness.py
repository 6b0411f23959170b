"""Real sockets on this machine."""

from __future__ import annotations

import contextlib
import http.server
import socket
import ssl
import threading
import typing as t
from pathlib import Path

import pytest
from bed.tls import server_context

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _readiness
from ansible_collections.openstack_ha.recovery.plugins.module_utils._readiness import Readiness
from ansible_collections.openstack_ha.recovery.plugins.module_utils._restart_order import read_ready

Json = t.Dict[str, t.Any]
HERE = "127.0.0.1"
LOOPBACK = ("127.0.0.0/8",)


def server(*addresses: str, **more: t.Any) -> Json:
    fixed = [{"addr": address, "OS-EXT-IPS:type": "fixed"} for address in addresses]
    return {"id": "u1", "name": "vm", "OS-EXT-SRV-ATTR:host": "cmp02", "addresses": {"net": fixed}, **more}


def missing(ready: str, vm: Json | None = None, networks: t.Sequence[str] = LOOPBACK, **more: t.Any) -> str:
    how = read_ready(ready)
    assert how, ready
    return Readiness(networks, more.pop("tasks", {}), **more).missing(how, vm or server(HERE))


class Web(http.server.BaseHTTPRequestHandler):
    """Answers ``/ok`` with 204, and else what the path says."""

    asked: t.ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        name = self.path.split("?")[0].strip("/")
        self.send_response(int(name) if name.isdigit() else 204)
        self.send_header("Location", "/ok")
        self.end_headers()

    def log_message(self, *_args: t.Any) -> None:
        pass


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None) -> t.Iterator[int]:
    Web.asked.clear()
    with http.server.ThreadingHTTPServer((HERE, 0), Web) as found:
        if context:
            found.socket = context.wrap_socket(found.socket, server_side=True)
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield found.server_address[1]
        finally:
            found.shutdown()
            thread.join()


@contextlib.contextmanager
def talking(talk: t.Callable[[socket.socket, threading.Event], None]) -> t.Iterator[int]:
    """Somebody who accepts one connection and does as he likes."""
    over = threading.Event()
    with contextlib.closing(socket.create_server((HERE, 0))) as listening:

        def work() -> None:
            with contextlib.suppress(OSError), contextlib.closing(listening.accept()[0]) as connection:
                talk(connection, over)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            thread.join()


@pytest.fixture(scope="module")
def free_port() -> int:
    with contextlib.closing(socket.create_server((HERE, 0))) as found:
        return int(found.getsockname()[1])


@pytest.mark.parametrize("ready", ["landed", "active"])
def test_what_is_seen_in_nova_is_not_asked_for(ready: str) -> None:
    assert missing(ready, server()) == ""


def test_a_port_that_listens_is_ready_and_one_that_does_not_is_told(free_port: int) -> None:
    with contextlib.closing(socket.create_server((HERE, 0))) as listening:
        assert missing(f"tcp:{listening.getsockname()[1]}") == ""
    assert "Connection refused" in missing(f"tcp:{free_port}")


def test_one_address_that_answers_is_enough(free_port: int) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.2", 0))) as listening:
        port = listening.getsockname()[1]
        assert missing(f"tcp:{port}", server(HERE, "127.0.0.2")) == ""
        assert missing(f"tcp:{port}", server(HERE, "127.0.0.3")).count("refused") == 2


def test_addresses_outside_of_the_networks_of_the_policy_are_not_even_tried() -> None:
    with serving() as port:
        for networks in ([], ["192.0.2.0/24"], ["::/0"]):
            assert missing(f"http:{port}/ok", networks=networks) == "it has no address in restart.probe_networks"
        assert missing(f"http:{port}/ok", server()) == "it has no address in restart.probe_networks"
        assert Web.asked == []


@pytest.mark.parametrize(
    ("path", "why"), [("/ok", ""), ("/200?x=y", ""), ("/503", "/503 answers 503"), ("/302", "/302 answers 302")]
)
def test_only_an_answer_of_200_to_299_is_ready_and_nobody_is_sent_elsewhere(path: str, why: str) -> None:
    with serving() as port:
        assert missing(f"http:{port}{path}").endswith(why)
        assert (missing(f"http:{port}{path}") == "") == (why == "")
        assert set(Web.asked) == {path}


def test_a_web_server_with_any_certificate_is_asked_over_tls(tmp_path: Path) -> None:
    with serving(server_context(tmp_path)) as port:
        assert missing(f"https:{port}/ok") == ""
        assert missing(f"https:{port}/500").endswith("/500 answers 500")


def test_what_is_no_web_server_is_not_ready() -> None:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(100)
        connection.sendall(b"SSH-2.0-x\r\n")

    with talking(talk) as port:
        assert "does not answer as a web server does" in missing(f"http:{port}/")


@pytest.mark.parametrize("ready", ["http", "https"])
@pytest.mark.parametrize("drops", [b"", b"H"])
def test_a_guest_that_keeps_the_line_busy_keeps_nobody_for_long(
    monkeypatch: pytest.MonkeyPatch, ready: str, drops: bytes
) -> None:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        while not over.wait(0.1):
            connection.sendall(drops)

    monkeypatch.setattr(_readiness, "PATIENCE", 0.5)
    with talking(talk) as port:
        assert missing(f"{ready}:{port}/") != ""


def test_a_guest_that_sends_without_end_is_not_listened_to() -> None:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        while not over.is_set():
            connection.sendall(b"x" * 65536)

    with talking(talk) as port:
        assert "does not answer as a web server does" in missing(f"http:{port}/")


def test_a_task_is_asked_about_the_vm_and_names_of_owners_stay_one_word_of_its_url() -> None:
    with serving() as port:
        tasks = {"smoke": {"url": f"http://{HERE}:{port}/200?vm={{id}}&name={{name}}&project={{project}}&on={{host}}"}}
        vm = server(name="a&b=/{id}", tenant_id="p1")
        assert missing("task:smoke", vm, tasks=tasks) == ""
        assert Web.asked == ["/200?vm=u1&name=a%26b%3D%2F%7Bid%7D&project=p1&on=cmp02"]
        assert (
            missing("task:smoke", vm, tasks={"smoke": {"url": f"http://{HERE}:{port}/404"}}) == "task smoke answers 404"
        )


def test_a_task_that_does_not_answer_or_does_not_exist_is_not_done(free_port: int) -> None:
    tasks = {"smoke": {"url": f"http://{HERE}:{free_port}/"}}
    assert missing("task:smoke", tasks=tasks) == "task smoke does not answer: ConnectionError"
    assert missing("task:other", tasks=tasks) == "restart.tasks has no task other"


def test_the_guest_agent_is_the_monitors_business() -> None:
    asked: list[tuple[str, str]] = []
    assert missing("guest_agent", agent=lambda *where: asked.append(where) or "silent") == "silent"  # type: ignore[func-returns-value]
    assert asked == [("u1", "cmp02")]
    assert missing("guest_agent") == "its guest agent is not asked here"
