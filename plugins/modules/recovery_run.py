#!/usr/bin/python
# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: recovery_run
short_description: Open and close a recovery run
version_added: 0.1.0
description:
  - With O(state=open), resolves the names of the failed hosts, claims the hosts so that no other run works on them,
    takes a snapshot of the cloud, passes it through the gates, and journals the verdict.
  - With O(state=open) and O(run_id), takes over the run that a responder has opened and decided on for this playbook,
    which holds the claims from then on. Nothing is decided anew; the journaled verdicts are returned.
  - Where the verdict is V(ask), the question is journaled with what would be done. It is answered with
    M(openstack_ha.recovery.incident_answer), and the next run on the host goes by the answer, if the situation is still
    the one that was asked about. With O(ask_wait), or C(ask.wait) of the policy, the run stays open and waits.
  - With O(state=awaiting), waits for the answers, renewing the lease; when the time is over, does what C(ask.default)
    of the policy says, which is V(hold) unless an operator wrote otherwise. Then it looks and decides again.
  - With O(state=held), gives one host of the run up, for example because it could not be fenced. What was not fenced
    stays on record with the time of the next attempt, see M(openstack_ha.recovery.recovery_run_info).
  - With O(state=done), says of units of hosts how the run has ended for them.
  - With O(state=closed), journals the outcome, releases the claims, and returns the report of the run.
  - With O(state=closed) and O(incident), ends an incident that no run is at work on, because a person says so. What its
    monitor goes on to say about it is no news then; when it fails anew, that is another incident.
  - In check mode nothing is claimed or journaled; the verdict is returned all the same, with what every gate says, also
    those after the one that decides.
extends_documentation_fragment:
  - openstack_ha.recovery.attributes
  - openstack_ha.recovery.attributes.both_groups
  - openstack_ha.recovery.attributes.no_diff
  - openstack_ha.recovery.cloud
  - openstack_ha.recovery.journal
  - openstack_ha.recovery.run
attributes:
  idempotent:
    support: none
    description: Running it again with the same options changes nothing more and reports C(changed=false).
    details:
      - O(state=open) begins a run each time; a second one for the same host is refused while the first is at work.
options:
  state:
    description: What to do with the run.
    type: str
    required: true
    choices: [open, awaiting, held, done, closed]
  kind:
    description:
      - What the run is about, with O(state=open).
      - V(host) means failed hosts. V(instance) means VMs of living hosts that have failed, V(process) means units of
        hosts that have failed, and V(network) means living hosts that have lost a network and whose VMs are moved away.
    type: str
    choices: [host, instance, process, network]
    default: host
  hosts:
    description:
      - The failed hosts, by service host, hypervisor hostname, or a short name that only one host has.
      - Needed with O(state=open), except with O(kind=instance), where Nova says on which host a VM is.
      - With O(state=held) and O(state=done) what it is about; a VM or a unit as C(HOST/OBJECT).
    type: list
    elements: str
  objects:
    description:
      - With O(kind=instance) the VMs, by id or by a name that only one has. With O(kind=process) the units.
    type: list
    elements: str
  topology:
    description:
      - The segments and hosts, as the inventory plugin sets them in the variable C(ha_topology).
      - Needed with O(state=open) and O(state=awaiting).
    type: dict
  policy:
    description:
      - The complete policy, as the inventory plugin sets it in the variable C(ha_policy). Without it the defaults hold,
        which recover a single dead host and ask about anything bigger.
    type: dict
  policy_hash:
    description: Hash of the files that policy and segments were read from, journaled with each verdict.
    type: str
  segments_hash:
    description: Hash of the segments file, journaled with each verdict.
    type: str
  reason:
    description: Why the host is given up, or what was done. Needed with O(state=held) and O(state=done).
    type: str
  outcome:
    description: How it ended. Needed with O(state=done).
    type: str
    choices: [recovered, partial]
  incident:
    description:
      - The id of an incident that is to be ended with O(state=closed), see
        M(openstack_ha.recovery.recovery_run_info). Needs O(closed_by) and O(reason).
    type: str
  closed_by:
    description: Who ends the O(incident).
    type: str
  answer:
    description: A person's answer to the verdict V(ask). Needs O(answered_by) and O(answer_reason).
    type: str
    choices: [recover, hold]
  answered_by:
    description: Who gives the O(answer).
    type: str
  answer_reason:
    description: Why.
    type: str
  ask_wait:
    description: Seconds to wait for an answer to the verdict V(ask), instead of C(ask.wait) of the policy.
    type: float
  attended:
    description:
      - Whether a person says now that the hosts have failed, which is one witness. False for what a schedule starts.
    type: bool
    default: true
  max_hosts_at_once:
    description:
      - Raises the budgets for this run alone. So many hosts may be under recovery at once without asking, counting
        those of other runs. It never lowers what the policy allows.
    type: int
  probe_timeout:
    description: Seconds to wait for a host that does not answer its probe.
    type: float
    default: 0.5
  lease_seconds:
    description:
      - How long a claim outlives its last renewal, in seconds. A run on another machine waits so long before it takes
        over the claim of a run that seems dead.
    type: float
    default: 60
