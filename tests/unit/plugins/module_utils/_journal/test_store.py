# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal


def _signal(host: str) -> dict[str, t.Any]:
    return {
        "source": host, "event_id": "1", "type": "openstack_ha.host.unreachable", "kind": "host", "host": host,
        "object": "", "state": "failed", "epoch": "e", "sequence": 1, "data": {}, "reporter": "reporter:pacemaker",
    }  # fmt: skip


def test_the_report_has_everything_about_a_run_and_nothing_of_others(
    journal: Journal, new_run: t.Callable[..., dict[str, t.Any]]
) -> None:
    run, other = new_run("cmp03"), new_run("cmp04")
    for it in (run, other):
        host, incident = it["hosts"][0]["host"], it["hosts"][0]["incident_id"]
        claims.take(journal, [("R", host)], it["id"], it["holder"])
        journal.add_verdict(it["id"], {"seen": host}, "abc", {"verdict": "recover"})
        journal.add_certificate(it["id"], host, {"kind": "ipmi"})
        journal.plan_lines(it["id"], [{"incident_id": incident, "server_id": "vm"}])
        journal.use_reserved(it["id"], "cmp09", "rack1", None)
        journal.add_step(it["id"], host, "fence", 1.5)
        journal.ask(it["id"], it["hosts"][0], "budget", "digest", "too many")
        journal.accept_signals("R", "ctl1", [_signal(host)])
        journal.decide_signals([journal.undecided_signals("R")[0]["id"]], "recover", None, "", incident)
        journal.add_notice("R", "chat", "run_started", {}, incident)
    report = json.loads(json.dumps(journal.report(run["id"])))
    assert report.pop("run")["id"] == run["id"]
    assert {key: len(value) for key, value in report.items()} == dict.fromkeys(report, 1)
    assert len(report) == 11
    assert "cmp04" not in json.dumps(report)


def test_a_report_of_an_unknown_run_is_an_error(journal: Journal) -> None:
    with pytest.raises(JournalError, match="There is no run nonsense"):
        journal.report("nonsense")


def test_what_was_written_is_there_when_the_journal_is_opened_again(url: str) -> None:
    with open_journal(url) as journal:
        incident = journal.open_incident("cmp03", "R", "rack1")
    with open_journal(url) as journal:
        assert journal.incidents() == [incident]
