from __future__ import annotations

from pathlib import Path

import pytest
from unit.plugins.module_utils._monitor.monitor_fakes import Clock, board, said

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.errors import EventError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.event import parse


def test_a_change_is_said_at_once_and_only_once() -> None:
    states, spool = board(Clock())
    assert states.set("instance", "vm1", "failed", "crashed", "killed")
    assert not states.set("instance", "vm1", "failed", "crashed", "killed")
    assert states.set("instance", "vm1", "ok", "ok", "runs again")
    assert said(spool) == [("vm1", "crashed", 1), ("vm1", "ok", 2)]


def test_another_type_of_failure_is_a_change() -> None:
    states, spool = board(Clock())
    states.set("instance", "vm1", "failed", "io_error", "disk")
    assert states.set("instance", "vm1", "failed", "openstack_ha.instance.crashed", "killed")
    assert said(spool) == [("vm1", "io_error", 1), ("vm1", "crashed", 2)]


def test_what_is_said_is_a_signal_with_its_details() -> None:
    states, spool = board(Clock())
    states.set("instance", "vm1", "failed", "crashed", "killed", pid=77)
    row = parse(spool.batch(1, 1000)[0])
    assert (row["source"], row["host"], row["object"]) == ("/hosts/cmp01/monitors/instance", "cmp01", "vm1")
    assert (row["data"]["pid"], row["data"]["reason"], row["data"]["age"]) == (77, "killed", 0.0)
    assert row["epoch"] == spool.epoch


def test_an_adapter_speaks_about_other_hosts() -> None:
    states, spool = board(Clock())
    states.set("host", "", "failed", "unreachable", "fenced", host="cmp07")
    states.set("host", "", "failed", "unreachable", "fenced", host="cmp08")
    assert [it["data"]["host"] for it in spool.batch(9, 9999)] == ["cmp07", "cmp08"]
    assert states.get("host", "", host="cmp07")
    assert states.get("host", "") is None


@pytest.mark.parametrize(
    ("kind", "state", "type_"),
    [
        ("instance", "ok", "crashed"),
        ("process", "failed", "openstack_ha.instance.crashed"),
        ("instance", "failed", "x"),
    ],
)
def test_what_does_not_fit_together_is_refused(kind: str, state: str, type_: str) -> None:
    states, spool = board(Clock())
    with pytest.raises(EventError):
        states.set(kind, "vm1", state, type_, "")
    assert not len(spool)


def test_a_state_that_is_not_ok_is_said_again_and_again_until_it_is() -> None:
    clock = Clock()
    states, spool = board(clock, repeat=30.0)
    states.set("instance", "vm1", "failed", "crashed", "killed")
    spool.drop([it["id"] for it in spool.batch(9, 9999)])
    clock.now += 29
    assert states.repeat() == pytest.approx(1.0)
    assert said(spool) == []
    clock.now += 1
    assert states.repeat() == pytest.approx(30.0)
    assert said(spool) == [("vm1", "crashed", 2)]
    assert spool.batch(9, 9999)[0]["data"]["age"] == 30.0
    states.set("instance", "vm1", "ok", "ok", "")
    spool.drop([it["id"] for it in spool.batch(9, 9999)])
    clock.now += 100
    states.repeat()
    assert said(spool) == []


def test_a_repeat_has_a_new_id_and_the_newest_reason() -> None:
    clock = Clock()
    states, spool = board(clock)
    states.set("instance", "vm1", "failed", "crashed", "first")
    first = spool.batch(1, 999)[0]
    spool.drop([first["id"]])
    states.set("instance", "vm1", "failed", "crashed", "second")
    clock.now += 30
    states.repeat()
    again = spool.batch(1, 999)[0]
    assert again["id"] != first["id"]
    assert again["data"]["reason"] == "second"


def test_what_is_forgotten_is_said_no_more() -> None:
    clock = Clock()
    states, spool = board(clock)
    states.set("instance", "vm1", "failed", "crashed", "")
    spool.drop([it["id"] for it in spool.batch(9, 9999)])
    states.forget("instance", "vm1")
    states.forget("instance", "vm2")
    clock.now += 100
    states.repeat()
    assert said(spool) == []
    assert states.states("instance") == []


def test_states_that_are_not_ok_are_known_after_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    states, spool = board(clock, tmp_path)
    states.set("instance", "vm1", "failed", "crashed", "")
    states.set("instance", "vm2", "ok", "ok", "")
    spool.close()
    clock.now += 5
    again, spool = board(clock, tmp_path)
    assert [it.object for it in again.states("instance")] == ["vm1"]
    assert not again.set("instance", "vm1", "failed", "crashed", ""), "it is no news"
    assert again.set("instance", "vm1", "ok", "ok", "")


def test_a_kind_that_has_said_that_it_is_at_work_has_to_go_on() -> None:
    clock = Clock()
    states, _spool = board(clock)
    assert states.oldest_sign() == 0.0
    states.alive("instance")
    clock.now += 7
    states.alive("network")
    assert states.oldest_sign() == 7.0
