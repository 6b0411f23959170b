#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: incident_answer
short_description: Answer what a recovery asks
version_added: 0.1.0
description:
  - Answers the open question about a host, with name and reason. A run that waits for it goes on at once; otherwise the
    next run on the host goes by the answer.
  - An answer counts for the situation that was asked about. If there are more hosts to recover by then, another gate
    asks, or the gate has another reason, it is asked anew. It counts for C(ask.answer_valid) seconds of the policy.
  - An answer is V(recover) or V(hold). It opens the gate that asked and no other.
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.both_groups
  - openstack_ha.recovery.attributes.no_diff
  - openstack_ha.recovery.attributes.idempotent
  - openstack_ha.recovery.cloud
  - openstack_ha.recovery.journal
options:
  hosts:
    description:
      - The hosts whose questions are answered, by any of their names; of VMs and units C(HOST/OBJECT), as it was asked.
      - All or none are answered.
    type: list
    elements: str
    required: true
  answer:
    description: What is to be done.
    type: str
    required: true
    choices: [recover, hold]
  answered_by:
    description: Who gives the O(answer).
    type: str
    required: true
  answer_reason:
    description: Why.
    type: str
    required: true
  topology:
    description:
      - The segments and hosts, as the inventory plugin sets them in the variable C(ha_topology). With it a host may be
        named by any of its names.
    type: dict
seealso:
  - module: openstack_ha.recovery.recovery_run
author:
  - openstack_ha.recovery maintainers (@openstack-ha)
"""

EXAMPLES = r"""
- name: The host is really dead
  openstack_ha.recovery.incident_answer:
    cloud: prod
    hosts: [cmp03]
    answer: recover
    answered_by: alice
    answer_reason: seen in the data centre, no lights
"""

RETURN = r"""
questions:
  description: The questions with their answers.
  returned: success
  type: list
  elements: dict
  contains:
    host: {description: The host., type: str}
    gate: {description: The gate that asked., type: str}
    reason: {description: Why it asked., type: str}
    plan: {description: "What would be done: C(hosts), and C(vms) by host.", type: dict}
    state: {description: V(answered)., type: str}
    answer: {description: The answer., type: str}
    answered_by: {description: Who answered., type: str}
    answer_reason: {description: Why., type: str}
"""

from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import CLOUD_SPEC, Json, connect
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.options import JOURNAL_SPEC
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import host_of, object_of, place
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._names import HostNames
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task

_GIVEN = ("answer", "answered_by", "answer_reason")


def run(call: Call) -> Result:
    """Answer the question about each host."""
    params = call.params
    for option in ("answered_by", "answer_reason"):
        if not params[option].strip():
            raise ConfigError(f"{option}: is empty; whoever reads the answer later must know")
    hosts, region = _resolve(params), connect(params).region
    with open_journal(params["journal_url"], create=False) as journal:
        asked = [_question(journal, region, host, params) for host in hosts]
        todo = [question for question in asked if question["state"] == "open"]
        for question in [] if call.check_mode else todo:
            _answer(journal, question, params)
        given = {"state": "answered", **{key: params[key] for key in _GIVEN}}
        shown = [_shown({**question, **given}) for question in asked]
        return {"changed": bool(todo), "questions": shown}


def _question(journal: Journal, region: str, host: str, params: Json) -> Json:
    """The newest question about a host, if this is, or may become, its answer."""
    found = journal.questions_about(region, [host])
    if not found:
        raise RecoveryError(
            f"Nothing is asked about {host} in region {region}. Its incident may have ended; recovery_run_info shows "
            "what is open. Nothing was answered."
        )
    newest = found[-1]
    if newest["state"] == "open" or all(newest[key] == params[key] for key in _GIVEN):
        return newest
    raise _too_late(newest)


def _too_late(question: Json) -> RecoveryError:
    who = question["answered_by"] or "nobody in time, so the default was done"
    return RecoveryError(
        f"The question about {question['host']} (gate {question['gate']}: {question['reason']}) was answered "
        f"{question['answer']} by {who} at {question['answered_at']}: {question['answer_reason']}. "
        "Nothing was answered. Run recover_host again: it asks anew if it still has to.",
        question=_shown(question),
    )


def _answer(journal: Journal, question: Json, params: Json) -> None:
    if not journal.answer_question(question["id"], *(params[key] for key in _GIVEN)):
        raise _too_late(journal.questions(id=question["id"])[0])


def _shown(question: Json) -> Json:
    return {key: value for key, value in question.items() if not key.endswith("_mark")}


def _resolve(params: Json) -> list[str]:
    if not params["topology"]:
        return sorted(set(params["hosts"]))
    known = params["topology"]["hosts"]
    names = HostNames({host: facts.get("hypervisor_hostname") for host, facts in known.items()})
    # Of a VM or a unit the host is a name that may be short; the rest is as it was asked.
    return sorted({place(names.resolve(host_of(name), "hosts"), object_of(name)) for name in params["hosts"]})


TASK = Task(
    argument_spec={
        "hosts": {"type": "list", "elements": "str", "required": True},
        "answer": {"type": "str", "required": True, "choices": ["recover", "hold"]},
        "answered_by": {"type": "str", "required": True},
        "answer_reason": {"type": "str", "required": True},
        "topology": {"type": "dict"},
        **CLOUD_SPEC,
        **JOURNAL_SPEC,
    },
    run=run,
)


def main() -> None:
    """Entry point of the module."""
    TASK.main()


if __name__ == "__main__":
    main()
