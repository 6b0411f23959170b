"""The outside of fencing, with real processes; HTTP is in tests/real."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.contract import (
    FencingError,
    FencingRefused,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.world import real_world, run_command

PATIENCE = 20.0


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until_gone(pid: int) -> None:
    end = time.monotonic() + PATIENCE
    while not gone(pid):
        assert time.monotonic() < end, f"process {pid} is still there"
        time.sleep(0.01)


def test_a_command_gets_its_input_and_environment_and_gives_all_it_says() -> None:
    done = run_command(
        ["/bin/sh", "-c", 'read line; echo "$line $WORD"; echo bad >&2; exit 2'],
        env={"WORD": "there"},
        stdin="hello\n",
        timeout=PATIENCE,
    )
    assert (done.rc, done.stdout, done.stderr) == (2, "hello there\n", "bad\n")


def test_a_command_that_does_not_end_is_killed_with_all_its_children(tmp_path: Path) -> None:
    script = f"sleep 600 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/parent; wait"
    with pytest.raises(FencingError, match=r"sh gave no answer within 0\.5 s"):
        run_command(["/bin/sh", "-c", script], env={}, stdin="", timeout=0.5)
    wait_until_gone(int((tmp_path / "child").read_text()))
    wait_until_gone(int((tmp_path / "parent").read_text()))


def test_a_child_that_outlives_its_command_is_killed_too(tmp_path: Path) -> None:
    script = f"sleep 600 >/dev/null 2>&1 & echo $! > {tmp_path}/child"
    assert run_command(["/bin/sh", "-c", script], env={}, stdin="", timeout=PATIENCE).rc == 0
    wait_until_gone(int((tmp_path / "child").read_text()))


def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(FencingRefused, match="Cannot run no-such-tool on this machine"):
        run_command(["no-such-tool"], env={}, stdin="", timeout=1)


def test_times_for_people_are_utc() -> None:
    assert real_world().utc().endswith("+00:00")
