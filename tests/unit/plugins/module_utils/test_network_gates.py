from __future__ import annotations

import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _network_gates as gates

Row = t.Dict[str, t.Any]

ORDER = {"kind": "pause", "scope": "cloud", "name": None, "owner": "al", "number": 3, "reason": "update", "left": 60.0}


def verdict(place: Row | None = None, host: Row | None = None, **snapshot: t.Any) -> Row:
    """Of a host that lives, with this changed."""
    alive = {"segment": "rack1", "known": True, "maintenance": False, "disabled_reason": None, "nova_state": "up",
             "heard": True, "forced_down": False, "host_run": False, **(host or {})}  # fmt: skip
    scene = {"caller": "responder", "orders": [], "hosts": {"cmp01": alive}, "places": {"cmp01": place or {}}}
    return gates.decide({**scene, **snapshot}, {})["cmp01"]


def test_from_a_host_that_lives_the_vms_are_moved_away_for_the_reason_that_was_given() -> None:
    found = verdict({"reason": "networks lost: tenant"})
    assert (found["verdict"], found["reaction"], found["reason"]) == ("recover", "migrate", "networks lost: tenant")
    assert "VMs of cmp01" in verdict()["reason"]


@pytest.mark.parametrize(
    ("host", "word", "gate"),
    [
        ({"known": False}, "alert", "known_host"),
        ({"maintenance": "maintenance by al"}, "ignore", "maintenance"),
        ({"host_run": True}, "hold", "host"),
        ({"forced_down": True}, "hold", "host"),
        ({"heard": False}, "hold", "host"),
        ({"nova_state": "down"}, "hold", "host"),
        ({"nova_state": None}, "hold", "host"),
        ({"heard": None}, "recover", None),
    ],
)
def test_nothing_is_moved_from_a_host_that_cannot_be_worked_on(host: Row, word: str, gate: str | None) -> None:
    found = verdict(host=host)
    assert (found["verdict"], found["gate"]) == (word, gate)


def test_a_person_may_empty_a_host_that_is_in_maintenance() -> None:
    assert verdict(host={"maintenance": "maintenance by al"}, caller="operator")["verdict"] == "recover"


@pytest.mark.parametrize(
    ("order", "word"),
    [
        ({}, "hold"),
        ({"kind": "disarm"}, "ignore"),
        ({"kind": "budget"}, "recover"),
        ({"scope": "segment", "name": "rack1"}, "hold"),
        ({"scope": "segment", "name": "rack2"}, "recover"),
        ({"scope": "host", "name": "cmp01"}, "hold"),
        ({"scope": "host", "name": "cmp02"}, "recover"),
    ],
)
def test_orders_of_operators_are_obeyed(order: Row, word: str) -> None:
    found = verdict(orders=[{**ORDER, **order}])
    assert found["verdict"] == word
    if word == "hold":
        assert (found["look_again"], found["reason"]) == (60.0, "pause of al (order 3): update")


def test_nothing_is_moved_while_it_is_not_known_what_was_ordered() -> None:
    assert verdict(orders=None)["verdict"] == "hold"
