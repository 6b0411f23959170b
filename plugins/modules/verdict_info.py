#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: verdict_info
short_description: Decide a journaled incident again, with another policy
version_added: 0.1.0
description:
  - Takes the snapshots from which the verdicts of a run or of an incident were made, and passes them through the gates
    again. The journal keeps every snapshot, and a verdict depends on nothing but its snapshot and the policy.
  - Returns what was decided and what would be decided now, side by side. Nothing is changed and no host is asked.
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.journal_group
  - openstack_ha.recovery.attributes.reads_only
  - openstack_ha.recovery.journal
options:
  run_id:
    description: Decide the verdicts of this run again.
    type: str
  incident:
    description: Decide the verdicts of all runs of this incident again.
    type: str
  policy:
    description:
      - The complete policy to decide with, as the inventory plugin sets it in the variable C(ha_policy).
      - Without this and O(policy_file), the defaults.
    type: dict
  policy_file:
    description: A policy file to decide with, on the machine where the module runs.
    type: path
author:
  - openstack_ha.recovery maintainers (@openstack-ha)
"""

EXAMPLES = r"""
- name: What would the policy of today have said?
  openstack_ha.recovery.verdict_info:
    run_id: 8c4b0f9e-6f2c-4a51-9d0e-0d7c1f1f9a77
    policy: "{{ ha_policy }}"

- name: What would a new policy have said about an incident?
  openstack_ha.recovery.verdict_info:
    incident: 2f0a6b1d-1c3e-4e0c-8a5d-5b1f9f1f0e11
    policy_file: /etc/openstack_ha/ha_policy.new.yml
"""

RETURN = r"""
replays:
  description: One entry per verdict and host, in the order of the verdicts.
  returned: success
  type: list
  elements: dict
  contains:
    run_id: {description: The run., type: str}
    number: {description: The number of the verdict in its run., type: int}
    decided_at: {description: When it was decided., type: str}
    host: {description: The host., type: str}
    before: {description: "What was decided: C(verdict), C(gate), C(reason).", type: dict}
    after: {description: What would be decided now., type: dict}
    gates: {description: "The gate table of RV(replays[].after) with all inputs.", type: list, elements: dict}
    differs: {description: Whether verdict or gate are other ones now., type: bool}
differs:
  description: Whether any of them differs.
  returned: success
  type: bool
"""

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _replay
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.options import JOURNAL_SPEC
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task


def run(call: Call) -> Result:
    """Decide again."""
    with open_journal(call.params["journal_url"], create=False) as journal:
        verdicts = [verdict for run_id in _runs(journal, call.params) for verdict in journal.verdicts(run_id)]
    if not verdicts:
        raise RecoveryError("There is no verdict of that run or incident in the journal. recovery_run_info lists them.")
    replays = [entry for verdict in verdicts for entry in _replay.replay(verdict, _policy(call.params, verdict))]
    return {"changed": False, "replays": replays, "differs": any(entry["differs"] for entry in replays)}


def _runs(journal: Journal, params: t.Mapping[str, t.Any]) -> list[str]:
    """The runs, oldest first."""
    if params["run_id"]:
        return [str(journal.run(params["run_id"])["id"])]
    return journal.runs_of(params["incident"])


def _policy(params: t.Mapping[str, t.Any], verdict: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    if params["policy_file"]:
        return _replay.complete(_replay.read_policy(params["policy_file"]), *_replay.places(verdict["snapshot"]))
    return params["policy"] or _replay.complete({}, (), ())


TASK = Task(
    argument_spec={
        "run_id": {"type": "str"},
        "incident": {"type": "str"},
        "policy": {"type": "dict"},
        "policy_file": {"type": "path"},
        **JOURNAL_SPEC,
    },
    run=run,
    constraints={
        "required_one_of": [("run_id", "incident")],
        "mutually_exclusive": [("run_id", "incident"), ("policy", "policy_file")],
    },
)


def main() -> None:
    """Entry point of the module."""
    TASK.main()


if __name__ == "__main__":
    main()
