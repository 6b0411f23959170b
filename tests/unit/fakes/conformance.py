"""Questions to Nova and Placement, whose answers this collection goes by.

Asked with the collection's own calls, of the simulated cloud (unit tests) and of a real Nova (``tests/real``); both
must give the answers that ``nova_answers.json`` holds. Names of VMs and hosts stand in for what differs each time.
"""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute, _placement
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._vmstate import UNDER_WAY

Json = t.Dict[str, t.Any]

RECORD = Path(__file__).with_name("nova_answers.json")
#: A host that fails, one that takes its VMs, one more; all empty and up when a question is asked.
SOURCE, TARGET, OTHER = "cmp01", "cmp02", "cmp03"
STATES = ("active", "stopped", "error", "paused", "suspended", "rescued")
_SERVICE = ("binary", "host", "state", "status", "disabled_reason", "forced_down")
_DOWN = {"status": "disabled", "disabled_reason": "openstack_ha: failed", "forced_down": True}


class Lab(t.Protocol):
    """A cloud with the hosts of above.

    :param cloud: As the collection sees it.
    """

    cloud: t.Any

    def make(self, host: str, state: str = "active") -> str:
        """A new VM of 1 VCPU; its id."""

    def delete(self, vm: str) -> None:
        """Its owner deletes it."""

    def die(self, host: str) -> None:
        """It loses its power, which Nova does not know yet."""

    def slow(self) -> None:
        """From now on a guest takes seconds to start."""

    def fill_up(self, host: str) -> None:
        """No VM more fits there."""

    def until(self, what: t.Callable[[], t.Any]) -> None:
        """Let time pass until it is so."""

    def provider(self, host: str) -> str:
        """Its resource provider in Placement."""


def recorded() -> dict[str, Json]:
    """What a real Nova answered."""
    answers: dict[str, Json] = json.loads(RECORD.read_text(encoding="utf-8"))
    return answers


# -- how to ask ------------------------------------------------------------------------------------------------------


def _tried(lab: Lab, names: t.Mapping[str, str], call: t.Callable[[], t.Any]) -> t.Any:
    """The status, and what was said when that is none of success."""
    try:
        call()
    except CloudError as error:
        said = str(error.facts.get("answer") or "")
        for key, name in names.items():
            said = said.replace(key, name)
        return [error.facts.get("status"), said.partition("\n")[0]]
    return "accepted"


def _evacuate(lab: Lab, vm: str, target: str = TARGET, stopped: bool = False) -> t.Any:
    return _tried(lab, {vm: "VM"}, lambda: _compute.evacuate(lab.cloud, vm, target, stopped))


def _take_out(lab: Lab, host: str) -> Json:
    lab.die(host)
    service = _compute.compute_service(lab.cloud, host)
    return _compute.update_service(lab.cloud, service["id"], _DOWN)


def _server(lab: Lab, vm: str) -> Json:
    found = _compute.server(lab.cloud, vm)
    if found is None:
        return {}
    keys = ("OS-EXT-SRV-ATTR:host", "OS-EXT-STS:vm_state", "OS-EXT-STS:task_state", "OS-EXT-STS:power_state")
    return {**{key.rpartition(":")[2]: found[key] for key in keys}, "fault": (found.get("fault") or {}).get("message")}


def _records(lab: Lab, host: str, names: t.Mapping[str, str]) -> list[Json]:
    return [
        {
            "vm": names[record["instance_uuid"]],
            **{key: record[key] for key in ("status", "source_compute", "dest_compute")},
        }
        for record in _compute.evacuations_from(lab.cloud, host)
    ]


def _over(lab: Lab, vm: str) -> None:
    """Wait until nothing is under way with it."""

    def ended() -> bool:
        mine = [it for it in _compute.evacuations_from(lab.cloud, SOURCE) if it["instance_uuid"] == vm]
        server = _compute.server(lab.cloud, vm)
        busy = server is not None and server["OS-EXT-STS:task_state"]
        return not busy and all(it["status"] not in UNDER_WAY or not _at_source(server) for it in mine)

    lab.until(ended)


