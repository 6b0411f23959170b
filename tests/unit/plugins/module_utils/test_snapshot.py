from __future__ import annotations

import socket
import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _snapshot
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud, topology
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Nova


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud(Nova(Clock(), ["cmp01", "cmp02", "cmp03"], ["cmp01"]), {})


def take(cloud: FakeCloud, *hosts: str, probe: t.Sequence[str] = ()) -> dict[str, t.Any]:
    known = topology("cmp01", "cmp02", reserved=["cmp02"])
    known["hosts"]["cmp01"]["probe"] = list(probe)
    return _snapshot.take(t.cast(t.Any, cloud), known, hosts, "operator", probe_timeout=0.05)


@pytest.fixture
def listening() -> t.Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


def test_the_control_plane_and_all_computes_are_counted(cloud: FakeCloud) -> None:
    cloud.control["nova-scheduler"] = "down"
    snapshot = take(cloud, "cmp01")
    assert snapshot["control"] == {"nova-conductor": 1, "nova-scheduler": 0}
    assert (snapshot["computes_total"], snapshot["computes_up"]) == (3, 2)


def test_nova_and_the_caller_are_witnesses_against_a_host_that_is_down(cloud: FakeCloud) -> None:
    facts = take(cloud, "cmp01")["hosts"]["cmp01"]
    assert facts["witnesses"] == ["operator", "nova"]
    assert (facts["state"], facts["forced_down"], facts["segment"]) == ("down", True, "rack1")
    assert facts["signs_of_life"] == []


def test_nova_is_no_witness_against_a_host_that_it_sees(cloud: FakeCloud) -> None:
    assert take(cloud, "cmp02")["hosts"]["cmp02"]["witnesses"] == ["operator"]


def test_whatever_answers_is_a_sign_of_life(cloud: FakeCloud, listening: str) -> None:
    facts = take(cloud, "cmp01", probe=[listening])["hosts"]["cmp01"]
    assert facts["signs_of_life"] == [listening]
    assert "probe" not in facts["witnesses"]


def test_silence_of_every_probe_is_a_witness(cloud: FakeCloud) -> None:
    silent = "tcp://no-such-name.invalid:22"
    facts = take(cloud, "cmp01", probe=[silent])["hosts"]["cmp01"]
    assert facts["witnesses"] == ["operator", "nova", "probe"]
    assert facts["probe"] == {silent: "silent"}


@pytest.mark.parametrize(
    ("status", "reason", "maintenance"),
    [
        ("disabled", "Maintenance until Friday", True),
        ("disabled", "broken", False),
        ("disabled", None, False),
        ("enabled", "maintenance", False),
    ],
)
def test_maintenance_is_a_disabled_host_whose_reason_says_so(
    cloud: FakeCloud, status: str, reason: str | None, maintenance: bool
) -> None:
    cloud.nova.services["cmp01"].update(status=status, disabled_reason=reason)
    assert take(cloud, "cmp01")["hosts"]["cmp01"]["maintenance"] is maintenance


def test_a_host_that_nova_does_not_know_has_no_facts_but_the_inventorys(cloud: FakeCloud) -> None:
    del cloud.nova.services["cmp02"]
    facts = take(cloud, "cmp02")["hosts"]["cmp02"]
    assert (facts["state"], facts["status"], facts["role"]) == (None, None, "reserved")
    assert facts["witnesses"] == ["operator"]
