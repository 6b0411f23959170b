# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the journal of a deployment says, for tests."""

from __future__ import annotations

import typing as t

from hosts.deployment import Deployment

SCOPE = "RegionOne"
UNSETTLED = ["open", "held", "recovering", "partial"]


def views(site: Deployment) -> dict[str, dict[str, t.Any]]:
    """What each responder has journaled of what it hears."""
    with site.journal() as journal:
        return {row["name"]: row["view"] for row in journal.observers(SCOPE)}


def incidents(site: Deployment, **filters: t.Any) -> list[dict[str, t.Any]]:
    with site.journal() as journal:
        return list(journal.incidents(scope=SCOPE, **filters))


def verdict_on(site: Deployment, host: str) -> dict[str, t.Any]:
    """The newest verdict on a host of this test; empty where there is none."""
    with site.journal() as journal:
        for run in (one for one in journal.runs(host=host) if one["opened_at"] >= site.began):
            for verdict in reversed(journal.verdicts(run["id"])):
                return dict(verdict["result"][host])
    return {}


def assert_recovered(site: Deployment, host: str, vms: t.Sequence[str]) -> dict[str, t.Any]:
    """All VMs run elsewhere, none ever ran twice, and the journal has the whole path; returns the report."""
    bed = site.bed
    (incident,) = incidents(site, host=host, kind="host", state="recovered")
    with site.journal() as journal:
        # the others say what responders held, or that another one had the claim
        reports = [dict(journal.report(run_id)) for run_id in journal.runs_of(incident["id"])]
    (report,) = [one for one in reports if one["hosts"][0]["outcome"] == "recovered"]
    assert bed.ever_ran_twice() == []
    assert {vm for name, guests in bed.running().items() if name != host for vm in guests} == set(vms)
    assert {one["result"][host]["verdict"] for one in report["verdicts"]} == {"recover"}
    (certificate,) = report["certificates"]
    assert (certificate["state"], certificate["certificate"]["kind"]) == ("valid", "ipmi")
    assert {line["server_id"]: line["state"] for line in report["ledger"]} == dict.fromkeys(vms, "verified")
    assert not site.lab[host].is_on
    return report
