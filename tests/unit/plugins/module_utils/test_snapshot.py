from __future__ import annotations

import socket
import threading
import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute, _gates, _snapshot
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud, topology
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Nova

SILENT = "tcp://no-such-name.invalid:22"


@pytest.fixture
def cloud() -> FakeCloud:
    it = FakeCloud(Nova(Clock(), ["cmp01", "cmp02", "cmp03"], ["cmp01"]), {})
    it.nova.services["cmp01"]["forced_down"] = False
    return it


@pytest.fixture
def listening() -> t.Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


def take(cloud: FakeCloud, *hosts: str, probe: t.Sequence[str] = (), **more: t.Any) -> dict[str, t.Any]:
    known = topology("cmp01", "cmp02", reserved=["cmp02"])
    known["hosts"]["cmp01"].update(probe=list(probe), failure_domain="pdu-a")
    options = {"caller": "operator", "probe_timeout": 0.05, **more}
    return _snapshot.take(t.cast(t.Any, cloud), known, hosts, **options)


def facts(cloud: FakeCloud, host: str = "cmp01", **more: t.Any) -> dict[str, t.Any]:
    return dict(take(cloud, host, **more)["hosts"][host])


def watching(**addresses: list[str]) -> dict[str, t.Any]:
    """A policy with networks."""
    return {**defaults(), "networks": {name: {"isolation_addresses": urls} for name, urls in addresses.items()}}


def test_the_control_plane_is_counted(cloud: FakeCloud) -> None:
    cloud.control["nova-scheduler"] = "down"
    assert take(cloud, "cmp01")["control"] == {"nova-conductor": 1, "nova-scheduler": 0}


def test_every_compute_host_has_its_facts_whether_it_is_suspected_or_not(cloud: FakeCloud) -> None:
    del cloud.nova.services["cmp02"]
    snapshot = take(cloud, "cmp01")
    hosts = snapshot["hosts"]
    assert snapshot["suspects"] == ["cmp01"]
    assert [(host, hosts[host]["known"], hosts[host]["state"]) for host in hosts] == [
        ("cmp01", True, "down"),
        ("cmp02", True, None),
        ("cmp03", False, "up"),
    ]
    assert {host for host in hosts if "witnesses" in hosts[host]} == {"cmp01"}


def test_what_the_segments_file_says_is_part_of_the_facts(cloud: FakeCloud) -> None:
    it = facts(cloud)
    assert {key: it[key] for key in ("names", "segment", "domain", "role", "fencing")} == {
        "names": ["cmp01"],
        "segment": "rack1",
        "domain": "pdu-a",
        "role": "active",
        "fencing": {"levels": 1},
    }


def test_how_many_fencing_levels_there_are_is_not_known_where_the_inventory_does_not_say(cloud: FakeCloud) -> None:
    known = topology("cmp01")
    del known["hosts"]["cmp01"]["fencing_levels"]
    snapshot = _snapshot.take(t.cast(t.Any, cloud), known, ["cmp01"], "operator", 0.05)
    assert snapshot["hosts"]["cmp01"]["fencing"] == {}


def test_nova_and_the_operator_are_witnesses_against_a_host_that_is_down(cloud: FakeCloud) -> None:
    it = facts(cloud)
    assert it["witnesses"] == {"operator": "down", "nova": "down"}
    assert (it["state"], it["silent"], it["signs_of_life"]) == ("down", True, [])


def test_a_responder_is_no_witness_by_its_mere_suspicion(cloud: FakeCloud) -> None:
    assert facts(cloud, caller="responder")["witnesses"] == {"nova": "down"}


def test_an_operator_who_is_not_there_is_no_witness_and_can_still_be_asked(cloud: FakeCloud) -> None:
    snapshot = take(cloud, "cmp01", probe=[SILENT], vouched=False)
    assert snapshot["hosts"]["cmp01"]["witnesses"] == {"nova": "down", "probe": "down"}
    assert snapshot["caller"] == "operator"


def test_nova_says_that_a_host_is_up_as_long_as_it_hears_it(cloud: FakeCloud) -> None:
    it = facts(cloud, "cmp03")
    assert (it["witnesses"]["nova"], it["silent"]) == ("up", False)


def test_a_host_that_is_forced_down_is_not_silent_but_silenced(cloud: FakeCloud) -> None:
    cloud.nova.services["cmp01"]["forced_down"] = True
    it = facts(cloud, probe=[SILENT])
    assert (it["forced_down"], it["silent"]) == (True, False)


