# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import itertools
import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import rows, schema, signals
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.errors import JournalError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal

Row = t.Dict[str, t.Any]
count = itertools.count(1)


def said(state: str = "failed", sequence: int | None = None, **more: t.Any) -> Row:
    number = next(count)
    host = more.get("host", "cmp03")
    return {
        "source": f"/hosts/{host}/monitors/instance", "event_id": f"event-{number}", "host": host, "kind": "instance",
        "type": "openstack_ha.instance.crashed" if state == "failed" else "openstack_ha.instance.ok",
        "object": "vm-1", "state": state, "epoch": "e", "sequence": number if sequence is None else sequence,
        "data": {"reason": "größer"}, "reporter": f"host:{host}", **more,
    }  # fmt: skip


def accept(journal: Journal, *signals: Row) -> list[str]:
    return journal.accept_signals("R", "ctl1", signals)


def test_a_signal_is_read_as_it_was_sent_and_waits_for_its_verdict(journal: Journal) -> None:
    sent = said()
    assert accept(journal, sent) == ["new"]
    (found,) = journal.undecided_signals("R")
    assert {name: found[name] for name in sent} == sent
    assert (found["received_by"], found["repeats"], found["verdict"]) == ("ctl1", 0, None)
    assert 0 <= found["age"] < 60
    assert journal.undecided_signals("S") == []


def test_the_same_word_again_is_counted_and_needs_no_verdict(journal: Journal) -> None:
    accept(journal, said())
    again = said(data={"reason": "still"})
    assert accept(journal, again, said()) == ["repeat", "repeat"]
    (found,) = journal.signals(scope="R")
    assert (found["repeats"], found["data"]) == (2, {"reason": "größer"}), "the last of them"
    assert found["repeat_age"] <= found["age"]


def test_of_a_source_that_tells_events_the_same_word_again_is_news_but_not_the_same_event(journal: Journal) -> None:
    first, second = (said(sequence=None, again=True) | {"sequence": None, "epoch": ""} for _crash in range(2))
    assert accept(journal, first) == ["new"]
    assert accept(journal, second, first) == ["new", "duplicate"]
    assert len(journal.undecided_signals("R")) == 2
    assert [it["event_id"] for it in journal.last_states("R", ["instance"])] == [second["event_id"]]


def test_another_word_of_the_same_source_is_the_last_one(journal: Journal) -> None:
    assert accept(journal, said(), said("ok")) == ["new", "new"]
    assert accept(journal, said()) == ["new"]
    assert sorted(it["state"] for it in journal.signals(scope="R")) == ["failed", "failed", "ok"]
    (last,) = journal.last_states("R", ["instance"])
    assert last["state"] == "failed"
    assert len(journal.undecided_signals("R")) == 3
    assert len(journal.undecided_signals("R", limit=2)) == 2


def test_what_was_sent_twice_counts_once(journal: Journal) -> None:
    first, repeat = said(), said()
    assert accept(journal, first, first, repeat) == ["new", "duplicate", "repeat"]
    assert accept(journal, first, repeat) == ["duplicate", "duplicate"]
    (found,) = journal.signals()
    assert found["repeats"] == 1


def test_what_comes_too_late_is_written_and_ignored(journal: Journal) -> None:
    early, newer = said("ok", sequence=5), said("failed", sequence=7)
    accept(journal, newer)
    assert accept(journal, early, early) == ["stale", "duplicate"]
    ignored = [it for it in journal.signals() if it["verdict"]]
    assert [(it["verdict"], it["gate"]) for it in ignored] == [("ignore", "stale")]
    assert [it["state"] for it in journal.last_states("R", ["instance"])] == ["failed"]


def test_the_order_holds_for_each_object_and_starts_anew_with_an_epoch(journal: Journal) -> None:
    accept(journal, said(sequence=7))
    assert accept(journal, said(sequence=5, object="vm-2")) == ["new"]
    assert accept(journal, said("ok", sequence=1, epoch="another")) == ["new"]
    assert accept(journal, said(sequence=2, epoch="another")) == ["new"]


def test_who_does_not_count_is_taken_by_arrival(journal: Journal) -> None:
    def uncounted(state: str) -> Row:
        return {**said(state), "sequence": None}

    assert accept(journal, uncounted("failed"), uncounted("failed"), uncounted("ok")) == ["new", "repeat", "new"]
    assert accept(journal, said(sequence=1)) == ["new"]


def test_each_source_has_its_own_last_word(journal: Journal) -> None:
    for source in ("pacemaker", "masakari"):
        accept(journal, said(source=source, reporter=f"reporter:{source}"))
    accept(journal, said("ok", source="masakari"), said(host="cmp04"), said(kind="process", object="nova-compute"))
    words = {(it["source"], it["state"]) for it in journal.last_states("R", ["instance"], ["cmp03"])}
    assert words == {("pacemaker", "failed"), ("masakari", "ok")}
    assert len(journal.last_states("R", ["instance", "process"])) == 4
    assert journal.last_states("S", ["instance"]) == []


def test_a_verdict_is_given_once(journal: Journal) -> None:
    accept(journal, said(), said(object="vm-2"))
    ids = [it["id"] for it in journal.undecided_signals("R")]
    incident = journal.open_incident("cmp03", "R", None, "instance", "vm-1")["id"]
    assert journal.decide_signals(ids[:1], "alert", "kind", "until issue D", incident) == 1
    assert journal.decide_signals(ids, "ignore", None, "too late") == 1
    assert journal.undecided_signals("R") == []
    assert [it["verdict"] for it in journal.signals(incident_id=incident)] == ["alert"]
    with pytest.raises(ValueError, match="unknown verdict 'perhaps'"):
        journal.decide_signals(ids, "perhaps", None, "")