author:
  - openstack_ha.recovery maintainers (@openstack-ha)
"""

EXAMPLES = r"""
- name: Claim the host, look at the cloud, decide
  openstack_ha.recovery.recovery_run:
    cloud: prod
    state: open
    hosts: [cmp03]
    topology: "{{ ha_topology }}"
  register: run

- name: Wait for the answer of an operator
  openstack_ha.recovery.recovery_run:
    cloud: prod
    state: awaiting
    run_id: "{{ run.run_id }}"
    topology: "{{ ha_topology }}"
    policy: "{{ ha_policy }}"
  when: run.awaiting

- name: Close the run
  openstack_ha.recovery.recovery_run:
    state: closed
    run_id: "{{ run.run_id }}"

- name: End an incident about which nothing more is to be done
  openstack_ha.recovery.recovery_run:
    state: closed
    incident: 3f0c4b6e-6d2c-4b57-9d5b-0a4f3a3d7f10
    closed_by: alice
    reason: its owner has rebuilt it
"""

RETURN = r"""
run_id:
  description: Id of the run. Null in check mode, and with O(incident).
  returned: success
  type: str
hosts:
  description:
    - Hosts with the verdict V(recover), by service host.
    - With another O(kind) than V(host) what has that verdict, each as a dictionary with C(host), C(object), which is
      the id of a VM, the name of a unit, or empty, C(reaction), what is to be done, and C(reason).
  returned: O(state=open), O(state=awaiting)
  type: list
  elements: raw
verdicts:
  description:
    - Verdict, deciding gate, reason and the gates with their inputs, by host.
    - With another O(kind) than V(host) by C(HOST/OBJECT); C(reaction) says what is to be done.
  returned: O(state=open), O(state=awaiting)
  type: dict
awaiting:
  description: Whether the run waits for answers; then call this again with O(state=awaiting).
  returned: O(state=open), O(state=awaiting)
  type: bool
questions:
  description: The questions that were journaled, each with its host, gate, reason and plan.
  returned: O(state=open), O(state=awaiting)
  type: list
  elements: dict
resumes:
  description: Id of the unfinished run that this one continues.
  returned: O(state=open), O(state=awaiting)
  type: str
report:
  description: Everything the journal knows about the run.
  returned: O(state=closed)
  type: dict