def test_whatever_answers_is_a_sign_of_life(cloud: FakeCloud, listening: str) -> None:
    it = facts(cloud, probe=[listening])
    assert it["signs_of_life"] == [listening]
    assert it["witnesses"]["probe"] == "up"


def test_silence_of_every_probe_is_a_witness_before_nova_notices(cloud: FakeCloud) -> None:
    cloud.nova.services["cmp01"]["state"] = "up"
    it = facts(cloud, probe=[SILENT])
    assert it["witnesses"] == {"operator": "down", "nova": "up", "probe": "down"}
    assert (it["probe"], it["silent"]) == ({SILENT: "silent"}, True)


@pytest.mark.parametrize(
    ("status", "reason", "maintenance"),
    [
        ("disabled", "Maintenance until Friday", "Maintenance until Friday"),
        ("disabled", "broken", False),
        ("disabled", None, False),
        ("enabled", "maintenance", False),
    ],
)
def test_maintenance_is_a_disabled_host_whose_reason_says_so(
    cloud: FakeCloud, status: str, reason: str | None, maintenance: t.Any
) -> None:
    cloud.nova.services["cmp01"].update(status=status, disabled_reason=reason)
    assert facts(cloud)["maintenance"] == maintenance


def test_of_a_host_that_nova_does_not_know_it_is_not_known_whether_it_is_silent(cloud: FakeCloud) -> None:
    del cloud.nova.services["cmp02"]
    it = facts(cloud, "cmp02")
    assert (it["state"], it["status"], it["role"]) == (None, None, "reserved")
    assert (it["silent"], it["forced_down"]) == (None, False)
    assert it["witnesses"] == {"operator": "down", "nova": "unknown"}


def test_the_observer_is_on_a_network_when_one_of_its_isolation_addresses_answers(
    cloud: FakeCloud, listening: str
) -> None:
    policy = watching(storage=[SILENT, listening], tenant=[SILENT], backup=["tcp://127.0.0.1:1"], bmc=[])
    observer = take(cloud, "cmp03", policy=policy)["observer"]
    assert observer["networks"] == {"backup": False, "storage": True, "tenant": False}
    assert (observer["api"], observer["up_for"]) == (True, None)
    assert observer["name"] == socket.gethostname()


def test_nova_is_asked_once_and_probes_do_not_wait_for_it(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=10)
    services = _compute.services
    asked: list[int] = []

    def wait_for_probe(*args: t.Any) -> t.Any:
        asked.append(both.wait())
        return services(*args)

    def wait_for_nova(urls: t.Sequence[str], timeout: float) -> dict[str, str]:
        both.wait()
        return dict.fromkeys(urls, "silent")

    monkeypatch.setattr(_compute, "services", wait_for_probe)
    monkeypatch.setattr(_snapshot, "probe", wait_for_nova)
    take(cloud, "cmp01", "cmp02", probe=[SILENT])
    assert len(asked) == 1


# -- what the journal adds -----------------------------------------------------------------------------------

JOURNAL: dict[str, t.Any] = {
    "in_flight": [],
    "fences": [],
    "orders": [],
    "storm": {"silent_for": None, "ended_ago": None},
    "answers": [],
    "hosts": {"cmp01": {"recoveries": 1, "fencing": {"check": "ok", "age": 5.0}}, "gone": {"recoveries": 9}},
}


def test_the_journals_facts_are_added_and_nothing_is_lost(cloud: FakeCloud) -> None:
    snapshot = take(cloud, "cmp01")
    merged = _snapshot.merge(snapshot, JOURNAL)
    assert merged["hosts"]["cmp01"]["fencing"] == {"levels": 1, "check": "ok", "age": 5.0}
    assert merged["hosts"]["cmp01"]["recoveries"] == 1
    assert set(merged["hosts"]) == set(snapshot["hosts"])
    assert (merged["in_flight"], merged["control"]) == ([], snapshot["control"])
    assert snapshot["hosts"]["cmp01"]["recoveries"] is None


def test_a_single_dead_host_is_recovered_by_hand_without_a_policy_file(cloud: FakeCloud) -> None:
    verdict = _gates.decide(_snapshot.merge(take(cloud, "cmp01"), JOURNAL))["cmp01"]
    assert (verdict["verdict"], verdict["gate"]) == ("recover", None)


def test_without_the_journal_nothing_is_recovered(cloud: FakeCloud) -> None:
    verdict = _gates.decide(take(cloud, "cmp01"))["cmp01"]
    assert (verdict["verdict"], verdict["gate"]) == ("ask", "orders")
