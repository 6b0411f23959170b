# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of the gates. PRIVATE to this collection: may change at any time.

The only place for their names, order and meaning; docs/gates.md is made from it.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _gates_cloud as of_cloud
from ansible_collections.openstack_ha.recovery.plugins.module_utils import _gates_host as of_host
from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates_scene import Case, Objection


@dataclasses.dataclass(frozen=True)
class Gate:
    """One question that must be answered well before a host may be fenced.

    :param inputs: What it looks at, by the names of :data:`INPUTS`.
    :param settings: Keys of the policy that it goes by.
    :param missing: What missing facts mean: ``closed``, or ``open`` and why.
    :param answers: The verdicts that it gives, for people.
    :param harm: What happens without it.
    :param clears: A host that it stops is not among those that fail, and uses up no budget.
    :param together: Asked last, about all hosts that got so far.
    :param note: What is said although it is open.
    """

    name: str
    question: str
    inputs: tuple[str, ...]
    settings: tuple[str, ...]
    missing: str
    answers: str
    harm: str
    ask: t.Callable[[Case], t.Optional[Objection]]
    clears: bool = False
    together: bool = False
    note: t.Callable[[Case], str] | None = None


@dataclasses.dataclass(frozen=True)
class Input:
    """Something that gates look at.

    :param shared: The same for all hosts.
    """

    meaning: str
    read: t.Callable[[Case], t.Any]
    shared: bool = False


def _fact(name: str, meaning: str) -> Input:
    """One fact about the host as it stands in the snapshot."""
    return Input(meaning, lambda case: _ordered(case.facts.get(name)))


def _ordered(value: t.Any) -> t.Any:
    """The same whoever wrote it: the verdict is compared byte for byte."""
    if not isinstance(value, dict):
        return value
    return {name: _ordered(it) for name, it in sorted(value.items())}


def _seen(name: str, meaning: str) -> Input:
    return Input(meaning, lambda case: case.scene.observer.get(name), shared=True)


INPUTS: dict[str, Input] = {
    "caller": Input("who decides: `operator` (by hand) or `responder`", lambda case: case.scene.caller, shared=True),
    "orders": Input(
        "pauses and disarms in force that cover the host",
        lambda case: (
            None
            if case.scene.orders is None
            else [f"{order['kind']} {order['number']}" for order in of_host.covering(case)]
        ),
    ),
    "known": _fact("known", "whether it stands in the segments file"),
    "names": _fact("names", "the hosts that the reported name may mean"),
    "segment": _fact("segment", "its failover segment"),
    "role": _fact("role", "`active` or `reserved`"),
    "maintenance": _fact("maintenance", "why it is in maintenance: a window, or a `disabled_reason` that says so"),
    "status": _fact("status", "`enabled` or `disabled`, in Nova"),
    "disabled_reason": _fact("disabled_reason", "why it is disabled, in Nova"),
    "observer.api": _seen("api", "whether the observer reaches the API"),
    "observer.networks": Input(
        "whether the observer reaches an isolation address of each network of the host that has one", of_cloud.reached
    ),
    "observer.up_for": _seen("up_for", "seconds since the responder began to watch"),
    "hosts": Input("compute hosts in the snapshot", lambda case: len(case.scene.hosts), shared=True),
    "heard": Input("hosts that are heard", lambda case: case.scene.silence.heard, shared=True),
    "control": Input(
        "living services, by name", lambda case: _ordered(case.scene.snapshot.get("control")), shared=True
    ),
    "returned": Input("hosts that came back lately", lambda case: len(case.scene.returned), shared=True),
    "kdump": _fact("kdump", "seconds since the `last` kdump message of the host, and since (`for`) the first"),
    "witnesses": _fact("witnesses", "what each witness says: `down`, `up` or `unknown`"),
    "responders": Input(
        "how many responders there are; more witnesses than half of them are needed",
        lambda case: case.scene.snapshot.get("responders"),
        shared=True,
    ),
    "signs_of_life": _fact("signs_of_life", "what the host was seen to do"),
    "suspected_for": _fact("suspected_for", "seconds since it was first said to have failed"),
    "networks": _fact(
        "networks",
        "by network its `state` (`lost`, `alive` or `unknown`), and which reporters say `lost` and `alive`",
    ),
    "recoveries": _fact("recoveries", "how often it was recovered lately"),
    "fencing": _fact("fencing", "number of fencing levels, and the last result of `fence_check` with its age"),
    "silent": Input("hosts silent although nobody arranged that", lambda case: case.scene.silence.cloud(), shared=True),
    "silent_in_segment": Input(
        "the same in its segment", lambda case: case.scene.silence.segment(case.facts.get("segment") or "")
    ),
    "silent_domain": Input(
        "the one failure domain that all silent hosts are in", lambda case: case.scene.silence.domain, shared=True
    ),
    "storm": Input(
        "seconds since too many hosts are silent (`silent_for`), or are no longer (`ended_ago`)",
        lambda case: _ordered(case.scene.storm),
        shared=True,
    ),
    "counts": Input(
        "hosts away, being recovered, or to be recovered now (`at_once`), hosts powered off within the hour, these "
        "included (`per_hour`), and their caps; in the cloud, the segment, the failure domain",
        lambda case: case.counts(),
    ),
}

