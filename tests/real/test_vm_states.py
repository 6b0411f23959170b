"""One run over VMs in every state: each is recovered as it was, or listed with the reason why not."""

from __future__ import annotations

import re

import pytest
import vm_matrix
from bed.client import Bed
from vm_matrix import CASES, Result


@pytest.fixture(scope="module")
def result(bed: Bed, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """What one run made of them all."""
    return vm_matrix.recover_all(bed, tmp_path_factory.mktemp("states"), CASES)


def test_no_vm_runs_twice(result: Result) -> None:
    assert result.twice == []


@pytest.mark.parametrize("name", CASES)
def test_every_state_has_its_outcome(result: Result, name: str) -> None:
    case, line = CASES[name], result.ledger.get(result.ids[name])

    assert (line or {"state": ""})["state"] == case.ledger, line
    assert re.search(case.reason, (line or {"reason": ""})["reason"] or "")
    assert result.after[name]["status"] == case.status


@pytest.mark.parametrize("name", CASES)
def test_what_is_recovered_runs_as_before_and_what_is_not_is_left_alone(result: Result, name: str) -> None:
    case, uuid = CASES[name], result.ids[name]
    host = result.after[name]["OS-EXT-SRV-ATTR:host"]
    runs_on = [one for one, uuids in result.running.items() if uuid in uuids]

    if case.moves:
        assert host == f"cmp{int(case.host[-2:]) + 1:02d}", "the other host of its segment"
        assert runs_on == ([host] if case.status == "ACTIVE" else [])
    else:
        assert host == result.before[name]["OS-EXT-SRV-ATTR:host"]
        assert [action for action in result.actions(name) if action != "evacuate"] == []
        assert result.after[name]["OS-EXT-STS:task_state"] == result.before[name]["OS-EXT-STS:task_state"]


def test_an_evacuation_is_asked_for_once_and_only_for_vms_that_may_go(result: Result) -> None:
    refused = {"vTPM", "Manila share"}
    asked = {name: result.actions(name).count("evacuate") for name in CASES}

    assert asked == {name: int(case.moves or name in refused) for name, case in CASES.items()}


def test_a_lock_of_the_owner_stays_with_its_reason(result: Result) -> None:
    assert result.after["locked"]["locked"]
    assert result.after["locked"]["locked_reason"] == "mine"


def test_the_report_names_what_was_not_recovered_and_the_run_says_so(result: Result) -> None:
    assert result.outcome.rc != 0
    for name, case in CASES.items():
        if case.ledger in ("skipped", "pending", "failed"):
            line = result.ledger[result.ids[name]]
            assert f"{line['name']} {line['state']}: {line['reason']}" in result.outcome.out
