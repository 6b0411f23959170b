# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import logging
import typing as t

import pytest
from starlette.testclient import TestClient

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.deps import Limits
from ansible_collections.openstack_ha.recovery.tests.unit.fakes.intake import (
    SCOPE,
    basic,
    bearer,
    event,
    notification,
)

Intake = t.Callable[..., TestClient]
PCMK = basic("reporter:pcmk")
READER = bearer("reader:dashboard")
NEWEST = {"OpenStack-API-Version": "instance-ha 1.3"}
VM = "b9837317-a5b8-44f4-93b4-45500c562bb8"


def post(
    client: TestClient, body: t.Any, headers: dict[str, str] | None = None, path: str = "/v1/notifications"
) -> t.Any:
    return client.post(path, json=body, headers=PCMK if headers is None else headers)


def get(client: TestClient, path: str, headers: dict[str, str] | None = None) -> t.Any:
    answer = client.get(f"/v1{path}", headers={**READER, **NEWEST, **(headers or {})})
    assert answer.status_code == 200, answer.text
    return answer.json()


def crash(at: str = "") -> dict[str, t.Any]:
    return notification("VM", at=at, event="LIFECYCLE", vir_domain_event="STOPPED_FAILED", instance_uuid=VM)


# -- notifications ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/notifications", "/v1/0123abcd/notifications"])
def test_a_notification_is_in_the_journal_when_it_is_accepted(intake: Intake, journal: Journal, path: str) -> None:
    answer = post(intake(), notification(), path=path)
    assert answer.status_code == 202
    (row,) = journal.undecided_signals(SCOPE)
    told = answer.json()["notification"]
    assert (told["notification_uuid"], told["status"], told["type"]) == (row["id"], "new", "COMPUTE_HOST")
    assert told["payload"] == notification()["notification"]["payload"]
    assert told["generated_time"] == "2026-11-20T09:31:32.740203"
    assert answer.headers["OpenStack-API-Version"] == "instance-ha 1.0"


def test_the_same_report_of_all_members_of_a_cluster_is_one_and_each_gets_its_uuid(
    intake: Intake, journal: Journal
) -> None:
    client = intake()
    answers = [post(client, notification(at=f"2026-11-20T09:31:3{number}")) for number in range(4)]
    assert [it.status_code for it in answers] == [202] * 4
    assert len({it.json()["notification"]["notification_uuid"] for it in answers}) == 1
    (row,) = journal.undecided_signals(SCOPE)
    assert (row["reporter"], row["repeats"]) == ("reporter:pcmk", 3)


def test_a_second_crash_within_a_minute_is_news_and_the_same_one_sent_again_is_not(
    intake: Intake, journal: Journal
) -> None:
    client, cmp01 = intake(), basic("cmp01", "host:cmp01")
    for at in ("2026-11-20T09:31:30", "2026-11-20T09:31:50", "2026-11-20T09:31:50"):
        assert post(client, crash(at), cmp01).status_code == 202
    assert len(journal.undecided_signals(SCOPE)) == 2


@pytest.mark.parametrize(
    ("headers", "body", "status", "fault"),
    [
        ({}, notification(), 401, "unauthorized"),
        (basic("reporter:pcmk", "reporter:other"), notification(), 401, "unauthorized"),
        (READER, notification(), 403, "forbidden"),
        (basic("cmp02", "host:cmp02"), crash(), 403, "forbidden"),
        (basic("cmp01", "host:cmp01"), notification(), 403, "forbidden"),
        (basic("reporter:rack1only"), notification(hostname="cmp03"), 403, "forbidden"),
        (PCMK, notification(hostname="cmp99"), 400, "badRequest"),
        (PCMK, {"notification": {}}, 400, "badRequest"),
        ({**PCMK, "OpenStack-API-Version": "instance-ha 1.9"}, notification(), 406, "notAcceptable"),
        ({**PCMK, "OpenStack-API-Version": "instance-ha one"}, notification(), 400, "badRequest"),
    ],
)
def test_errors_are_told_as_masakari_tells_them_and_logged(
    intake: Intake, caplog: pytest.LogCaptureFixture, headers: t.Any, body: t.Any, status: int, fault: str
) -> None:
    answer = post(intake(), body, headers)
    assert (answer.status_code, answer.json()[fault]["code"]) == (status, status)
    # Monitors forget what is refused, so a person must know.
    assert ("lost" in caplog.text) == (status != 401 and "OpenStack-API-Version" not in headers)


