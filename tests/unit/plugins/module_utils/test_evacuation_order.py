"""The restart order while a plan is carried out. The rest of the executor is tested in test_evacuation.py."""

from __future__ import annotations

import math
import typing as t

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from unit.fakes.profiles import examples
from unit.fakes.runs import Site
from unit.fakes.world import Crash, FakeWorld

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import CertificateError, CloudError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._evacuation_contract import Line
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import BREAKS, NO_HOST, Fate

Json = t.Dict[str, t.Any]
TIMEOUT = 600.0


def meta(group: str = "", after: str = "", ready: str = "", priority: int | None = None) -> Json:
    said = {"group": group, "after": after, "ready": ready, "priority": priority}
    return {"metadata": {f"openstack_ha:{key}": str(value) for key, value in said.items() if value not in ("", None)}}


def chain(site: Site, *fates: Fate) -> None:
    """A database, an application that waits for it, and a front end that waits for the application."""
    site.vm("db", "active", *fates, **meta("db", ready="tcp:5432"))
    site.vm("app", "active", *fates, **meta("app", "db"))
    site.vm("web", "active", *fates, **meta("", "app"))


class Starts:
    """When each guest began to run somewhere else, and how often."""

    def __init__(self, site: Site) -> None:
        self.began = site.clock.time
        self.at: dict[str, list[float]] = {}
        site.nova.on_start = lambda server, host: self.at.setdefault(server, []).append(site.clock.time - self.began)

    def once(self, *names: str) -> list[float]:
        assert all(len(self.at[name]) == 1 for name in names), self.at
        return [self.at[name][0] for name in names]


def all_verified(lines: dict[str, Line]) -> None:
    assert {name: line.state for name, line in lines.items()} == dict.fromkeys(lines, "verified")


def order_of(site: Site, *names: str) -> None:
    assert [line["id"] for line in site.plan()["lines"]] == list(names)


# -- in turn ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("newest", ["2.53", "2.93", "2.96"])
def test_each_is_started_once_what_it_waits_for_is_ready(newest: str) -> None:
    site = Site(newest=newest)
    chain(site)
    order_of(site, "db", "app", "web")
    starts, world = Starts(site), site.world()
    world.ready_at["db"] = site.clock.time + 100
    lines = site.recover(world)
    all_verified(lines)
    db, app, web = starts.once("db", "app", "web")
    assert db < 5
    assert 100 <= app < 110
    assert app < web < 120
    assert world.unlawful == []
    assert {line.reason for line in lines.values()} == {""}


def test_those_that_wait_are_moved_with_all_the_others_and_only_started_later() -> None:
    site = Site()
    chain(site)
    world = site.world()
    world.ready_at["db"] = site.clock.time + 100
    began = site.clock.time
    landed: list[float] = []
    record = world.record
    world.record = lambda line: (landed.append(site.clock.time - began) if line.parked else None, record(line))[1]  # type: ignore[method-assign]
    site.recover(world)
    assert [name for name, _id in world.calls] == ["evacuate"] * 3 + ["start"] * 2
    assert len(landed) >= 2
    assert min(landed) < 10


def test_an_older_cloud_moves_them_in_turn_because_it_starts_whatever_it_moves() -> None:
    site = Site(newest="2.93")
    chain(site)
    world = site.world()
    world.ready_at["db"] = site.clock.time + 100
    site.recover(world)
    assert world.calls == [("evacuate", "db"), ("evacuate", "app"), ("evacuate", "web")]


def test_the_ledger_says_what_is_waited_for_and_how_long_it_was() -> None:
    site = Site()
    chain(site)
    world = site.world()
    world.ready_at["db"] = site.clock.time + 100
    rows: list[Json] = []
    site.clock.after(50, lambda: rows.append(dict(site.ledger.rows["app"])))
    site.recover(world)
    assert (rows[0]["state"], "waits for vm-db" in rows[0]["reason"]) == ("landed", True)
    turn = site.ledger.rows["app"]["facts"]["turn"]
    assert 100 <= turn["waited"] < 110
    assert turn["not_ready"] == {}
    assert "1 verified; 2 wait for others" in " ".join(world.told) or any("wait for others" in it for it in world.told)