def test_verdicts_on_many_are_given_once_each(journal: Journal) -> None:
    accept(journal, said(), said(object="vm-2"))
    verdict = {"verdict": "alert", "gate": "kind", "reason": "until issue D", "incident_id": None}
    decisions = [{**verdict, "id": it["id"]} for it in journal.undecided_signals("R")]
    assert journal.decide_each(decisions[:1]) == [decisions[0]["id"]]
    assert journal.decide_each(decisions) == [decisions[1]["id"]]
    assert journal.decide_each([]) == []
    assert {it["verdict_reason"] for it in journal.signals()} == {"until issue D"}


def test_an_unknown_state_is_refused_and_nothing_of_its_batch_is_written(journal: Journal) -> None:
    with pytest.raises(ValueError, match="unknown state 'maybe'"):
        accept(journal, said(), said(state="maybe"))
    assert journal.signals() == []


def test_a_large_batch_is_one_transaction(journal: Journal) -> None:
    batch = [said(object=f"vm-{number}") for number in range(2500)]
    assert set(accept(journal, *batch)) == {"new"}
    assert set(accept(journal, *[said(object=f"vm-{number}") for number in range(2500)])) == {"repeat"}
    assert journal.decide_signals([it["id"] for it in journal.signals()], "ignore", None, "all") == 2500


def test_the_newest_are_listed_oldest_first(journal: Journal) -> None:
    for number in range(4):
        accept(journal, said(object=f"vm-{number}"))
    newest = journal.signals(limit=2, scope="R")
    assert len(newest) == 2
    assert newest[0]["received_at"] <= newest[1]["received_at"]
    assert accept(journal) == []


def test_responders_that_accept_at_once_agree_on_one_last_word(journal: Journal, url: str) -> None:
    def one(number: int) -> str:
        with open_journal(url) as own:
            return own.accept_signals("R", f"ctl{number}", [said(sequence=number)])[0]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(one, range(8)))
    assert outcomes.count("new") == 1
    (last,) = journal.last_states("R", ["instance"])
    assert last["sequence"] == 7
    assert last["repeats"] == outcomes.count("repeat")


def test_who_is_overtaken_again_and_again_asks_the_sender_to_try_later(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(*_args: t.Any) -> None:
        raise signals._Raced

    monkeypatch.setattr(signals._Batch, "_write", overtaken)
    with pytest.raises(JournalError, match="Send the signals again"):
        accept(journal, said())


def test_signals_that_wait_are_found_by_kind(journal: Journal) -> None:
    accept(journal, said(), said(kind="host", object="", type="openstack_ha.host.unreachable"))
    assert [it["kind"] for it in journal.undecided_signals("R", kind="host")] == ["host"]
    assert [it["kind"] for it in journal.undecided_signals("R", but="host")] == ["instance"]


def _old(journal: Journal, *objects: str) -> None:
    """They were heard three days ago, and not since."""
    table, past = schema.table("signals"), rows.now(-3 * 86400.0)
    change = table.update().where(table.c.object.in_(objects)).values(received_at=past, repeated_at=past)
    journal.database.write(lambda connection: connection.execute(change))


def test_what_nobody_has_said_for_long_goes_unless_it_is_about_what_goes_on(journal: Journal) -> None:
    names = ("undecided", "ended", "going on", "new", "about nothing")
    accept(journal, *(said(object=name) for name in names))
    by_name = {it["object"]: it["id"] for it in journal.signals()}
    for name in ("ended", "going on"):
        incident = journal.open_incident("cmp03", "R", None, "instance", name)["id"]
        journal.decide_signals([by_name[name]], "alert", None, "x", incident)
        if name == "ended":
            journal.set_incident(incident, "closed")
    journal.decide_signals([by_name["new"], by_name["about nothing"]], "ignore", None, "x")
    _old(journal, *(name for name in names if name != "new"))
    assert journal.prune_signals("R", 4) == 0
    assert journal.prune_signals("S", 2) == 0
    assert journal.prune_signals("R", 2, limit=1) == 1
    assert journal.prune_signals("R", 2) == 1
    assert sorted(it["object"] for it in journal.signals()) == ["going on", "new", "undecided"]


def test_what_is_still_repeated_is_not_old(journal: Journal) -> None:
    accept(journal, said())
    (first,) = journal.signals()
    journal.decide_signals([first["id"]], "ignore", None, "x")
    _old(journal, "vm-1")
    accept(journal, said())
    assert journal.prune_signals("R", 2) == 0


@pytest.mark.parametrize(("state", "found"), [("recovered", 1), ("closed", 0), ("held", 0)])
def test_what_is_called_failed_though_it_was_recovered_is_found(journal: Journal, state: str, found: int) -> None:
    accept(journal, said())
    incident = journal.open_incident("cmp03", "R", None, "instance", "vm-1")["id"]
    journal.decide_signals([journal.signals()[0]["id"]], "recover", None, "x", incident)
    journal.set_incident(incident, state)
    assert len(journal.failed_after_recovery("R", ["instance"])) == found
    assert journal.failed_after_recovery("R", ["process"]) == []
    accept(journal, said("ok"))
    assert journal.failed_after_recovery("R", ["instance"]) == []


def test_which_of_some_signals_still_wait_can_be_asked(journal: Journal) -> None:
    accept(journal, said(), said(object="vm-2"))
    ids = [it["id"] for it in journal.signals()]
    journal.decide_signals(ids[:1], "ignore", None, "x")
    assert journal.still_undecided(ids) == set(ids[1:])
    assert journal.still_undecided([]) == set()
