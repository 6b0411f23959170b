#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: policy_explain
short_description: Tell what the HA policy says about a VM, and which level says it
version_added: 0.1.0
description:
  - Reads the VM, its aggregates, image and project from the cloud, and tells for every key of the HA policy what each
    level says, which one decides, and where a level contradicts itself or cannot be understood.
  - What is told is what a recovery would do now. Nothing is changed.
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.cloud_group
  - openstack_ha.recovery.attributes.reads_only
  - openstack_ha.recovery.cloud
options:
  server:
    description: ID of the VM, or its name if no other VM of the cloud has the same.
    type: str
    required: true
  topology:
    description: The segments and hosts, as the inventory plugin sets them in the variable C(ha_topology).
    type: dict
    required: true
  policy:
    description:
      - The complete policy, as the inventory plugin sets it in the variable C(ha_policy). The default is what holds
        where there is no policy file.
    type: dict
seealso:
  - module: openstack_ha.recovery.evacuation_plan
requirements:
  - jmespath, if selectors are to be evaluated (openstacksdk needs it, too)
author:
  - openstack_ha.recovery maintainers (@openstack-ha)
"""

EXAMPLES = r"""
- name: Would the database come back?
  openstack_ha.recovery.policy_explain:
    cloud: prod
    server: db1
    topology: "{{ ha_topology }}"
    policy: "{{ ha_policy }}"
  register: explained

- name: Say who decides
  ansible.builtin.debug:
    msg: "{{ explained.winners.protect.value }}: {{ explained.winners.protect.source }}"
"""

RETURN = r"""
facts:
  description: What the policy knows of the VM, and selectors can ask for. Its host is not among it.
  returned: success
  type: dict
  sample: {name: db1, zone: az1, aggregates: [{name: ssd, metadata: {}}], metadata: {role: db}}
protected:
  description: Whether it is recovered.
  returned: success
  type: bool
method:
  description: 'How: V(evacuate), V(rebuild), V(restart), V(notify), V(heat) or V(none).'
  returned: success
  type: str
  sample: evacuate
priority:
  description: Its priority class; higher ones go first.
  returned: success
  type: int
  sample: 500
group:
  description: Its restart group, or null.
  returned: success
  type: str
after:
  description: Restart groups that are started before it.
  returned: success
  type: list
  elements: str
ready:
  description: When it counts as ready, or null where it says nothing itself.
  returned: success
  type: dict
  sample: {is: tcp, port: 5432}
local_disk_loss:
  description: Whether what is on its local disks may be lost.
  returned: success
  type: bool
deadline:
  description: With V(notify), the seconds that its owner has.
  returned: success
  type: float
otherwise:
  description: With V(notify), the method after that.
  returned: success
  type: str
because:
  description: Who says whether it is protected, and who finer contradicts itself or is not understood.
  returned: success
  type: str
  sample: flavor extra specs openstack_ha:protect=false
said_by:
  description: Level and source of each key that somebody speaks about.
  returned: success
  type: dict
  sample: {protect: {level: flavor, source: 'flavor extra specs openstack_ha:protect=false'}}
notes:
  description: What contradicts itself or cannot be understood, where it would have mattered.
  returned: success
  type: list
  elements: str
unread:
  description: What could not be read now and might have decided whether it is protected.
  returned: success
  type: list
  elements: str
levels:
  description: From fine to coarse, what is said.
  returned: success
  type: list
  elements: dict
  contains:
    level: {description: Name of the level., type: str}
    says:
      description: >-
        Each word with C(key), C(source), C(said) as it is written, C(value) as it is understood (null if it is not),
        and C(foreign) for marks of other tools.
      type: list
      elements: dict
winners:
  description: For each key C(value), C(level) and C(source) of who decides, and C(notes) on finer levels that did not.
  returned: success
  type: dict
conflicts:
  description: All contradictions within levels, also those that did not matter.
  returned: success
  type: list
  elements: str
"""

import uuid

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute, _vm_facts
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import CLOUD_SPEC, Cloud, Json, connect
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._ha_policy import explain
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task


def run(call: Call) -> Result:
    """Explain."""
    cloud, policy = connect(call.params), call.params["policy"] or {}
    server = _find(cloud, call.params["server"])
    topology = call.params["topology"]
    of_hosts = {name: host.get("segment") or "" for name, host in topology["hosts"].items()}
    facts = _vm_facts.read(cloud, [server], of_hosts, policy)[server["id"]]
    segment = topology["segments"].get(facts["segment"], {})
    return {"changed": False, "facts": facts, **explain(facts, policy, segment)}


def _find(cloud: Cloud, wanted: str) -> Json:
    server = _compute.server(cloud, wanted) if _is_id(wanted) else None
    found = [server] if server else _compute.servers_named(cloud, wanted)
    if len(found) != 1:
        ids = "".join(f" {it['id']} (project {it['tenant_id']})" for it in found)
        hint = (
            f"Name one by its ID:{ids}." if found else "Give its ID, or its name as `openstack server list` shows it."
        )
        raise RecoveryError(f"Nova knows {len(found) or 'no'} VMs with the ID or name '{wanted}'. {hint}")
    return found[0]


def _is_id(text: str) -> bool:
    try:
        return bool(uuid.UUID(text))
    except ValueError:
        return False


TASK = Task(
    argument_spec={
        "server": {"type": "str", "required": True},
        "topology": {"type": "dict", "required": True},
        "policy": {"type": "dict"},
        **CLOUD_SPEC,
    },
    run=run,
)


def main() -> None:
    """Entry point of the module."""
    TASK.main()


if __name__ == "__main__":
    main()
