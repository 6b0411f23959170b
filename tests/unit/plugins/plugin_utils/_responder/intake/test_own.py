# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t

import pytest
from cloudevents.core.bindings import http as binding
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from starlette.testclient import TestClient

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.deps import Limits
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.writer import Busy
from ansible_collections.openstack_ha.recovery.tests.unit.fakes.intake import KEY, OLD_KEY, SCOPE, bearer, event

Intake = t.Callable[..., TestClient]
ONE = {"Content-Type": "application/cloudevents+json"}
BATCH = {"Content-Type": "application/cloudevents-batch+json"}
CMP01 = bearer("host:cmp01")


def post(client: TestClient, body: t.Any, headers: dict[str, str] | None = None, **more: str) -> t.Any:
    content = body if isinstance(body, (bytes, str)) else json.dumps(body)
    return client.post("/v1/signals", content=content, headers={**ONE, **CMP01, **(headers or {}), **more})


def test_a_signal_is_in_the_journal_when_it_is_accepted(intake: Intake, journal: Journal) -> None:
    sent = {**event(details="more"), "time": "2026-11-20T09:31:32.740+00:00"}
    answer = post(intake(), sent)
    assert (answer.status_code, answer.json()) == (202, {"accepted": [sent["id"]]})
    (row,) = journal.undecided_signals(SCOPE)
    assert (row["host"], row["kind"], row["object"], row["state"]) == ("cmp01", "instance", "vm-1", "failed")
    assert (row["source"], row["reporter"], row["received_by"]) == (sent["source"], "host:cmp01", "ctl1")
    assert row["data"] == {**sent["data"], "time": sent["time"]}


def test_events_made_by_the_sdk_of_cloudevents_are_understood(intake: Intake, journal: Journal) -> None:
    client = intake()
    made = event()
    attributes = {name: made[name] for name in ("id", "source", "type")}
    sdk = CloudEvent({**attributes, "datacontenttype": "application/json", "subject": "größer"}, made["data"])
    whole = binding.to_structured(sdk, JSONFormat())
    other = CloudEvent(
        {**attributes, "id": "other/%20:id", "datacontenttype": "application/json"}, event(object="2")["data"]
    )
    parts = binding.to_binary(other, JSONFormat())
    for message in (whole, parts):
        answer = client.post("/v1/signals", content=message.body, headers={**message.headers, **CMP01})
        assert answer.status_code == 202, answer.text
    assert {row["event_id"] for row in journal.undecided_signals(SCOPE)} == {made["id"], "other/%20:id"}


def test_a_batch_is_accepted_as_a_whole(intake: Intake, journal: Journal) -> None:
    sent = [event(object=str(number), sequence=number) for number in range(3)]
    assert post(intake(), sent, BATCH).json() == {"accepted": [it["id"] for it in sent]}
    assert post(intake(), [], BATCH).json() == {"accepted": []}
    assert [row["object"] for row in sorted(journal.undecided_signals(SCOPE), key=lambda it: it["sequence"])] == list(
        "012"
    )


def test_of_a_batch_with_something_wrong_nothing_is_accepted_and_all_of_it_is_told(
    intake: Intake, journal: Journal
) -> None:
    wrong, theirs = {**event(), "type": "openstack_ha.cat.lost"}, event("cmp02")
    answer = post(intake(), [event(), wrong, theirs, 7], BATCH)
    assert answer.status_code == 400
    assert post(intake(), [event(), theirs], BATCH).status_code == 403
    assert [(it["index"], it["id"], it["status"]) for it in answer.json()["errors"]] == [
        (1, wrong["id"], 400), (2, theirs["id"], 403), (3, None, 400),
    ]  # fmt: skip
    assert journal.undecided_signals(SCOPE) == []


