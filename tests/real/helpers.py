"""What tests of recover_host ask of the bed."""

from __future__ import annotations

import typing as t

from bed.client import Bed
from driver import Playbooks

Json = t.Dict[str, t.Any]
Recovery = t.Callable[..., Playbooks]

#: Retries at once: what they wait for is brought about by the test.
HASTY = {"evacuate_retry_delay": 0.5}


def evacuations(cloud: Bed, vm: str = "") -> list[Json]:
    """The evacuate calls that were made, of one VM or of all."""
    return [call for call in cloud.api_log() if call.get("action") == "evacuate" and vm in call["path"]]


def where(cloud: Bed, vms: t.Iterable[str]) -> list[str]:
    """The host on which each of the VMs really runs; empty for those that run nowhere."""
    homes = {uuid: host for host, uuids in cloud.running().items() for uuid in uuids}
    return [homes.get(vm, "") for vm in vms]


def states(playbooks: Playbooks, vms: t.Iterable[str]) -> list[str]:
    """What the ledger says of each of the VMs."""
    ledger = playbooks.ledger()
    return [ledger[vm]["state"] if vm in ledger else "" for vm in vms]


def reason(playbooks: Playbooks, vm: str) -> str:
    """The reason in the ledger."""
    return str(playbooks.ledger()[vm]["reason"])
