from __future__ import annotations

import http.server
import json
import threading
import typing as t
from pathlib import Path

import pytest
from unit.plugins.module_utils._monitor.monitor_fakes import Clock, board, config, said

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.config import Responder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.report import Answer, Http, Reporter

Json = t.Dict[str, t.Any]


class Responders:
    """Answers as each of them was told to; by default they accept."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[tuple[str, list[str]]] = []

    def will(self, name: str, *answers: Answer) -> None:
        self.answers[name] = list(answers)

    def __call__(self, responder: Responder, events: t.Sequence[Json]) -> Answer:
        self.asked.append((responder.name, [it["data"]["object"] for it in events]))
        prepared = self.answers.get(responder.name)
        if prepared:
            return prepared.pop(0) if len(prepared) > 1 else prepared[0]
        return Answer(202, accepted=tuple(it["id"] for it in events))


class Site:
    def __init__(self, *names: str) -> None:
        self.clock, self.responders = Clock(), Responders()
        self.board, self.spool = board(self.clock)
        for name in names:
            self.board.set("instance", name, "failed", "crashed", "")
        self.reporter = Reporter(config(), self.spool, self.board, self.responders, self.clock, lambda: 1.0)

    @property
    def asked(self) -> list[str]:
        return [name for name, _objects in self.responders.asked]


def test_what_is_accepted_is_gone_from_the_spool() -> None:
    site = Site("vm1", "vm2")
    assert site.reporter.step() == 0.0
    assert site.responders.asked == [("ctl1", ["vm1", "vm2"])]
    assert not len(site.spool)


def test_only_what_is_named_as_accepted_is_gone() -> None:
    site = Site("vm1", "vm2")
    first = site.spool.batch(1, 999)[0]["id"]
    site.responders.will("ctl1", Answer(202, accepted=(first, "unknown")), Answer(0, "gone"))
    site.reporter.step()
    assert [it[0] for it in said(site.spool)] == ["vm2"]


@pytest.mark.parametrize("status", [0, 200, 401, 403, 404, 415, 429, 500, 503])
def test_everything_else_keeps_it_and_the_next_responder_is_asked(status: int) -> None:
    site = Site("vm1")
    site.responders.will("ctl1", Answer(status, "no"))
    assert site.reporter.step() == 0.0
    assert site.asked == ["ctl1", "ctl2"]
    assert not len(site.spool)
    site.board.set("instance", "vm2", "failed", "crashed", "")
    site.reporter.step()
    assert site.asked == ["ctl1", "ctl2", "ctl2"], "and it stays with the one that works"


def test_an_acceptance_that_names_nothing_is_a_failure() -> None:
    site = Site("vm1")
    for name in ("ctl1", "ctl2", "ctl3"):
        site.responders.will(name, Answer(202))
    assert site.reporter.step() > 0
    assert len(site.spool) == 1


def test_when_nobody_takes_it_the_pauses_grow_but_not_for_ever() -> None:
    site = Site("vm1")
    for name in ("ctl1", "ctl2", "ctl3"):
        site.responders.will(name, Answer(0, "refused"))
    assert [site.reporter.step() for _each in range(8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0]
    assert len(site.asked) == 24
    site.responders.answers.clear()
    assert site.reporter.step() == 0.0
    assert not len(site.spool)


def test_hosts_do_not_come_back_at_the_same_moment() -> None:
    site = Site("vm1")
    for name in ("ctl1", "ctl2", "ctl3"):
        site.responders.will(name, Answer(0))
    early = Reporter(config(), site.spool, site.board, site.responders, site.clock, lambda: 0.0)
    assert early.step() == 0.25


def test_who_asks_for_patience_is_not_asked_before() -> None:
    site = Site("vm1")
    site.responders.will("ctl1", Answer(429, "slowly", retry_after=20.0))
    for name in ("ctl2", "ctl3"):
        site.responders.will(name, Answer(0))
    site.reporter.step()
    site.clock.now += 19
    site.reporter.step()
    assert site.asked == ["ctl1", "ctl2", "ctl3", "ctl2", "ctl3"]
    site.clock.now += 1
    site.reporter.step()
    assert "ctl1" in site.asked[5:]


def test_when_all_ask_for_patience_the_shortest_is_kept() -> None:
    site = Site("vm1")
    for n, name in enumerate(("ctl1", "ctl2", "ctl3")):
        site.responders.will(name, Answer(503, "later", retry_after=20.0 + n))
    assert site.reporter.step() == 20.0
    assert Site("vm1").reporter.step() == 0.0


@pytest.mark.parametrize("status", [400, 413])
def test_one_bad_signal_does_not_hold_up_the_others(status: int) -> None:
    site = Site("vm1", "bad", "vm2", "vm3")

    def post(responder: Responder, events: t.Sequence[Json]) -> Answer:
        site.responders.asked.append((responder.name, [it["data"]["object"] for it in events]))
        if any(it["data"]["object"] == "bad" for it in events):
            return Answer(status, "not so")
        return Answer(202, accepted=tuple(it["id"] for it in events))

    reporter = Reporter(config(), site.spool, site.board, post, site.clock)
    steps = 0
    while len(site.spool):
        assert reporter.step() == 0.0
        steps += 1
    assert steps < 12
    delivered = [objects for _name, objects in site.responders.asked if "bad" not in objects]
    assert sorted(it for objects in delivered for it in objects) == ["vm1", "vm2", "vm3"]


def test_a_signal_that_will_never_be_accepted_is_put_aside(tmp_path: Path) -> None:
    clock = Clock()
    states, spool = board(clock, tmp_path)
    states.set("instance", "vm1", "failed", "crashed", "")
    reporter = Reporter(config(), spool, states, lambda _responder, _events: Answer(400, "no such host"), clock)
    assert reporter.step() == 0.0
    assert not len(spool)
    assert [json.loads(it.read_text())["why"] for it in (tmp_path / "refused").iterdir()] == ["400 no such host"]


def test_flush_gives_up_after_its_time() -> None:
    site = Site("vm1")
    for name in ("ctl1", "ctl2", "ctl3"):
        site.responders.will(name, Answer(0))
    assert not site.reporter.flush(0.1)
    site.responders.answers.clear()
    assert site.reporter.flush(0.0)


def test_a_thread_delivers_what_comes_and_ends_when_told_to() -> None:
    site = Site()
    stop, taken = threading.Event(), threading.Event()

    def post(_responder: Responder, events: t.Sequence[Json]) -> Answer:
        taken.set()
        return Answer(202, accepted=tuple(it["id"] for it in events))

    thread = threading.Thread(target=Reporter(config(), site.spool, site.board, post).run, args=(stop,))
    thread.start()
    site.board.set("instance", "vm1", "failed", "crashed", "")
    assert taken.wait(60)
    stop.set()
    site.spool.end()
    thread.join(60)
    assert not thread.is_alive()
    assert not len(site.spool)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    answer: tuple[int, bytes, dict[str, str]] = (202, b"", {})
    connections = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, dict[str, str], t.Any]] = []

    def process_request(self, request: t.Any, client_address: t.Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, dict(self.headers), body))
        status, content, headers = self.server.answer
        events = body if isinstance(body, list) else [body]
        content = content or json.dumps({"accepted": [it["id"] for it in events]}).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = self.close_connection or headers.get("Connection") == "unsaid"

    def log_message(self, *_what: t.Any) -> None:
        pass


@pytest.fixture
def server() -> t.Iterator[Server]:
    opened = Server()
    thread = threading.Thread(target=opened.serve_forever, args=(0.05,))
    thread.start()
    yield opened
    opened.shutdown()
    thread.join(60)
    opened.server_close()


@pytest.fixture
def post(server: Server, tmp_path: Path) -> t.Iterator[t.Callable[..., Answer]]:
    (tmp_path / "token").write_text("secret-1\n")
    url = f"http://127.0.0.1:{server.server_address[1]}/ha"
    found = config(token_file=str(tmp_path / "token"), responders=[{"name": "ctl1", "url": url}])
    http_post = Http(found, timeout=30.0)
    yield lambda *names: http_post(found.responders[0], signals(*names))
    http_post.close()


def signals(*names: str) -> list[Json]:
    states, spool = board(Clock())
    for name in names:
        states.set("instance", name, "failed", "crashed", "")
    return spool.batch(99, 10**6)


def test_one_signal_is_posted_as_an_event_and_several_as_a_batch(post: t.Any, server: Server) -> None:
    assert len(post("vm1").accepted) == 1
    assert len(post("vm1", "vm2").accepted) == 2
    assert [(path, headers["Content-Type"]) for path, headers, _body in server.seen] == [
        ("/ha/v1/signals", "application/cloudevents+json"),
        ("/ha/v1/signals", "application/cloudevents-batch+json"),
    ]
    assert server.connections == 1, "the connection is kept"


def test_the_credential_is_read_anew_each_time(post: t.Any, server: Server, tmp_path: Path) -> None:
    post("vm1")
    (tmp_path / "token").write_text("secret-2")
    post("vm1")
    assert [headers["Authorization"] for _path, headers, _body in server.seen] == [
        "Bearer host:cmp01.secret-1",
        "Bearer host:cmp01.secret-2",
    ]


def test_a_missing_credential_is_a_failure_that_is_told(post: t.Any, tmp_path: Path) -> None:
    (tmp_path / "token").unlink()
    answer = post("vm1")
    assert answer.status == 0
    assert "token" in answer.text


def test_a_connection_that_was_closed_meanwhile_is_opened_anew(post: t.Any, server: Server) -> None:
    server.answer = (202, b"", {"Connection": "unsaid"})  # closed without a word, as an idle one is
    assert [post("vm1").status for _each in range(3)] == [202] * 3
    assert server.connections == 3


@pytest.mark.parametrize(("given", "seconds"), [("7", 7.0), ("soon", 0.0), ("-1", 0.0)])
def test_how_long_to_wait_is_read(post: t.Any, server: Server, given: str, seconds: float) -> None:
    server.answer = (503, b"busy", {"Retry-After": given})
    assert post("vm1") == Answer(503, "busy", (), seconds)


@pytest.mark.parametrize("content", [b"not json", b"[]", b'{"accepted": 5}', b'{"accepted": [1, null]}'])
def test_an_acceptance_that_is_none_accepts_nothing(post: t.Any, server: Server, content: bytes) -> None:
    server.answer = (202, content, {})
    assert post("vm1").accepted == ()


def test_nobody_there_is_a_failure_that_is_told(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    found = config(token_file=str(tmp_path / "token"), responders=[{"name": "ctl1", "url": "http://127.0.0.1:1"}])
    answer = Http(found)(found.responders[0], signals("vm1"))
    assert (answer.status, answer.text[:22]) == (0, "ConnectionRefusedError")
