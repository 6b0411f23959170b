# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a module's task inside ansible-playbook. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import sys
import typing as t

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Task

display = Display()


class InProcessAction(ActionBase):
    """Base of the action plugins: in this process on the controller, as a module anywhere else."""

    TASK: t.ClassVar[Task]
    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: t.Any = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the task and return its result."""
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        if not self._runs_here(task_vars):
            result.update(self._execute_module(task_vars=task_vars, wrap_async=self._task.async_val))
            return result
        validation = ArgumentSpecValidator(self.TASK.argument_spec, **self.TASK.constraints).validate(
            {key: value for key, value in self._task.args.items() if not key.startswith("_ansible_")}
        )
        if validation.error_messages:
            wrong = remove_values("; ".join(validation.error_messages), validation._no_log_values)
            raise AnsibleError(f"{self._task.resolved_action}: {wrong}")
        for warning in validation._warnings:
            display.warning(warning["warning"])
        result.update(remove_values(self._outcome(validation.validated_parameters), validation._no_log_values))
        return result

    def _outcome(self, params: dict[str, t.Any]) -> dict[str, t.Any]:
        call = Call(params, self._task.check_mode, in_process=True, warn=display.warning, progress=display.display)
        try:
            return self.TASK.run(call)
        except RecoveryError as error:
            return {"failed": True, "msg": error.message, **error.facts}

    def _runs_here(self, task_vars: dict[str, t.Any]) -> bool:
        """On this machine, as this user, with this Python, and with nothing only a module can do."""
        interpreter = task_vars.get("ansible_python_interpreter", sys.executable)
        return (
            self._connection.transport == "local"
            and not self._task.become
            and not self._task.async_val
            and not any(self._task.environment or [])
            and interpreter in (sys.executable, "{{ ansible_playbook_python }}")
        )