def _at_source(server: Json | None) -> bool:
    return server is not None and server["OS-EXT-SRV-ATTR:host"] == SOURCE and server["OS-EXT-STS:vm_state"] != "error"


def _vcpus(lab: Lab, host: str) -> int:
    _capacity, used = _placement.room_on(lab.cloud, [lab.provider(host)])[lab.provider(host)]
    return used.get("VCPU", 0)


def _service_of(lab: Lab, host: str) -> Json:
    service = _compute.compute_service(lab.cloud, host)
    return {key: service[key] for key in _SERVICE}


# -- questions -------------------------------------------------------------------------------------------------------


def a_living_service(lab: Lab) -> Json:
    """What Nova says of a nova-compute that is well, and of none."""
    unknown = _tried(lab, {}, lambda: _compute.compute_service(lab.cloud, "nowhere"))
    return {"service": _service_of(lab, TARGET), "of an unknown host": unknown is not None and unknown[0]}


def out_of_service_and_back(lab: Lab) -> Json:
    """One PUT disables and forces down, another one brings back what lives."""
    service = _compute.compute_service(lab.cloud, OTHER)
    after = _compute.update_service(lab.cloud, service["id"], _DOWN)
    down = _service_of(lab, OTHER)
    back = _compute.update_service(lab.cloud, service["id"], {"status": "enabled", "forced_down": False})
    keys = ("status", "disabled_reason", "forced_down")
    return {
        "answer": {key: after[key] for key in keys},
        "down": down,
        "answer back": {key: back[key] for key in keys},
        "back": _service_of(lab, OTHER),
    }


def evacuations_by_state(lab: Lab, stopped: bool) -> Json:
    vms = {state: lab.make(SOURCE, state) for state in STATES}
    _take_out(lab, SOURCE)
    answers = {state: _evacuate(lab, vm, stopped=stopped) for state, vm in vms.items()}
    for vm in vms.values():
        _over(lab, vm)
    names = {vm: state for state, vm in vms.items()}
    return {
        "answers": answers,
        "servers": {state: _server(lab, vm) for state, vm in vms.items()},
        "migrations": sorted(_records(lab, SOURCE, names), key=lambda record: str(record["vm"])),
    }


def evacuations_that_start(lab: Lab) -> Json:
    """API 2.94 and older: guests land as they were."""
    return evacuations_by_state(lab, stopped=False)


def evacuations_that_stop(lab: Lab) -> Json:
    """API 2.95: guests land stopped."""
    return evacuations_by_state(lab, stopped=True)


def after_a_reset(lab: Lab) -> Json:
    """States that cannot be evacuated can, once they are reset."""
    vms = {state: lab.make(SOURCE, state) for state in ("paused", "suspended", "rescued", "error")}
    _take_out(lab, SOURCE)
    for vm in vms.values():
        _compute.reset_state(lab.cloud, vm)
    reset = {state: _server(lab, vm) for state, vm in vms.items()}
    answers = {state: _evacuate(lab, vm) for state, vm in vms.items()}
    for vm in vms.values():
        _over(lab, vm)
    return {"reset": reset, "answers": answers, "servers": {state: _server(lab, vm) for state, vm in vms.items()}}


def a_living_source(lab: Lab) -> Json:
    """Nova refuses while it takes the source for alive."""
    vm = lab.make(SOURCE)
    return {"answer": _evacuate(lab, vm), "server": _server(lab, vm), "migrations": _records(lab, SOURCE, {vm: "VM"})}


def a_second_request(lab: Lab) -> Json:
    """Accepted while the first one runs, and the end of the VM."""
    vm = lab.make(SOURCE)
    lab.slow()
    _take_out(lab, SOURCE)
    first = _evacuate(lab, vm)
    lab.until(lambda: _records(lab, SOURCE, {vm: "VM"}))
    second = _evacuate(lab, vm)
    lab.until(lambda: _server(lab, vm)["vm_state"] == "error")
    return {"answers": [first, second], "records": len(_records(lab, SOURCE, {vm: "VM"}))}


