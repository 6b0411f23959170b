"""The playbook fence_check, against the bed's BMCs."""

from __future__ import annotations

import socket
import typing as t
from pathlib import Path

import pytest
from bed.client import Bed
from driver import Outcome, Playbooks

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.rows import Row
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import open_journal

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


def recorded(directory: Path) -> dict[str, Row]:
    """The newest check of each host, as the gates will find it."""
    with open_journal(f"sqlite:///{directory}/journal.db") as journal:
        return journal.fence_checks("RegionOne")


def test_the_results_are_in_the_journal_and_the_next_check_shows_their_age(
    check: Check, cloud: Bed, tmp_path: Path
) -> None:
    cloud.bmc_fault("cmp02", "wrong_machine:cmp03", "redfish")
    cloud.bmc_fault("cmp03", "silent", "ipmi")
    first = check()
    assert first.rc != 0
    assert first.out.count(" never") == 12, "two devices and a probe of four hosts"
    found = recorded(tmp_path)
    assert {host: it["result"] for host, it in found.items()} == {
        "cmp01": "ok", "cmp02": "mismatch", "cmp03": "failed", "cmp04": "ok",
    }  # fmt: skip
    assert found["cmp01"]["said"] == ""
    assert "another machine" in found["cmp02"]["said"]
    assert found["cmp03"]["said"].startswith("level 1, ipmi")
    for host in ("cmp02", "cmp03"):
        cloud.bmc_fault(host, "", "redfish" if host == "cmp02" else "ipmi")
    second = check(check_hosts="cmp01,cmp02")
    assert second.rc == 0, second.out
    assert "mismatch" in " ".join(line for line in second.out.splitlines() if "cmp02" in line and " ago" in line)
    assert {host: it["result"] for host, it in recorded(tmp_path).items()} == {
        "cmp01": "ok", "cmp02": "ok", "cmp03": "failed", "cmp04": "ok",
    }  # fmt: skip


def test_check_mode_leaves_the_journal_as_it_is(check: Check, tmp_path: Path) -> None:
    assert check("--check").rc == 0
    assert recorded(tmp_path) == {}


def test_a_probe_that_never_answers_is_found_before_its_silence_counts_as_a_proof(check: Check, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as alive:
        good = f"tcp://127.0.0.1:{alive.getsockname()[1]}"
        outcome = check(extra={"cmp01": {"probe": [good]}, "cmp02": {"probe": [good, "tcp://127.0.0.1:1"]}})
    assert outcome.rc != 0
    lines = [line for line in outcome.out.splitlines() if " probe " in line]
    assert sum(good in line and "yes" in line.split() for line in lines) == 2
    (silent,) = [line for line in lines if "NO" in line.split()]
    assert "tcp://127.0.0.1:1 " in silent
    assert "cmp02 cannot be fenced as configured" in outcome.out
    assert "cmp01 cannot be fenced as configured" not in outcome.out
    found = recorded(tmp_path)
    assert (found["cmp01"]["result"], found["cmp02"]["result"]) == ("ok", "failed")
    assert "silent although the host is not off: tcp://127.0.0.1:1" in found["cmp02"]["said"]


def test_a_journal_that_cannot_be_written_fails_the_check_and_hides_nothing(check: Check) -> None:
    outcome = check(check_hosts="cmp01", ha_journal_url="sqlite:////dev/null/journal.db")
    assert outcome.rc != 0
    assert "The fence check was not recorded" in outcome.out
    assert [row[4] for row in rows(outcome)] == ["yes", "yes"]
