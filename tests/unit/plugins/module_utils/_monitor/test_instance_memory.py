from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.instance_memory import Memory


def test_what_ran_is_known_after_a_restart_of_the_program(tmp_path: Path) -> None:
    path = str(tmp_path / "vms.json")
    first = Memory(path, "boot-1")
    assert first.fresh
    first.note("vm1", "instance-1", ran=True)
    first.note("vm1", "instance-1", agent=True)
    first.note("vm2", "instance-2", ran=True)
    first.forget("vm2")
    second = Memory(path, "boot-1")
    assert (second.fresh, second.rebooted, second.uuids()) == (False, False, ["vm1"])
    assert (second.ran("vm1"), second.answered("vm1"), second.name("vm1")) == (True, True, "instance-1")
    assert Memory(path, "boot-2").rebooted


@pytest.mark.parametrize("content", ["", "{", "[]", '{"vms": 3}'])
def test_a_file_that_is_broken_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "vms.json"
    path.write_text(content)
    assert Memory(str(path), "boot-1").uuids() == []


def test_where_nothing_can_be_written_it_is_said_and_known_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory = Memory(str(tmp_path / "gone" / "vms.json"), "boot-1")
    memory.note("vm1", "instance-1", ran=True)
    assert memory.ran("vm1")
    assert "cannot be written" in caplog.text
