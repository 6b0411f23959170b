"""The gate table on a live cloud: what ``recover_host --check`` shows, how fast, and verdicts that facts lead to."""

from __future__ import annotations

import os
import time
import typing as t
from pathlib import Path

from bed.client import Bed
from driver import Playbooks
from helpers import Recovery, evacuations

from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates import GATES, INPUTS

RACKS = {
    "rack1": {"hosts": ["cmp01", "cmp02", "cmp03"], "shared_storage": True, "failure_domain": "pdu-a"},
    "rack2": {"hosts": ["cmp04", "cmp05", "cmp06"], "shared_storage": True, "failure_domain": "pdu-b"},
}
#: Seconds until the operator reads the verdict.
LIMIT = 2.0


def seconds_of_processor(pid: int) -> float:
    """What a process and its children have used; other load of the machine is not part of it."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:15]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def checked(playbooks: Playbooks, *hosts: str) -> tuple[str, float, float]:
    """Output of a run in check mode; seconds of the clock and of the processor until the verdict stood there."""
    began, used = time.monotonic(), []
    process = playbooks.start("recover_host", "--check", failed_hosts=",".join(hosts))
    lines = []
    for line in t.cast("t.IO[str]", process.stdout):
        lines.append(line)
        if f"{hosts[0]}: RECOVER" in line and not used:
            used += [time.monotonic() - began, seconds_of_processor(process.pid)]
    process.wait()
    assert used, "".join(lines)
    return "".join(lines), used[0], used[1]


def untouched(cloud: Bed, *hosts: str) -> bool:
    """Nothing was done to the hosts."""
    services, power = cloud.services(), cloud.status()
    return not evacuations(cloud) and all(
        not services[host]["forced_down"] and power[host]["power"] == "on" for host in hosts
    )


def test_check_shows_every_gate_with_every_input_and_the_verdict_in_under_two_seconds(
    cloud: Bed, recovery: Recovery
) -> None:
    cloud.fill("cmp01", 1)
    cloud.crash("cmp01")

    out, waited, used = min((checked(recovery(RACKS), "cmp01") for _try in range(3)), key=lambda it: it[1])

    print(f"until the verdict: {waited:.2f} s, {used:.2f} s of the processor, load {os.getloadavg()[0]:.1f}")
    assert used < LIMIT
    assert "cmp01: RECOVER: all gates passed" in out
    for gate in GATES:
        assert f"{gate.name.ljust(16)} pass" in out, gate.name
    assert [name for name in INPUTS if f"{name}=" not in out] == []
    assert "operator down, probe down; signs_of_life=none" in out
    assert untouched(cloud, "cmp01")


def test_a_rack_that_falls_silent_is_one_question_about_its_power_unit_and_a_person_answers_it(
    cloud: Bed, recovery: Recovery
) -> None:
    rack = ["cmp01", "cmp02", "cmp03"]
    for host in rack:
        cloud.hang(host)
    cloud.reset_api_calls()
    playbooks = recovery(RACKS)

    asked = playbooks.recover(*rack, max_hosts_at_once=3)

    assert asked.rc != 0
    assert "gate mass_silence" in asked.out
    assert "all of them in failure domain pdu-a, the rest of the cloud is well" in asked.out
    assert untouched(cloud, *rack)
    answered = playbooks.recover(*rack, answer="recover", answered_by="ann", answer_reason="pdu-burnt")
    assert answered, answered.out
    assert {cloud.status()[host]["power"] for host in rack} == {"off"}


def test_who_does_not_reach_the_storage_network_itself_powers_nobody_off(cloud: Bed, recovery: Recovery) -> None:
    cloud.crash("cmp01")
    cloud.reset_api_calls()
    playbooks = recovery(RACKS)
    policy = playbooks.inventory.with_name("ha_policy.yml")
    policy.write_text("networks: {storage: {isolation_addresses: ['tcp://127.0.0.1:1']}}\n")

    outcome = playbooks.recover("cmp01", answer="recover", answered_by="ann", answer_reason="no-answer-opens-this")

    policy.unlink()
    assert outcome.rc != 0, outcome.out
    assert "cmp01: hold (gate observer)" in outcome.out
    assert "it does not reach storage" in outcome.out
    assert untouched(cloud, "cmp01")


def test_a_dead_host_that_is_not_back_counts_when_the_next_one_dies(cloud: Bed, recovery: Recovery) -> None:
    playbooks = recovery(RACKS)
    cloud.crash("cmp01")
    assert playbooks.recover("cmp01")
    cloud.crash("cmp05")
    cloud.reset_api_calls()

    asked = playbooks.recover("cmp05")

    assert asked.rc != 0
    assert "cmp05: ask (gate budget): 2 hosts at once in the cloud, allowed without asking: 1" in asked.out
    assert untouched(cloud, "cmp05")
    assert playbooks.recover("cmp05", max_hosts_at_once=2)
