"""VMs in every state that matters, on three hosts that fail at once, and what must become of each of them."""

from __future__ import annotations

import dataclasses
import typing as t
from pathlib import Path

from bed.client import Bed
from driver import Outcome, Playbooks, until

Json = t.Dict[str, t.Any]

#: What the three pairs of hosts are: the first of each fails.
SEGMENTS: dict[str, Json] = {
    "shared": {"hosts": ["cmp01", "cmp02"], "shared_storage": True},
    "local": {"hosts": ["cmp03", "cmp04"], "shared_storage": False},
    "lossy": {"hosts": ["cmp05", "cmp06"], "shared_storage": False, "allow_local_disk_loss": True, "protect": False},
}
FAILED = ("cmp01", "cmp03", "cmp05")
VTPM = {"hw:tpm_version": "2.0", "hw:tpm_model": "tpm-crb"}


@dataclasses.dataclass(frozen=True)
class Case:
    """How a VM gets into its state, and what must become of it.

    :param ledger: Its last state in the ledger; empty when the plan must not even name it.
    :param status: What Nova shows at the end. :param reason: Part of the reason in the ledger.
    :param acts: Server actions while its host lives. :param edit: What its record shows once the host is dead.
    :param fill: Options of :meth:`bed.client.Bed.fill`. :param born: The host it was made on.
    """

    ledger: str
    status: str
    reason: str = ""
    host: str = "cmp01"
    acts: tuple[t.Mapping[str, t.Any], ...] = ()
    edit: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    fill: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    born: str = ""

    @property
    def moves(self) -> bool:
        return self.ledger == "verified"


STOP: Json = {"os-stop": None}
VOLUME = {"volume": True}

CASES: dict[str, Case] = {
    "active": Case("verified", "ACTIVE"),
    "stopped": Case("verified", "SHUTOFF", acts=(STOP,)),
    "paused": Case("verified", "SHUTOFF", "was paused", acts=({"pause": None},)),
    "suspended": Case("verified", "SHUTOFF", "was suspended", acts=({"suspend": None},)),
    "rescued": Case("verified", "SHUTOFF", "was in rescue", acts=({"rescue": {}},)),
    "error, was running": Case("verified", "ACTIVE", edit={"vm_state": "error"}),
    "error, was stopped": Case("verified", "SHUTOFF", acts=(STOP,), edit={"vm_state": "error"}),
    "resized to here": Case("verified", "ACTIVE", acts=({"migrate": {"host": "cmp01"}},), born="cmp04"),
    "resized away": Case("", "VERIFY_RESIZE", acts=({"migrate": {"host": "cmp02"}},)),
    "shelved": Case("skipped", "SHELVED", "is shelved", acts=(STOP,), edit={"vm_state": "shelved"}),
    "shelved offloaded": Case("", "SHELVED_OFFLOADED", acts=({"shelve": None},)),
    "building": Case("skipped", "BUILD", "being built", edit={"vm_state": "building", "task_state": "spawning"}),
    "deleting": Case("skipped", "ACTIVE", "has deleted it", edit={"task_state": "deleting"}),
    "soft-deleting": Case("skipped", "ACTIVE", "has deleted it", edit={"task_state": "soft-deleting"}),
    "soft-deleted": Case("", "SOFT_DELETED", edit={"vm_state": "soft-delete"}),
    "rebooting": Case("verified", "ACTIVE", edit={"task_state": "rebooting"}),
    "rebooting hard": Case("verified", "ACTIVE", edit={"task_state": "rebooting_hard"}),
    "powering off": Case("verified", "SHUTOFF", edit={"task_state": "powering-off"}),
    "powering on": Case("verified", "SHUTOFF", acts=(STOP,), edit={"task_state": "powering-on"}),
    "image snapshot": Case("verified", "ACTIVE", edit={"task_state": "image_snapshot"}),
    "rebuilt by its owner": Case("pending", "REBUILD", "not an evacuation", edit={"task_state": "rebuilding"}),
    "migrating": Case("pending", "MIGRATING", "other host", edit={"task_state": "migrating"}),
    "resizing": Case("pending", "RESIZE", "other host", edit={"task_state": "resize_migrating"}),
    "locked": Case("verified", "ACTIVE", acts=({"lock": {"locked_reason": "mine"}},)),
    "vTPM": Case("failed", "ACTIVE", "Nova refuses", fill={"extra_specs": VTPM}),
    "Manila share": Case("failed", "ACTIVE", "Nova refuses"),
    "boot from volume, with a port": Case("verified", "ACTIVE", fill={**VOLUME, "network": True}),
    "HA_Enabled=False": Case(
        "skipped", "ACTIVE", "metadata HA_Enabled=False", fill={"metadata": {"HA_Enabled": "False"}}
    ),
    "not protected by metadata": Case(
        "skipped", "ACTIVE", "VM metadata openstack_ha:protect=no", fill={"metadata": {"openstack_ha:protect": "no"}}
    ),
    "not protected by flavor": Case(
        "skipped", "ACTIVE", "flavor extra specs HA_Enabled=False", fill={"extra_specs": {"HA_Enabled": "False"}}
    ),
    "local disk": Case("skipped", "ACTIVE", "has a local disk", host="cmp03"),
    "volume and ephemeral disk": Case(
        "skipped", "ACTIVE", "has a local disk", host="cmp03", fill={**VOLUME, "ephemeral": 1}
    ),
    "volume only": Case("verified", "ACTIVE", host="cmp03", fill=VOLUME),
    "not protected by segment": Case("skipped", "ACTIVE", "segment default", host="cmp05"),
    "local disk that may be lost": Case(
        "verified", "ACTIVE", host="cmp05", fill={"metadata": {"openstack_ha:protect": "true"}}
    ),
    "protected as Masakari has it": Case(
        "verified", "ACTIVE", host="cmp05", fill={"extra_specs": {"HA_Enabled": "True"}}
    ),
}


