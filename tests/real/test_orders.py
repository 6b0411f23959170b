"""Orders of operators, given while recoveries are at work on a real Nova."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest
from bed.client import Bed
from driver import Outcome, Playbooks, until
from scenes import (
    HOST,
    RACK,
    Recovery,
    assert_moved_once,
    assert_recovered,
    evacuations,
    finish,
    slow_spawns,
    started,
    states,
    steps,
)

RACKS = {
    "rack1": {"hosts": ["cmp01", "cmp02", "cmp03"], "shared_storage": True},
    "rack2": {"hosts": ["cmp04", "cmp05", "cmp06"], "shared_storage": True},
}
WHO = {"owner": "alice", "reason": "switch work"}


def play(playbooks: Playbooks, playbook: str, **variables: t.Any) -> Outcome:
    """With variables that may have spaces and types."""
    outcome = playbooks.run(playbook, "-e", json.dumps({**WHO, **variables}))
    assert outcome, outcome.out
    return outcome


def orders(playbooks: Playbooks) -> list[str]:
    with playbooks.journal() as journal:
        return [f"{it['kind']} {it['scope']} {it['name']}" for it in journal.orders()]


def test_a_pause_in_mid_evacuation_lets_what_was_begun_end_and_the_next_run_goes_on(
    cloud: Bed, recovery: Recovery
) -> None:
    vms = cloud.fill(HOST, 4)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    slow_spawns(cloud, 20)  # ansible-playbook must have started meanwhile
    with started(playbooks, evacuate_parallel=2) as process:
        until(lambda: "requested" in states(playbooks))
        play(playbooks, "pause", segment="rack1")
        slow_spawns(cloud, 0)
        said = finish(process)
        assert process.returncode != 0
    begun = evacuations(cloud)
    assert len(begun) == 2
    ledger = playbooks.ledger()
    assert {ledger[vm]["state"] for vm in begun} == {"verified"}, said
    left = [ledger[vm] for vm in vms if vm not in begun]
    assert {line["state"] for line in left} == {"pending"}
    assert {line["reason"] for line in left} == {"paused by alice (order 1, segment rack1): switch work"}
    assert [host["outcome"] for host in playbooks.report()["hosts"]] == ["partial"]

    assert play(playbooks, "resume", segment="rack1", reason="switch works")
    outcome = playbooks.recover(HOST)

    assert outcome, outcome.out
    assert_moved_once(cloud, vms)
    assert_recovered(cloud, playbooks, vms)


def test_a_pause_before_the_power_off_holds_the_host_and_nothing_is_powered_off(cloud: Bed, recovery: Recovery) -> None:
    cloud.fill(HOST, 1)
    playbooks = recovery(RACK)
    cloud.crash(HOST)
    cloud.fail_api(service="compute", method="PUT", path="os-services", when="after", status=503, seconds=20, times=1)
    with started(playbooks) as process:
        until(lambda: cloud.services()[HOST]["forced_down"])
        play(playbooks, "pause", host=HOST)
        said = finish(process)
    assert process.returncode != 0
    assert "paused by alice" in said
    assert "fencing" not in steps(playbooks)
    assert evacuations(cloud) == []
    (entry,) = playbooks.report()["hosts"]
    assert entry["outcome"] == "held"


def test_a_power_off_under_way_is_waited_for_and_what_follows_is_not_begun(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill(HOST, 1)
    playbooks = recovery(RACK, timeout=90)
    cloud.crash(HOST)
    cloud.bmc_fault(HOST, "delay:20")  # ansible-playbook must have started meanwhile
    with started(playbooks) as process:
        until(lambda: "fencing" in steps(playbooks))
        paused = play(playbooks, "pause")
        said = finish(process)
    assert f"power-off of {HOST} by run" in paused.out, paused.out
    assert "ended after" in paused.out
    assert process.returncode != 0
    assert "fenced" in steps(playbooks), said
    assert evacuations(cloud) == []
    assert [playbooks.ledger()[vm]["state"] for vm in vms] == ["pending"]
    cloud.bmc_fault(HOST, "")
    play(playbooks, "resume")
    outcome = playbooks.recover(HOST)
    assert outcome, outcome.out
    assert_recovered(cloud, playbooks, vms)


def test_a_disarmed_segment_is_not_recovered_without_an_answer_and_others_are(cloud: Bed, recovery: Recovery) -> None:
    vms = cloud.fill("cmp04", 1)
    playbooks = recovery(RACKS)
    play(playbooks, "pause", segment="rack1", kind="disarm", duration="2h")
    for host in (HOST, "cmp04"):
        cloud.crash(host)
    refused = playbooks.recover(HOST)
    assert not refused
    assert "gate orders" in refused.out
    assert "disarmed by alice" in refused.out
    assert playbooks.recover("cmp04")
    assert {line["state"] for line in playbooks.ledger().values()} == {"verified"}
    assert sorted(evacuations(cloud)) == sorted(vms)


def test_a_budget_order_lets_two_hosts_go_and_its_end_is_told(cloud: Bed, recovery: Recovery) -> None:
    vms = [*cloud.fill(HOST, 1), *cloud.fill("cmp04", 1)]
    playbooks = recovery(RACKS)
    for host in (HOST, "cmp04"):
        cloud.crash(host)
    refused = playbooks.recover(HOST, "cmp04")
    assert not refused
    assert "gate budget" in refused.out
    assert evacuations(cloud) == []
    given = play(playbooks, "pause", kind="budget", at_once=2, duration="4m")
    assert "An order ends in" in given.out

    outcome = playbooks.recover(HOST, "cmp04")

    assert outcome, outcome.out
    assert "An order ends in" not in outcome.out, "once is enough"
    assert_moved_once(cloud, vms)


def test_orders_are_shown_wherever_people_look(cloud: Bed, recovery: Recovery) -> None:
    playbooks = recovery(RACK)
    given = play(playbooks, "pause", segment="rack1", duration="2h")
    assert "given: order 1: pause of segment rack1 by alice for another 2 h: switch work" in given.out, given.out
    assert "holds already: order 1" in play(playbooks, "pause", segment="rack1", duration="2h").out
    shown = playbooks.run("segments")
    assert "Order 1: pause of segment rack1 by alice" in shown.out, shown.out
    cloud.crash(HOST)
    checked = playbooks.recover(HOST, arguments=["--check"])
    assert "paused by alice" in checked.out
    assert "ended: order 1" in play(playbooks, "resume", segment="rack1").out
    assert orders(playbooks) == []
    assert "rder 1" not in playbooks.run("segments").out


def test_a_pause_needs_neither_nova_nor_an_inventory(
    cloud: Bed, recovery: Recovery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_CLOUD", "lab")
    playbooks = Playbooks(t.cast(t.Any, "localhost,"), tmp_path, cloud.clouds_yaml)
    for service in ("identity", "compute", "placement"):
        cloud.fail_api(service=service, status=503, times=-1)
    cloud.reset_api_calls()
    play(playbooks, "pause", host=HOST)
    assert cloud.api_calls()["total"] == 0
    assert orders(playbooks) == [f"pause host {HOST}"]


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"segment": "rack9"}, "there is no segment rack9; there are rack1"),
        ({"host": "cmp99"}, "Nova knows no compute host"),
        ({"segment": "rack1", "host": HOST}, "not both"),
        ({"duration": "soon"}, "is not a duration"),
        ({"owner": ""}, "owner: is empty"),
    ],
)
def test_an_order_that_would_stop_nothing_is_refused(
    cloud: Bed, recovery: Recovery, variables: dict[str, str], told: str
) -> None:
    playbooks = recovery(RACK)
    outcome = playbooks.run("pause", "-e", json.dumps({**WHO, **variables}))
    assert not outcome
    assert told in " ".join(outcome.out.split()), outcome.out