GATES: tuple[Gate, ...] = (
    Gate(
        name="orders",
        question="Does no operator's order forbid it?",
        inputs=("orders", "caller"),
        settings=(),
        missing="closed",
        answers="pause: hold until its end; disarm: ignore; by hand: ask",
        harm="A host is powered off under the hands of people who had paused the recovery because they work on it.",
        ask=of_host.orders,
        clears=True,
    ),
    Gate(
        name="known_host",
        question="Is it certain which host is meant?",
        inputs=("known", "names"),
        settings=(),
        missing="closed",
        answers="alert",
        harm="Of two hosts with the same short name the healthy one is powered off, and the dead one is not recovered.",
        ask=of_host.known_host,
        clears=True,
    ),
    Gate(
        name="segment",
        question="Is there somewhere for its VMs to go?",
        inputs=("segment",),
        settings=(),
        missing="closed; none means that it is in none",
        answers="alert",
        harm="A host is powered off whose VMs may run nowhere else: what still ran on it is lost.",
        ask=of_host.segment,
        clears=True,
    ),
    Gate(
        name="maintenance",
        question="Is it out of maintenance?",
        inputs=("maintenance", "caller"),
        settings=(),
        missing="closed",
        answers="ignore; by hand: ask",
        harm="A host that is only rebooted for an update is powered off in the middle of it, with VMs paused on it.",
        ask=of_host.maintenance,
        clears=True,
    ),
    Gate(
        name="planned",
        question="Was it in service before it failed?",
        inputs=("status", "disabled_reason", "role", "caller"),
        settings=("gates.planned",),
        missing="closed",
        answers="what `gates.planned` says; by hand and without a status: ask",
        harm="VMs on a host that somebody took out of service and stopped nova-compute on, and that run on unharmed, "
        "are killed.",
        ask=of_host.planned,
        clears=True,
    ),
    Gate(
        name="observer",
        question="Is the observer itself well connected?",
        inputs=("observer.api", "observer.networks"),
        settings=(),
        missing="closed",
        answers="hold",
        harm="A controller whose own cable is pulled takes the whole cloud for dead and powers off healthy hosts.",
        ask=of_cloud.observer,
    ),
    Gate(
        name="everything_stale",
        question="Is it the host that is silent, and not everything?",
        inputs=("hosts", "heard"),
        settings=(),
        missing="closed: a host of which nothing is known is not heard",
        answers="hold",
        harm="A message bus that stopped or a clock that jumped makes all hosts look dead, and they are powered off.",
        ask=of_cloud.everything_stale,
    ),
    Gate(
        name="control_plane",
        question="Can Nova carry out an evacuation at all?",
        inputs=("control",),
        settings=(),
        missing="closed",
        answers="hold",
        harm="The host is powered off while no evacuation can succeed: VMs that still ran on it are down for nothing.",
        ask=of_cloud.control_plane,
    ),
    Gate(
        name="start_grace",
        question="Has the observer watched long enough?",
        inputs=("observer.up_for", "caller"),
        settings=("gates.start_grace",),
        missing="closed; by hand it is not asked",
        answers="hold",
        harm="A responder that has just started takes hosts that it has not heard yet for dead.",
        ask=of_cloud.start_grace,
    ),
    Gate(
        name="power_restored",
        question="Is this not the return of the site's power?",
        inputs=("hosts", "returned"),
        settings=("gates.power_restored.percent", "gates.power_restored.within"),
        missing="open: a host that nobody saw return has not returned lately",
        answers="hold",
        harm="After a power failure the hosts that boot last are powered off while they boot, with the VMs that they "
        "had begun to start.",
        ask=of_cloud.power_restored,
    ),
    Gate(
        name="kdump",
        question="Has it finished writing its crash dump?",
        inputs=("kdump",),
        settings=("gates.kdump.quiet", "gates.kdump.timeout"),
        missing="open: no message means no dump",
        answers="hold, until no message comes any more or the time is up",
        harm="The dump is cut off, the cause stays unknown, and the next host dies, with its VMs, of the same bug.",
        ask=of_host.kdump,
    ),
    Gate(
        name="witnesses",
        question="Do enough independent witnesses say that it is down, and none that it lives?",
        inputs=("witnesses", "responders", "signs_of_life", "networks", "segment", "suspected_for", "caller"),
        settings=("gates.witnesses.needed", "gates.witnesses.required", "gates.witnesses.ask_after"),
        missing="closed",
        answers="hold, and ask after `gates.witnesses.ask_after`; by hand: ask. A host that lives and has lost some of "
        "its networks, by the word of `gates.witnesses.needed` reporters each, is left to the gate `networks`",
        harm="A host of which only nova-compute has died, or about which one observer errs, is powered off with all "
        "its healthy VMs.",
        ask=of_host.witnesses,
        clears=True,
    ),
    Gate(
        name="networks",
        question="Does the loss of these networks call for a recovery?",
        inputs=("networks", "witnesses", "signs_of_life", "segment", "suspected_for", "caller"),
        settings=("gates.witnesses.needed", "gates.witnesses.ask_after"),
        missing="closed; by hand, open when no monitor reports. Without `networks` in the policy it is not asked",
        answers="the reaction of the first rule that fits; `migrate` gives alert; no rule: ask; not known which rule: "
        "hold, and ask after `gates.witnesses.ask_after`; by hand: ask",
        harm="A host that lost only its admin network is powered off, although its VMs run and serve their users.",
        ask=of_host.networks,
        clears=True,
    ),
    Gate(
        name="flapping",
        question="Has it not been recovered too often lately?",
        inputs=("recoveries",),
        settings=("gates.flapping.recoveries", "gates.flapping.within"),
        missing="closed",
        answers="ask",
        harm="A host that dies and returns every hour has its VMs killed and moved every hour.",
        ask=of_host.flapping,
    ),
    Gate(
        name="fence_ready",
        question="Can it be fenced?",
        inputs=("fencing", "caller"),
        settings=("gates.fence_ready.max_age",),
        missing="closed; without a fresh result of `fence_check` open, and the reason says so",
        answers="no fencing level: alert, by hand ask; identity of the BMC differs: ask",
        harm="The BMC that stands in the inventory belongs to another host, and that healthy one is powered off.",
        ask=of_host.fence_ready,
        note=of_host.fencing_doubt,
    ),
    Gate(
        name="mass_silence",
        question="Are few enough hosts silent?",
        inputs=("silent", "silent_in_segment", "silent_domain", "storm", "caller"),
        settings=("gates.mass_silence.hosts", "gates.mass_silence.percent", "gates.mass_silence.ask_after"),
        missing="closed: a host of which nothing is known is silent",
        answers="hold, and ask after `gates.mass_silence.ask_after`; all in one failure domain, or by hand: ask",
        harm="A broken switch silences a rack, and one healthy host after the other is powered off.",
        ask=of_cloud.mass_silence,
    ),
    Gate(
        name="cool_down",
        question="Is the last storm long enough ago?",
        inputs=("storm",),
        settings=("gates.cool_down",),
        missing="closed; a storm without an end, or none, is open",
        answers="hold",
        harm="When the switch returns, the hosts that are heard last are taken for the dead ones and powered off.",
        ask=of_cloud.cool_down,
    ),
    Gate(
        name="budget",
        question="Are few enough hosts failing at once and within the hour?",
        inputs=("counts",),
        settings=(),
        missing="closed; a host of which it is not known whether it is forced down counts",
        answers="ask",
        harm="Wrong decisions that come one at a time, each below every threshold, power off the cloud host by host.",
        ask=of_cloud.budget,
        together=True,
    ),
)
