from __future__ import annotations

import threading
import typing as t

import pytest
from unit.plugins.module_utils._monitor.monitor_fakes import Clock, board, config

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor import pacemaker

#: What Pacemaker 2.1 gives to an alert agent.
LOST = {
    "CRM_alert_version": "2.1.5",
    "CRM_alert_kind": "node",
    "CRM_alert_node": "cmp03",
    "CRM_alert_nodeid": "3",
    "CRM_alert_desc": "lost",
    "CRM_alert_node_sequence": "7",
    "CRM_alert_timestamp_epoch": "1763717400",
}
MEMBER = {**LOST, "CRM_alert_desc": "member"}
FENCED = {
    **LOST,
    "CRM_alert_kind": "fencing",
    "CRM_alert_desc": "Operation reboot of cmp03 by cmp01 for pacemaker-controld.101@cmp01: OK (complete)",
    "CRM_alert_task": "reboot",
    "CRM_alert_rc": "0",
}
RESOURCE = {
    **LOST,
    "CRM_alert_kind": "resource",
    "CRM_alert_rsc": "vip",
    "CRM_alert_task": "start",
    "CRM_alert_desc": "ok",
    "CRM_alert_rc": "0",
}


def alerts(*environments: t.Mapping[str, str], there: t.Sequence[bool] = (True,), **options: t.Any) -> list[t.Any]:
    """The signals of these alerts, on one member."""
    states, spool = board(Clock())
    left = list(there)
    whole = config(principal="reporter:pacemaker", pacemaker={"settle": 0, **options})
    for environment in environments:
        pacemaker.run(whole, states, threading.Event(), environment, lambda: left.pop(0) if len(left) > 1 else left[0])
    return [(it["data"]["host"], it["type"].rpartition(".")[2], it["data"]) for it in spool.batch(99, 10**6)]


def words(found: list[t.Any]) -> list[tuple[str, str]]:
    return [(host, word) for host, word, _data in found]


def test_a_node_that_is_lost_and_comes_back_is_told() -> None:
    found = alerts(LOST, LOST, MEMBER, MEMBER)
    assert words(found) == [("cmp03", "unreachable"), ("cmp03", "reachable")]
    assert (found[0][2]["reporter"], found[0][2]["object"]) == ("pacemaker", "")


def test_a_part_of_the_cluster_without_quorum_says_nothing_of_lost_nodes() -> None:
    assert alerts(LOST, there=[False]) == []
    assert alerts(LOST, there=[True, False]) == []  # the loss of the quorum came a moment later
    assert words(alerts(LOST, there=[False], quorum="ignored")) == [("cmp03", "unreachable")]


def test_fencing_is_told_with_how_it_went() -> None:
    (found,) = alerts(FENCED, there=[False])
    assert found[:2] == ("cmp03", "unreachable")
    assert (found[2]["fenced"], found[2]["task"]) == (True, "reboot")
    assert found[2]["reason"] == "the Pacemaker cluster has fenced it (reboot)"
    assert alerts({**FENCED, "CRM_alert_rc": "1"}, there=[False]) == []
    (failed,) = alerts({**FENCED, "CRM_alert_rc": "1"})
    assert failed[2]["fenced"] is False


@pytest.mark.parametrize(
    "environment",
    [
        RESOURCE,
        {},
        {**LOST, "CRM_alert_desc": "something new"},
        {**LOST, "CRM_alert_node": ""},
        {**FENCED, "CRM_alert_task": "on"},
    ],
)
def test_other_alerts_are_none_of_our_business(environment: t.Mapping[str, str]) -> None:
    assert alerts(environment) == []


def test_only_compute_hosts_are_told_by_the_names_that_nova_knows() -> None:
    assert alerts(LOST, nodes="ctl.*") == []
    assert words(alerts(LOST, hosts={"cmp03": "cmp03.example.org"})) == [("cmp03.example.org", "unreachable")]


def test_without_the_programs_of_pacemaker_there_is_no_quorum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert not pacemaker.has_quorum()