def test_who_waits_for_nobody_is_asked_for_in_the_same_way_whoever_else_waits() -> None:
    def calls(*others: Json) -> list[tuple[str, str]]:
        site = Site()
        for number in range(4):
            site.vm(str(number))
        for number, other in enumerate(others):
            site.vm(f"other{number}", "active", **other)
        world = site.world()
        all_verified(site.recover(world))
        return [call for call in world.calls if not call[1].startswith("other")]

    assert calls() == calls(meta("db"), meta("app", "db"))


def test_tiers_go_one_after_the_other() -> None:
    site = Site(policy={"restart": {"tiers": [900, 500]}})
    for name, priority in (("low", 100), ("high", 950), ("middle", 500)):
        site.vm(name, "active", Fate(takes=10), **meta(priority=priority))
    starts = Starts(site)
    all_verified(site.recover())
    high, middle, low = starts.once("high", "middle", "low")
    assert high < middle < low


def test_without_tiers_the_priority_is_only_the_order_of_the_requests() -> None:
    site = Site()
    for name, priority in (("low", 100), ("high", 950)):
        site.vm(name, "active", Fate(takes=10), **meta(priority=priority))
    starts = Starts(site)
    all_verified(site.recover())
    high, low = starts.once("high", "low")
    assert abs(high - low) < 1


def test_what_was_off_stays_off_and_nobody_waits_for_it() -> None:
    site = Site()
    site.vm("db", "stopped", **meta("db", ready="tcp:1"))
    site.vm("app", "paused", **meta("app", "db"))
    site.vm("web", "active", **meta("", "db"))
    world = site.world()
    all_verified(site.recover(world))
    assert [site.where(name)[1] for name in ("db", "app", "web")] == ["stopped", "stopped", "active"]
    assert "start" not in [name for name, _id in world.calls]


def test_a_guest_in_error_that_waits_is_reset_so_that_it_lands_off() -> None:
    site = Site()
    site.vm("db", **meta("db", ready="tcp:1"))
    site.vm("app", "error", **meta("", "db"))
    site.nova.servers["app"]["OS-EXT-STS:power_state"] = 1
    starts, world = Starts(site), site.world()
    world.ready_at["db"] = site.clock.time + 60
    all_verified(site.recover(world))
    assert starts.once("app")[0] >= 60
    assert ("reset_state", "app") in world.calls


def test_landed_is_enough_where_the_policy_says_so() -> None:
    site = Site(policy={"restart": {"ready": "landed"}})
    site.vm("db", "active", **meta("db", "never"))
    site.vm("never", "active", **meta("never", ready="tcp:1"))
    site.vm("app", "active", **meta("", "db"))
    starts, world = Starts(site), site.world()
    world.ready_at["never"] = site.clock.time + 100
    all_verified(site.recover(world))
    app, db = starts.once("app", "db")
    assert app < 20 < db, "the database lies where it has landed, and is off"


def test_what_others_wait_for_is_looked_at_at_once_though_much_is_still_to_land() -> None:
    site = Site()
    chain(site)
    for number in range(3):
        site.vm(f"slow{number}", "active", Fate(takes=100))
    starts = Starts(site)
    all_verified(site.recover())
    assert starts.once("app")[0] < 15


def test_the_moment_in_which_nova_has_started_what_is_to_land_off_is_not_taken_for_its_end() -> None:
    site = Site()
    chain(site)
    world = site.world()
    world.ready_at["db"] = site.clock.time + 100
    servers, seen = world.servers, set()

    def too_early(host: str, server_ids: t.Sequence[str]) -> dict[str, Json | None]:
        found = servers(host, server_ids)
        early = {name: {"OS-EXT-STS:vm_state": "active"} for name in server_ids if name == "app" and name not in seen}
        seen.update(early)
        return {name: {**server, **early.get(name, {})} if server else None for name, server in found.items()}

    world.servers = too_early  # type: ignore[method-assign]
    all_verified(site.recover(world))
    assert seen == {"app"}
    assert [site.where(name)[1] for name in ("db", "app", "web")] == ["active"] * 3


# -- not ready --------------------------------------------------------------------------------------------------------


def test_after_the_timeout_it_goes_on_and_says_so() -> None:
    site = Site()
    chain(site)
    starts, world = Starts(site), site.world()
    world.ready_at["db"] = site.clock.time + 10_000
    lines = site.recover(world)
    all_verified(lines)
    _db, app, web = starts.once("db", "app", "web")
    assert TIMEOUT <= app < TIMEOUT + 10
    assert (
        "although what it waits for is not ready: vm-db is not ready (tcp:5432): nobody listens" in lines["app"].reason
    )
    assert (lines["web"].reason, web < app + 20) == ("", True)
    assert site.ledger.rows["app"]["facts"]["turn"]["not_ready"] == {"vm-db": "is not ready (tcp:5432): nobody listens"}


