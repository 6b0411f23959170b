"""The playbook fence_check, against the bed's BMCs."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from bed.client import Bed
from driver import Outcome, Playbooks

SEGMENTS = {"rack1": {"hosts": ["cmp01", "cmp02", "cmp03"], "reserved_hosts": ["cmp04"]}}
Check = t.Callable[..., Outcome]


@pytest.fixture
def check(cloud: Bed, tmp_path: Path) -> Check:
    """Run the playbook on a segment of four hosts that have an IPMI and a Redfish level each."""

    def check(*arguments: str, extra: t.Any = None, **variables: t.Any) -> Outcome:
        file = cloud.segments_file(
            tmp_path / "lab.failover_segments.yml",
            SEGMENTS,
            method="ipmi+redfish",
            only=["cmp01", "cmp02", "cmp03", "cmp04"],
            extra=extra,
        )
        return Playbooks(file, tmp_path, cloud.clouds_yaml).run("fence_check", *arguments, **variables)

    return check


def rows(outcome: Outcome) -> list[list[str]]:
    """The table's words, without its head."""
    lines = [line.strip().strip('",') for line in outcome.out.splitlines()]
    return [line.split() for line in lines if line.startswith("cmp0") and ("ipmi" in line or "redfish" in line)]


def test_every_device_that_works_is_a_row_and_nothing_is_switched_off(check: Check, cloud: Bed) -> None:
    outcome = check()
    assert outcome.rc == 0, outcome.out
    assert [row[:3] for row in rows(outcome)] == [
        [host, level, method]
        for host in ("cmp01", "cmp02", "cmp03", "cmp04")
        for level, method in (("1", "ipmi"), ("2", "redfish"))
    ]
    assert {(row[4], row[5], row[6]) for row in rows(outcome)} == {("yes", "on", "matched")}
    assert {host["power"] for host in cloud.status().values()} == {"on"}


def test_a_device_that_cannot_be_used_fails_the_playbook_after_the_table(check: Check, cloud: Bed) -> None:
    cloud.bmc_fault("cmp02", "wrong_machine:cmp03", "redfish")
    outcome = check()
    assert outcome.rc != 0
    assert {(row[0], row[2]): row[4] for row in rows(outcome) if row[4] != "yes"} == {("cmp02", "redfish"): "NO"}
    table, _colon, after = outcome.out.partition("Say so when a host cannot be fenced")
    assert "mismatch" in table
    assert "cmp02 cannot be fenced as configured" in after
    assert "cmp01 cannot be fenced" not in after


def test_a_password_file_that_is_missing_is_a_row_and_a_failure(check: Check) -> None:
    device = {"method": "ipmi", "address": "127.0.0.1", "username": "admin"}
    broken = [{"devices": [{**device, "password": "{{ lookup('ansible.builtin.file', '/nonexistent/secret') }}"}]}]
    outcome = check(extra={"cmp03": {"fencing": broken}})
    assert outcome.rc != 0
    assert len(rows(outcome)) == 6
    assert "cmp03 cannot be fenced as configured" in outcome.out
    assert "/nonexistent/secret" in outcome.out


def test_a_host_that_only_a_person_can_confirm_is_not_called_ready(check: Check) -> None:
    outcome = check(extra={"cmp01": {"fencing": [{"devices": [{"method": "operator"}]}]}})
    assert outcome.rc != 0
    assert "only a person can say that this host is off" in outcome.out


def test_single_hosts_can_be_checked(check: Check) -> None:
    outcome = check(check_hosts="cmp02,cmp04")
    assert outcome.rc == 0, outcome.out
    assert {row[0] for row in rows(outcome)} == {"cmp02", "cmp04"}


def test_no_host_to_check_is_a_failure_and_not_a_silent_success(check: Check) -> None:
    outcome = check(check_hosts="cmp99")
    assert outcome.rc != 0
    assert "There is no host to check" in outcome.out
