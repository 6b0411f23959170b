from __future__ import annotations

import os
import sys
import threading
import time
import typing as t
from pathlib import Path

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.options import check
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.options_process import UNIT
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.process_checks import (
    Check,
    command,
    run_command,
)


def checker(answers: t.Sequence[str]) -> Check:
    left = list(answers)
    options = check({"check": ["it"], "check_interval": 10, "check_failures": 2}, UNIT)
    return Check(options, "uri", lambda _argv, _timeout: left.pop(0))


def go(made: Check, now: float) -> None:
    done = threading.Event()
    made.start(now, done.set)
    assert done.wait(60)


def test_it_hangs_after_so_many_failures_in_a_row_and_not_before() -> None:
    made = checker(["bad", "", "bad", "worse"])
    found = []
    for now in (0, 10, 20, 30):
        go(made, now)
        found.append(made.wrong())
    assert found == ["", "", "", "worse"]
    assert made.passed()


def test_after_a_restart_it_has_to_pass_anew() -> None:
    made = checker(["", "bad", "bad", ""])
    for now in (0, 10, 20):
        go(made, now)
    made.forget(21)
    assert (made.wrong(), made.passed(), made.due(21)) == ("", False, 10)
    go(made, 31)
    assert made.passed()


def test_it_is_not_done_before_its_time() -> None:
    made = checker([""])
    go(made, 0)
    made.start(9, lambda: None)  # there is no second answer
    assert made.due(9) == 1


def test_commands_are_judged_by_their_exit_code_and_told_with_what_they_say() -> None:
    assert run_command(["true"], 60) == ""
    assert run_command(["sh", "-c", "echo it is broken; exit 3"], 60) == "check sh ended with 3: it is broken"
    assert run_command(["/no/such/check"], 60).startswith("check check cannot be started: ")


def test_a_command_that_hangs_is_killed_with_all_that_it_has_started(tmp_path: Path) -> None:
    # The end of the pipe shows that nobody has it any more: neither the command nor what it has started.
    os.mkfifo(tmp_path / "held")
    reader = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    said = run_command(["sh", "-c", f"exec 9> {tmp_path / 'held'}; sleep 60 & sleep 60"], 2)
    assert said == "check sh had no answer within 2 s"
    os.set_blocking(reader, True)
    began = time.monotonic()
    assert os.read(reader, 1) == b""
    assert time.monotonic() - began < 40
    os.close(reader)


def test_what_a_check_finds_out_about_the_time_before_a_restart_does_not_count() -> None:
    asked, answer, done = threading.Event(), threading.Event(), threading.Event()

    def run(_argv: list[str], _timeout: float) -> str:
        asked.set()
        assert answer.wait(60)
        done.set()
        return "bad"

    made = Check(check({"check": ["it"], "check_failures": 1}, UNIT), "uri", run)
    made.start(0, lambda: None)
    assert asked.wait(60)
    made.forget(1)
    answer.set()
    assert done.wait(60)
    while made.busy:
        time.sleep(0.01)
    assert made.wrong() == ""


def test_the_check_of_libvirt_is_built_in() -> None:
    argv = command(["libvirt"], "qemu:///system")
    assert (argv[0], argv[-1]) == (sys.executable, "qemu:///system")
    assert argv[-2].endswith("check_libvirt.py")
    assert command(["/usr/bin/it", "x"], "") == ["/usr/bin/it", "x"]
