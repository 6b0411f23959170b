from __future__ import annotations

import itertools
import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._vmstate import (
    Step,
    former_power,
    has_local_disk,
    is_rebuilding,
    next_step,
)

# nova.compute.vm_states and nova.compute.task_states of Nova 34
VM_STATES = (
    "active", "building", "paused", "suspended", "stopped", "rescued", "resized",
    "soft-delete", "deleted", "error", "shelved", "shelved_offloaded",
)  # fmt: skip
TASK_STATES = (
    "", "scheduling", "block_device_mapping", "networking", "spawning", "image_snapshot", "image_snapshot_pending",
    "image_pending_upload", "image_uploading", "image_backup", "updating_password", "resize_prep", "resize_migrating",
    "resize_migrated", "resize_finish", "resize_reverting", "resize_confirming", "rebooting", "reboot_pending",
    "reboot_started", "rebooting_hard", "reboot_pending_hard", "reboot_started_hard", "pausing", "unpausing",
    "suspending", "resuming", "powering-off", "powering-on", "rescuing", "unrescuing", "rebuilding",
    "rebuild_block_device_mapping", "rebuild_spawning", "migrating", "deleting", "soft-deleting", "restoring",
    "shelving", "shelving_image_pending_upload", "shelving_image_uploading", "shelving_offloading", "unshelving",
)  # fmt: skip
RECORDS = (None, "accepted", "pre-migrating", "done", "completed", "failed", "error")
DISKS = ("volume", "image", "ephemeral", "swap")
SEGMENTS = (
    {"shared_storage": True},
    {"shared_storage": False},
    {"shared_storage": False, "allow_local_disk_loss": True},
    {},
)

SHARED = {"shared_storage": True}
MOVING = {"migrating", "resize_prep", "resize_migrating", "resize_migrated", "resize_finish", "resize_reverting"}
MATRIX = list(itertools.product(VM_STATES, TASK_STATES, RECORDS, DISKS, range(len(SEGMENTS)), (1, 4)))


def server(state: str, task: str = "", disk: str = "volume", power: int = 1) -> dict[str, t.Any]:
    return {
        "OS-EXT-STS:vm_state": state,
        "OS-EXT-STS:task_state": task or None,
        "OS-EXT-STS:power_state": power,
        "image": {"id": "i"} if disk == "image" else "",
        "flavor": {"ephemeral": 5 if disk == "ephemeral" else 0, "swap": 512 if disk == "swap" else ""},
    }


def step(state: str, task: str = "", record: str | None = None, disk: str = "volume", **facts: t.Any) -> Step:
    evacuation = {"id": 7, "status": record} if record else None
    segment = facts.pop("segment", SHARED)
    return next_step(server(state, task, disk, **facts), segment, evacuation)


# -- the table --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "power", "action", "former", "reset"),
    [
        ("active", 1, "evacuate", "running", False),
        ("active", 4, "evacuate", "running", False),
        ("stopped", 4, "evacuate", "stopped", False),
        ("paused", 3, "evacuate", "stopped", True),
        ("suspended", 4, "evacuate", "stopped", True),
        ("rescued", 1, "evacuate", "stopped", True),
        ("error", 1, "evacuate", "running", False),
        ("error", 4, "evacuate", "stopped", True),
        ("resized", 1, "evacuate", "running", True),
        ("resized", 4, "evacuate", "stopped", True),
    ],
)
def test_states_that_are_recovered_and_how(state: str, power: int, action: str, former: str, reset: bool) -> None:
    it = step(state, power=power)
    assert (it.action, it.former, it.reset) == (action, former, reset)


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("building", "still being built"),
        ("shelved", "shelved"),
        ("shelved_offloaded", "shelved"),
        ("soft-delete", "deleted"),
        ("deleted", "deleted"),
    ],
)
def test_states_that_are_skipped_and_why(state: str, word: str) -> None:
    it = step(state)
    assert it.action == "skip"
    assert word in it.reason


@pytest.mark.parametrize(
    ("disk", "segment", "action"),
    [
        ("volume", {"shared_storage": False}, "evacuate"),
        ("image", {"shared_storage": False}, "skip"),
        ("ephemeral", {"shared_storage": False}, "skip"),
        ("swap", {"shared_storage": False}, "skip"),
        ("image", {}, "skip"),
        ("image", {"shared_storage": True}, "evacuate"),
        ("image", {"shared_storage": False, "allow_local_disk_loss": True}, "evacuate"),
    ],
)
def test_a_local_disk_is_lost_only_with_permission(disk: str, segment: dict[str, bool], action: str) -> None:
    it = step("active", disk=disk, segment=segment)
    assert it.action == action
    assert action == "evacuate" or "allow_local_disk_loss" in it.reason


