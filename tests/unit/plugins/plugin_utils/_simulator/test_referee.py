"""The referee of the random stories sees each foul: what prevents it is taken away, and a story is played."""

from __future__ import annotations

import typing as t

import pytest
from unit.fakes.referee import Referee
from unit.fakes.schedules import Json, story

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _evacuation, _recovery, _vmstate, _watch
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing import identity
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.lease import Lease
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator import bmc, controller, recovery
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.play import play

ONE_BY_ONE: Json = {"segments": {"rack1": {"hosts": 3, "vms": 4}}, "limits": {"parallel": 1}, "lasts": 300}
TWO: Json = {**ONE_BY_ONE, "controllers": 2, "lasts": 420}
DIES: list[Json] = [{"at": 65, "die": "cmp01"}]
#: Its BMC lies, and it goes on while its VMs are moved one after the other.
RISES: list[Json] = [
    {"at": 60, "bmc": {"hosts": "cmp01", "is": "lying"}},
    {"at": 65, "hang": "cmp01"},
    {"at": 94, "go_on": "cmp01"},
]
#: The controller that recovers it stands still until the other one has taken over and is at work.
STANDS_STILL: list[Json] = [
    *DIES,
    {"at": 95, "controller_freezes": "ctl2"},
    {"at": 160, "controller_thaws": "ctl2"},
]


def nothing(*_args: t.Any, **_more: t.Any) -> None:
    """Does nothing."""


def fouls(given: Json, timeline: t.Sequence[Json], **how: t.Any) -> list[str]:
    told = story(given, timeline)
    referee = Referee(told)
    play(told, watch=referee.watch, **how)
    return referee.fouls


def rules(found: t.Iterable[str]) -> set[str]:
    return {foul.split(" at ")[0] for foul in found}


@pytest.mark.parametrize("timeline", [DIES, RISES], ids=["dies", "rises"])
def test_nothing_is_wrong_with_what_the_following_tests_break(timeline: list[Json]) -> None:
    assert fouls(ONE_BY_ONE, timeline) == []


def test_a_host_that_is_fenced_while_recovery_is_paused() -> None:
    found = fouls(ONE_BY_ONE, [{"at": 60, "pause": {"scope": "segment", "name": "rack1"}}, *DIES], gates=())
    assert any(foul.startswith("I6") and "under the order pause" in foul for foul in found)


def test_a_storm_in_which_everything_is_fenced() -> None:
    given = {"segments": {"rack1": {"hosts": 8}}, "lasts": 300}
    late = [{"at": 66, "controller_freezes": "ctl1"}, {"at": 110, "controller_thaws": "ctl1"}]
    found = fouls(given, [{"at": 65, "hang": {"percent": 50}}, *late], gates=())
    assert any("over the budget" in foul for foul in found)
    assert any("in a storm" in foul for foul in found)


def test_a_host_that_is_fenced_although_it_is_well() -> None:
    found = fouls(ONE_BY_ONE, [{"at": 65, "cut": {"hosts": "cmp01", "networks": ["admin"]}}], gates=())
    assert any("well and heard" in foul for foul in found)
    assert any("was healthy and was switched off" in foul for foul in found)


def test_a_vm_that_is_moved_while_its_host_shows_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_watch.Watch, "check", nothing)
    found = fouls(ONE_BY_ONE, RISES)
    assert "I2" in rules(found)


#: Its VMs wait for another one, which is not ready before it rises.
IN_ORDER: Json = {
    "segments": {"rack1": {"hosts": 3, "vms": 0}},
    "vms": {
        "db": {"host": "cmp01", "metadata": {"openstack_ha:group": "db", "openstack_ha:ready": "tcp:1"}},
        "app": {"host": "cmp01", "metadata": {"openstack_ha:after": "db"}},
    },
    "lasts": 300,
}
RISES_LATE: list[Json] = [
    {"at": 60, "unready": "db"},
    {"at": 60, "bmc": {"hosts": "cmp01", "is": "lying"}},
    {"at": 65, "hang": "cmp01"},
    {"at": 110, "go_on": "cmp01"},
    {"at": 125, "ready": "db"},
]


