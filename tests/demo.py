"""The main job on the embedded default: a host loses power, its VMs come back.

Shows the real thing: Nova's own services, an IPMI BMC that really cuts the host off, one ansible-playbook.
Writes build/demo/summary.json.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
import typing as t
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from bed.client import Bed
from driver import Playbooks
from tree import ROOT, collections_path

sys.path.insert(0, str(collections_path()))

SEGMENTS = {
    "rack1": {"hosts": ["cmp01", "cmp02", "cmp03"], "reserved_hosts": ["cmp04"], "shared_storage": True},
    "rack2": {"hosts": ["cmp05", "cmp06"], "shared_storage": True},
}
VMS = 12


def main() -> int:
    """Run the demo; 0 when every VM is back, none twice, none outside its segment."""
    directory = ROOT / "build" / "demo"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    say("Starting a cloud: real Nova services, six compute hosts with BMCs, in one process …")
    with Bed.start(directory / "bed", computes=6) as bed:
        summary = demonstrate(bed, directory)
    (directory / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    say("build/demo/summary.json:")
    print(json.dumps(summary, indent=2))
    good = summary["vms_recovered"] == summary["vms_total"]
    return 0 if good and not summary["vms_running_twice"] and not summary["vms_outside_segment"] else 1


def demonstrate(bed: Bed, directory: Path) -> dict[str, t.Any]:
    """Fill a host, pull its plug, recover it."""
    bed.update_service("cmp04", status="disabled", disabled_reason="reserved for failover")
    inventory = bed.segments_file(directory / "demo.failover_segments.yml", SEGMENTS)
    playbooks = Playbooks(inventory, directory, bed.clouds_yaml)
    say(f"{VMS} VMs on cmp01. The segments, as this collection sees them:")
    vms = bed.fill("cmp01", VMS)
    print(playbooks.run("segments").out)
    say("Pulling the plug of cmp01.")
    bed.crash("cmp01")
    say(f"ansible-playbook openstack_ha.recovery.recover_host -i {inventory.name} -e failed_hosts=cmp01")
    began = time.monotonic()
    outcome = playbooks.recover("cmp01")
    print(outcome.out)
    return summarize(bed, playbooks, vms, began)


def summarize(bed: Bed, playbooks: Playbooks, vms: list[str], began: float) -> dict[str, t.Any]:
    """What really happened: from the hypervisors' truth, not from what the playbook says."""
    report = playbooks.report()
    where = {uuid: host for host, uuids in bed.running().items() for uuid in uuids}
    inside = {*SEGMENTS["rack1"]["hosts"], *SEGMENTS["rack1"]["reserved_hosts"]} - {"cmp01"}  # type: ignore[misc]
    opened = report["run"]["holder"]["monotonic"] - began
    steps = {step["name"]: round(opened + step["seconds"], 2) for step in report["steps"]}
    return {
        "vms_total": len(vms),
        "vms_recovered": sum(where.get(vm) in inside for vm in vms),
        "vms_running_twice": len(bed.ever_ran_twice()),
        "vms_outside_segment": sum(vm in where and where[vm] not in inside for vm in vms),
        "certificate_kind": report["certificates"][-1]["certificate"]["kind"] if report["certificates"] else None,
        "seconds": {name: steps.get(name) for name in ("forced_down", "fenced", "first_evacuate", "last_active")},
    }


def say(text: str) -> None:
    print(f"\n==> {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
