# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import threading
import typing as t
from pathlib import Path

import pytest
from unit.fakes.tasks import Tasks, WrongOptions

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.modules import recovery_order, recovery_order_info, recovery_run
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Nova

WHO = {"owner": "al", "reason": "switch work"}


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch, tmp_path: t.Any) -> Tasks:
    it = Tasks(monkeypatch, FakeCloud(Nova(Clock(), ["cmp01", "cmp02", "cmp03"], ["cmp01"]), {}), tmp_path)
    for host, facts in it.topology["hosts"].items():
        facts["hypervisor_hostname"] = f"{host}.example.net"
    return it


def order(tasks: Tasks, check_mode: bool = False, **args: t.Any) -> dict[str, t.Any]:
    given = {"kind": "pause", **WHO, **args}
    return tasks.run(recovery_order, check_mode, **{key: value for key, value in given.items() if value is not None})


def in_force(tasks: Tasks, **args: t.Any) -> list[dict[str, t.Any]]:
    return list(tasks.run(recovery_order_info, **args)["orders"])


def test_an_order_is_given_once_and_its_time_runs_on(tasks: Tasks) -> None:
    first = order(tasks, until="30m")
    again = order(tasks, until="1800")
    assert (first["changed"], again["changed"]) == (True, False)
    assert first["orders"][0]["id"] == again["orders"][0]["id"]
    (found,) = in_force(tasks)
    assert (found["kind"], found["scope"], found["seconds"], found["owner"]) == ("pause", "cloud", 1800.0, "al")
    assert 1700 < found["left"] < 1800
    assert found["words"].startswith("order 1: pause of the whole cloud by al for another 30 min")


@pytest.mark.parametrize("other", [{"until": "2h"}, {"reason": "more work"}, {"kind": "disarm"}, {"owner": "bo"}])
def test_another_order_is_another_one(tasks: Tasks, other: dict[str, str]) -> None:
    order(tasks, until="30m")
    assert order(tasks, **{"until": "30m", **other})["changed"]
    assert len(in_force(tasks)) == 2


def test_check_mode_says_what_would_be_ordered_and_orders_nothing(tasks: Tasks) -> None:
    with tasks.journal():
        pass
    checked = order(tasks, check_mode=True, until="30m")
    assert (checked["changed"], checked["waited_for"]) == (True, [])
    assert "order new: pause" in checked["diff"]["after"]["orders"][0]
    assert checked["diff"]["before"] == {"orders": []}
    assert in_force(tasks) == []
    order(tasks)
    assert order(tasks, check_mode=True, state="absent")["changed"]
    assert len(in_force(tasks)) == 1


def test_check_mode_makes_no_journal(tasks: Tasks) -> None:
    assert order(tasks, check_mode=True)["changed"]
    assert not order(tasks, check_mode=True, state="absent")["changed"]
    assert in_force(tasks) == []
    assert not Path(tasks.url.removeprefix("sqlite:///")).exists()


def test_an_end_ends_what_is_named_and_nothing_else(tasks: Tasks) -> None:
    order(tasks)
    order(tasks, kind="disarm", reason="too")
    order(tasks, scope="segment", name="rack1")
    order(tasks, scope="host", name="cmp01")
    ended = order(tasks, state="absent", kind="pause")
    assert [it["kind"] for it in ended["orders"]] == ["pause"]
    assert len(ended["diff"]["after"]["orders"]) == 3
    assert order(tasks, state="absent", kind=None)["orders"][0]["kind"] == "disarm"
    assert not order(tasks, state="absent", kind=None)["changed"]
    assert [it["scope"] for it in in_force(tasks)] == ["segment", "host"]
    over = in_force(tasks, ended=True)
    assert [(it["ended_by"], it["end_reason"]) for it in over[:2]] == [("al", "switch work")] * 2


def test_a_host_is_named_as_its_service_whatever_name_was_given(tasks: Tasks) -> None:
    order(tasks, scope="host", name="cmp01.example.net", topology=tasks.topology)
    assert [it["name"] for it in in_force(tasks)] == ["cmp01"]


