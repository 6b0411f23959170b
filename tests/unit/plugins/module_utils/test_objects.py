from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _objects
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims, holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Nova

Row = t.Dict[str, t.Any]

TOPOLOGY = {
    "segments": {"rack1": {"protect": True}, "rack2": {}},
    "hosts": {host: {"segment": segment} for host, segment in (("cmp01", "rack1"), ("cmp02", "rack2"))},
}
SERVICE = {"binary": "nova-compute", "state": "up", "status": "enabled", "forced_down": False, "disabled_reason": None}
SERVICES = [{**SERVICE, "host": host} for host in ("cmp01", "cmp02", "stranger")]


@pytest.fixture
def journal(tmp_path: Path) -> t.Iterator[Journal]:
    with open_journal(f"sqlite:///{tmp_path}/journal.db") as opened:
        yield opened


def word(state: str, age: float | None = 1.0, host: str = "cmp01", about: str = "vm-1") -> Row:
    return {"host": host, "object": about, "state": state, "age": age}


@pytest.mark.parametrize(
    ("words", "counts"),
    [
        ([word("ok"), word("failed", 9.0)], ("failed", 9.0)),
        ([word("failed", 9.0), word("failed", 2.0)], ("failed", 2.0)),
        ([word("unknown"), word("ok")], ("unknown", 1.0)),
        ([word("failed", None), word("failed", 2.0)], ("failed", 2.0)),
    ],
)
def test_of_several_who_speak_about_a_vm_the_worst_and_newest_counts(
    words: list[Row], counts: tuple[str, float]
) -> None:
    for order in (words, words[::-1]):
        found = next(iter(_objects.said(order).values()))
        assert (found["state"], found["age"]) == counts


def test_of_each_host_is_known_what_nova_and_the_segments_file_say() -> None:
    hosts = _objects.host_facts(SERVICES[1:], TOPOLOGY)
    assert {host: (it["known"], it["nova_state"], it["segment"]) for host, it in hosts.items()} == {
        "cmp01": (False, None, "rack1"), "cmp02": (True, "up", "rack2"), "stranger": (False, "up", None),
    }  # fmt: skip


def accept(journal: Journal, kind: str, host: str, about: str, state: str = "failed") -> None:
    journal.accept_signals("R", "ctl1", [{
        "source": f"/{host}", "event_id": f"{host} {about} {state}", "type": f"openstack_ha.{kind}.x", "kind": kind,
        "host": host, "object": about, "state": state, "epoch": "e", "sequence": None, "data": {"reason": "so"},
        "reporter": f"host:{host}",
    }])  # fmt: skip


def snapshot(journal: Journal, kind: str, *places: str) -> Row:
    hosts = _objects.host_facts(SERVICES, TOPOLOGY)
    return _objects.journal_facts(journal, "R", kind, places, defaults(), hosts, TOPOLOGY)


def test_a_snapshot_about_a_vm_tells_what_was_said_and_done_and_what_else_is_wrong_on_its_host(
    journal: Journal,
) -> None:
    accept(journal, "instance", "cmp01", "vm-1")
    for host, about in (("cmp01", "vm-2"), ("cmp02", "vm-3")):
        journal.open_incident(host, "R", None, "instance", about)
    journal.set_incident(journal.open_incident("cmp01", "R", None)["id"], "held")
    found = snapshot(journal, "instance", "cmp01/vm-1")
    assert list(found["places"]) == ["cmp01/vm-1", "cmp01/vm-2"]
    one = found["places"]["cmp01/vm-1"]
    assert (one["state"], one["type"], one["reason"], one["incident"]) == (
        "failed", "openstack_ha.instance.x", "so", None,
    )  # fmt: skip
    assert found["places"]["cmp01/vm-2"]["incident"] == "open"
    assert (list(found["hosts"]), found["hosts"]["cmp01"]["host_incident"]) == (["cmp01"], "held")
    assert found["segments"] == {"rack1": {"protect": True}}
    assert (found["orders"], found["answers"]) == ([], [])


def test_a_snapshot_about_a_unit_tells_of_all_hosts(journal: Journal) -> None:
    for host in ("cmp01", "cmp02"):
        accept(journal, "process", host, "libvirtd")
        journal.open_incident(host, "R", None, "process", "libvirtd")
    accept(journal, "process", "cmp01", "ovs", "ok")
    found = snapshot(journal, "process", "cmp01/libvirtd")
    assert list(found["places"]) == ["cmp01/libvirtd", "cmp02/libvirtd"]
    assert {host: it["failing"] for host, it in found["hosts"].items()} == {
        "cmp01": ["libvirtd"], "cmp02": ["libvirtd"], "stranger": [],
    }  # fmt: skip


@pytest.mark.parametrize(("kind", "seen"), [("host", True), ("network", False)])
def test_a_run_on_the_host_itself_is_told_apart_from_one_for_its_networks(
    journal: Journal, kind: str, seen: bool
) -> None:
    incident = journal.open_incident("cmp01", "R", None, kind)["id"]
    run = journal.open_run([{"host": "cmp01", "incident_id": incident}], holder.describe(), kind=kind)
    claims.take(journal, [("R", "cmp01")], run["id"], holder.describe())
    assert snapshot(journal, "instance", "cmp01/vm-1")["hosts"]["cmp01"]["host_run"] is seen


@pytest.fixture
def cloud() -> FakeCloud:
    nova = Nova(Clock(), ["cmp01", "cmp02"], [])
    nova.add("vm-1", "cmp01", "stopped")
    nova.add("vm-2", "cmp01")
    nova.add("vm-3", "cmp02")
    return FakeCloud(nova, {})


def test_what_nova_knows_of_vms_is_asked_for_once_and_who_is_gone_or_elsewhere_is_found(
    journal: Journal, cloud: FakeCloud
) -> None:
    places = [f"cmp01/vm-{number}" for number in (1, 3, 9)]
    found = _objects.with_servers(t.cast(t.Any, cloud), snapshot(journal, "instance", *places), places, defaults())
    servers = {about: it["server"] for about, it in found["places"].items()}
    assert (servers[places[0]]["vm_state"], servers[places[1]]["host"], servers[places[2]]) == ("stopped", "cmp02", {})
    assert found["places"][places[0]]["facts"]["id"] == "vm-1"
    assert found["hosts"]["cmp01"]["vms"] == 2


def test_when_nova_does_not_answer_nothing_is_known_of_vms(
    journal: Journal, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_what: t.Any, **_more: t.Any) -> t.NoReturn:
        raise CloudError("Nova is away")

    monkeypatch.setattr(cloud, "request", refuse)
    found = _objects.with_servers(
        t.cast(t.Any, cloud), snapshot(journal, "instance", "cmp01/vm-1"), ["cmp01/vm-1"], defaults()
    )
    assert (found["places"]["cmp01/vm-1"]["server"], found["hosts"]["cmp01"]["vms"]) == (None, None)


def test_what_was_read_a_moment_ago_is_not_read_again(journal: Journal, cloud: FakeCloud) -> None:
    read = _objects.with_servers(
        t.cast(t.Any, cloud), snapshot(journal, "instance", "cmp01/vm-1"), ["cmp01/vm-1"], defaults()
    )
    again = _objects.with_known(snapshot(journal, "instance", "cmp01/vm-1"), read)
    assert again["places"]["cmp01/vm-1"]["server"] == read["places"]["cmp01/vm-1"]["server"] != {}
    assert again["hosts"]["cmp01"]["vms"] == 2