"""

import contextlib
import os
import tempfile
import time
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import (
    _compute,
    _open_objects,
    _recovery,
    _run,
    _snapshot,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import CLOUD_SPEC, Cloud, Json, connect
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import (
    CloudError,
    ConfigError,
    RecoveryError,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates import decide
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims, holder
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError, JournalMissing
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.places import (
    HOST,
    INSTANCE,
    claim_of,
    host_of,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._names import HostNames
from ansible_collections.openstack_ha.recovery.plugins.module_utils._order_words import span
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import defaults
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call, Result, Task

_LOOK = 1.0  # seconds between two looks for an answer
_TELL = 30.0  # seconds between two lines of progress


def run(call: Call) -> Result:
    """Open, await, hold or close."""
    if call.params["state"] == "open":
        if not call.params["hosts"] and (call.params["run_id"] or call.params["kind"] != INSTANCE):
            raise ConfigError("hosts: state=open needs them; only kind=instance finds the hosts of its objects itself.")
        if call.params["run_id"]:
            return _take_over(call)
        if call.params["kind"] != HOST:
            return _open_objects_checked(call) if call.check_mode else _open_places(call)
        return _open_checked(call) if call.check_mode else _open(call)
    if call.params["incident"]:
        return _close_incident(call)
    if call.check_mode or not call.params["run_id"]:
        return {"changed": call.check_mode, "run_id": call.params["run_id"]}
    # A host is held beside others of its run, whose claims may be released at this moment.
    held = call.params["hosts"] if call.params["state"] in ("held", "done") else None
    with _run.joined(call.params, held, orders=False) as recovery:
        if call.params["state"] == "awaiting":
            return _await(call, recovery)
        if held is not None and call.params["state"] == "done":
            for place in held:
                recovery.journal.set_run_host(recovery.id, place, call.params["outcome"], call.params["reason"])
            return {"changed": True, "run_id": recovery.id}
        if held is not None:
            for host in held:
                _recovery.hold(recovery.journal, recovery.id, host, call.params["reason"])
            return {"changed": True, "run_id": recovery.id}
        return {"changed": True, "run_id": recovery.id, "report": _recovery.finish(recovery.journal, recovery.id)}


def _close_incident(call: Call) -> Result:
    """End an incident by hand."""
    incident, by, reason = (call.params[key] for key in ("incident", "closed_by", "reason"))
    if call.params["state"] != "closed" or not (by and by.strip() and reason and reason.strip()):
        raise ConfigError("incident: is ended with state=closed, and with closed_by and reason: others want to know.")
    with open_journal(call.params["journal_url"], create=False) as journal:
        if call.check_mode:
            return {"changed": bool(journal.unended_incidents(id=incident)), "run_id": None}
        return {"changed": _recovery.close(journal, incident, by, reason), "run_id": None}


def _open_checked(call: Call) -> Result:
    """The verdict without a claim, a run, or a line in the journal."""
    cloud, hosts, policy = connect(call.params), _resolve(call), _policy(call)
    snapshot = _see(call, cloud, hosts, policy)
    try:
        with open_journal(call.params["journal_url"], create=False) as journal:
            known = _recovery.journal_facts(journal, cloud.region, hosts, policy)
    except JournalMissing as error:
        call.warn(f"Nothing is known of other runs and orders: {error.message}")
        known = _recovery.no_facts(hosts)
    except JournalError as error:
        call.warn(f"Other runs and orders are not known, which closes gates: {error.message}")
        known = {}
    verdicts = decide(_merged(call, snapshot, known), policy, full=True)
    return _opened(call, {"id": None, "resumes": None}, verdicts, [])


def _open(call: Call) -> Result:
    cloud, hosts = connect(call.params), _resolve(call)
    segments = {host: call.params["topology"]["hosts"][host].get("segment") for host in hosts}
    with open_journal(call.params["journal_url"]) as journal:
        lease_seconds = call.params["lease_seconds"]
        record = _recovery.begin(journal, cloud.region, segments, _me(call), lease_seconds, call.progress)
        return _decide(call, cloud, journal, record, hosts, [])


def _open_places(call: Call) -> Result:
    """A run about VMs, units or networks."""
    cloud, policy, kind = connect(call.params), _policy(call), call.params["kind"]
    known = call.params["topology"]["hosts"]
    hashes = (call.params["policy_hash"], call.params["segments_hash"])
    with open_journal(call.params["journal_url"]) as journal:
        wanted = _open_objects.places(cloud, journal, kind, _resolve(call), call.params["objects"] or [])
        segments = {it: known.get(host_of(it), {}).get("segment") for it in wanted}
        lease = call.params["lease_seconds"]
        record = _recovery.begin(journal, cloud.region, segments, _me(call), lease, call.progress, kind)
        snapshot = _look(call, cloud, journal, wanted)
        verdicts = _open_objects.journaled(journal, record["id"], snapshot, wanted, policy, hashes)
        return _opened(call, record, verdicts, journal.questions(run_id=record["id"]))


def _look(call: Call, cloud: Cloud, journal: Journal, wanted: list[str]) -> Json:
    kind, topology = call.params["kind"], call.params["topology"]
    return _open_objects.look(cloud, journal, kind, wanted, topology, _policy(call), _given_answer(call))


def _open_objects_checked(call: Call) -> Result:
    """The verdict on VMs, units or networks, without a trace."""
    cloud, policy, kind = connect(call.params), _policy(call), call.params["kind"]
    with _journal_as_it_is(call) as journal:
        wanted = _open_objects.places(cloud, journal, kind, _resolve(call), call.params["objects"] or [])
        verdicts = _open_objects.decide(_look(call, cloud, journal, wanted), wanted, policy)
    return _opened(call, {"id": None, "resumes": None, "kind": kind}, verdicts, [])


@contextlib.contextmanager
def _journal_as_it_is(call: Call) -> t.Iterator[Journal]:
    """The journal; where there is none, an empty one that is gone afterwards."""
    with contextlib.ExitStack() as stack:
        try:
            journal = stack.enter_context(open_journal(call.params["journal_url"], create=False))
        except JournalMissing as error:
            call.warn(f"Nothing is known of other runs and orders: {error.message}")
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            journal = stack.enter_context(open_journal(f"sqlite:///{directory}/journal.db"))
        yield journal


def _me(call: Call) -> holder.Holder:
    """The playbook, which holds what this task claims."""
    me = holder.describe(os.getppid(), monotonic=time.monotonic())
    if not call.in_process:
        me.update(pid=None, pid_start=None)  # a module's process ends long before its run
    return me


def _take_over(call: Call) -> Result:
    """Go on with a run that a responder has opened for this playbook."""
    run_id, hosts = call.params["run_id"], _resolve(call)
    if call.check_mode:
        raise ConfigError("run_id: a run is not taken over in check mode; without run_id the verdict is shown.")
    with open_journal(call.params["journal_url"], create=False) as journal:
        record = journal.run(run_id)
        verdicts = {host: it for verdict in journal.verdicts(run_id) for host, it in verdict["result"].items()}
        going = _check_same(call, record, verdicts, hosts)
        claimed = {claim_of(record["kind"], it) for it in going}
        claims.take_over(journal, run_id, claimed, _taking_over(record["holder"], _me(call)))
        _run.Run(journal, run_id).step("taken_over")
        return _opened(call, record, {it: verdicts[it] for it in going}, [])


def _check_same(call: Call, record: Json, verdicts: dict[str, Json], hosts: list[str]) -> list[str]:
    """The places that the run is at work on; refuse to go on with one about other hosts, or of another kind."""
    entries = [entry["host"] for entry in record["hosts"] if entry["outcome"] is None]
    going = sorted(set(entries) & set(_to_recover(verdicts)))
    wanted = sorted({host_of(it) for it in going})
    if record["state"] == "open" and wanted != hosts:
        about = ", ".join(wanted) or "no host any more"
        raise ConfigError(f"hosts: run {record['id']} is to recover {about}, not {', '.join(hosts)}.")
    if record["kind"] != call.params["kind"]:
        raise ConfigError(f"kind: run {record['id']} is of kind {record['kind']}, not {call.params['kind']}.")
    return going if record["state"] == "open" else hosts


def _taking_over(opener: holder.Holder, me: holder.Holder) -> holder.Holder:
    """Seconds of steps go on counting from when the run was opened, if that was on this machine."""
    here = opener.get("boot_id") == me["boot_id"]
    return {**me, "monotonic": opener["monotonic"] if here else me["monotonic"], "opened_by": holder.words(opener)}


def _decide(call: Call, cloud: Cloud, journal: Journal, record: Json, hosts: list[str], assumed: list[Json]) -> Result:
    """Look, decide, and ask if need be.

    :param assumed: Answers that nobody gave: the default of the policy.
    """
    policy, wait = _policy(call), _wait(call)
    snapshot = _see(call, cloud, hosts, policy)
    known = _recovery.journal_facts(journal, cloud.region, hosts, policy, call.warn)
    known["answers"] = [*known["answers"], *assumed]
    hashes = (call.params["policy_hash"], call.params["segments_hash"])
    verdicts = _recovery.decide(journal, record["id"], _merged(call, snapshot, known), policy, *hashes, wait)

    def vms(host: str) -> int | None:
        try:
            return len(_compute.servers_on(cloud, host))
        except CloudError:
            return None

    questions = _recovery.ask(journal, record["id"], verdicts, vms, wait, policy["ask"]["default"])
    if not _to_recover(verdicts) and not (wait > 0 and questions):
        _recovery.finish(journal, record["id"])
    return _opened(call, record, verdicts, questions)


def _opened(call: Call, record: Json, verdicts: dict[str, Json], questions: list[Json]) -> Result:
    hosts, awaited = _to_recover(verdicts), _recovery.awaited(verdicts) if questions and _wait(call) > 0 else []
    refused = [
        f"{host}: {v['verdict']} (gate {v['gate']}): {v['reason']}" for host, v in verdicts.items() if host not in hosts
    ]
    for line in refused:
        call.warn(f"Not recovered{' yet' if awaited else ''}: {line}")
    result = {
        "changed": bool(hosts or awaited),
        "run_id": record["id"],
        "hosts": hosts if record.get("kind", HOST) == HOST else _open_objects.shown(hosts, verdicts),
        "verdicts": verdicts,
        "awaiting": bool(awaited),
        "questions": questions,
        "resumes": record["resumes"],
    }
    if not hosts and not awaited and not call.check_mode:
        raise RecoveryError("Nothing is recovered. " + "; ".join(refused) + _how_to_answer(verdicts), **result)
    return result


def _how_to_answer(verdicts: dict[str, Json]) -> str:
    asked = [host for host, verdict in verdicts.items() if verdict["verdict"] == "ask"]
    if not asked:
        return ""
    return (
        ". To answer: ansible-playbook openstack_ha.recovery.answer_incident -i INVENTORY "
        f"-e host={','.join(asked)} -e answer=recover -e answered_by=YOUR_NAME -e answer_reason='WHY', then run this "
        "again; or run this again with the same three variables"
    )


# -- waiting for a person ------------------------------------------------------------------------------------------


def _await(call: Call, recovery: _run.Run) -> Result:
    """Until every question is answered or its time is over; then decide anew, which may ask about something else."""
    cloud, journal, assumed = connect(call.params), recovery.journal, []
    with recovery.lease.keep(_run.KEEP_INTERVAL):
        while True:
            _until_answered(call, recovery)
            assumed += _expire(journal, recovery.id)
            hosts = [entry["host"] for entry in journal.run(recovery.id)["hosts"] if entry["outcome"] is None]
            result = _decide(call, cloud, journal, recovery.record, hosts, assumed)
            if not result["awaiting"]:
                return result


def _until_answered(call: Call, recovery: _run.Run) -> None:
    told = -_TELL
    while True:
        waiting = recovery.journal.questions(run_id=recovery.id, state="open")
        left = max((question["wait"] - question["age"] for question in waiting), default=0.0)
        if left <= 0:
            return
        if time.monotonic() - told >= _TELL:
            told = time.monotonic()
            asked = "; ".join(f"{it['host']}: {it['reason']}" for it in waiting)
            call.progress(f"Waiting another {span(left)} for an answer about {asked}")
        recovery.lease.check()
        time.sleep(min(_LOOK, left))


def _expire(journal: Journal, run_id: str) -> list[Json]:
    """Do the default where nobody answered."""
    assumed = []
    for question in journal.questions(run_id=run_id, state="open"):
        why = f"no answer within {question['wait']:g} s"
        if journal.expire_question(question["id"], question["default"], why):
            by = "the default of the policy"
            answer = {"host": question["host"], "gate": question["gate"], "question": question["digest"]}
            assumed.append({**answer, "verdict": question["default"], "by": by, "why": why})
    return assumed


# -- what the decision is made from ---------------------------------------------------------------------------------


def _to_recover(verdicts: dict[str, Json]) -> list[str]:
    return [host for host, verdict in verdicts.items() if verdict["verdict"] == "recover"]


def _resolve(call: Call) -> list[str]:
    known = call.params["topology"]["hosts"]
    names = HostNames({host: facts.get("hypervisor_hostname") for host, facts in known.items()})
    return sorted({names.resolve(name, "failed_hosts") for name in call.params["hosts"] or []})


def _see(call: Call, cloud: Cloud, hosts: list[str], policy: Json) -> Json:
    snapshot = _snapshot.take(
        cloud,
        call.params["topology"],
        hosts,
        _snapshot.OPERATOR,
        call.params["probe_timeout"],
        policy,
        vouched=call.params["attended"],
    )
    answer = _given_answer(call)
    if answer:
        snapshot["answer"] = answer
    return snapshot


def _given_answer(call: Call) -> Json | None:
    params = call.params
    if not params["answer"]:
        return None
    return {"verdict": params["answer"], "operator": params["answered_by"], "reason": params["answer_reason"]}


def _merged(call: Call, snapshot: Json, known: Json) -> Json:
    """With what the journal knows, and with ``max_hosts_at_once`` as an order for this run alone."""
    wanted = call.params["max_hosts_at_once"]
    if wanted is not None and known.get("orders") is not None:
        order = {
            "id": "this run", "number": 0, "kind": "budget", "scope": "cloud", "name": None, "owner": "this run",
            "reason": "max_hosts_at_once", "left": None, "limits": {"at_once": wanted, "per_hour": None},
        }  # fmt: skip
        known = {**known, "orders": [*known["orders"], order]}
    return _snapshot.merge(snapshot, known)


def _policy(call: Call) -> Json:
    return call.params["policy"] or defaults()


def _wait(call: Call) -> float:
    wanted = call.params["ask_wait"]
    if wanted is not None and not 0 <= wanted <= 86400:
        raise ConfigError(f"ask_wait: must be between 0 and 86400 seconds, not {wanted}.")
    return float(_policy(call)["ask"]["wait"] if wanted is None else wanted)


TASK = Task(
    argument_spec={
        "state": {"type": "str", "required": True, "choices": ["open", "awaiting", "held", "done", "closed"]},
        "kind": {"type": "str", "choices": ["host", "instance", "process", "network"], "default": "host"},
        "hosts": {"type": "list", "elements": "str"},
        "objects": {"type": "list", "elements": "str"},
        "topology": {"type": "dict"},
        "policy": {"type": "dict"},
        "policy_hash": {"type": "str"},
        "segments_hash": {"type": "str"},
        "reason": {"type": "str"},
        "outcome": {"type": "str", "choices": ["recovered", "partial"]},
        "incident": {"type": "str"},
        "closed_by": {"type": "str"},
        "answer": {"type": "str", "choices": ["recover", "hold"]},
        "answered_by": {"type": "str"},
        "answer_reason": {"type": "str"},
        "ask_wait": {"type": "float"},
        "attended": {"type": "bool", "default": True},
        "max_hosts_at_once": {"type": "int"},
        "probe_timeout": {"type": "float", "default": 0.5},
        "lease_seconds": {"type": "float", "default": 60.0},
        **CLOUD_SPEC,
        **_run.RUN_SPEC,
    },
    run=run,
    constraints={
        "required_if": [
            ("state", "open", ["topology"]),
            ("state", "awaiting", ["run_id", "topology"]),
            ("state", "held", ["run_id", "hosts", "reason"]),
            ("state", "done", ["run_id", "hosts", "reason", "outcome"]),
        ],
        "mutually_exclusive": [("incident", "run_id")],
        "required_together": [("answer", "answered_by", "answer_reason")],
    },
)


def main() -> None:
    """Entry point of the module."""
    TASK.main()


if __name__ == "__main__":
    main()
