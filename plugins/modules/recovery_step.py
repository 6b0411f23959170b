#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: recovery_step
short_description: Journal a step of a recovery run
version_added: 0.1.0
description:
  - Writes a line into the steps of a run, with the seconds since the run was opened; the report shows it. For hooks,
    see docs/hooks.md, and for playbooks of your own.
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.journal_group
  - openstack_ha.recovery.attributes.no_diff
  - openstack_ha.recovery.journal
  - openstack_ha.recovery.run
attributes:
  idempotent:
    support: none
    description: Running it again with the same options changes nothing more and reports C(changed=false).
    details:
      - Each time another line is written.
options:
  name:
    description: What was done or reached; what is longer than 255 characters is cut.
    type: str
    required: true
  host:
    description: The host of the run that it is about. Not given, it is about the run.
    type: str
  claimed:
    description:
      - Whether the run must still hold its claims, which are renewed then. Say V(false) after the run was closed.
    type: bool
    default: true
author:
  - openstack_ha.recovery maintainers (@openstack-ha)
"""

EXAMPLES = r"""
- name: Tell when the load balancer was done
  openstack_ha.recovery.recovery_step:
    run_id: "{{ ha_hook.run_id }}"
    host: "{{ ha_hook.host }}"
    name: taken out of the load balancer
"""

RETURN = r"""
name:
  description: The step as it stands in the journal.
  returned: success
  type: str
uptime:
  description: Seconds since this machine was started, for the time that what follows may take.
  returned: success
  type: float
"""

import time

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._run import RUN_SPEC, Run
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task

_LONGEST = 255  # characters of the column


def run(call: Call) -> Result:
    """Write the line."""
    params = call.params
    if not params["run_id"]:
        raise ConfigError("run_id: this needs a run. Open one with recovery_run, state=open.")
    words = " ".join(params["name"].split())
    name = words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"
    if not call.check_mode:
        with open_journal(params["journal_url"], create=False) as journal:
            recovery = Run(journal, params["run_id"], [params["host"]] if params["host"] else None)
            if params["claimed"]:
                recovery.check(orders=False)
            recovery.step(name, params["host"])
    return {"changed": True, "name": name, "uptime": time.clock_gettime(time.CLOCK_BOOTTIME)}


TASK = Task(
    argument_spec={
        "name": {"type": "str", "required": True},
        "host": {"type": "str"},
        "claimed": {"type": "bool", "default": True},
        **RUN_SPEC,
    },
    run=run,
)


def main() -> None:
    """Entry point of the module."""
    TASK.main()


if __name__ == "__main__":
    main()