@dataclasses.dataclass
class Result:
    """What became of the VMs of one run."""

    outcome: Outcome
    ids: dict[str, str]
    before: dict[str, Json]
    after: dict[str, Json]
    ledger: dict[str, Json]
    twice: list[t.Any]
    running: dict[str, list[str]]
    calls: list[Json]

    def actions(self, name: str) -> list[str]:
        """What was done to a VM through the API during the run."""
        return [str(call.get("action")) for call in self.calls if f"/servers/{self.ids[name]}/" in call["path"]]


def recover_all(bed: Bed, directory: Path, cases: t.Mapping[str, Case]) -> Result:
    """Bring VMs into their states, let their hosts crash, recover them in one run."""
    bed.reset()
    inventory = bed.segments_file(directory / "lab.failover_segments.yml", SEGMENTS)
    playbooks = Playbooks(inventory, directory, bed.clouds_yaml)
    ids = _made(bed, cases)
    for host in FAILED:
        bed.crash(host)
    for name, case in cases.items():
        if case.edit:
            bed.edit_server(ids[name], **case.edit)
    before = {name: bed.server(uuid) for name, uuid in ids.items()}
    bed.reset_api_calls()
    outcome = playbooks.recover(
        *FAILED, answer="recover", answered_by="ann", answer_reason="pdu-burnt", evacuate_retries=0
    )
    return Result(
        outcome,
        ids,
        before,
        {name: bed.server(uuid) for name, uuid in ids.items()},
        playbooks.ledger(),
        bed.ever_ran_twice(),
        bed.running(),
        bed.api_log(),
    )


def _made(bed: Bed, cases: t.Mapping[str, Case]) -> dict[str, str]:
    kinds: dict[str, tuple[Case, list[str]]] = {}
    for name, case in cases.items():
        kinds.setdefault(repr((case.born or case.host, dict(case.fill))), (case, []))[1].append(name)
    ids: dict[str, str] = {}
    for case, names in kinds.values():
        ids.update(zip(names, bed.fill(case.born or case.host, len(names), **case.fill)))
    for name, case in cases.items():
        for act in case.acts:
            bed.action(ids[name], act)
        if name == "Manila share":
            bed.attach_share(ids[name])
    for uuid in ids.values():
        until(lambda uuid=uuid: not bed.server(uuid)["OS-EXT-STS:task_state"])  # type: ignore[misc]
    return ids
