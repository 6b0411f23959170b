"""What becomes of a VM of a living host, from the state that Nova shows."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _drain_states
from ansible_collections.openstack_ha.recovery.plugins.module_utils._drain_states import COLD, LIVE


def server(vm_state: str, task: str | None = None) -> dict[str, t.Any]:
    return {"OS-EXT-STS:vm_state": vm_state, "OS-EXT-STS:task_state": task}


@pytest.mark.parametrize(
    ("vm_state", "action", "former"),
    [
        ("active", "evacuate", "running"),
        ("paused", "evacuate", "paused"),
        ("stopped", "skip", "running"),
        ("suspended", "pending", "running"),
        ("rescued", "pending", "running"),
        ("resized", "pending", "running"),
        ("error", "pending", "running"),
        ("building", "pending", "running"),
        ("shelved", "skip", "running"),
        ("shelved_offloaded", "skip", "running"),
        ("deleted", "skip", "running"),
        ("soft-delete", "skip", "running"),
        ("something new", "pending", "running"),
    ],
)
def test_only_what_runs_or_is_paused_moves_alive(vm_state: str, action: str, former: str) -> None:
    step = _drain_states.next_step(server(vm_state), "leave")
    assert (step.action, step.former) == (action, former)
    assert bool(step.reason) == (action != "evacuate")


def test_what_is_powered_off_moves_where_the_policy_says_so() -> None:
    step = _drain_states.next_step(server("stopped"), COLD)
    assert (step.action, step.former, _drain_states.way(step.former)) == ("evacuate", "stopped", COLD)
    assert {_drain_states.way(was) for was in ("running", "paused")} == {LIVE}


@pytest.mark.parametrize("task", ["rebooting", "image_snapshot", "powering-off", "rebuilding", "something new"])
def test_what_nova_is_at_work_on_is_left_to_it(task: str) -> None:
    step = _drain_states.next_step(server("active", task), "leave")
    assert step.action == "pending"
    assert task in step.reason


def test_what_is_being_deleted_is_no_failure() -> None:
    assert _drain_states.next_step(server("active", "deleting"), "leave").action == "skip"


@pytest.mark.parametrize(("status", "action"), [("running", "follow"), ("queued", "follow"), ("error", "pending")])
def test_what_is_on_its_way_is_followed_while_nova_is_at_work_on_it(status: str, action: str) -> None:
    assert _drain_states.next_step(server("active", "migrating"), "leave", {"status": status}).action == action
    assert _drain_states.next_step(server("active", "migrating"), "leave").action == "pending"


@pytest.mark.parametrize(("was", "vm_state"), [("running", "active"), ("paused", "paused"), ("stopped", "stopped")])
def test_it_must_be_as_it_was(was: str, vm_state: str) -> None:
    assert _drain_states.is_as_before(server(vm_state), was)
    assert not _drain_states.is_as_before(server("error"), was)
    assert _drain_states.former(server(vm_state)) == was
