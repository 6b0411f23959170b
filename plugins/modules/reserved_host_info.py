#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: reserved_host_info
short_description: List the reserved hosts of a failover segment, best first
version_added: 0.1.0
description:
  - Lists reserved hosts with the room that Placement sees on them, and why one cannot be taken.
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.cloud_group
  - openstack_ha.recovery.attributes.reads_only
  - openstack_ha.recovery.cloud
options:
  segment:
    description: Failover segment. All segments by default.
    type: str
  topology:
    description: The segments and hosts, as the inventory plugin sets them in the variable C(ha_topology).
    type: dict
    required: true
author:
  - openstack_ha.recovery maintainers (@openstack-ha)
"""

EXAMPLES = r"""
- name: Which reserved hosts are ready?
  openstack_ha.recovery.reserved_host_info:
    cloud: prod
    topology: "{{ ha_topology }}"
  register: reserve
"""

RETURN = r"""
hosts:
  description: The reserved hosts, usable ones first, the one with most free memory before the others.
  returned: success
  type: list
  elements: dict
  sample:
    - {host: cmp09, segment: rack1, usable: true, why_not: null, disabled_reason: spare, free: {VCPU: 64}}
"""

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _reserved
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import CLOUD_SPEC, connect
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task


def run(call: Call) -> Result:
    """List them."""
    found = _reserved.survey(connect(call.params), call.params["topology"], call.params["segment"])
    return {"changed": False, "hosts": found}


TASK = Task(
    argument_spec={
        "segment": {"type": "str"},
        "topology": {"type": "dict", "required": True},
        **CLOUD_SPEC,
    },
    run=run,
)


def main() -> None:
    """Entry point of the module."""
    TASK.main()


if __name__ == "__main__":
    main()
