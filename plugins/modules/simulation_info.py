#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: simulation_info
short_description: Play stories of failures on the simulator
version_added: 0.1.0
description:
  - Plays stories of failures with the real decisions, journal, fencing levels, planner and executor of this collection,
    on a simulated clock against simulated hosts, networks, BMCs and Nova. No real cloud is asked.
  - With O(policy_file), every story is played with that policy instead of its own, so that a policy can be tried out.
  - Works on the controller only, inside ansible-playbook, with a local connection and without C(become) and C(async).
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.reads_only
options:
  stories:
    description:
      - Names of stories, in which C(*) stands for anything.
      - Without it, the stories are only listed.
    type: list
    elements: str
    default: []
  policy_file:
    description: A policy file to play the stories with. What it names and a story does not have is ignored.
    type: path
  directory:
    description: Where the stories are. The default are those that this collection brings along.
    type: path
author:
  - openstack_ha.recovery maintainers (@openstack-ha)
"""

EXAMPLES = r"""
- name: Which stories are there?
  openstack_ha.recovery.simulation_info:

- name: What would our policy do in each of them?
  openstack_ha.recovery.simulation_info:
    stories: ["*"]
    policy_file: /etc/openstack_ha/ha_policy.yml
"""

RETURN = r"""
stories:
  description: The stories, by name.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: Name of the story., type: str}
    about: {description: What happens; what must come out., type: list, elements: str}
    log: {description: "What came out. As all that follows, only if it was played.", type: list, elements: str}
    outcome: {description: What became of each host., type: list, elements: str}
    expected: {description: The same with the story's own policy., type: list, elements: str}
    harm: {description: What was hurt., type: list, elements: str}
    unavoidable:
      description: Why this story cannot end without harm; empty for all others.
      type: str
    differs: {description: "Whether RV(stories[].outcome) is not what was expected.", type: bool}
    difference: {description: Difference of the logs., type: list, elements: str}
harmed:
  description: Names of stories with harm that could have been avoided.
  returned: success
  type: list
  elements: str
differs:
  description: Names of stories with another end than expected.
  returned: success
  type: list
  elements: str
"""

import importlib

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task

# By name, because what runs on other machines must not carry it along.
_SIMULATOR = "ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.simulate"


def run(call: Call) -> Result:
    """Play."""
    try:
        simulate = importlib.import_module(_SIMULATOR)
    except ImportError as error:
        raise RecoveryError(
            f"The simulator is not here ({error}). simulation_info works inside ansible-playbook on the controller: "
            "use connection local, ansible_python_interpreter={{ ansible_playbook_python }}, no become, no async."
        ) from error
    result: Result = simulate.run(call.params, call.progress)
    return result


TASK = Task(
    argument_spec={
        "stories": {"type": "list", "elements": "str", "default": []},
        "policy_file": {"type": "path"},
        "directory": {"type": "path"},
    },
    run=run,
)


def main() -> None:
    """Entry point of the module."""
    TASK.main()


if __name__ == "__main__":
    main()
