# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings a nova-compute service to a wanted state. PRIVATE to this collection: may change at any time."""

from __future__ import annotations

import typing as t

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _compute
from ansible_collections.openstack_ha.recovery.plugins.module_utils._cloud import Cloud, Json
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CloudError, ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates_scene import OUR_REASON
from ansible_collections.openstack_ha.recovery.plugins.module_utils._run import Run


def out_of_service(run_id: str) -> Json:
    """What a run wants of the service of a failed host."""
    return {"status": "disabled", "disabled_reason": f"{OUR_REASON} failed, run {run_id}", "forced_down": True}


def bring(
    cloud: Cloud,
    host: str,
    wanted: Json,
    recovery: Run | None,
    check_mode: bool = False,
    before: Json | None = None,
) -> tuple[Json, Json]:
    """Change, in one PUT, what is not as it is wanted; return the service before and after.

    :param wanted: Any of ``status``, ``disabled_reason``, ``forced_down``. :param recovery: Whose lease is renewed
        right before the change, and who notes the step. :param before: The service as Nova has just shown it, if it was
        asked.
    :raises CloudError: Nova refuses, or evacuations forbid to force it up. :raises LeaseLost: Nothing was changed.
    """
    before = before or _compute.compute_service(cloud, host)
    change = _difference(wanted, before)
    if change.get("forced_down") is False:
        _refuse_force_up_with_records(cloud, host)
    if not change or check_mode:
        return before, _expected(before, change)
    if recovery:
        recovery.lease.renew(host)
    after = _compute.update_service(cloud, before["id"], change)
    if recovery and change.get("forced_down"):
        recovery.step("forced_down", host)
    return before, after


def _difference(wanted: Json, service: Json) -> Json:
    if wanted.get("disabled_reason") is not None and wanted.get("status") != "disabled":
        raise ConfigError("disabled_reason: only a host with status=disabled has one. Leave it out.")
    change = {name: value for name, value in wanted.items() if service.get(name) != value}
    if "disabled_reason" in change:
        change["status"] = "disabled"  # Nova takes a reason only together with the status
    return change


def _expected(service: Json, change: Json) -> Json:
    """The service as Nova will show it after the change."""
    after: dict[str, t.Any] = {**service, **change}
    if not change:
        return after
    if after["status"] == "enabled":
        after["disabled_reason"] = None
    if after["forced_down"]:
        after["state"] = "down"
    return after


def _refuse_force_up_with_records(cloud: Cloud, host: str) -> None:
    done = [record for record in _compute.evacuations_from(cloud, host) if record["status"] == "done"]
    if done:
        raise CloudError(
            f"Will not force up {host}: Nova holds {len(done)} evacuation records in status 'done', so {host} may "
            "still have stale guests of VMs that run elsewhere now. Start nova-compute there while it is forced "
            "down: it deletes them and sets the records to 'completed'. Then run this again.",
            servers=[record["instance_uuid"] for record in done],
        )