@pytest.mark.parametrize("newest", ["2.93", "2.96"])
def test_nobody_waits_for_what_has_failed(newest: str) -> None:
    site = Site(newest=newest)
    chain(site)
    site.nova.fates["db"] = [NO_HOST] * 20
    lines = site.recover(retries=1)
    assert {name: line.state for name, line in lines.items()} == {"db": "pending", "app": "verified", "web": "verified"}
    assert "vm-db is pending" in lines["app"].reason


def test_a_vm_for_which_there_is_no_room_holds_nobody_up() -> None:
    site = Site()
    chain(site)
    site.nova.servers["db"]["flavor"]["vcpus"] = 1000
    lines = site.recover()
    assert lines["db"].state == "pending"
    assert (lines["app"].state, "vm-db is pending" in lines["app"].reason) == ("verified", True)


def test_a_start_that_nova_refuses_is_tried_again_and_then_reported() -> None:
    site = Site()
    chain(site)
    world = site.world()
    start, refusals = world.start, [503, 409]

    def unwilling(server_id: str) -> None:
        if server_id == "web" or refusals:
            raise CloudError("POST: no", status=refusals.pop() if server_id == "app" else 409, answer="no")
        start(server_id)

    world.start = unwilling  # type: ignore[method-assign]
    lines = site.recover(world)
    assert (lines["app"].state, lines["web"].state) == ("verified", "failed")
    assert "Nova does not start it: POST: no" in lines["web"].reason


def test_a_guest_that_its_owner_starts_or_deletes_meanwhile_is_left_alone() -> None:
    site = Site()
    chain(site)
    starts, world = Starts(site), site.world()
    world.ready_at["db"] = site.clock.time + 100
    site.clock.after(30, lambda: site.nova.start("app"))
    site.clock.after(40, lambda: site.nova.delete("web"))
    lines = site.recover(world)
    assert [lines[name].state for name in ("db", "app", "web")] == ["verified", "verified", "skipped"]
    starts.once("db", "app")


# -- stopped and killed ------------------------------------------------------------------------------------------------


def test_after_a_sign_of_life_nothing_that_waits_is_started() -> None:
    site = Site()
    chain(site)
    world = site.world()
    world.ready_at["db"] = site.clock.time + 100
    site.clock.after(60, lambda: setattr(world, "certificate", False))
    with pytest.raises(CertificateError):
        site.recover(world)
    site.clock.drain()
    assert [site.where(name)[1] for name in ("db", "app", "web")] == ["active", "stopped", "stopped"]
    second = site.world()
    all_verified(site.recover(second))
    assert set(second.calls) == {("start", "app"), ("start", "web")}


def test_while_paused_nothing_is_started_and_the_next_run_goes_on() -> None:
    site = Site()
    chain(site)
    world = site.world()
    world.ready_at["db"] = site.clock.time + 100
    site.clock.after(60, lambda: world.pauses.update({"cmp01": "paused by al"}))
    lines = site.recover(world)
    assert [lines[name].state for name in ("db", "app", "web")] == ["verified", "pending", "pending"]
    assert "paused by al; it is on cmp0" in lines["app"].reason
    starts = Starts(site)
    all_verified(site.recover())
    app, web = starts.once("app", "web")
    assert app < web


def test_what_has_landed_off_is_started_also_when_it_does_not_wait_for_anything_any_more() -> None:
    site = Site()
    chain(site)
    world = site.world()
    world.ready_at["db"] = site.clock.time + 100
    site.clock.after(60, lambda: setattr(world, "certificate", False))
    with pytest.raises(CertificateError):
        site.recover(world)
    site.nova.servers["app"]["metadata"].clear()
    site.nova.servers["web"]["metadata"].clear()
    all_verified(site.recover())
    assert [site.where(name)[1] for name in ("db", "app", "web")] == ["active"] * 3