@pytest.mark.parametrize("scope", ["host", "segment"])
def test_a_name_that_nothing_has_is_refused_where_the_names_are_known(tasks: Tasks, scope: str) -> None:
    with pytest.raises(ConfigError, match=r"^name: "):
        order(tasks, scope=scope, name="rack9", topology=tasks.topology)
    assert order(tasks, scope=scope, name="rack9")["changed"], "without the inventory it must be possible all the same"


@pytest.mark.parametrize(
    ("args", "wrong"),
    [
        ({"owner": " "}, "^owner: "),
        ({"reason": ""}, "^reason: "),
        ({"until": "soon"}, "^until: "),
        ({"name": "rack1"}, "^name: "),
        ({"at_once": 3}, "^at_once: "),
        ({"kind": "budget"}, "^at_once: "),
        ({"kind": "budget", "per_hour": 0}, "^per_hour: "),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_name_of_the_option(
    tasks: Tasks, args: dict[str, t.Any], wrong: str
) -> None:
    with pytest.raises(ConfigError, match=wrong):
        order(tasks, **args)


@pytest.mark.parametrize("args", [{"kind": None}, {"scope": "host"}, {"scope": "rack"}, {"owner": None}])
def test_what_ansible_can_refuse_is_refused_by_ansible(tasks: Tasks, args: dict[str, t.Any]) -> None:
    with pytest.raises(WrongOptions):
        order(tasks, **args)


def test_a_budget_keeps_its_limits(tasks: Tasks) -> None:
    order(tasks, kind="budget", at_once=5)
    assert in_force(tasks)[0]["limits"] == {"at_once": 5, "per_hour": None}


def test_an_order_that_has_run_out_is_told_and_not_shown(tasks: Tasks) -> None:
    order(tasks, until="0.01")
    threading.Event().wait(0.02)
    assert in_force(tasks) == []
    assert [warning for warning in tasks.warnings if "has ended" in warning]


def fencing(tasks: Tasks, host: str = "cmp01") -> str:
    run_id = tasks.open(host)
    with tasks.journal() as journal:
        journal.add_step(run_id, host, "fencing", 1.0)
    return run_id


def test_a_pause_does_not_wait_when_nothing_is_being_fenced(tasks: Tasks) -> None:
    tasks.open("cmp01")
    assert order(tasks, scope="host", name="cmp01", wait=60)["waited_for"] == []


def test_a_pause_waits_for_the_fence_that_it_came_too_late_for(tasks: Tasks) -> None:
    run_id = fencing(tasks)

    def end(_message: str) -> None:
        with tasks.journal() as journal:
            journal.add_step(run_id, "cmp01", "fenced", 2.0)

    tasks.say = end
    (waited,) = order(tasks, wait=60)["waited_for"]
    assert (waited["host"], waited["run_id"], waited["ended"]) == ("cmp01", run_id, True)


def test_a_pause_tells_which_fence_has_not_ended_and_is_in_force_all_the_same(tasks: Tasks) -> None:
    run_id = fencing(tasks)
    (waited,) = order(tasks, scope="segment", name="rack1", wait=0.1)["waited_for"]
    assert (waited["host"], waited["ended"]) == ("cmp01", False)
    assert any(f"cmp01 (run {run_id}) has not ended within 0.1 s" in warning for warning in tasks.warnings)
    assert in_force(tasks)


@pytest.mark.parametrize("args", [{"scope": "host", "name": "cmp02"}, {"kind": "budget", "at_once": 2}])
def test_nobody_waits_for_a_fence_that_an_order_is_not_about(tasks: Tasks, args: dict[str, t.Any]) -> None:
    fencing(tasks)
    assert order(tasks, wait=60, **args)["waited_for"] == []


def test_the_fence_of_a_dead_run_is_not_waited_for(tasks: Tasks, monkeypatch: pytest.MonkeyPatch) -> None:
    describe = recovery_run.holder.describe
    gone = {**describe(), "pid": 999_999_999, "pid_start": 1}
    monkeypatch.setattr(recovery_run.holder, "describe", lambda pid, **more: {**gone, **more})
    fencing(tasks)
    assert order(tasks, wait=60)["waited_for"] == []
