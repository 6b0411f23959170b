# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
import sqlalchemy as sa

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import states
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal

Run = t.Dict[str, t.Any]


@pytest.fixture
def run(new_run: t.Callable[..., Run]) -> Run:
    return new_run("cmp03")


@pytest.fixture
def incident(run: Run) -> str:
    return str(run["hosts"][0]["incident_id"])


def _line(incident: str, server: str, **fields: t.Any) -> dict[str, t.Any]:
    return {"incident_id": incident, "server_id": server, **fields}


def test_lines_come_back_in_the_order_of_the_plan(journal: Journal, run: Run, incident: str) -> None:
    lines = [_line(incident, name, position=place, facts={"x": 1}) for name, place in (("b", 1), ("c", 3), ("a", 2))]
    assert journal.plan_lines(run["id"], lines) == 3
    found = journal.lines([incident])
    assert [(it["server_id"], it["state"], it["attempts"]) for it in found] == [
        ("b", "planned", 0),
        ("a", "planned", 0),
        ("c", "planned", 0),
    ]
    assert found[0]["facts"] == {"x": 1}
    assert found[0]["planned_at"]


def test_an_empty_plan_is_no_line(journal: Journal, run: Run) -> None:
    assert journal.plan_lines(run["id"], []) == 0


@pytest.mark.parametrize("state", states.LINE)
def test_a_new_plan_replaces_only_lines_that_nova_was_not_asked_for(
    journal: Journal, run: Run, incident: str, state: str
) -> None:
    journal.plan_lines(run["id"], [_line(incident, "a", target="cmp01")])
    journal.set_line(incident, "a", state)
    replaced = journal.plan_lines(run["id"], [_line(incident, "a", target="cmp02", reason="again")])
    line = journal.lines([incident])[0]
    if state in ("planned", "skipped", "pending", "failed"):
        assert (replaced, line["state"], line["target"]) == (1, "planned", "cmp02")
    else:
        assert (replaced, line["state"], line["target"]) == (0, state, "cmp01")


def test_lines_of_another_incident_are_others(journal: Journal, run: Run, incident: str) -> None:
    other = journal.open_incident("cmp04", "R", "rack1")["id"]
    journal.plan_lines(run["id"], [_line(incident, "a")])
    journal.set_line(incident, "a", "verified")
    assert journal.plan_lines(run["id"], [_line(other, "a")]) == 1
    assert journal.counts([incident, other]) == {"verified": 1, "planned": 1}


def test_a_plan_is_written_whole_or_not_at_all(journal: Journal, run: Run, incident: str) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        journal.plan_lines(run["id"], [_line(incident, "a"), _line("no such incident", "b")])
    assert journal.lines([incident]) == []


def test_a_state_changes_only_from_an_expected_one(journal: Journal, run: Run, incident: str) -> None:
    journal.plan_lines(run["id"], [_line(incident, "a")])
    assert journal.set_line(incident, "a", "requesting", expect="planned", attempts=1)
    assert not journal.set_line(incident, "a", "requesting", expect="planned", attempts=2)
    assert journal.set_line(incident, "a", "requested", expect=("requesting", "planned"), request_id="req-1")
    line = journal.lines([incident])[0]
    assert (line["state"], line["attempts"], line["request_id"]) == ("requested", 1, "req-1")
    assert line["requesting_at"] <= line["requested_at"] == line["changed_at"]


def test_a_line_that_is_not_there_is_not_changed(journal: Journal, run: Run, incident: str) -> None:
    assert not journal.set_line(incident, "nobody", "requested")
    assert journal.lines([incident]) == []


def test_setting_the_same_again_still_says_that_the_line_is_there(journal: Journal, run: Run, incident: str) -> None:
    journal.plan_lines(run["id"], [_line(incident, "a")])
    assert all(journal.set_line(incident, "a", "failed", reason="no host") for _index in range(2))


def test_unknown_states_and_fields_are_refused(journal: Journal, run: Run, incident: str) -> None:
    with pytest.raises(ValueError, match="unknown state 'lost'"):
        journal.set_line(incident, "a", "lost")
    with pytest.raises(ValueError, match="unknown fields of a ledger line: colour"):
        journal.plan_lines(run["id"], [_line(incident, "a", colour="red")])


def test_no_incidents_have_no_counts(journal: Journal) -> None:
    assert journal.counts([]) == {}
