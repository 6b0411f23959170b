# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import subprocess
import sys
import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import processes

FAMILY = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE,
                         start_new_session=True)
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def family() -> t.Iterator[tuple[int, int]]:
    """A process and its child in another session, which end with the input of this one."""
    with subprocess.Popen(
        [sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        yield parent.pid, int(parent.stdout.readline())
        assert parent.stdin
        parent.stdin.close()


def test_a_tree_has_what_left_for_sessions_of_their_own(family: tuple[int, int]) -> None:
    assert tuple(process.pid for process in processes.tree(family[0])) == family
    assert all(processes.lives(process) for process in processes.tree(family[0]))


def test_a_process_is_not_taken_for_another_with_its_number(family: tuple[int, int]) -> None:
    (parent, child) = processes.tree(family[0])
    other = processes.Process(child.pid, child.start + 1)
    assert not processes.lives(other)
    processes.send(other, signal.SIGKILL)
    assert processes.lives(child)
    processes.send(child, signal.SIGKILL)
    processes.wait([child, other], 60)
    assert processes.lives(parent)


def test_waiting_ends_when_its_time_is_over(family: tuple[int, int]) -> None:
    with pytest.raises(TimeoutError, match=str(family[0])):
        processes.wait(processes.tree(family[0]), 0.0)


def test_a_process_that_is_gone_has_no_tree() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert processes.tree(gone.pid) == []
    assert processes.tree(os.getpid())[0].pid == os.getpid()