def test_what_comes_twice_is_accepted_twice_and_stands_there_once(intake: Intake, journal: Journal) -> None:
    client, sent = intake(), event()
    for signal in (sent, sent, event(sequence=3), event(sequence=2)):
        assert post(client, signal).status_code == 202
    (row,) = journal.undecided_signals(SCOPE)
    assert row["repeats"] == 1
    (late,) = journal.signals(verdict="ignore")
    assert late["gate"] == "stale"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[]", "must be an object"),
        (b"[" * 100_000, "nested too deeply"),
        ({**event(), "specversion": "0.3"}, "specversion"),
        ({**event(), "id": ""}, "id"),
        ({**event(), "id": "with space"}, "id: must be printable"),
        ({**event(), "id": "x" * 129}, "id"),
        ({**event(), "source": "/hosts/cmp01/ü"}, "source"),
        ({**event(), "type": "com.example.other"}, "no such type"),
        ({**event(), "data": None}, "data"),
        ({**event(), "data_base64": "e30=", "data": None}, "data"),
        (event(state="ok"), "data.state"),
        (event(state=None), "data.state"),
        (event(sequence=-1), "data.sequence"),
        (event(sequence=2**63), "data.sequence"),
        (event(sequence=True), "data.sequence"),
        (event(epoch=" "), "epoch"),
        (event(object="vm "), "data.object"),
        (event(object="line\nline"), "data.object"),
        (event(more="nul\0"), "NUL"),
        (json.dumps(event(more="X")).replace("X", "\\ud800"), "half a character"),
        (json.dumps(event(more="X")).replace('"X"', "1e999"), "too large"),
        (json.dumps(event(more="X")).replace('"X"', "NaN"), "NaN"),
        (json.dumps(event(more="X")).replace('"X"', "9" * 5000), "no JSON"),
        (json.dumps(event(more="X")).replace('"X"', "[" * 30 + "]" * 30), "nested too deeply"),
    ],
)
def test_what_is_not_as_it_must_be_is_refused_for_good(
    intake: Intake, journal: Journal, body: t.Any, said: str
) -> None:
    answer = post(intake(limits=Limits(body=200_000)), body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]
    assert journal.signals() == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 415),
        ({"Content-Type": ""}, 415),
        ({"Content-Encoding": "gzip"}, 415),
        ({"Content-Type": "application/cloudevents+json; charset=utf-8"}, 202),
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer host:cmp01.false"}, 401),
        (bearer("host:cmp01", OLD_KEY), 202),
        (bearer("host:cmp02"), 403),
        (bearer("host:cmp01.example.net"), 403),
        (bearer("reader:prometheus"), 403),
        (bearer("reporter:stranger"), 403),
    ],
)
def test_who_may_send_what(intake: Intake, headers: dict[str, str], status: int) -> None:
    answer = post(intake(), event(), headers)
    assert answer.status_code == status
    assert answer.is_success or answer.json()["status"] == status
    assert ("www-authenticate" in answer.headers) == (status == 401)


def test_a_host_sends_from_its_own_source_and_cannot_say_that_it_is_down(intake: Intake) -> None:
    client = intake()
    assert post(client, {**event(), "source": "/hosts/cmp01x/monitors"}).status_code == 403
    assert post(client, {**event(), "source": "/hosts/cmp01"}).status_code == 202
    down = {**event(object=""), "type": "openstack_ha.host.unreachable"}
    assert "reporter" in post(client, down).json()["detail"]


def test_a_reporter_speaks_about_hosts_that_there_are_in_its_own_name(intake: Intake, journal: Journal) -> None:
    client, reporter = intake(), bearer("reporter:pcmk")
    for host in ("cmp01", "cmp02.example.net"):
        down = {**event(host, object=""), "type": "openstack_ha.host.unreachable", "source": "/ctl2/pacemaker"}
        assert post(client, down, reporter).status_code == 202
    rows = journal.undecided_signals(SCOPE)
    assert {(row["host"], row["source"], row["reporter"]) for row in rows} == {
        ("cmp01", "/reporters/pcmk/ctl2/pacemaker", "reporter:pcmk"),
        ("cmp02", "/reporters/pcmk/ctl2/pacemaker", "reporter:pcmk"),
    }
    assert post(client, event("cmp99"), reporter).status_code == 400
    assert post(client, event("cmp03"), bearer("reporter:rack1only")).status_code == 403
    assert post(client, event("cmp02"), bearer("reporter:rack1only")).status_code == 202