def test_a_host_may_be_called_by_any_name_that_means_one(intake: Intake, journal: Journal) -> None:
    client = intake()
    assert post(client, notification(hostname="cmp01.example.net")).status_code == 202
    long_name = basic("cmp01.example.net", "host:cmp01.example.net")
    assert post(client, crash(), long_name).status_code == 202
    assert {row["host"] for row in journal.undecided_signals(SCOPE)} == {"cmp01"}


def test_nothing_is_ever_a_conflict(intake: Intake, journal: Journal) -> None:
    client = intake()
    journal.add_order(SCOPE, "pause", "cloud", None, "me", "work")
    assert [post(client, notification()).status_code for _again in range(2)] == [202, 202]


def test_while_the_journal_is_away_monitors_are_to_come_again(intake: Intake, caplog: pytest.LogCaptureFixture) -> None:
    async def fails(rows: list[t.Any]) -> list[str]:
        raise JournalError("gone")

    answer = post(intake(accept=fails), notification())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["serviceUnavailable"]["code"] == 503


def test_what_is_accepted_is_accepted_even_if_it_cannot_be_read_back(
    intake: Intake, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_filters: t.Any, **_more: t.Any) -> t.Any:
        raise JournalError("gone since")

    client = intake()
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "signals", fails)
        assert post(client, notification()).json()["notification"]["status"] == "new"
    assert len(journal.undecided_signals(SCOPE)) == 1


def test_a_wrong_content_type_and_a_large_body_are_refused(intake: Intake) -> None:
    client = intake(limits=Limits(body=100))
    assert client.post("/v1/notifications", content=b"{}", headers=PCMK).status_code == 415
    assert post(client, notification()).json()["overLimit"]["code"] == 413


def test_who_reads_sees_notifications_of_all_sources_filtered_and_in_pages(intake: Intake, journal: Journal) -> None:
    client = intake()
    for host in ("cmp01", "cmp02", "cmp03"):
        post(client, notification(hostname=host))
    client.post(
        "/v1/signals", json={**event("cmp02", object=VM)},
        headers={**bearer("host:cmp02"), "Content-Type": "application/cloudevents+json"},
    )  # fmt: skip
    found = get(client, "/notifications")["notifications"]
    assert [it["type"] for it in found].count("COMPUTE_HOST") == 3
    (vm,) = get(client, "/notifications?type=VM")["notifications"]
    assert vm["payload"] == {"event": "LIFECYCLE", "vir_domain_event": "STOPPED_FAILED", "instance_uuid": VM}
    of_cmp02 = get(client, f"/notifications?source_host_uuid={vm['source_host_uuid']}&status=new")["notifications"]
    assert [it["hostname"] for it in of_cmp02] == ["cmp02", "cmp02"]
    assert get(client, "/notifications?generated-since=2099-01-01T00:00:00Z") == {"notifications": []}
    pages = get(client, "/notifications?limit=2&sort_key=hostname&sort_dir=asc")["notifications"]
    more = get(client, f"/notifications?sort_key=hostname&sort_dir=asc&marker={pages[-1]['notification_uuid']}")
    assert len(pages) == 2
    assert [it["hostname"] for it in pages + more["notifications"]] == ["cmp01", "cmp02", "cmp02", "cmp03"]
    assert len(get(client, "/notifications?limit=1")["notifications"]) == 1
    bad = client.get("/v1/notifications?generated-since=now", headers=READER)
    assert bad.status_code == 400


def test_a_host_sees_its_own_notifications_and_no_others(intake: Intake) -> None:
    client = intake()
    own = post(client, crash(), basic("cmp01", "host:cmp01")).json()["notification"]["notification_uuid"]
    for user, status in (("host:cmp01", 200), ("host:cmp02", 403)):
        assert client.get(f"/v1/notifications/{own}", headers=basic(user)).status_code == status
        assert client.get("/v1/notifications", headers=basic(user)).status_code == 403
        assert client.get("/v1/segments", headers=basic(user)).status_code == 403


