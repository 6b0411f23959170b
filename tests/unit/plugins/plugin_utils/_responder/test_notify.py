# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import queue
import threading
import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.notices import EVERYBODY
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import notify
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.notify_webhook import Webhook

SECRET = b"s3cret"
PATIENCE = 30


class Received(t.NamedTuple):
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, t.Any]:
        return dict(json.loads(self.body))


class Hook:
    """A webhook; answers with these codes, then with 204."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.received: queue.Queue[Received] = queue.Queue()
        self.connections: set[t.Any] = set()
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.connections.add(self.client_address)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.received.put(Received(dict(self.headers), body))
                self.send_response(hook.answers.pop(0) if hook.answers else 204)
                self.end_headers()

            def log_message(self, *words: t.Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?token=hidden"

    def next(self) -> Received:
        return self.received.get(timeout=PATIENCE)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def hook() -> t.Iterator[Hook]:
    it = Hook()
    yield it
    it.close()


@pytest.fixture
def journal(tmp_path: Path) -> t.Iterator[Journal]:
    with open_journal(f"sqlite:///{tmp_path}/journal.db") as opened:
        yield opened


class Notifiers:
    def __init__(self, journal: Journal) -> None:
        self.journal, self.log, self.made = journal, [], []  # type: ignore[var-annotated]

    def __call__(self, *webhooks: dict[str, t.Any], start: bool = True) -> notify.Notifier:
        self.made.append(notify.Notifier([Webhook(it) for it in webhooks], self.journal, "R", self.log.append))
        if start:
            self.made[-1].start()
        return self.made[-1]


@pytest.fixture
def notifier(journal: Journal) -> t.Iterator[Notifiers]:
    made = Notifiers(journal)
    yield made
    for it in made.made:
        it.stop(PATIENCE)


def ended(journal: Journal, notifier: notify.Notifier) -> list[tuple[t.Any, ...]]:
    notifier.stop(PATIENCE)
    return [(it["target"], it["event"], it["state"], it["attempts"]) for it in journal.notices()]


def test_what_happens_is_told_with_a_signature_that_can_be_checked(
    hook: Hook, journal: Journal, notifier: Notifiers, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    incident = journal.open_incident("cmp01", "R", None)["id"]
    it = notifier({"name": "ops", "url": hook.url, "secret_file": str(tmp_path / "secret"), "events": []})
    it.tell("verdict", {"host": "cmp01", "verdict": "ask"}, incident_id=incident)

    got = hook.next()

    told = got.headers["X-Openstack-Ha-Timestamp"].encode() + b"." + got.body
    assert got.headers["X-Openstack-Ha-Signature"] == f"sha256={hmac.new(SECRET, told, hashlib.sha256).hexdigest()}"
    assert (got.json["event"], got.json["incident"], got.json["scope"]) == ("verdict", incident, "R")
    assert got.json["data"] == {"host": "cmp01", "verdict": "ask"}
    assert got.headers["X-Openstack-Ha-Id"] == got.json["id"]
    assert ended(journal, it) == [("ops", "verdict", "sent", 1)]


def test_each_webhook_gets_the_events_that_it_wants(hook: Hook, journal: Journal, notifier: Notifiers) -> None:
    it = notifier(
        {"name": "all", "url": hook.url}, {"name": "ends", "url": hook.url, "events": ["run_ended", "incident_closed"]}
    )
    it.tell("run_started", {})
    it.tell("run_ended", {})
    assert sorted(hook.next().json["event"] for _number in range(3)) == ["run_ended", "run_ended", "run_started"]
    assert {(target, event) for target, event, _state, _attempts in ended(journal, it)} == {
        ("all", "run_started"),
        ("all", "run_ended"),
        ("ends", "run_ended"),
    }


def test_what_was_refused_is_told_again(
    hook: Hook, journal: Journal, notifier: Notifiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "DUE", (0.0,) * 10)
    hook.answers = [500, 302]
    it = notifier({"name": "ops", "url": hook.url})
    it.tell("verdict", {})
    assert len({hook.next().json["id"] for _number in range(3)}) == 1
    assert ended(journal, it) == [("ops", "verdict", "sent", 3)]


def test_what_never_arrives_is_given_up_and_its_reason_shows_no_secret(
    journal: Journal, notifier: Notifiers, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "DUE", (0.0, 0.0))
    hook.close()
    it = notifier({"name": "ops", "url": hook.url}, start=False)
    it.tell("verdict", {})
    it.start()
    for _number in range(2):  # a look sends once
        it._senders[0].look()
    assert ended(journal, it) == [("ops", "verdict", "failed", 2)]
    assert journal.notices()[0]["reason"] == "ConnectionError for 127.0.0.1"
    assert "given up" in notifier.log[-1]


def test_a_dead_webhook_keeps_no_other_waiting(hook: Hook, journal: Journal, notifier: Notifiers) -> None:
    it = notifier({"name": "dead", "url": "http://127.0.0.1:1/"}, {"name": "ops", "url": hook.url})
    for _number in range(3):
        it.tell("verdict", {})
        hook.next()
    states = [(target, state) for target, _event, state, _attempts in ended(journal, it)]
    assert sorted(states) == [("dead", "pending")] * 3 + [("ops", "sent")] * 3


def test_what_an_earlier_process_left_is_sent_by_the_next(hook: Hook, journal: Journal, notifier: Notifiers) -> None:
    notifier({"name": "ops", "url": hook.url}, start=False).tell("verdict", {"host": "cmp01"})
    notifier({"name": "ops", "url": hook.url})
    assert hook.next().json["data"] == {"host": "cmp01"}


def test_two_responders_do_not_make_the_same_attempt(
    hook: Hook, journal: Journal, notifier: Notifiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = {"name": "ops", "url": hook.url}
    first, second = (notifier(webhook, start=False) for _number in range(2))
    first.tell("verdict", {})
    seen = journal.pending_notices("R")
    for it in (first, second):
        monkeypatch.setattr(it._senders[0], "mine", lambda: seen)
        it._senders[0].look()
    assert hook.received.qsize() == 1


def test_a_secret_that_cannot_be_read_is_named_and_nothing_is_sent_without_it(
    hook: Hook, journal: Journal, notifier: Notifiers, tmp_path: Path
) -> None:
    it = notifier({"name": "ops", "url": hook.url, "secret_file": str(tmp_path / "none")}, start=False)
    it.tell("verdict", {})
    it._senders[0].look()
    assert hook.received.empty()
    assert journal.notices()[0]["reason"] == "secret_file: No such file or directory"


def test_a_journal_that_is_away_is_told_in_the_log_and_stops_nobody(
    hook: Hook, journal: Journal, notifier: Notifiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*given: t.Any) -> None:
        raise JournalError("it is away")

    monkeypatch.setattr(journal, "add_notice", away)
    notifier({"name": "ops", "url": hook.url}).tell("verdict", {})
    assert notifier.log == ["webhook ops: verdict cannot be told: it is away"]
    assert issubclass(JournalError, RecoveryError)


PROJECTS = {"p1": [{"id": "1", "name": "web", "host": "cmp01", "reason": "no room on cmp02"}], "p2": [{"id": "2"}]}


@pytest.mark.parametrize(
    ("projects", "body", "expected"),
    [
        ([], {"host": "cmp01"}, {"host": "cmp01"}),
        (["p1"], {"host": "cmp01", "verdict": "recover"}, None),
        (["p3"], {"hosts": ["cmp01"], "projects": PROJECTS}, None),
        (["p1"], {"hosts": ["cmp01"], "projects": PROJECTS}, {"projects": {"p1": [{"id": "1", "name": "web"}]}}),
        (["p1", "p3"], {"projects": {"p1": [], "p3": [{"id": "3"}]}}, {"projects": {"p3": [{"id": "3"}]}}),
    ],
)
def test_owners_see_their_own_vms_and_nothing_else(
    projects: list[str], body: dict[str, t.Any], expected: dict[str, t.Any] | None
) -> None:
    assert notify.seen_by(projects, body) == expected


def test_a_channel_of_owners_has_only_theirs_in_the_journal_too(
    hook: Hook, journal: Journal, notifier: Notifiers
) -> None:
    it = notifier({"name": "owner", "url": hook.url, "projects": ["p1"]}, start=False)
    it.tell("run_started", {"hosts": ["cmp01"]})
    it.tell("vms_affected", {"hosts": ["cmp01"], "projects": PROJECTS})
    (notice,) = journal.notices()
    assert (notice["event"], notice["body"]) == ("vms_affected", {"projects": {"p1": [{"id": "1", "name": "web"}]}})


def test_what_a_run_has_to_tell_reaches_every_channel_that_wants_it(
    hook: Hook, journal: Journal, notifier: Notifiers
) -> None:
    journal.add_notice("R", EVERYBODY, "vm_notify", {"projects": PROJECTS}, run_id=None)
    it = notifier(
        {"name": "all", "url": hook.url}, {"name": "owner", "url": hook.url, "projects": ["p2"]},
        {"name": "ends", "url": hook.url, "events": ["run_ended"]},
    )  # fmt: skip
    assert {tuple(hook.next().json["data"]["projects"]) for _number in range(2)} == {("p1", "p2"), ("p2",)}
    assert sorted((target, state) for target, _event, state, _attempts in ended(journal, it)) == [
        (EVERYBODY, "sent"), ("all", "sent"), ("owner", "sent"),
    ]  # fmt: skip


def test_the_notices_of_one_look_go_over_one_connection(hook: Hook, journal: Journal, notifier: Notifiers) -> None:
    hook.server.RequestHandlerClass.protocol_version = "HTTP/1.1"
    it = notifier({"name": "ops", "url": hook.url}, start=False)
    for _number in range(5):
        it.tell("verdict", {})
    it._senders[0].look()
    assert hook.received.qsize() == 5
    assert len(hook.connections) == 1
