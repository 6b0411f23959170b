# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import holder


@pytest.fixture
def child() -> t.Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def test_this_process_is_alive_and_described() -> None:
    me = holder.describe(playbook="recover_host")
    assert holder.is_alive(me) is True
    assert me["pid"] == os.getpid()
    assert me["started_at"].endswith("Z")
    assert holder.words(me) == f"{me['user']}@{me['hostname']}, process {os.getpid()} (recover_host)"


def test_a_killed_process_is_not_alive_even_before_it_is_reaped(child: subprocess.Popen[bytes]) -> None:
    described = holder.describe(child.pid)
    assert holder.is_alive(described) is True
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert holder.is_alive(described) is False, "a zombie does no work"
    child.wait()
    assert holder.is_alive(described) is False


def test_another_process_with_the_same_number_is_not_the_holder(child: subprocess.Popen[bytes]) -> None:
    described = holder.describe(child.pid)
    assert holder.is_alive({**described, "pid_start": described["pid_start"] - 1}) is False


@pytest.mark.parametrize(
    "changed", [{"boot_id": "other"}, {"pid_namespace": "pid:[1]"}, {"pid": None}, {"pid_start": None}]
)
def test_what_cannot_be_seen_from_here_is_unknown(changed: dict[str, t.Any]) -> None:
    assert holder.is_alive({**holder.describe(), **changed}) is None


def test_an_empty_holder_is_unknown() -> None:
    assert holder.is_alive({}) is None


def test_a_process_that_proc_hides_is_unknown_not_dead(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any
) -> None:
    # What another user sees with the mount option hidepid: /proc without that process.
    described = holder.describe(child.pid)
    hidden = tmp_path / "sys/kernel/random"
    hidden.mkdir(parents=True)
    (hidden / "boot_id").write_text(described["boot_id"])
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to(described["pid_namespace"])
    monkeypatch.setattr(holder, "_PROC", str(tmp_path))
    assert holder.is_alive(described) is None
    child.kill()
    child.wait()
    assert holder.is_alive(described) is False


def test_a_command_name_with_parentheses_does_not_confuse(tmp_path: t.Any) -> None:
    program = tmp_path / "a) R 1 ("
    program.symlink_to("/bin/sleep")
    process = subprocess.Popen([str(program), "60"])
    try:
        described = holder.describe(process.pid)
        assert holder.is_alive(described) is True
        assert described["pid_start"] >= holder.describe(os.getpid())["pid_start"]
    finally:
        process.kill()
        process.wait()