def refused_targets(lab: Lab) -> Json:
    """One that is full, one that is disabled, one that is down, one that nobody knows."""
    vms = {word: lab.make(SOURCE) for word in ("full", "disabled", "unknown")}
    lab.fill_up(TARGET)
    other = _compute.compute_service(lab.cloud, OTHER)
    _compute.update_service(lab.cloud, other["id"], {"status": "disabled"})
    _take_out(lab, SOURCE)
    targets = {"full": TARGET, "disabled": OTHER, "unknown": "nowhere"}
    answers = {word: _evacuate(lab, vm, targets[word]) for word, vm in vms.items()}
    for word in ("full", "disabled"):
        lab.until(lambda vm=vms[word]: _server(lab, vm)["vm_state"] == "error")  # type: ignore[misc]
    names = {vm: word for word, vm in vms.items()}
    return {
        "answers": answers,
        "servers": {word: _server(lab, vm) for word, vm in vms.items()},
        "migrations": sorted(_records(lab, SOURCE, names), key=lambda record: str(record["vm"])),
        "room held on the target": _vcpus(lab, OTHER),
    }


def deleted_vms(lab: Lab) -> Json:
    """One that its owner has deleted."""
    vm = lab.make(SOURCE)
    lab.delete(vm)
    lab.until(lambda: _compute.server(lab.cloud, vm) is None)
    _take_out(lab, SOURCE)
    answer = _evacuate(lab, vm)
    return {"status": answer[0], "there": [it["id"] for it in _compute.servers_on(lab.cloud, SOURCE)]}


def lists(lab: Lab) -> Json:
    """Servers by host, and records newest first."""
    vms = {lab.make(SOURCE): "first", lab.make(SOURCE): "second", lab.make(TARGET): "third"}
    _take_out(lab, SOURCE)
    before = {host: sorted(vms[it["id"]] for it in _compute.servers_on(lab.cloud, host)) for host in (SOURCE, TARGET)}
    for vm in list(vms)[:2]:
        assert _evacuate(lab, vm) == "accepted"
        _over(lab, vm)
    return {
        "before": before,
        "after": {
            host: sorted(vms[it["id"]] for it in _compute.servers_on(lab.cloud, host)) for host in (SOURCE, TARGET)
        },
        "of an unknown host": _compute.servers_on(lab.cloud, "nowhere"),
        "records": _records(lab, SOURCE, vms),
        "to the target": sorted(vms[it["instance_uuid"]] for it in _compute.evacuations_to(lab.cloud, TARGET)),
    }


def placement(lab: Lab) -> Json:
    """The target's room is taken as soon as it is asked for; the source's is held until that host returns."""
    vm = lab.make(SOURCE)
    lab.slow()
    before = [_vcpus(lab, host) for host in (SOURCE, TARGET)]
    _take_out(lab, SOURCE)
    _evacuate(lab, vm)
    lab.until(lambda: _vcpus(lab, TARGET))
    during = [_vcpus(lab, host) for host in (SOURCE, TARGET)]
    under_way = str(_server(lab, vm)["task_state"]).startswith("rebuild")
    _over(lab, vm)
    holds = {
        host: sorted(_placement.allocations_on(lab.cloud, lab.provider(host))) == [vm] for host in (SOURCE, TARGET)
    }
    after = [_vcpus(lab, host) for host in (SOURCE, TARGET)]
    return {"before": before, "during": during, "under way": under_way, "after": after, "holds": holds}


def stopping(lab: Lab) -> Json:
    """What landed active is powered off."""
    vm = lab.make(SOURCE)
    _take_out(lab, SOURCE)
    _evacuate(lab, vm)
    _over(lab, vm)
    _compute.stop(lab.cloud, vm)
    lab.until(lambda: _server(lab, vm)["vm_state"] == "stopped")
    again = _tried(lab, {vm: "VM"}, lambda: _compute.stop(lab.cloud, vm))
    return {"server": _server(lab, vm), "again": again}


QUESTIONS: tuple[t.Callable[[Lab], Json], ...] = (
    a_living_service, out_of_service_and_back, evacuations_that_start, evacuations_that_stop, after_a_reset,
    a_living_source, a_second_request, refused_targets, deleted_vms, lists, placement, stopping,
)  # fmt: skip
