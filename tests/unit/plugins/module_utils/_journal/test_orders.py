# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import ages
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.database import Database
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal

NewRun = t.Callable[..., t.Dict[str, t.Any]]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> t.Callable[[float], None]:
    """A function that lets time pass, as marks tell it."""
    passed = [0.0]
    mark = ages.mark

    def shifted(database: Database) -> ages.Mark:
        now = mark(database)
        return {**now, "monotonic": now["monotonic"] + passed[0], "at": now["at"] + passed[0]}

    monkeypatch.setattr(ages, "mark", shifted)

    def wait(seconds: float) -> None:
        passed[0] += seconds

    return wait


def pause(journal: Journal, **options: t.Any) -> dict[str, t.Any]:
    given = {"scope_region": "R", "kind": "pause", "scope": "segment", "name": "rack1", "owner": "al", "reason": "b"}
    return journal.add_order(**{**given, **options})


def announced(journal: Journal) -> list[dict[str, t.Any]]:
    return journal.announce_orders(journal.unended_orders("R"))


def test_an_order_holds_until_its_time_is_over(journal: Journal, later: t.Callable[[float], None]) -> None:
    made = pause(journal, seconds=600)
    (found,) = journal.orders("R")
    assert (found["id"], found["number"], found["owner"]) == (made["id"], 1, "al")
    assert 590 < found["left"] <= 600
    later(599)
    assert journal.orders("R")
    later(2)
    assert journal.orders("R") == []


def test_an_order_without_an_end_holds_until_it_is_ended(journal: Journal, later: t.Callable[[float], None]) -> None:
    made = pause(journal)
    later(1e6)
    assert [it["left"] for it in journal.orders("R")] == [None]
    assert journal.end_order(made["id"], "bo", "done")
    assert not journal.end_order(made["id"], "cy", "again"), "the first end stays"
    assert journal.orders("R") == []
    (ended,) = journal.all_orders()
    assert (ended["ended_by"], ended["end_reason"]) == ("bo", "done")


def test_orders_of_regions_are_numbered_and_read_apart(journal: Journal) -> None:
    numbers = [pause(journal, scope_region=region)["number"] for region in ("R", "R", "S")]
    assert numbers == [1, 2, 1]
    assert len(journal.orders("R")) == 2
    assert len(journal.orders()) == 3


def test_an_unknown_kind_or_scope_is_refused(journal: Journal) -> None:
    with pytest.raises(ValueError, match="unknown state 'stop'"):
        pause(journal, kind="stop")
    with pytest.raises(ValueError, match="unknown state 'rack'"):
        pause(journal, scope="rack")


def test_one_reader_is_told_that_an_order_soon_ends_and_one_that_it_has_ended(
    journal: Journal, later: t.Callable[[float], None]
) -> None:
    pause(journal, seconds=3600)
    pause(journal)
    assert announced(journal) == []
    later(3400)
    assert [it["number"] for it in announced(journal)] == [1]
    assert announced(journal) == []
    later(300)
    (over,) = announced(journal)
    assert over["left"] < 0
    assert announced(journal) == []
    assert [it["end_reason"] for it in journal.all_orders()] == ["its time is over", None]


def test_an_order_that_nobody_read_before_its_end_is_announced_once(
    journal: Journal, later: t.Callable[[float], None]
) -> None:
    pause(journal, seconds=60)
    later(1e6)
    assert len(announced(journal)) == 1
    assert announced(journal) == []


def test_a_run_is_stopped_by_orders_that_its_verdict_did_not_know(
    journal: Journal, new_run: NewRun, later: t.Callable[[float], None]
) -> None:
    run = new_run("cmp03")
    pause(journal)
    journal.add_verdict(run["id"], {}, "abc", {}, "def", 1)
    assert journal.stopping_orders(run["id"]) == []
    pause(journal, kind="budget", limits={"at_once": 2})
    newer = [pause(journal, kind="disarm", seconds=60), pause(journal, scope="cloud", name=None)]
    assert [it["id"] for it in journal.stopping_orders(run["id"])] == [it["id"] for it in newer]
    later(61)
    journal.end_order(newer[1]["id"], "al", "done")
    assert journal.stopping_orders(run["id"]) == []


def test_the_newest_verdict_of_a_run_tells_which_orders_are_new(journal: Journal, new_run: NewRun) -> None:
    run = new_run("cmp03")
    journal.add_verdict(run["id"], {}, "abc", {}, "def", 0)
    pause(journal)
    assert len(journal.stopping_orders(run["id"])) == 1
    journal.add_verdict(run["id"], {}, "abc", {}, "def", 1)
    assert journal.stopping_orders(run["id"]) == []


@pytest.mark.parametrize(
    ("order", "covers"),
    [
        ({"scope": "cloud", "name": None}, ["cmp03", "cmp04"]),
        ({"scope": "segment", "name": "rack1"}, ["cmp03", "cmp04"]),
        ({"scope": "segment", "name": "rack2"}, []),
        ({"scope": "segment", "name": "cmp03"}, []),
        ({"scope": "host", "name": "cmp04"}, ["cmp04"]),
        ({"scope": "host", "name": "rack1"}, []),
        ({"scope": "cloud", "name": None, "scope_region": "S"}, []),
    ],
)
def test_an_order_stops_the_hosts_that_it_covers(
    journal: Journal, new_run: NewRun, order: dict[str, t.Any], covers: list[str]
) -> None:
    run = new_run("cmp03", "cmp04")
    journal.add_verdict(run["id"], {}, "abc", {}, "def", 0)
    pause(journal, **order)
    assert [it["covers"] for it in journal.stopping_orders(run["id"])] == covers


def test_an_order_stops_a_run_of_which_it_is_not_known_what_its_verdict_had_seen(
    journal: Journal, new_run: NewRun
) -> None:
    run = new_run("cmp03")
    pause(journal)
    assert [it["covers"] for it in journal.stopping_orders(run["id"])] == ["cmp03"]


def test_a_fence_is_under_way_from_its_first_step_to_its_last(journal: Journal, new_run: NewRun) -> None:
    run, other = new_run("cmp03", "cmp04"), new_run("cmp05")
    for host in ("cmp03", "cmp04"):
        journal.add_step(run["id"], host, "fencing", 1.0)
    journal.add_step(other["id"], "cmp05", "fencing", 1.0)
    journal.add_step(run["id"], "cmp03", "fenced", 2.0)
    journal.add_step(run["id"], None, "first_evacuate", 2.0)
    under_way = journal.fences_under_way("R")
    assert {(it["host"], it["segment"]) for it in under_way} == {("cmp04", "rack1"), ("cmp05", "rack1")}
    assert under_way[0]["holder"]["pid"]
    assert journal.fences_under_way("S") == []
    journal.add_step(run["id"], "cmp04", "not fenced", 3.0)
    journal.close_run(other["id"], "abandoned")
    assert journal.fences_under_way("R") == []
    journal.add_step(run["id"], "cmp04", "fencing", 4.0)
    assert [it["host"] for it in journal.fences_under_way("R")] == ["cmp04"]
