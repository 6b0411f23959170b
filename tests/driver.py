"""Runs the collection's playbooks as a user does: a process of its own, one inventory file, one journal."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
import typing as t
from pathlib import Path

from tree import collections_path


@dataclasses.dataclass
class Outcome:
    """One ended run of a playbook."""

    rc: int
    out: str
    seconds: float

    def __bool__(self) -> bool:
        return self.rc == 0


def until(condition: t.Callable[[], t.Any], seconds: float = 60, pause: float = 0.05) -> t.Any:
    """Wait until the condition gives something true, and return that."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        time.sleep(pause)


class Playbooks:
    """The playbooks, for one inventory and one journal.

    :param directory: Where the journal is kept.
    :param clouds_yaml: Where openstacksdk finds the cloud ``lab``.
    """

    def __init__(self, inventory: Path, directory: Path, clouds_yaml: Path) -> None:
        self.inventory = inventory
        self.journal_url = f"sqlite:///{directory}/journal.db"
        self.environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(collections_path()),
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "ANSIBLE_NOCOLOR": "1",
            "OPENSTACK_HA_JOURNAL": self.journal_url,
            "OS_CLIENT_CONFIG_FILE": str(clouds_yaml),
        }

    def start(self, playbook: str, *arguments: str, **variables: t.Any) -> subprocess.Popen[str]:
        """Start a playbook in a process group of its own; its output is on ``stdout``.

        It can be hung up also when these tests run under nohup, whose children ignore SIGHUP.
        """
        extra = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
        command = [str(Path(sys.executable).with_name("ansible-playbook")), f"openstack_ha.recovery.{playbook}"]
        return subprocess.Popen(
            ["env", "--default-signal=HUP", *command, "-i", str(self.inventory), *extra, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, playbook: str, *arguments: str, timeout: float = 600, **variables: t.Any) -> Outcome:
        """Run a playbook to its end."""
        began = time.monotonic()
        process = self.start(playbook, *arguments, **variables)
        try:
            out, _nothing = process.communicate(timeout=timeout)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
        return Outcome(process.returncode, out, time.monotonic() - began)

    def recover(self, *hosts: str, arguments: t.Sequence[str] = (), **variables: t.Any) -> Outcome:
        """Run ``recover_host``."""
        return self.run("recover_host", *arguments, failed_hosts=",".join(hosts), **variables)

    def journal(self) -> t.Any:
        """The open journal; close it with ``with``."""
        from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal

        return open_journal(self.journal_url)

    def report(self) -> dict[str, t.Any]:
        """The report of the newest run."""
        with self.journal() as journal:
            return dict(journal.report(journal.runs(limit=1)[0]["id"]))

    def ledger(self) -> dict[str, dict[str, t.Any]]:
        """The ledger lines of the newest run by server id."""
        return {line["server_id"]: line for line in self.report()["ledger"]}
