"""A warm ansible-playbook behind unmodified ansible-runner: as the plain one, only sooner; never in its way."""

from __future__ import annotations

import os
import signal
import threading
import typing as t
from pathlib import Path

import pytest
from driver import until
from processes import alive, children, kill

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import environment
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.launch import Ended, Order, Progress
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.run import LocalLauncher
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.warm import Warm

LOAD = 120.0
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Say
      ansible.builtin.debug:
        msg: "heard: {{ said | default('nothing') }}; {{ lookup('ansible.builtin.file', '/proc/self/cmdline') }}"
    - name: Wait for the test
      ansible.builtin.wait_for:
        path: "{{ gate }}"
        timeout: 120
      when: gate is defined
    - name: Fail
      ansible.builtin.fail:
        msg: as wanted
      when: fail is defined
"""


class Machine:
    """Runs a playbook through ansible-runner."""

    def __init__(self, directory: Path, patience: float = 60.0) -> None:
        self.directory, self.log = directory, []  # type: ignore[var-annotated]
        self.play = directory / "play.yml"
        self.play.write_text(PLAY, encoding="utf-8")
        self.runs = directory / "runs"
        plain = environment.for_runs(str(directory / "url"))
        complete = LocalLauncher(str(self.runs), "localhost,", plain).complete()
        self.warm = Warm(complete, str(self.runs), self.log.append, patience)
        self.environment = plain
        self.number = 0
        self.progress: Progress | None = None

    def start_server(self) -> int:
        """Its process."""
        self.warm.start()
        assert self.warm.ready(LOAD)
        return t.cast(int, self.warm.pid())

    def run(self, canceled: t.Callable[[], str | None] = lambda: None, **variables: t.Any) -> tuple[Ended, bool]:
        """How it ended, and whether it was warm."""
        self.number += 1
        order = Order(f"run{self.number}", (), str(self.play), variables)
        self.progress = Progress(order, "local", self.log.append)
        launcher = LocalLauncher(str(self.runs), "localhost,", {**self.environment, **self.warm.variables()})
        ended = launcher.run(order, self.progress, canceled)
        said = (launcher.artifacts(order.run_id) / "stdout").read_text(encoding="utf-8")
        assert f"heard: {variables.get('said', 'nothing')}" in said
        return ended, "warm_server.py" in said

    def waits(self) -> bool:
        return any("Wait for the test" in line for line in self.log)


@pytest.fixture
def machine(tmp_path: Path) -> t.Iterator[Machine]:
    it = Machine(tmp_path)
    yield it
    it.warm.stop()


def test_a_warm_run_ends_as_a_cold_one(machine: Machine) -> None:
    cold = [machine.run(said="hello"), machine.run(fail=1)]
    machine.start_server()
    warm = [machine.run(said="hello"), machine.run(fail=1)]
    assert [(ended.status, ended.rc) for ended, _warm in cold] == [("successful", 0), ("failed", 2)]
    assert [ended for ended, _warm in cold] == [ended for ended, _warm in warm]
    assert [it for _ended, it in cold + warm] == [False, False, True, True]


def test_without_its_server_runs_are_cold_until_it_is_back(machine: Machine) -> None:
    server = machine.start_server()
    kill([server])
    assert machine.run() == (Ended("successful", 0), False)
    until(lambda: machine.warm.pid() != server and machine.warm.ready(), LOAD)
    assert machine.run() == (Ended("successful", 0), True)
    assert "is started again in 1 s" in " ".join(machine.log)


def test_a_run_that_would_find_another_configuration_is_cold(machine: Machine) -> None:
    machine.start_server()
    usual = machine.environment
    machine.environment = {**usual, "ANSIBLE_FORKS": "7"}
    assert machine.run() == (Ended("successful", 0), False)
    machine.environment = usual
    assert machine.run()[1]


def test_when_code_or_configuration_change_the_server_loads_them_anew(machine: Machine) -> None:
    server = machine.start_server()
    (machine.runs / "ansible.cfg").write_text("[defaults]\nforks = 7\n", encoding="utf-8")
    assert machine.run() == (Ended("successful", 0), False)
    assert machine.warm.ready(LOAD)
    assert machine.run() == (Ended("successful", 0), True)
    assert machine.warm.pid() == server


@pytest.mark.parametrize("how", ["cancel", "kill the launcher", "kill the minder"])
def test_a_warm_run_can_be_ended_and_leaves_nothing_behind(machine: Machine, how: str) -> None:
    others = set(children(os.getpid()))
    machine.start_server()
    over = threading.Event()
    seen: list[int] = []

    def canceled() -> str | None:
        if machine.waits() and not seen:
            seen.extend(pid for pid in children(os.getpid()) if pid not in others)
            if how == "kill the launcher":
                kill([pid for pid in seen if b"warm_launcher" in Path(f"/proc/{pid}/cmdline").read_bytes()])
            if how == "kill the minder":
                kill([pid for pid in seen if _parent(pid) == machine.warm.pid()])
            over.set()
        return "enough" if over.is_set() and how == "cancel" else None

    ended, warm = machine.run(canceled, gate="/no/such/gate")
    assert warm
    assert (ended.status, ended.reason) == ("canceled", "enough") if how == "cancel" else ended.status == "failed"
    server = machine.warm.pid()
    until(lambda: [pid for pid in children(t.cast(int, server)) if alive(pid)] == [], 60)
    until(lambda: [pid for pid in seen if pid != server and alive(pid)] == [], 60)
    assert machine.run() == (Ended("successful", 0), True)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])


def test_the_server_ends_with_its_responder(machine: Machine) -> None:
    server = machine.start_server()
    machine.warm.stop()
    until(lambda: not alive(server), 60)
    assert machine.run() == (Ended("successful", 0), False)


def test_a_server_that_hangs_keeps_nobody_waiting_for_ever(tmp_path: Path) -> None:
    machine = Machine(tmp_path, patience=0.5)
    server = machine.start_server()
    os.kill(server, signal.SIGSTOP)
    try:
        assert machine.run() == (Ended("successful", 0), False)
    finally:
        os.kill(server, signal.SIGCONT)
        machine.warm.stop()