@pytest.mark.parametrize("what", ["stopped", "moved", "deleted"])
def test_what_was_verified_is_only_asked_whether_it_is_ready_whatever_its_owner_has_done_since(what: str) -> None:
    site = Site()
    chain(site)
    world = site.world()
    world.ready_at["db"] = site.clock.time + 100
    site.clock.after(60, lambda: setattr(world, "certificate", False))
    with pytest.raises(CertificateError):
        site.recover(world)
    if what == "stopped":
        site.nova.stop("db")
    elif what == "moved":
        site.nova.servers["db"]["OS-EXT-SRV-ATTR:host"] = site.nova.bindings["db"] = "cmp03"
    else:
        site.nova.delete("db")
    second = site.world()
    second.ready_at["db"] = site.clock.time + 30
    starts = Starts(site)
    lines = site.recover(second)
    assert {row["server_id"]: row["state"] for row in site.ledger.lines()} == dict.fromkeys(
        ("db", "app", "web"), "verified"
    )
    assert starts.once("app")[0] >= (0 if what == "deleted" else 30)
    assert ("db" in lines, second.calls) == (what != "deleted", [("start", "app"), ("start", "web")])


@pytest.mark.parametrize("newest", ["2.93", "2.96"])
def test_a_run_killed_at_any_call_is_finished_in_order_and_nothing_is_started_twice(newest: str) -> None:
    for calls in range(80):
        site = Site(newest=newest)
        chain(site, Fate(takes=5))
        site.vm("off", "stopped", **meta("", "app"))
        starts, world = Starts(site), site.world()
        ready = site.clock.time + 60
        world.ready_at["db"] = ready
        world.crash_in = calls
        try:
            site.recover(world)
        except Crash:
            second = site.world()
            second.ready_at["db"] = ready
            all_verified(site.recover(second))
            db, app, web = starts.once("db", "app", "web")
            assert db < 60 <= app < web, (calls, starts.at)
            assert site.where("off")[1] == "stopped"
            assert world.unlawful == second.unlawful == []
            assert {row["state"] for row in site.ledger.lines()} == {"verified"}
        else:
            break
    assert calls > 15


# -- the last place ---------------------------------------------------------------------------------------------------

TWO = {"VCPU": 2, "MEMORY_MB": 2048}


def test_an_important_vm_that_is_refused_takes_the_place_of_one_that_was_not_asked_for_yet() -> None:
    site = Site(targets=2, room={"VCPU": 1, "MEMORY_MB": 1024})
    site.vm("high", "active", BREAKS, **meta(priority=900))
    site.vm("low", "active", **meta(priority=100))
    lines = site.recover(retries=1, parallel=1)
    assert lines["high"].state == "verified"
    assert site.where("high")[0] == "cmp03"
    assert site.nova.requests[:2] == [("high", "cmp02"), ("high", "cmp03")]


@pytest.mark.parametrize("parallel", [1, 20])
def test_a_less_important_vm_is_not_asked_for_while_it_would_take_the_last_place(parallel: int) -> None:
    site = Site(targets=2, room={"VCPU": 1, "MEMORY_MB": 1024})
    site.vm("high", "active", Fate(ends="breaks", takes=30), **meta(priority=900))
    site.vm("low", "active", **meta(priority=100))
    lines = site.recover(retries=1, parallel=parallel)
    assert (lines["high"].state, site.where("high")[0]) == ("verified", "cmp03")
    assert [server for server, _target in site.nova.requests][:2] == ["high", "high"]


def test_with_room_enough_nobody_waits_for_more_important_ones() -> None:
    site = Site(targets=2, room={"VCPU": 4, "MEMORY_MB": 4096})
    site.vm("high", "active", Fate(takes=100), **meta(priority=900))
    site.vm("low", "active", **meta(priority=100))
    starts = Starts(site)
    all_verified(site.recover())
    assert starts.once("low")[0] < 10


def test_equals_do_not_wait_for_each_other_however_little_room_there_is() -> None:
    site = Site(targets=2, room={"VCPU": 1, "MEMORY_MB": 1024})
    site.vm("a", "active", Fate(takes=100))
    site.vm("b")
    starts = Starts(site)
    all_verified(site.recover())
    assert starts.once("b")[0] < 10


def test_a_place_that_becomes_free_goes_to_the_important_one_that_had_none() -> None:
    site = Site(targets=2, room=TWO)
    site.nova.add("there", "cmp03")
    site.vm("top", "active", BREAKS, **meta(priority=950))
    site.vm("high", **meta(priority=900))
    site.nova.servers["high"]["flavor"].update(vcpus=2, ram=2048)
    site.vm("low", "active", BREAKS, **meta(priority=100))
    plan = site.plan()
    assert {line["id"]: line["step"] for line in plan["lines"]} == {
        "top": "evacuate",
        "high": "pending",
        "low": "evacuate",
    }
    lines = site.recover(plan=plan, retries=0)
    assert lines["top"].state == "verified"
    assert lines["high"].state == "verified" or "low" not in [it for it, _target in site.nova.requests[:2]]


