"""Draining a living host on real Nova: what moves, what stays, and what is never done."""

from __future__ import annotations

import typing as t

from bed.client import Bed
from driver import Playbooks, until
from helpers import Recovery, where

RACK = {"rack1": {"hosts": ["cmp01", "cmp02", "cmp03"], "shared_storage": True}, "rack2": {"hosts": ["cmp05", "cmp06"]}}


def drain(playbooks: Playbooks, *arguments: str, **variables: t.Any) -> t.Any:
    return playbooks.run("recover_network", *arguments, failed_hosts="cmp01", **variables)


def requests(cloud: Bed, action: str = "os-migrateLive") -> list[dict[str, t.Any]]:
    return [line for line in cloud.api_log() if line.get("action") == action]


def test_vms_of_a_living_host_go_on_elsewhere_in_their_segment_and_run_only_once(
    cloud: Bed, recovery: Recovery
) -> None:
    vms = cloud.fill("cmp01", 4, network=True, volume=True)
    playbooks = recovery(RACK)

    outcome = drain(playbooks)

    assert outcome, outcome.out
    assert set(where(cloud, vms)) == {"cmp02", "cmp03"}
    assert cloud.ever_ran_twice() == []
    assert {line["state"] for line in playbooks.ledger().values()} == {"verified"}
    assert {line["method"] for line in playbooks.ledger().values()} == {"live_migrate"}
    service = cloud.services()["cmp01"]
    assert (service["status"], service["forced_down"], service["state"]) == ("disabled", False, "up")
    assert service["disabled_reason"].startswith("openstack_ha: network ")
    assert [line["action"] for line in cloud.api_log() if line.get("action") == "evacuate"] == []
