# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.fakes.profiles import examples

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import states
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor import event as events
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.credentials import Principal, Refused
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.masakari import notices
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.intake.problems import Problem
from ansible_collections.openstack_ha.recovery.tests.unit.fakes.intake import notification

PCMK, CMP01 = Principal("reporter", "pcmk"), Principal("host", "cmp01")
VM = "b9837317-a5b8-44f4-93b4-45500c562bb8"


def row(body: t.Any, principal: Principal = PCMK) -> dict[str, t.Any]:
    return notices.row(notices.checked(body), principal, lambda host: host)


def vm(name: str, detail: str, **more: t.Any) -> dict[str, t.Any]:
    return notification("VM", event=name, vir_domain_event=detail, instance_uuid=VM, **more)


def said(found: dict[str, t.Any]) -> tuple[str, str, str]:
    return found["type"].removeprefix("openstack_ha."), found["object"], found["state"]


@pytest.mark.parametrize(
    ("payload", "type_", "state"),
    [
        ({"event": "STOPPED", "host_status": "NORMAL", "cluster_status": "OFFLINE"}, "host.unreachable", "failed"),
        ({"event": "STOPPED", "host_status": "NORMAL"}, "host.unreachable", "failed"),
        ({"event": "STOPPED"}, "host.unreachable", "failed"),
        ({"event": "STOPPED", "host_status": "UNKNOWN", "cluster_status": "OFFLINE"}, "host.unreachable", "unknown"),
        ({"event": "STARTED", "host_status": "NORMAL", "cluster_status": "ONLINE"}, "host.reachable", "ok"),
    ],
)
def test_a_host_is_down_up_or_nobody_knows(payload: dict[str, str], type_: str, state: str) -> None:
    assert said(row(notification(**payload))) == (type_, "", state)


@pytest.mark.parametrize(
    ("name", "detail", "word", "state"),
    [
        ("LIFECYCLE", "STOPPED_FAILED", "crashed", "failed"),
        ("LIFECYCLE", "STOPPED_SHUTDOWN", "stopped", "ok"),
        ("LIFECYCLE", "STOPPED_DESTROYED", "stopped", "ok"),
        ("LIFECYCLE", "SHUTDOWN_FINISHED", "stopped", "ok"),
        ("LIFECYCLE", "SUSPENDED_IOERROR", "io_error", "failed"),
        ("LIFECYCLE", "SUSPENDED_WATCHDOG", "watchdog", "failed"),
        ("LIFECYCLE", "SUSPENDED_API_ERROR", "paused", "failed"),
        ("REBOOT", "UNKNOWN", "ok", "ok"),
        ("IO_ERROR_REASON", "UNKNOWN", "io_error", "failed"),
        ("CONTROL_ERROR", "UNKNOWN", "guest_silent", "failed"),
        ("WATCHDOG", "WATCHDOG_PAUSE", "watchdog", "failed"),
        ("IO_ERROR", "IO_ERROR_REPORT", "io_error", "failed"),
        ("QEMU_GUEST_AGENT_ERROR", "STOPPED_FAILED", "guest_silent", "failed"),
        ("LIFECYCLE", "STOPPED_FROM_MARS", "stopped", "unknown"),
        ("SOMETHING", "NEW", "stopped", "unknown"),
    ],
)
def test_what_libvirt_saw_has_a_type_and_what_is_not_known_is_not_lost(
    name: str, detail: str, word: str, state: str
) -> None:
    found = row(vm(name, detail), CMP01)
    assert said(found) == (f"instance.{word}", VM, state)
    assert events.kind_of(found["type"]) == "instance"


@pytest.mark.parametrize(("event", "means"), [("STOPPED", ("failed", "failed")), ("STARTED", ("ok", "ok"))])
def test_a_process_ended_or_runs(event: str, means: tuple[str, str]) -> None:
    found = row(notification("PROCESS", process_name="nova-compute", event=event), CMP01)
    assert said(found) == (f"process.{means[0]}", "nova-compute", means[1])


def test_all_members_of_a_cluster_say_the_same_and_a_monitor_that_repeats_a_crash_does_not() -> None:
    hosts = [row(notification(at=f"2026-11-20T09:31:3{number}")) for number in range(2)]
    assert [it["again"] for it in hosts] == [False, False]
    assert hosts[0]["source"] == hosts[1]["source"] == "/reporters/pcmk/masakari"
    crashes = [row(vm("LIFECYCLE", "STOPPED_FAILED", at=f"2026-11-20T09:31:3{number}"), CMP01) for number in range(2)]
    assert [it["again"] for it in crashes] == [True, True]
    assert crashes[0]["event_id"] != crashes[1]["event_id"]


def test_the_same_notification_sent_again_is_the_same_event() -> None:
    assert row(notification())["event_id"] == row(notification())["event_id"]
    assert row(notification())["event_id"] != row(notification(), Principal("reporter", "other"))["event_id"]


def test_whoever_speaks_for_one_host_cannot_say_that_hosts_are_down() -> None:
    with pytest.raises(Refused, match="reporter") as refused:
        row(notification(hostname="cmp01"), CMP01)
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (None, "notification"),
        ({}, "notification"),
        ({**notification(), "more": 1}, "no other"),
        ({"notification": {**notification()["notification"], "more": 1}}, "'more'"),
        ({"notification": {**notification()["notification"], "type": "CAT"}}, "type"),
        ({"notification": {**notification()["notification"], "type": 1}}, "type"),
        (notification(hostname=""), "hostname"),
        (notification(hostname="x" * 256), "hostname"),
        (notification(hostname="a\nb"), "hostname"),
        (notification(at="yesterday"), "generated_time"),
        ({"notification": {**notification()["notification"], "payload": []}}, "payload"),
        (notification(event="GONE"), "payload.event"),
        (notification(event="STOPPED", more="x"), "'more'"),
        (notification(event="STOPPED", host_status="DEAD"), "host_status"),
        (notification("PROCESS", event="STOPPED"), "process_name"),
        (notification("VM", event="LIFECYCLE", vir_domain_event="X"), "instance_uuid"),
        (notification("VM", event="LIFECYCLE", vir_domain_event="X", instance_uuid="vm-1"), "UUID"),
    ],
)
def test_what_masakari_would_refuse_is_refused(body: t.Any, said: str) -> None:
    with pytest.raises(Problem, match=said) as problem:
        row(body, CMP01)
    assert problem.value.status == 400


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)


@examples(100)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["COMPUTE_HOST", "VM", "PROCESS"]) | json_values,
            "hostname": st.text(max_size=20),
            "generated_time": st.just("2026-11-20T09:31:32") | st.text(max_size=20),
            "payload": st.dictionaries(
                st.sampled_from(["event", "host_status", "instance_uuid", "vir_domain_event", "process_name"]),
                st.sampled_from(["STOPPED", "STARTED", "UNKNOWN", VM, "LIFECYCLE"]) | json_values,
            ),
        },
    )
)
def test_whatever_comes_is_either_refused_or_fits_into_the_journal(inner: t.Any) -> None:
    try:
        found = row({"notification": inner}, PCMK)
    except Problem:
        return
    assert found["state"] in states.SIGNAL
    assert events.kind_of(found["type"]) == found["kind"]
    assert len(found["object"]) <= 255
    assert len(found["event_id"]) == 36