# -- whatever happens -------------------------------------------------------------------------------------------------

NAMES = ["g0", "g1", "g2", "g3"]


class Member(t.NamedTuple):
    group: str
    after: list[str]
    ready: str
    priority: int
    state: str
    ready_after: float
    fates: list[Fate]


MEMBERS = st.lists(
    st.builds(
        Member,
        group=st.sampled_from(["", *NAMES]),
        after=st.lists(st.sampled_from(NAMES), max_size=2, unique=True),
        ready=st.sampled_from(["", "landed", "active", "tcp:80"]),
        priority=st.sampled_from([100, 500, 900]),
        state=st.sampled_from(["active", "active", "active", "error", "stopped", "paused"]),
        ready_after=st.sampled_from([0.0, 20.0, 99.0, 10_000.0]),
        fates=st.lists(st.sampled_from([Fate(), Fate(takes=40), NO_HOST, BREAKS]), max_size=2),
    ),
    min_size=1,
    max_size=7,
)


def told(site: Site, members: list[Member], world: FakeWorld) -> None:
    for number, it in enumerate(members):
        world.ready_at[f"vm{number}"] = site.clock.time + it.ready_after


@examples(200)
@given(
    MEMBERS,
    st.sampled_from(["2.93", "2.96"]),
    st.sampled_from([[], [500], [900, 400]]),
    st.none() | st.integers(0, 40),
    st.integers(1, 4),
)
def test_nothing_is_started_before_what_it_waits_for_is_ready_or_was_waited_for_long_enough(
    members: list[Member], newest: str, tiers: list[int], crash: int | None, parallel: int
) -> None:
    site = Site(targets=3, newest=newest, policy={"restart": {"tiers": tiers, "tier_timeout": 100}})
    for number, it in enumerate(members):
        site.vm(f"vm{number}", it.state, *it.fates, **meta(it.group, " ".join(it.after), it.ready, it.priority))
        if it.state == "error":
            site.nova.servers[f"vm{number}"]["OS-EXT-STS:power_state"] = 1
    plan = site.plan()
    starts, world = Starts(site), site.world()
    told(site, members, world)
    ready_at = dict(world.ready_at)
    runs = [(0.0, math.inf)]
    world.crash_in = crash
    try:
        lines = site.recover(world, plan, parallel=parallel)
    except Crash:
        event("killed")
        world = site.world()
        world.ready_at = ready_at
        killed = site.clock.time - starts.began
        runs = [(0.0, killed), (killed, math.inf)]
        lines = site.recover(world, parallel=parallel)
    assert world.unlawful == []
    assert {row["state"] for row in site.ledger.lines()} <= {"verified", "pending", "failed", "skipped"}
    assert all(line.state == "verified" for line in lines.values()), lines
    check_order(plan, starts, ready_at, runs)
    for number, it in enumerate(members):
        off = it.state in ("stopped", "paused")
        assert site.where(f"vm{number}")[1] == ("stopped" if off else "active")
        began_to_run = len(starts.at.get(f"vm{number}", []))
        assert began_to_run == (0 if off else 1) or (off and newest < "2.95"), starts.at


def check_order(plan: Json, starts: Starts, ready_at: dict[str, float], runs: list[tuple[float, float]]) -> None:
    """Against the plan only: when each had to be ready, and since when it may have been given up."""
    members: dict[str, list[Json]] = {}
    for line in plan["lines"]:
        for key in line["keys"]:
            members.setdefault(key, []).append(line)
    for line in plan["lines"]:
        if line["former"] != "running":
            continue
        at = starts.at[line["id"]][0]
        patience = max(min(at, end) - begin for begin, end in runs if begin <= at)  # of the run that gave it its turn
        for other in (it for key in line["waits"] for it in members[key]):
            up = starts.at[other["id"]][0]
            how = other["awaited"]["is"]
            event(how)
            answers = ready_at[other["id"]] - starts.began if how == "tcp" else 0.0
            ready = up if how != "landed" else 0.0
            in_time = at >= max(ready, answers)
            assert in_time or patience >= 100, (line["id"], other["id"], at, up, answers)
