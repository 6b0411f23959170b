"""Runs the monitor as it is deployed: a copy of its folder, the system's Python, no Ansible."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import typing as t
from pathlib import Path

PYTHON = "/usr/bin/python3"
_SOURCE = Path(__file__).parents[2] / "plugins/module_utils/_monitor"


class Monitor:
    """One kind. It can be stopped, killed and started again with the same spool.

    :param options: Section of the kind. :param wrap: What stands before the command, such as setpriv.
    """

    def __init__(
        self,
        directory: Path,
        kind: str,
        url: str,
        options: t.Mapping[str, t.Any],
        wrap: t.Sequence[str] = (),
        **common: t.Any,
    ) -> None:
        self.directory, self.kind, self._wrap = directory, kind, list(wrap)
        shutil.copytree(_SOURCE, directory / "lib/openstack_ha_monitor", ignore=shutil.ignore_patterns("__pycache__"))
        spool = directory / "spool"
        spool.mkdir(mode=0o777)
        spool.chmod(0o777)  # who runs it may be somebody else
        token = directory / "token"
        token.write_text("not-secret\n")
        config = {
            "host": "cmp01",
            "token_file": str(token),
            "responders": [{"name": "ctl1", "url": url}],
            "spool": {"directory": str(spool)},
            kind: dict(options),
            **common,
        }
        (directory / "monitor.json").write_text(json.dumps(config))
        self._process: subprocess.Popen[bytes] | None = None
        self._log = directory / "log"

    @property
    def pid(self) -> int:
        """Of the program that runs."""
        assert self._process is not None
        return self._process.pid

    def log(self) -> str:
        """What it has written to stderr."""
        return self._log.read_text() if self._log.exists() else ""

    def start(self) -> None:
        """Start it; what it says is in ``log``."""
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(self.directory / "lib"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        argv = [
            *self._wrap,
            PYTHON,
            "-s",
            "-m",
            "openstack_ha_monitor",
            self.kind,
            "--config",
            str(self.directory / "monitor.json"),
        ]
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(argv, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it; its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(60)
        finally:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """``kill -9``."""
        self.stop(signal.SIGKILL)

    def memory(self) -> int:
        """Bytes that it really uses (RSS)."""
        return 1024 * int(next(it for it in self._proc("status").splitlines() if it.startswith("VmRSS")).split()[1])

    def files(self) -> int:
        """How many files and sockets it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.pid}/{name}").read_text()
