"""docs/vm_states.md says what the code does: each row of its first table is tried."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._vmstate import next_step

PAGE = Path(__file__).resolve().parents[2] / "docs" / "vm_states.md"
ACTIONS = {"skipped": "skip", "followed": "follow", "pending": "pending", "recovered": "evacuate"}
SHARED = {"shared_storage": True}
UNDER_WAY = {"id": 1, "status": "accepted"}
FAILED = {"id": 1, "status": "failed", "dest_compute": "cmp02"}
RUNNING, SHUTDOWN = 1, 4


def vm(vm_state: str, task: str | None = None, power: int = SHUTDOWN) -> dict[str, t.Any]:
    return {
        "OS-EXT-STS:vm_state": vm_state,
        "OS-EXT-STS:task_state": task,
        "OS-EXT-STS:power_state": power,
        "image": {"id": "an image"},
    }


#: By the first words of a row: VMs that it is about, with their segment and newest evacuation record.
SAMPLES: dict[str, list[tuple[dict[str, t.Any], dict[str, t.Any], dict[str, t.Any] | None]]] = {
    "deleted or soft-deleted": [
        (vm("deleted"), SHARED, None),
        (vm("soft-delete"), SHARED, None),
        (vm("active", "deleting"), SHARED, None),
        (vm("stopped", "soft-deleting"), SHARED, None),
    ],
    "building": [(vm("building", "spawning"), SHARED, None)],
    "shelved, shelved_offloaded": [(vm("shelved"), SHARED, None), (vm("shelved_offloaded"), SHARED, None)],
    "an evacuation is under way": [(vm("active", "rebuilding"), {}, UNDER_WAY), (vm("active"), {}, UNDER_WAY)],
    "task `rebuild…`, its evacuation has just failed": [
        (vm("active", "rebuilding"), SHARED, {"id": 1, "status": status}) for status in ("failed", "error")
    ],
    "task `rebuild…`, its evacuation has just ended": [
        (vm("active", "rebuild_spawning"), SHARED, {"id": 1, "status": "done"})
    ],
    "task `rebuild…`, no evacuation": [(vm("active", "rebuild_spawning"), {}, None)],
    "task `migrating`, `resize_…`": [
        (vm("active", task), {}, None) for task in ("migrating", "resize_prep", "resize_migrating", "resize_finish")
    ],
    "ERROR, its evacuation failed after the target had begun with it": [
        ({**vm("error", power=RUNNING), "fault": {"message": said, "details": where}}, SHARED, FAILED)
        for said, where in (
            ("MessagingTimeout", "in _do_rebuild_instance\n instance.save("),
            ("MessagingTimeout", "in _rebuild_default_impl\n instance.save("),
            ("RuntimeError", ""),
        )
    ],
    "local disk": [
        (vm("active"), {}, None),
        ({**vm("stopped"), "image": "", "flavor": {"ephemeral": 1}}, {}, None),
        ({**vm("error"), "image": "", "flavor": {"swap": 1}}, {}, None),
    ],
    "active": [(vm("active"), SHARED, None), (vm("active"), {"allow_local_disk_loss": True}, None)],
    "active, task `powering-off`": [(vm("active", "powering-off"), SHARED, None)],
    "stopped": [(vm("stopped"), SHARED, None)],
    "paused": [(vm("paused"), SHARED, None)],
    "suspended": [(vm("suspended"), SHARED, None)],
    "rescued": [(vm("rescued"), SHARED, None)],
    "resized, not confirmed": [(vm("resized"), SHARED, None), (vm("resized", power=RUNNING), SHARED, None)],
    "ERROR": [
        (vm("error"), SHARED, None),
        (vm("error", power=RUNNING), SHARED, None),
        ({**vm("error", power=RUNNING), "fault": {"message": "No valid host was found. "}}, SHARED, FAILED),
        ({**vm("error"), "fault": {"message": "libvirtError", "details": "in _rebuild_default_impl"}}, SHARED, FAILED),
        ({**vm("error"), "fault": {"message": "?", "details": "in setup_networks_on_host"}}, SHARED, FAILED),
        (vm("error"), SHARED, {**FAILED, "status": "error"}),
    ],
    "active, any other task": [
        (vm("active", task), SHARED, None) for task in ("rebooting", "reboot_started_hard", "image_snapshot")
    ],
}


def rows() -> list[tuple[str, str]]:
    """State and outcome of each row of the first table."""
    lines = PAGE.read_text(encoding="utf-8").split("| state in Nova |")[1].split("\n\n")[0].splitlines()[2:]
    return [(cells[1].strip(), cells[2].strip()) for cells in (line.split("|") for line in lines)]


def sample_of(state: str) -> str:
    """The key of the samples of a row: the longest one that the row begins with."""
    return max((key for key in SAMPLES if state.startswith(key)), key=len, default="")


def test_every_row_is_tried_and_every_sample_has_its_row() -> None:
    assert sorted(sample_of(state) for state, _outcome in rows()) == sorted(SAMPLES)


@pytest.mark.parametrize(("state", "outcome"), rows())
def test_a_row_says_what_the_code_does(state: str, outcome: str) -> None:
    steps = [next_step(*sample) for sample in SAMPLES[sample_of(state)]]

    assert {step.action for step in steps} == {ACTIONS[outcome.split(",")[0]]}
    words = outcome.split(",", 1)[1] if "," in outcome else ""
    if steps[0].action == "evacuate":
        powers = {"running" if "running" in words or "former" in words else "", "stopped" if "off" in words else ""}
        powers |= {"stopped"} if "former" in words else set()
        assert {step.former for step in steps} == powers - {""}
