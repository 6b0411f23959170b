# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a module of this collection is made of. PRIVATE to it: may change at any time.

A module is one :class:`Task`: an argument specification and one function. The same task runs in
two ways: as an ordinary module (AnsiballZ, any host), or inside the process of ansible-playbook
through the action plugin of the same name, when it runs on the controller anyway. The second way
saves about half a second per task: interpreter start, imports and authentication are paid once.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError

Result = t.Dict[str, t.Any]


def _silent(message: str) -> None:
    """Progress lines go nowhere where no terminal is attached (an ordinary module)."""


@dataclasses.dataclass
class Call:
    """One invocation of a task: its validated options and the ways to speak while it runs.

    :param in_process: Whether the parent of this process is ansible-playbook itself.
    """

    params: dict[str, t.Any]
    check_mode: bool = False
    in_process: bool = False
    warn: t.Callable[[str], None] = _silent
    progress: t.Callable[[str], None] = _silent


@dataclasses.dataclass
class Task:
    """An argument specification and the function that does the work.

    :param run: Takes a :class:`Call`, returns the result (``changed``, ``diff``, …) or raises
        :class:`RecoveryError`.
    :param constraints: ``required_if``, ``mutually_exclusive`` and the like, as AnsibleModule takes them.
    """

    argument_spec: dict[str, t.Any]
    run: t.Callable[[Call], Result]
    constraints: dict[str, t.Any] = dataclasses.field(default_factory=dict)

    def main(self) -> None:
        """Run as an ordinary module."""
        from ansible.module_utils.basic import AnsibleModule

        module = AnsibleModule(argument_spec=self.argument_spec, supports_check_mode=True, **self.constraints)
        call = Call(params=module.params, check_mode=module.check_mode, warn=module.warn)
        try:
            result = self.run(call)
        except RecoveryError as error:
            module.fail_json(msg=error.message, **error.facts)
        module.exit_json(**result)