@pytest.fixture
def recovered(intake: Intake, journal: Journal) -> tuple[TestClient, str]:
    """A host failure that led to a run, and the uuid of its notification."""
    client = intake()
    uuid = post(client, notification()).json()["notification"]["notification_uuid"]
    incident = journal.open_incident("cmp01", SCOPE, "rack1")["id"]
    journal.decide_signals([uuid], "recover", None, "all gates are open", incident)
    run = journal.open_run([{"host": "cmp01", "incident_id": incident}], holder.describe())["id"]
    journal.add_step(run, "cmp01", "fencing", 1.5)
    line = {"incident_id": incident, "host": "cmp01", "target": "cmp02", "attempts": 0, "method": "evacuate"}
    journal.plan_lines(run, [{**line, "server_id": VM, "name": "web"}, {**line, "server_id": VM[::-1], "name": "db"}])
    journal.set_line(incident, VM, "verified")
    journal.set_line(incident, VM[::-1], "failed", reason="no valid host")
    journal.set_incident(incident, "partial", "1 VM failed")
    return client, uuid


def test_what_became_of_a_failure_is_told_with_the_steps_of_its_run(
    recovered: tuple[TestClient, str], journal: Journal
) -> None:
    client, uuid = recovered
    told = get(client, f"/notifications/{uuid}")["notification"]
    assert (told["status"], told["message"]) == ("error", "recover: all gates are open: 1 VM failed")
    assert [(it["name"], it["state"]) for it in told["recovery_workflow_details"]] == [
        ("Verdict", "SUCCESS"),
        ("fencing", "SUCCESS"),
    ]
    (incident,) = journal.incidents()
    for state, status in (("recovering", "running"), ("recovered", "finished")):
        journal.set_incident(incident["id"], state)
        (found,) = get(client, "/notifications")["notifications"]
        assert found["status"] == status
    old = get(client, f"/notifications/{uuid}", {"OpenStack-API-Version": "instance-ha 1.0"})["notification"]
    assert "recovery_workflow_details" not in old


def test_moves_of_vms_come_from_the_ledger(recovered: tuple[TestClient, str]) -> None:
    client, uuid = recovered
    moves = get(client, f"/notifications/{uuid}/vmoves")["vmoves"]
    assert {it["instance_name"]: (it["status"], it["dest_host"], it["message"]) for it in moves} == {
        "web": ("succeeded", "cmp02", None),
        "db": ("failed", "cmp02", "no valid host"),
    }
    (web,) = get(client, f"/notifications/{uuid}/vmoves?status=succeeded")["vmoves"]
    assert get(client, f"/notifications/{uuid}/vmoves/{web['uuid']}")["vmove"] == web
    too_old = {**READER, "OpenStack-API-Version": "instance-ha 1.2"}
    assert client.get(f"/v1/notifications/{uuid}/vmoves", headers=too_old).status_code == 404
    of_vm = post(client, crash(), basic("cmp01", "host:cmp01")).json()["notification"]["notification_uuid"]
    assert client.get(f"/v1/notifications/{of_vm}/vmoves", headers={**READER, **NEWEST}).status_code == 400


@pytest.mark.parametrize("uuid", ["nonsense", VM, "%00", "x" * 500])
def test_what_is_not_there_is_not_found(intake: Intake, uuid: str) -> None:
    client = intake()
    segment = get(client, "/segments")["segments"][0]["uuid"]
    for path in (f"notifications/{uuid}", f"segments/{uuid}", f"segments/{segment}/hosts/{uuid}", f"extensions/{uuid}"):
        answer = client.get(f"/v1/{path}", headers={**READER, **NEWEST})
        assert (answer.status_code, answer.json()["itemNotFound"]["code"]) == (404, 404)


# -- segments and hosts ---------------------------------------------------------------------------------------------


def test_segments_and_hosts_are_those_of_the_segments_file(intake: Intake) -> None:
    client = intake()
    segments = {it["name"]: it for it in get(client, "/segments")["segments"]}
    assert {name: (it["recovery_method"], it["enabled"]) for name, it in segments.items()} == {
        "rack1": ("auto", True),
        "rack2": ("reserved_host", True),
    }
    rack2 = segments["rack2"]
    assert get(client, f"/segments/{rack2['uuid']}")["segment"] == rack2
    hosts = get(client, f"/segments/{rack2['uuid']}/hosts?sort_dir=asc")["hosts"]
    assert [(it["name"], it["reserved"], it["on_maintenance"]) for it in hosts] == [
        ("cmp03", False, False),
        ("cmp04", True, False),
    ]
    assert get(client, f"/segments/{rack2['uuid']}/hosts/{hosts[0]['uuid']}")["host"] == hosts[0]
    assert hosts[0]["failover_segment"]["name"] == "rack2"
    assert [it["name"] for it in get(client, f"/segments/{rack2['uuid']}/hosts?reserved=true")["hosts"]] == ["cmp04"]
    assert [it["name"] for it in get(client, "/segments?recovery_method=auto")["segments"]] == ["rack1"]
    old = get(client, "/segments?enabled=nonsense", {"OpenStack-API-Version": "instance-ha 1.1"})["segments"]
    assert "enabled" not in old[0]