def test_a_vm_that_is_started_in_its_turn_while_its_host_shows_life(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fouls(IN_ORDER, RISES_LATE) == []
    monkeypatch.setattr(_watch.Watch, "check", nothing)
    found = fouls(IN_ORDER, RISES_LATE)
    assert any(foul.startswith("I2") for foul in found), found


def test_a_vm_that_is_moved_from_a_host_that_was_never_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bmc.SimulatedBmc, "power_state", lambda self, timeout: "off")
    found = fouls(ONE_BY_ONE, [{"at": 65, "hang": "cmp01"}])
    assert rules(found) == {"I1", "NEVER TWICE"}


def test_a_run_that_goes_on_without_its_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    def renew(lease: Lease, host: str | None = None, also: t.Any = None) -> None:
        if also:
            lease._journal.database.write(also)

    assert fouls(TWO, STANDS_STILL) == []
    monkeypatch.setattr(Lease, "renew", renew)
    monkeypatch.setattr(Lease, "check", nothing)
    monkeypatch.setattr(_watch.Watch, "check", nothing)
    assert "I3" in rules(fouls(TWO, STANDS_STILL))


def test_a_verdict_that_nobody_wrote_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller.Controller, "_record", nothing)
    monkeypatch.setattr(controller.Controller, "_run", nothing)
    assert rules(fouls(ONE_BY_ONE, DIES)) == {"I4"}


def test_a_second_request_by_who_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = {"at": 60, "evacuations": {"vms": ["cmp01-vm1"], "end": "very_slow"}}
    resumed = [slow, *DIES, {"at": 95, "controller_dies": "ctl2"}]
    assert fouls(TWO, resumed) == []
    monkeypatch.setattr(_vmstate, "_busy", nothing)
    monkeypatch.setattr(_evacuation, "is_rebuilding", lambda server: False)
    assert "I5" in rules(fouls(TWO, resumed))


def test_a_vm_that_leaves_its_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    make = recovery.make_plan

    def elsewhere(cloud: t.Any, topology: Json, *rest: t.Any, **more: t.Any) -> Json:
        hosts = {name: {**host, "segment": "rack1"} for name, host in topology["hosts"].items()}
        return make(cloud, {**topology, "hosts": hosts}, *rest, **more)

    monkeypatch.setattr(recovery, "make_plan", elsewhere)
    given = {"segments": {"rack1": {"hosts": 1, "vms": 2}, "rack2": {"hosts": 2}}, "lasts": 300}
    assert rules(fouls(given, DIES)) == {"I7"}


def test_a_reserved_host_that_is_not_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery.Recovery, "_give_back", nothing)
    segment = {"hosts": 3, "vms": 1, "reserved": 1, "recovery_method": "rh_priority"}
    lost = {"at": 60, "evacuations": {"vms": ["cmp01-vm1"], "end": "no_host", "times": 9}}
    found = fouls({"segments": {"rack1": segment}, "lasts": 420}, [lost, *DIES])
    assert rules(found) == {"I7"}


def test_a_host_that_is_called_recovered_and_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_recovery, "_left", nothing)
    lost = {"at": 60, "evacuations": {"vms": ["cmp01-vm1"], "end": "no_host", "times": 9}}
    assert rules(fouls(ONE_BY_ONE, [lost, *DIES])) == {"I8"}


def test_a_fenced_host_that_is_taken_into_service(monkeypatch: pytest.MonkeyPatch) -> None:
    def close(run: recovery.Recovery) -> None:
        run.site.nova.services["cmp01"].update(status="enabled", forced_down=False)
        ended(run)

    ended = recovery.Recovery._close
    monkeypatch.setattr(recovery.Recovery, "_close", close)
    assert "I9" in rules(fouls(ONE_BY_ONE, DIES))


def test_a_vm_that_runs_twice_without_a_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "compare", lambda expected, reported: identity.MATCHED)
    wrong = {"at": 60, "bmc": {"hosts": "cmp01", "is": "wrong", "switches": "cmp02"}}
    found = fouls(ONE_BY_ONE, [wrong, {"at": 65, "hang": "cmp01"}])
    assert {"I1", "I6"} <= rules(found)
