# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal


def test_the_same_failure_is_one_incident(journal: Journal) -> None:
    first = journal.open_incident("cmp03", "R", "rack1")
    assert journal.open_incident("cmp03", "R", "rack1") == first


def test_hosts_scopes_and_kinds_are_told_apart(journal: Journal) -> None:
    keys: list[t.Any] = [("cmp03", "R"), ("CMP03", "R"), ("cmp03", "S"), ("cmp04", "R")]
    ids = {journal.open_incident(*key, None)["id"] for key in keys}
    about = [("instance", "vm-1"), ("instance", "vm-2"), ("instance", "x" * 255), ("process", "vm-1")]
    ids.update(journal.open_incident("cmp03", "R", None, *it)["id"] for it in [("instance", ""), *about])
    assert len(ids) == 9
    long = journal.open_incident("c" * 250, "R" * 200, None, "instance", "x" * 250)
    assert journal.open_incident("c" * 250, "R" * 200, None, "instance", "x" * 250) == long


@pytest.mark.parametrize("state", ["open", "held", "recovering", "partial"])
def test_an_incident_goes_on_until_it_is_final(journal: Journal, state: str) -> None:
    first = journal.open_incident("cmp03", "R", "rack1")
    assert journal.set_incident(first["id"], state, "because")
    again = journal.open_incident("cmp03", "R", "rack1")
    assert (again["id"], again["state"], again["reason"]) == (first["id"], state, "because")


@pytest.mark.parametrize("state", ["recovered", "closed"])
def test_after_a_final_state_a_new_failure_is_a_new_incident(journal: Journal, state: str) -> None:
    first = journal.open_incident("cmp03", "R", "rack1")
    assert journal.set_incident(first["id"], state)
    assert journal.open_incident("cmp03", "R", "rack1")["id"] != first["id"]
    assert not journal.set_incident(first["id"], "open"), "a final incident never comes back"


def test_an_unknown_state_is_refused(journal: Journal) -> None:
    with pytest.raises(ValueError, match="unknown state 'lost'"):
        journal.set_incident(journal.open_incident("cmp03", "R", None)["id"], "lost")


def test_incidents_are_filtered_by_one_value_or_several(journal: Journal) -> None:
    held = journal.open_incident("cmp03", "R", None)["id"]
    journal.open_incident("cmp04", "R", None)
    journal.open_incident("cmp05", "S", None)
    journal.set_incident(held, "held")
    assert [it["host"] for it in journal.incidents(state="held")] == ["cmp03"]
    assert {it["host"] for it in journal.incidents(scope="R", state=("held", "open"))} == {"cmp03", "cmp04"}


def test_many_are_opened_at_once_and_those_that_go_on_are_found(journal: Journal) -> None:
    known = journal.open_incident("cmp03", "R", "rack1", "instance", "vm-2")
    wanted = [
        {"host": "cmp03", "segment": "rack1", "kind": "instance", "object": name} for name in ("vm-1", "vm-2", "vm-1")
    ]
    first, second, again = journal.open_incidents("R", wanted)
    assert second == {**known, "new": False}
    assert first == again
    assert (first["object"], first["state"], first["segment"]) == ("vm-1", "open", "rack1")
    assert len(journal.incidents()) == 2
    assert journal.open_incidents("R", []) == []


def test_many_incidents_are_closed_at_once_each_for_its_reason(journal: Journal) -> None:
    ids = [journal.open_incident("cmp01", "R", None, "instance", f"vm-{number}")["id"] for number in range(3)]
    journal.set_incident(ids[0], "recovered")
    assert journal.close_incidents(dict(zip(ids, "abc"))) == ids[1:]
    assert [it["reason"] for it in journal.incidents(state="closed")] == ["b", "c"]
    assert journal.close_incidents({}) == []


def test_what_goes_on_tells_its_age_and_when_it_is_due(journal: Journal) -> None:
    for number in range(2):
        incident = journal.open_incident("cmp01", "R", None, "instance", f"vm-{number}")["id"]
    journal.hold_incident(incident, "later", 2, 30.0)
    first, second = journal.unended_incidents()
    assert (first["due_in"], 0 <= first["age"] < 60) == (0.0, True)
    assert 0 < second["due_in"] <= 30
    assert journal.retries("R") == [], "only hosts are fenced again"
    assert len(journal.retries("R", kind="instance")) == 1
    journal.set_incident(incident, "held", "its VMs were moved away", attempts=0)
    (again,) = [it for it in journal.unended_incidents() if it["id"] == incident]
    assert (again["due_in"], again["attempts"]) == (0.0, 0)


def test_of_many_incidents_that_are_wanted_the_new_ones_are_told_apart(journal: Journal) -> None:
    wanted = [{"host": "cmp01", "segment": None, "kind": "instance", "object": name} for name in ("vm-1", "vm-2")]
    (first,) = journal.open_incidents("R", wanted[:1])
    both = journal.open_incidents("R", wanted)
    assert (first["new"], [it["new"] for it in both], both[0]["id"]) == (True, [False, True], first["id"])