def test_what_is_paused_or_disarmed_shows(intake: Intake, journal: Journal) -> None:
    client = intake()
    journal.add_order(SCOPE, "pause", "host", "cmp01", "me", "work")
    journal.add_order(SCOPE, "disarm", "segment", "rack2", "me", "work")
    journal.add_order(SCOPE, "budget", "cloud", None, "me", "work", limits={"at_once": 1})
    journal.add_order("elsewhere", "pause", "cloud", None, "me", "work")
    segments = {it["name"]: it for it in get(client, "/segments")["segments"]}
    assert {name: it["enabled"] for name, it in segments.items()} == {"rack1": True, "rack2": False}
    states = {
        host["name"]: host["on_maintenance"]
        for it in segments.values()
        for host in get(client, f"/segments/{it['uuid']}/hosts")["hosts"]
    }
    assert states == {"cmp01": True, "cmp02": False, "cmp03": True, "cmp04": True}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/segments"),
        ("PUT", "/segments/x"),
        ("DELETE", "/segments/x"),
        ("POST", "/segments/x/hosts"),
        ("PUT", "/segments/x/hosts/y"),
        ("DELETE", "/segments/x/hosts/y"),
    ],
)
def test_what_stands_in_the_file_is_changed_there(intake: Intake, method: str, path: str) -> None:
    answer = intake().request(method, f"/v1{path}", headers=READER, json={"segment": {"name": "x"}})
    assert answer.status_code == 403
    assert "segments file" in answer.json()["forbidden"]["message"]


def test_while_the_hosts_are_not_known_lists_of_them_wait(intake: Intake) -> None:
    client = intake(topology=lambda: None)
    assert client.get("/v1/segments", headers=READER).status_code == 503
    assert post(client, notification()).status_code == 503
    assert client.get("/v1/notifications", headers=READER).json() == {"notifications": []}


# -- versions ------------------------------------------------------------------------------------------------------


def test_versions_are_told_to_everybody(intake: Intake) -> None:
    client = intake()
    (told,) = client.get("/").json()["versions"]
    for path in ("/v1", "/v1/"):
        one = client.get(path, follow_redirects=False).json()["version"]
        assert {key: one[key] for key in told} == told
    assert (told["min_version"], told["version"], told["status"]) == ("1.0", "1.3", "CURRENT")
    assert told["links"] == [{"rel": "self", "href": "https://ctl1:7411/v1/"}]


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({}, "1.0"),
        ({"OpenStack-API-Version": "instance-ha 1.2"}, "1.2"),
        ({"OpenStack-API-Version": "instance-ha latest"}, "1.3"),
        ({"OpenStack-API-Version": "compute 2.90, instance-ha 1.1"}, "1.1"),
        ({"OpenStack-API-Version": "compute 2.90"}, "1.0"),
    ],
)
def test_the_version_that_is_asked_for_is_spoken(intake: Intake, asked: dict[str, str], given: str) -> None:
    answer = intake().get("/v1/segments", headers={**READER, **asked})
    assert answer.headers["OpenStack-API-Version"] == f"instance-ha {given}"
    assert answer.headers["Vary"] == "OpenStack-API-Version"
    assert answer.headers["x-openstack-request-id"].startswith("req-")


def test_there_are_no_extensions_and_health_is_as_plain_as_with_masakari(intake: Intake) -> None:
    assert get(intake(), "/extensions") == {"extensions": []}
    assert intake().get("/healthcheck").text == "OK"
    assert intake(health=lambda: {"ok": False}).get("/healthcheck").status_code == 503


def test_accepted_notifications_are_logged_without_what_is_secret(
    intake: Intake, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    post(intake(), notification())
    assert "reporter:pcmk: new" in caplog.text
    assert PCMK["Authorization"].split()[1] not in caplog.text
