#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ha_policy_info
short_description: Check a segments file and its policy file, and tell the policy that holds
version_added: 0.1.0
description:
  - Reads both files as the inventory plugin P(openstack_ha.recovery.failover_segments#inventory) does, but asks nobody.
  - Fails when anything in either is unknown, ill-typed or contradictory, and tells all of it, each with the name of
    the file and the path of the key.
  - Whether the hosts, aggregates and zones that the segments file names exist can only Nova tell, and whether options
    of Ansible and of the connection are right only the inventory plugin.
  - A file that is encrypted as a whole cannot be checked; one with C(!vault) values can.
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.reads_only
options:
  segments_file:
    description: The segments file. Its name must end in C(failover_segments.yml) or C(failover_segments.yaml).
    type: path
    required: true
  policy_file:
    description:
      - The policy file.
      - The default is the one that the segments file names in C(policy_file), or else C(ha_policy.yml) beside it if
        that exists.
    type: path
requirements:
  - jmespath and jsonschema, if there is a policy file
  - netaddr
author:
  - openstack_ha.recovery maintainers (@openstack-ha)
"""

EXAMPLES = r"""
- name: Check the files before they are put in place
  openstack_ha.recovery.ha_policy_info:
    segments_file: new/prod.failover_segments.yml
    policy_file: new/ha_policy.yml
  register: checked
"""

RETURN = r"""
policy:
  description: The policy that holds, with all defaults.
  returned: success
  type: dict
  sample: {budgets: {cloud: {at_once: 1, at_once_percent: 100, per_hour: 3}}}
policy_file:
  description: Where the policy was read; null where there is no policy file.
  returned: success
  type: str
  sample: /etc/openstack_ha/ha_policy.yml
policy_hash:
  description: A hash of RV(policy), as it is recorded with every verdict.
  returned: success
  type: str
  sample: 612806e1a8c0ad1a5d6b2a1e6c7f0f1d0d5c7b3c8f8f0d4e3b1f3c1d2e0a9b87
segments:
  description: The names of the segments.
  returned: success
  type: list
  elements: str
  sample: [rack1, rack2]
segments_hash:
  description: A hash of what the segments file says, with templates and vaulted values as they are written down.
  returned: success
  type: str
  sample: 3d5f8f2d6c3e5a1b4c2d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3
policy_warnings:
  description: What is allowed and probably not meant; each starts with the path of the key.
  returned: success
  type: list
  elements: str
  sample: ["reactions[2]: never decides anything, because the rules before it fit whenever it does."]
errors:
  description: All that is wrong in both files; each starts with the name of the file and the path of the key.
  returned: when a file is wrong
  type: list
  elements: str
  sample: ["ha_policy.yml: gates.cool_dwn: unknown key. Did you mean 'cool_down'?"]
"""

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _configuration
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task


def run(call: Call) -> Result:
    """Check both files, and tell what holds."""
    found, path = _configuration.load(call.params["segments_file"], call.params["policy_file"])
    return {
        "changed": False,
        "policy": found.policy.values,
        "policy_file": path,
        "policy_hash": found.policy.hash,
        "policy_warnings": found.policy.warnings,
        "segments": [segment.name for segment in found.segments.segments],
        "segments_hash": found.segments_hash,
    }


TASK = Task(
    argument_spec={
        "segments_file": {"type": "path", "required": True},
        "policy_file": {"type": "path"},
    },
    run=run,
)


def main() -> None:
    """Entry point of the module."""
    TASK.main()


if __name__ == "__main__":
    main()