def test_while_the_hosts_are_not_known_a_host_may_speak_and_a_reporter_shall_wait(intake: Intake) -> None:
    client = intake(topology=lambda: None)
    assert post(client, event()).status_code == 202
    answer = post(client, event(), bearer("reporter:pcmk"))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


def test_a_body_that_is_too_large_is_not_read(intake: Intake) -> None:
    client = intake(limits=Limits(body=1000))
    assert post(client, event(more="x" * 1000)).status_code == 413

    def pieces() -> t.Iterator[bytes]:
        for _piece in range(1000):
            yield b" " * 100

    answer = client.post("/v1/signals", content=pieces(), headers={**ONE, **CMP01})
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert post(client, event(), {"Content-Length": "9" * 30}).status_code == 413


def test_who_sends_too_much_waits_and_costs_nobody_else_anything(intake: Intake) -> None:
    client = intake(limits=Limits(rate=0.001, burst=3))
    batch = [event(object=str(number)) for number in range(5)]
    assert post(client, batch, BATCH).status_code == 202, "a batch may be larger than what is left"
    answer = post(client, event())
    assert (answer.status_code, int(answer.headers["retry-after"]) >= 1) == (429, True)
    assert post(client, event("cmp02"), bearer("host:cmp02")).status_code == 202


@pytest.mark.parametrize(
    "error", [JournalError("disk full: SELECT secret"), Busy("20000 wait"), ZeroDivisionError("?")]
)
def test_what_cannot_be_written_is_to_be_sent_again(
    intake: Intake, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(rows: list[t.Any]) -> list[str]:
        raise error

    answer = post(intake(accept=fails), event())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "secret" not in answer.text
    if isinstance(error, ZeroDivisionError):
        number = answer.json()["detail"].rpartition(" ")[2].strip(".")
        assert number in caplog.text


def test_paths_and_methods_that_there_are_not_are_told_as_problems(intake: Intake) -> None:
    client = intake()
    assert client.get("/v1/signals").json()["status"] == 405
    assert client.get("/v1/nothing").status_code == 404


def test_health_is_told_to_everybody_and_its_reason_to_readers(intake: Intake) -> None:
    good, bad = intake(), intake(health=lambda: {"ok": False, "reason": "no look for 60 s"})
    assert (good.get("/healthz").status_code, good.get("/healthz").json()) == (200, {"ok": True})
    assert (bad.get("/healthz").status_code, bad.get("/healthz").json()) == (503, {"ok": False})
    assert bad.get("/healthz", headers=bearer("reader:lb")).json()["reason"] == "no look for 60 s"
    assert bad.get("/healthz", headers=CMP01).status_code == 403
    assert bad.get("/healthz", headers=bearer("reader:lb", b"x" * 32)).status_code == 401


def test_metrics_count_what_came_in_and_are_for_readers_unless_they_are_public(intake: Intake) -> None:
    client = intake()
    post(client, event())
    post(client, event(), {"Authorization": ""})
    assert client.get("/metrics").status_code == 401
    told = client.get("/metrics", headers=bearer("reader:prometheus"))
    assert told.headers["content-type"].startswith("text/plain")
    assert 'openstack_ha_intake_signals_total{outcome="new"} 1.0' in told.text
    assert 'openstack_ha_intake_requests_total{path="/v1/signals",status="401"} 1.0' in told.text
    assert intake(metrics_public=True).get("/metrics").status_code == 200


def test_a_token_does_not_show_anywhere(intake: Intake, caplog: pytest.LogCaptureFixture) -> None:
    client = intake()
    token = bearer("host:cmp02", KEY)["Authorization"]
    answers = [post(client, event(), {"Authorization": token}), post(client, b"{", {"Authorization": token + "x"})]
    assert all(token.rpartition(".")[2] not in answer.text for answer in answers)
    assert token.rpartition(".")[2] not in caplog.text


def test_the_description_says_what_a_signal_is(intake: Intake) -> None:
    document = intake().get("/v1/openapi.json").json()
    types = document["components"]["schemas"]["Signal"]["properties"]["type"]["enum"]
    assert event()["type"] in types
