# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a playbook on this machine by ansible-runner, which only this file imports. PRIVATE: may change at any time."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import tempfile
import time
import typing as t
from pathlib import Path

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import processes
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.launch import (
    Canceled,
    Ended,
    Json,
    Order,
    Progress,
    write_secret,
)

try:
    import ansible_runner
except ImportError:
    ansible_runner = None  # reported when the first run is started

_POLL = 0.5  # seconds between two looks whether a run is to end
_GRACE = 10.0  # seconds that ansible-playbook has to end by itself; it needs half a second


class LocalLauncher:
    """Starts ``ansible-playbook`` here.

    :param directory: Artifacts are kept in ``artifacts/RUN_ID`` of it.
    :param inventory: The segments file.
    :param environment: The whole environment; it is written into the artifacts.
    """

    kind = "local"
    outlives = False

    def __init__(self, directory: str, inventory: str, environment: t.Mapping[str, str]) -> None:
        self._directory, self._inventory, self._environment = directory, inventory, dict(environment)

    def artifacts(self, run_id: str) -> Path:
        """Where the artifacts of a run are."""
        return Path(self._directory, "artifacts", run_id)

    def run(self, order: Order, progress: Progress, canceled: Canceled) -> Ended:
        """See :class:`launch.Launcher`."""
        ending = _Ending(order, progress, canceled)
        try:
            config = self._configured(order)
            runner = ansible_runner.Runner(config, event_handler=progress.heard, cancel_callback=ending)
            progress.set(artifacts=config.artifact_dir)
            runner.run()
        except Exception as error:
            # Nobody reads what it says any more, so it would hang.
            ending.begin("failed", f"the run could not be followed: {error}")
        ending.finish()
        if ending.status:
            return Ended(ending.status, None, ending.reason)
        if runner.status == "successful":
            return Ended("successful", runner.rc)
        return Ended("failed", runner.rc, progress.why() or f"ansible-playbook ended with {runner.rc} and said nothing")

    def complete(self) -> dict[str, str]:
        """The environment with all that ansible-runner adds, but for what differs from run to run."""
        with tempfile.TemporaryDirectory() as directory:
            config = _runner_config(private_data_dir=directory, envvars=dict(self._environment))
            config.prepare_env()
        return {name: str(it) for name, it in self._only_ours(config.env).items() if name != "AWX_ISOLATED_DATA_DIR"}

    def _configured(self, order: Order) -> t.Any:
        variables = self.artifacts(order.run_id) / "variables.json"
        # Extra variables would be in the argument list, for everybody to see.
        write_secret(variables, order.variables)
        config = _runner_config(
            private_data_dir=self._directory,
            ident=order.run_id,
            playbook=order.playbook,
            inventory=self._inventory,
            cmdline=f"-e @{shlex.quote(str(variables))}",
            envvars=dict(self._environment),
        )
        config.prepare()
        config.env = self._only_ours(config.env)
        config.pexpect_timeout = _POLL
        return config

    def _only_ours(self, env: Json) -> Json:
        """Without what ansible-runner took from the environment of this process."""
        return {name: it for name, it in env.items() if name in self._environment or os.environ.get(name) != it}


def _runner_config(**options: t.Any) -> t.Any:
    if ansible_runner is None:
        raise RecoveryError("The responder needs the Python package ansible-runner (2.4 or newer), which is missing.")
    return ansible_runner.RunnerConfig(suppress_env_files=True, fact_cache_type="memory", quiet=True, **options)


class _Ending:
    """Asked by ansible-runner again and again whether to kill the run; ends it in a better way first.

    Killing the process group of ansible-playbook does not stop the task that is running: since ansible-core 2.19
    workers have sessions of their own. It ends them itself when it gets SIGTERM.
    """

    def __init__(self, order: Order, progress: Progress, canceled: Canceled) -> None:
        self._progress, self._canceled = progress, canceled
        self._timeout, self._began = order.timeout, time.monotonic()
        self._kill_at: float | None = None
        self._tree: list[processes.Process] = []
        self.status: str | None = None
        self.reason: str | None = None

    def __call__(self) -> bool:
        """Whether to kill it now."""
        if self.status is None:
            why = self._canceled()
            if why is not None:
                self.begin("canceled", why)
            elif self._timeout is not None and time.monotonic() - self._began > self._timeout:
                self.begin("timeout", f"it took longer than {self._timeout:g} s")
        return self._kill_at is not None and time.monotonic() > self._kill_at

    def begin(self, status: str, reason: str) -> None:
        """Have ansible-playbook end itself; where it has not said yet which process it is, it has not done anything."""
        self.status, self.reason = status, reason
        self._tree = processes.tree(self._progress.pid) if self._progress.pid else []
        self._kill_at = time.monotonic() + (_GRACE if self._tree else 0.0)
        for process in self._tree[:1]:
            processes.send(process, signal.SIGTERM)

    def finish(self) -> None:
        """Make sure that nothing of a run that was to end is left."""
        if self.status is None or not self._tree:
            return
        with contextlib.suppress(TimeoutError):
            processes.wait(self._tree, max(0.0, (self._kill_at or 0.0) - time.monotonic()))
        for process in self._tree:
            processes.send(process, signal.SIGKILL)
        processes.wait(self._tree, _GRACE)