@pytest.mark.parametrize(
    ("state", "task", "record", "action"),
    [
        ("active", "rebuilding", "accepted", "follow"),
        ("active", "rebuild_spawning", "pre-migrating", "follow"),
        ("error", "rebuilding", "accepted", "follow"),
        ("active", "", "accepted", "follow"),
        ("error", "", "accepted", "evacuate"),
        ("error", "", "error", "evacuate"),
        ("error", "", "failed", "pending"),
        ("active", "rebuilding", "error", "follow"),
        ("active", "rebuilding", "failed", "follow"),
        ("active", "rebuilding", None, "pending"),
        ("active", "rebuild_spawning", "done", "follow"),
        ("active", "rebuilding", "completed", "pending"),
    ],
)
def test_evacuations_under_way_are_followed_and_other_rebuilds_left_alone(
    state: str, task: str, record: str | None, action: str
) -> None:
    assert step(state, task, record).action == action


@pytest.mark.parametrize("task", sorted(MOVING))
def test_a_vm_in_the_middle_of_another_migration_waits_for_a_person(task: str) -> None:
    it = step("active", task)
    assert it.action == "pending"
    assert "other host" in it.reason


@pytest.mark.parametrize(
    ("state", "task", "former"),
    [
        ("active", "", "running"),
        ("active", "rebooting_hard", "running"),
        ("active", "powering-off", "stopped"),
        ("stopped", "", "stopped"),
        ("stopped", "powering-on", "stopped"),
        ("paused", "unpausing", "stopped"),
    ],
)
def test_a_power_state_on_its_way_counts_only_downwards(state: str, task: str, former: str) -> None:
    assert former_power(server(state, task)) == former


# -- every cell of the matrix ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def outcomes() -> list[tuple[t.Any, Step]]:
    return [
        (cell, step(cell[0], cell[1], cell[2], cell[3], segment=SEGMENTS[cell[4]], power=cell[5])) for cell in MATRIX
    ]


def test_every_cell_has_an_outcome_and_whatever_is_not_moved_has_a_reason(outcomes: list[tuple[t.Any, Step]]) -> None:
    assert len(outcomes) == 12 * 43 * 7 * 4 * 4 * 2
    for cell, it in outcomes:
        assert it.action in ("evacuate", "follow", "skip", "pending"), cell
        assert it.former in ("running", "stopped"), cell
        assert it.reason or it.action == "evacuate", cell


def test_nothing_that_is_rebuilding_is_ever_reset_or_asked_for_again(outcomes: list[tuple[t.Any, Step]]) -> None:
    rebuilding = [(cell, it) for cell, it in outcomes if cell[1].startswith("rebuil")]
    assert rebuilding
    for cell, it in rebuilding:
        assert is_rebuilding(server(cell[0], cell[1])), cell
        assert it.action != "evacuate", cell
        assert not it.reset, cell


def test_nothing_that_its_owner_deletes_is_ever_evacuated(outcomes: list[tuple[t.Any, Step]]) -> None:
    deleting = [
        it for cell, it in outcomes if cell[0] in ("deleted", "soft-delete") or cell[1] in ("deleting", "soft-deleting")
    ]
    assert deleting
    assert {it.action for it in deleting} == {"skip"}


def test_nothing_is_asked_for_while_a_record_is_open_except_from_error(outcomes: list[tuple[t.Any, Step]]) -> None:
    for cell, it in outcomes:
        if cell[2] in ("accepted", "pre-migrating") and cell[0] != "error":
            assert it.action in ("follow", "skip"), cell


def test_local_disks_are_never_lost_without_permission(outcomes: list[tuple[t.Any, Step]]) -> None:
    for cell, it in outcomes:
        segment = SEGMENTS[cell[4]]
        if cell[3] != "volume" and not segment.get("shared_storage") and not segment.get("allow_local_disk_loss"):
            assert it.action != "evacuate", cell


def test_only_states_from_which_nova_evacuates_go_without_a_reset(outcomes: list[tuple[t.Any, Step]]) -> None:
    for cell, it in outcomes:
        if it.action == "evacuate" and not it.reset:
            assert cell[0] in ("active", "stopped", "error"), cell


def test_a_guest_that_did_not_run_for_its_owner_is_never_left_running(outcomes: list[tuple[t.Any, Step]]) -> None:
    for cell, it in outcomes:
        if it.action in ("evacuate", "follow") and cell[0] in ("paused", "suspended", "rescued", "stopped"):
            assert it.former == "stopped", cell


def test_a_waiting_call_that_would_start_a_second_copy_is_told(outcomes: list[tuple[t.Any, Step]]) -> None:
    for cell, it in outcomes:
        starts_a_copy = cell[1] in ("powering-on", "resuming", "rescuing", "unrescuing")
        if it.action == "evacuate":
            assert (f"task_state was {cell[1]}: that call may wait" in it.note) is starts_a_copy, cell


@pytest.mark.parametrize(("disk", "local"), [("volume", False), ("image", True), ("ephemeral", True), ("swap", True)])
def test_what_counts_as_a_local_disk(disk: str, local: bool) -> None:
    assert has_local_disk(server("active", disk=disk)) is local


def test_a_document_with_nothing_in_it_is_not_taken_for_a_dead_or_a_diskful_server() -> None:
    assert next_step({}, SHARED).action == "evacuate"
    assert not has_local_disk({})
