# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import threading
import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal

NewRun = t.Callable[..., t.Dict[str, t.Any]]


def test_verdicts_keep_snapshot_and_order(journal: Journal, new_run: NewRun) -> None:
    run = new_run("cmp03")
    for verdict in ("ask", "recover"):
        journal.add_verdict(run["id"], {"services": [{"host": "cmp03", "state": "down"}]}, "abc", {"verdict": verdict})
    found = journal.verdicts(run["id"])
    assert [(it["number"], it["result"]["verdict"]) for it in found] == [(1, "ask"), (2, "recover")]
    assert found[0]["snapshot"]["services"][0]["state"] == "down"


def test_a_host_without_certificate_has_none(journal: Journal, new_run: NewRun) -> None:
    assert journal.certificate(new_run("cmp03")["id"], "cmp03") is None


def test_the_certificate_of_an_earlier_run_of_the_same_incident_counts(journal: Journal, new_run: NewRun) -> None:
    made = journal.add_certificate(new_run("cmp03")["id"], "cmp03", {"kind": "ipmi"})
    found = journal.certificate(new_run("cmp03")["id"], "cmp03")
    assert found == made
    assert (made["state"], made["certificate"]) == ("valid", {"kind": "ipmi"})


def test_the_certificate_of_an_earlier_incident_does_not_count(journal: Journal, new_run: NewRun) -> None:
    first = new_run("cmp03")
    journal.add_certificate(first["id"], "cmp03", {"kind": "ipmi"})
    journal.set_incident(first["hosts"][0]["incident_id"], "recovered")
    assert journal.certificate(new_run("cmp03")["id"], "cmp03") is None


def test_the_certificate_of_another_host_of_the_run_does_not_count(journal: Journal, new_run: NewRun) -> None:
    run = new_run("cmp03", "cmp04")
    journal.add_certificate(run["id"], "cmp03", {"kind": "ipmi"})
    assert journal.certificate(run["id"], "cmp04") is None


def test_a_void_certificate_stays_void_and_hides_older_ones(journal: Journal, new_run: NewRun) -> None:
    run = new_run("cmp03")
    journal.add_certificate(run["id"], "cmp03", {"n": 1})
    latest = journal.add_certificate(run["id"], "cmp03", {"n": 2})
    assert journal.void_certificate(latest["id"], "it answers its probe")
    assert not journal.void_certificate(latest["id"], "again"), "the first reason stays"
    found = journal.certificate(run["id"], "cmp03")
    assert found is not None
    assert (found["certificate"], found["state"], found["void_reason"]) == ({"n": 2}, "void", "it answers its probe")


def test_a_new_certificate_counts_after_a_void_one(journal: Journal, new_run: NewRun) -> None:
    run = new_run("cmp03")
    journal.void_certificate(journal.add_certificate(run["id"], "cmp03", {"n": 1})["id"], "it lives")
    journal.add_certificate(run["id"], "cmp03", {"n": 2})
    found = journal.certificate(run["id"], "cmp03")
    assert found is not None
    assert (found["certificate"], found["state"]) == ({"n": 2}, "valid")
    assert [it["state"] for it in journal.certificates([found["incident_id"]])] == ["void", "valid"]


def test_a_certificate_for_a_host_that_is_not_of_the_run_is_refused(journal: Journal, new_run: NewRun) -> None:
    run = new_run("cmp03")
    with pytest.raises(JournalError, match="has no host cmp99"):
        journal.add_certificate(run["id"], "cmp99", {"kind": "ipmi"})
    with pytest.raises(JournalError, match="has no host cmp99"):
        journal.certificate(run["id"], "cmp99")


def test_certificates_made_at_once_are_numbered(journal: Journal, new_run: NewRun) -> None:
    run = new_run("cmp03")
    threads = [
        threading.Thread(target=journal.add_certificate, args=(run["id"], "cmp03", {"n": number}))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = journal.certificates([run["hosts"][0]["incident_id"]])
    assert [it["number"] for it in found] == list(range(1, 9))
