"""Older clouds: another path, the same outcome."""

from __future__ import annotations

import dataclasses
import os
import typing as t

import pytest
import vm_matrix
from bed.client import Bed, default_python
from vm_matrix import CASES, Result


@dataclasses.dataclass(frozen=True)
class Age:
    """A cloud by the newest microversion it knows, and how VMs are evacuated there."""

    newest: str
    evacuates_with: frozenset[str]
    body: t.Mapping[str, t.Any]
    deep: bool = False


AGES = [
    Age("2.53", frozenset({"2.29"}), {"host": "cmp02", "force": False}),
    Age("2.68", frozenset({"2.68"}), {"host": "cmp02"}, deep=True),
    Age("2.93", frozenset({"2.93"}), {"host": "cmp02"}),
]


_PARAMS = [pytest.param(age, id=age.newest, marks=[pytest.mark.deep] if age.deep else []) for age in AGES]


@pytest.fixture(scope="module", params=_PARAMS)
def age(request: pytest.FixtureRequest) -> Age:
    found: Age = request.param
    return found


@pytest.fixture(scope="module")
def result(age: Age, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Result]:
    """One run over VMs in all states on a cloud of that age."""
    if not os.access(default_python(), os.X_OK):
        pytest.skip(f"no interpreter with Nova at {default_python()}: run make, or set BED_PYTHON")
    directory = tmp_path_factory.mktemp("old")
    with Bed.start(directory / "bed", computes=6, max_microversion=age.newest) as bed:
        yield vm_matrix.recover_all(bed, directory, CASES)


def test_no_vm_runs_twice(result: Result) -> None:
    assert result.twice == []


def test_every_state_has_the_outcome_that_it_has_on_a_new_cloud(result: Result) -> None:
    found = {
        name: (
            result.ledger.get(result.ids[name], {"state": ""})["state"],
            result.after[name]["status"],
            result.after[name]["OS-EXT-SRV-ATTR:host"] != result.before[name]["OS-EXT-SRV-ATTR:host"],
        )
        for name in CASES
    }
    assert found == {name: (case.ledger, case.status, case.moves) for name, case in CASES.items()}


def test_each_vm_is_asked_for_once_with_what_that_cloud_knows(age: Age, result: Result) -> None:
    asked = {name: result.actions(name).count("evacuate") for name in CASES}
    assert asked == {name: int(case.moves or case.ledger == "failed") for name, case in CASES.items()}
    evacuations = [call for call in result.calls if call.get("action") == "evacuate"]
    assert {call["microversion"] for call in evacuations} == age.evacuates_with
    assert age.body in [call["body"]["evacuate"] for call in evacuations]
    assert all(
        "force" not in call["body"]["evacuate"] or call["body"]["evacuate"]["force"] is False for call in evacuations
    )


def test_what_was_not_running_is_powered_off_again_after_it_was_started_elsewhere(result: Result) -> None:
    reset = {"paused", "suspended", "rescued", "error, was stopped", "powering off"}
    stopped = {name for name in CASES if "os-stop" in result.actions(name)}
    assert stopped == reset


def test_a_lock_of_the_owner_stays(result: Result) -> None:
    assert result.after["locked"]["locked"]
