from __future__ import annotations

import typing as t

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from unit.fakes.profiles import examples
from unit.fakes.runs import Site
from unit.fakes.world import Crash, FakeWorld

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import (
    CertificateError,
    CloudError,
    ConfigError,
    LeaseLost,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._evacuation_contract import Limits, Line
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import (
    BREAKS,
    LOST,
    NO_HOST,
    RUNNING,
    Fate,
    refuses,
)

IN_USE = "Compute service of cmp01 is still in use."


def lawful(world: FakeWorld) -> None:
    assert not world.unlawful
    assert not world.nova.ruined
    assert not world.nova.twice
    assert not world.nova.reset_while_rebuilding


def recovered(site: Site, lines: dict[str, Line]) -> None:
    for line in lines.values():
        assert (line.state, line.reason) == ("verified", line.note), line
        host, state = site.where(line.id)
        assert host in site.targets
        assert host == line.target
        assert state == {"running": "active", "stopped": "stopped"}[line.former]
        assert site.nova.bindings[line.id] == host


# -- all is well ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("newest", ["2.53", "2.68", "2.93", "2.96"])
def test_vms_land_in_their_former_power_state_whatever_nova_is_like(newest: str) -> None:
    site = Site(newest=newest)
    for state in ("active", "stopped", "paused", "suspended", "rescued", "error"):
        site.vm(state, state)
    site.vm("resized", "resized")
    site.nova.servers["error"]["OS-EXT-STS:power_state"] = RUNNING
    world = site.world()
    lines = site.recover(world)
    recovered(site, lines)
    lawful(world)
    assert {line.id for line in lines.values() if line.former == "running"} == {"active", "error", "resized"}
    assert all(line.attempts == 1 for line in lines.values())


def test_a_guest_that_was_in_error_and_off_is_not_started_by_2_95() -> None:
    site = Site()
    site.vm("a", "error")
    world = site.world()
    recovered(site, site.recover(world))
    assert world.calls == [("reset_state", "a"), ("evacuate", "a")]


def test_intent_is_in_the_ledger_before_nova_is_asked() -> None:
    site = Site()
    site.vm("a")
    world = site.world()
    seen = []
    evacuate = world.evacuate
    world.evacuate = lambda *args: (seen.append(site.ledger.rows["a"]["state"]), evacuate(*args))[1]  # type: ignore[method-assign]
    site.recover(world)
    assert seen == ["requesting"]


def test_progress_is_told_and_the_first_evacuation_is_noted() -> None:
    site = Site()
    site.vm("a")
    site.vm("b")
    world = site.world()
    site.recover(world)
    assert world.told[-1] == "2 verified"
    assert "first_evacuate" in world.steps


def test_the_owner_of_a_paused_vm_is_told_why_it_is_powered_off_though_all_went_well() -> None:
    site = Site()
    site.vm("a", "paused")
    assert "its memory died" in site.recover()["a"].reason


def test_nothing_to_do_ends_at_once_but_not_without_a_certificate() -> None:
    site = Site()
    assert site.recover() == {}
    world = site.world()
    world.certificate = False
    with pytest.raises(CertificateError):
        site.recover(world)


# -- permission ------------------------------------------------------------------------------------------


def test_without_a_certificate_no_call_is_made_at_all() -> None:
    site = Site()
    site.vm("a")
    site.vm("b", "paused")
    world = site.world()
    world.certificate = False
    with pytest.raises(CertificateError):
        site.recover(world)
    assert world.calls == []
    assert site.nova.requests == []


def test_after_a_sign_of_life_nothing_more_is_evacuated_not_even_what_was_queued() -> None:
    site = Site()
    for number in range(6):
        site.vm(str(number))
    world = site.world(latency=[0.1, 2.0, 2.0, 2.0, 2.0, 2.0])
    site.clock.after(0.3, lambda: setattr(world, "certificate", False))
    with pytest.raises(CertificateError, match="LIVES"):
        site.recover(world)
    site.clock.drain()
    assert len(site.nova.requests) == 1
    lawful(world)


def test_after_the_lease_is_lost_no_call_is_made_not_even_to_power_off_a_landed_vm() -> None:
    site = Site(newest="2.93")
    site.vm("a", "paused", Fate(takes=20))
    world = site.world()
    site.clock.after(10, lambda: setattr(world, "lease", False))
    with pytest.raises(LeaseLost):
        site.recover(world)
    site.clock.drain()
    assert world.calls == [("reset_state", "a"), ("evacuate", "a")]
    lawful(world)


def test_nova_saying_that_the_source_is_in_use_stops_the_run() -> None:
    site = Site()
    site.vm("a", "active", refuses(400, IN_USE))
    with pytest.raises(CertificateError, match="in use again"):
        site.recover()


# -- an operator's pause -----------------------------------------------------------------------------------


PAUSED = "paused by al (order 1, the whole cloud): wait"


def test_a_paused_run_begins_nothing_more_and_follows_what_it_has_begun() -> None:
    site = Site()
    for name in "abcd":
        site.vm(name)
    world = site.world()
    site.clock.after(0.1, lambda: world.pauses.update({"cmp01": PAUSED}))
    lines = site.recover(world, parallel=2)
    lawful(world)
    assert [lines[name].state for name in "abcd"] == ["verified", "verified", "pending", "pending"]
    assert {site.ledger.rows[name]["reason"] for name in "cd"} == {PAUSED}
    assert [server for server, _target in site.nova.requests] == ["a", "b"]


def test_nothing_at_all_is_begun_when_the_pause_was_there_first() -> None:
    site = Site()
    site.vm("a")
    site.vm("b", "error")
    world = site.world()
    world.pauses["cmp01"] = PAUSED
    lines = site.recover(world)
    assert world.calls == []
    assert [(line.state, line.reason) for line in lines.values()] == [("pending", PAUSED)] * 2


def test_a_pause_of_one_host_lets_the_vms_of_another_go() -> None:
    site = Site()
    site.vm("a")
    world = site.world()
    world.pauses["cmp09"] = PAUSED
    recovered(site, site.recover(world))


@pytest.mark.parametrize("active", [1, 2])
def test_what_a_target_refuses_while_paused_is_not_tried_elsewhere_and_takes_no_reserved_host(active: int) -> None:
    site = Site(targets=active + 1, segment={"recovery_method": "auto_priority"})
    spare = site.targets[-1]
    site.topology["hosts"][spare]["role"] = "reserved"
    site.nova.services[spare].update(status="disabled")
    site.vm("a", "active", *[NO_HOST] * 9)
    world = site.world()
    site.clock.after(0.1, lambda: world.pauses.update({"cmp01": PAUSED}))
    line = site.recover(world)["a"]
    assert (line.state, line.reason) == ("pending", PAUSED)
    assert [name for name, _id in world.calls] == ["evacuate"]


@pytest.mark.parametrize(("obeyed", "state"), [(True, "verified"), (False, "pending")])
def test_a_request_with_unknown_answer_is_looked_at_although_paused_and_not_repeated(obeyed: bool, state: str) -> None:
    site = Site()
    site.vm("a", "active", Fate(answer=None, obeyed=obeyed, late=5.0))
    world = site.world()
    site.clock.after(0.1, lambda: world.pauses.update({"cmp01": PAUSED}))
    assert site.recover(world)["a"].state == state
    assert len(site.nova.requests) == 1


def test_a_run_goes_on_after_the_pause_was_ended() -> None:
    site = Site()
    for name in "abc":
        site.vm(name)
    world = site.world()
    site.clock.after(0.1, lambda: world.pauses.update({"cmp01": PAUSED}))
    site.recover(world, parallel=1)
    recovered(site, site.recover())


# -- Nova's traps ------------------------------------------------------------------------------------------


def test_no_valid_host_after_200_leads_to_the_next_target() -> None:
    site = Site(targets=3)
    site.vm("a", "active", NO_HOST, BREAKS)
    world = site.world()
    lines = site.recover(world)
    recovered(site, lines)
    lawful(world)
    assert [target for _id, target in site.nova.requests] == ["cmp02", "cmp03", "cmp04"]


def test_the_failed_record_is_seen_before_the_servers_error_and_nobody_gives_up_then() -> None:
    site = Site()
    site.vm("a", "active", Fate(ends="no_host", lag=2.0))
    world = site.world()
    recovered(site, site.recover(world))
    lawful(world)


def test_a_server_that_nova_refuses_everywhere_is_pending_with_novas_own_reason() -> None:
    site = Site()
    site.vm("a", "active", *[NO_HOST] * 50)
    line = site.recover(retries=2)["a"]
    assert (line.state, line.reason) == ("pending", "no target took it: No valid host was found.")


def with_reserves() -> Site:
    """Two active targets and two reserved hosts out of service."""
    site = Site(targets=4, segment={"recovery_method": "auto_priority"})
    for host in ("cmp04", "cmp05"):
        site.topology["hosts"][host]["role"] = "reserved"
        site.nova.services[host].update(status="disabled")
    return site


def test_a_reserved_host_is_taken_once_every_active_target_has_refused() -> None:
    site = with_reserves()
    site.vm("vm", "active", BREAKS, BREAKS)
    world = site.world()
    line = site.recover(world)["vm"]
    assert (line.state, line.target) == ("verified", "cmp04")
    assert [call for call in world.calls if call[0] == "take_reserved"] == [("take_reserved", "cmp04")]
    assert world.unlawful == []


def test_a_reserved_host_that_cannot_serve_is_named_and_the_next_is_taken() -> None:
    site = with_reserves()
    site.vm("vm", "active", BREAKS, BREAKS)
    plan = site.plan()
    site.nova.services["cmp04"]["state"] = "down"
    line = site.recover(plan=plan)["vm"]
    assert (line.state, line.target) == ("verified", "cmp05")


def test_when_the_reserved_hosts_refuse_too_the_next_round_begins_and_then_it_is_pending() -> None:
    site = with_reserves()
    site.vm("vm", "active", *[BREAKS] * 20)
    world = site.world()
    line = site.recover(world, retries=1)["vm"]
    assert line.state == "pending"
    assert len([call for call in world.calls if call[0] == "take_reserved"]) == 2
    assert line.attempts == 8, "two rounds over four hosts"


def test_every_round_tries_all_targets_again() -> None:
    site = Site(targets=3)
    site.vm("a", "active", *[NO_HOST] * 8)
    recovered(site, site.recover(retries=2))
    assert [target for _id, target in site.nova.requests] == ["cmp02", "cmp03", "cmp04"] * 3


def test_a_refusing_target_does_not_make_room_out_of_nothing() -> None:
    site = Site(targets=1, room={"VCPU": 1, "MEMORY_MB": 1024})
    site.vm("a", "active", *[NO_HOST] * 3)
    evacuation = site.evacuation(site.world(), retries=3)
    evacuation.run()
    assert evacuation._room.as_data() == {"cmp02": {"VCPU": 0, "MEMORY_MB": 0}}


@pytest.mark.parametrize(
    ("status", "obeyed"),
    [(500, True), (500, False), (503, True), (503, False), (429, False), (None, True), (None, False)],
)
def test_a_request_without_a_good_answer_is_not_repeated_before_nova_was_looked_at(
    status: int | None, obeyed: bool
) -> None:
    site = Site()
    site.vm("a", "active", Fate(answer=status, obeyed=obeyed, late=5.0, takes=40.0))
    world = site.world()
    recovered(site, site.recover(world))
    lawful(world)
    assert len(site.nova.requests) == (1 if obeyed else 2)


def test_a_nova_that_never_answers_properly_is_given_up() -> None:
    site = Site()
    site.vm("a", "active", *[Fate(answer=500, obeyed=False, said="database is away")] * 50)
    line = site.recover()["a"]
    assert line.state == "failed"
    assert "did not answer 5 requests: database is away" in line.reason


@pytest.mark.parametrize("said", ["Compute host cmp02 could not be found.", "The target host can't be the same one."])
def test_a_target_that_nova_does_not_want_is_left_for_the_next(said: str) -> None:
    site = Site()
    site.vm("a", "active", refuses(404, said))
    recovered(site, site.recover())
    assert [target for _id, target in site.nova.requests] == ["cmp02", "cmp03"]


def test_what_nova_refuses_for_good_is_failed_with_its_words() -> None:
    site = Site()
    site.vm("a", "active", refuses(409, "'evacuate' not supported for vTPM-enabled instance"))
    line = site.recover()["a"]
    assert line.state == "failed"
    assert "vTPM" in line.reason


def test_a_request_that_runs_too_long_is_pending_and_never_repeated() -> None:
    site = Site()
    site.vm("a", "active", Fate(takes=5000.0))
    world = site.world()
    line = site.recover(world)["a"]
    assert line.state == "pending"
    assert "not requested twice" in line.reason
    assert len(site.nova.requests) == 1
    second = site.world()
    site.clock.after(4200.0, lambda: None)
    site.clock.advance(4100.0)
    recovered(site, site.recover(second))
    assert len(site.nova.requests) == 1
    lawful(second)


@pytest.mark.parametrize("when", [1.0, 3.5])
def test_a_server_that_is_deleted_meanwhile_is_skipped(when: float) -> None:
    site = Site()
    site.vm("a", "active", Fate(lag=1.0))
    site.clock.after(when, lambda: site.nova.delete("a"))
    line = site.recover(vm_timeout=60)["a"]
    assert line.state == "skipped"
    assert "deleted" in line.reason


def test_a_server_that_its_owner_deletes_before_its_request_is_repeated_is_skipped() -> None:
    site = Site()
    site.vm("a", "active", Fate(answer=500, obeyed=False))
    site.clock.after(2, lambda: site.nova.servers["a"].update({"OS-EXT-STS:task_state": "deleting"}))
    assert site.recover()["a"].state == "skipped"
    assert len(site.nova.requests) == 1


def test_ports_that_follow_late_are_waited_for_and_then_reported() -> None:
    site = Site()
    site.vm("a", "active", Fate(lag=30.0))
    site.vm("b", "active", Fate(lag=100.0))
    lines = site.recover()
    assert lines["a"].state == "verified"
    assert lines["b"].state == "failed"
    assert "port is bound to cmp01" in lines["b"].reason


def test_a_server_that_is_broken_on_its_target_is_failed() -> None:
    site = Site()
    site.vm("a")
    site.clock.after(1, lambda: site.nova.ruined.add("a"))
    line = site.recover()["a"]
    assert line.state == "failed"
    assert "vm_state is error instead of active" in line.reason


@pytest.mark.parametrize("length", [30.0, 100.0])
def test_an_outage_of_the_api_in_mid_run_is_sat_out(length: float) -> None:
    site = Site()
    for name in "abc":
        site.vm(name, "paused")
    world = site.world(latency=[0.2] * 100)
    world.outages = [(site.clock.time + 0.3, site.clock.time + length)]
    recovered(site, site.recover(world))
    lawful(world)


def test_an_outage_that_does_not_end_stops_the_run() -> None:
    site = Site()
    site.vm("a")
    world = site.world()
    world.outages = [(site.clock.time + 1, site.clock.time + 10_000)]
    with pytest.raises(CloudError):
        site.recover(world)


def test_a_server_that_nova_cannot_show_does_not_keep_the_run_for_ever() -> None:
    site = Site()
    site.vm("a")
    site.vm("b")
    world = site.world()
    server = world.server

    def broken(server_id: str) -> t.Any:
        if server_id == "a":
            raise CloudError("GET: HTTP 500", status=500, answer="oops")
        return server(server_id)

    world.server = broken  # type: ignore[method-assign]
    lines = site.recover(world)
    assert lines["a"].state == "failed"
    assert lines["b"].state == "verified"


def test_a_power_off_that_nova_did_not_do_is_asked_for_again() -> None:
    site = Site(newest="2.93")
    site.vm("a", "paused")
    world = site.world()
    stop, troubles = world.stop, [503, None, 409]

    def unwilling(server_id: str) -> None:
        if troubles:
            raise CloudError("POST: no", status=troubles.pop(0), answer="no")
        stop(server_id)

    world.stop = unwilling  # type: ignore[method-assign]
    recovered(site, site.recover(world))
    lawful(world)


# -- limits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["active", "paused"])
def test_limits_hold_also_for_vms_that_must_be_reset_first(state: str) -> None:
    site = Site()
    for number in range(12):
        site.vm(f"vm{number:02}", state)
    world = site.world(latency=[0.3] * 500)
    recovered(site, site.recover(world, parallel=3, per_target=2))
    assert site.nova.most_at_once <= 3
    assert site.nova.most_per_target <= 2


def test_a_request_with_unknown_answer_counts_as_under_way() -> None:
    site = Site()
    for number in range(6):
        site.vm(f"vm{number}", "active", Fate(answer=504, takes=30.0))
    recovered(site, site.recover(parallel=2, per_target=2))
    assert site.nova.most_at_once <= 2


@pytest.mark.parametrize("limits", [{"parallel": 0}, {"per_target": 0}, {"retries": -1}, {"poll": 0}])
def test_limits_that_could_never_be_met_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(limits))):
        Limits(**limits)


def test_waiting_for_a_place_is_not_a_busy_loop() -> None:
    site = Site()
    for number in range(10):
        site.vm(f"vm{number}", "active", Fate(takes=60.0))
    world = site.world()
    waits: list[float] = []
    wait = world.wait
    world.wait = lambda seconds, calls=(): (waits.append(seconds), wait(seconds, calls))[1]  # type: ignore[method-assign]
    site.recover(world, parallel=1)
    assert len(waits) < 10 * 60 / 0.5 * 1.2


# -- running again -----------------------------------------------------------------------------------------------


def crash(site: Site, calls: int, plan: t.Any = None, **limits: t.Any) -> None:
    world = site.world()
    world.crash_in = calls
    with pytest.raises(Crash):
        site.recover(world, plan, **limits)


def test_a_run_killed_at_any_call_is_finished_by_the_next_and_no_vm_is_asked_for_twice() -> None:
    for calls in range(60):
        site = Site()
        for name, state in (("a", "active"), ("b", "paused"), ("c", "error"), ("d", "stopped")):
            site.vm(name, state, Fate(takes=30.0))
        world = site.world()
        world.crash_in = calls
        try:
            site.recover(world)
        except Crash:
            second = site.world()
            recovered(site, site.recover(second))
            lawful(second)
            assert len(site.nova.requests) == 4
        else:
            break
    assert calls > 10


@pytest.mark.parametrize("calls", range(1, 12))
def test_the_same_plan_carried_out_again_ruins_nothing(calls: int) -> None:
    site = Site()
    for name in "ab":
        site.vm(name, "active", Fate(takes=30.0, late=0.1, answer=504))
    plan = site.plan()
    crash(site, calls, plan)
    second = site.world()
    recovered(site, site.recover(second, plan))
    lawful(second)


def test_what_somebody_evacuates_between_plan_and_execution_is_followed() -> None:
    site = Site()
    site.vm("a", "active", Fate(takes=30.0))
    plan = site.plan()
    site.nova.evacuate("a", "cmp03", False)
    world = site.world()
    recovered(site, site.recover(world, plan))
    lawful(world)
    assert site.where("a")[0] == "cmp03"


def test_a_vm_that_moved_without_an_evacuation_is_verified_where_it_is() -> None:
    site = Site()
    site.vm("a", "active", task="migrating")
    assert site.recover()["a"].state == "pending"
    site.nova.servers["a"].update({"OS-EXT-SRV-ATTR:host": "cmp03", "OS-EXT-STS:task_state": None})
    site.nova.bindings["a"] = "cmp03"
    before = site.clock.time
    recovered(site, site.recover())
    assert site.clock.time - before < 5


def test_a_vm_that_left_before_it_was_asked_for_is_not_forgotten_in_the_ledger() -> None:
    site = Site()
    site.vm("a")
    site.vm("b")
    crash(site, 0)
    site.nova.delete("b")
    site.recover()
    assert {row["server_id"]: row["state"] for row in site.ledger.lines()} == {"a": "verified", "b": "skipped"}


def test_a_vm_that_may_not_move_any_more_is_not_left_as_requested() -> None:
    site = Site()
    site.vm("a", "active", Fate(takes=30.0, ends="no_host"))
    crash(site, 2)
    site.clock.advance(60)
    site.nova.servers["a"]["OS-EXT-STS:task_state"] = "deleting"
    assert site.recover()["a"].state == "skipped"
    assert site.ledger.rows["a"]["state"] == "skipped"
    assert "deleted" in site.ledger.rows["a"]["reason"]


def test_a_followed_evacuation_that_fails_goes_on_to_other_targets() -> None:
    site = Site(targets=3)
    site.vm("a", "active", Fate(takes=30.0, ends="no_host"))
    crash(site, 2)
    recovered(site, site.recover())
    assert [target for _id, target in site.nova.requests] == ["cmp02", "cmp03"]


# -- whatever happens ----------------------------------------------------------------------------------------------


SECONDS = st.sampled_from([0.0, 0.05, 0.4, 1.0, 5.0, 14.0])
FATES = st.one_of(
    st.builds(Fate, takes=st.sampled_from([0.1, 1.0, 20.0]), lag=SECONDS),
    st.builds(Fate, ends=st.sampled_from(["no_host", "breaks"]), takes=SECONDS, lag=SECONDS),
    st.builds(
        Fate,
        answer=st.sampled_from([500, 502, 503, 504, None]),
        obeyed=st.booleans(),
        late=SECONDS,
        takes=st.sampled_from([0.1, 3.0, 40.0]),
        lag=SECONDS,
        ends=st.sampled_from(["lands", "no_host", "breaks"]),
    ),
    st.builds(refuses, st.sampled_from([400, 404]), st.just("Compute host cmpXX could not be found.")),
)
LOSSES = st.builds(Fate, ends=st.just("lost"), takes=SECONDS, lag=SECONDS)
STATES = st.sampled_from(["active", "active", "stopped", "paused", "suspended", "rescued", "error", "resized"])


class Story(t.NamedTuple):
    """What happens during the recovery of some VMs."""

    vms: list[tuple[str, list[Fate]]]
    newest: str
    limits: dict[str, t.Any]
    latency: list[float]
    crashes: list[int]
    same_plan: bool
    pause: float
    deleted_at: float | None
    end: tuple[str, float] | None


def stories(fates: st.SearchStrategy[Fate]) -> st.SearchStrategy[Story]:
    return st.builds(
        Story,
        vms=st.lists(st.tuples(STATES, st.lists(fates, max_size=4)), min_size=1, max_size=6),
        newest=st.sampled_from(["2.53", "2.68", "2.93", "2.96"]),
        limits=st.fixed_dictionaries({"parallel": st.integers(1, 4), "per_target": st.integers(1, 3)}),
        latency=st.lists(SECONDS, max_size=40),
        crashes=st.lists(st.integers(0, 40), max_size=3),
        same_plan=st.booleans(),
        pause=st.sampled_from([0.0, 0.5, 20.0, 100.0]),
        deleted_at=st.none(),
        end=st.none(),
    )


CALM = stories(FATES)
STORIES = st.builds(
    lambda calm, deleted_at, end: calm._replace(deleted_at=deleted_at, end=end),
    stories(FATES | LOSSES),
    st.none() | st.sampled_from([0.3, 3.0, 9.0]),
    st.none() | st.tuples(st.sampled_from(["lease", "certificate"]), st.sampled_from([0.2, 2.0, 7.0, 21.0])),
)


def setting(story: Story) -> Site:
    site = Site(targets=3, newest=story.newest)
    for number, (state, fates) in enumerate(story.vms):
        site.vm(f"vm{number}", state, *fates)
    if story.deleted_at is not None:
        site.clock.after(story.deleted_at, lambda: site.nova.delete("vm0"))
    return site


def tell(story: Story, site: Site) -> dict[str, Line]:
    """Run, be killed, run again … until a run comes to its end."""
    plan = site.plan()
    for crash_in in [*story.crashes, None]:
        world = site.world(list(story.latency))
        world.crash_in = crash_in
        if story.end:
            what, when = story.end
            site.clock.after(when, lambda world=world, what=what: setattr(world, what, False))
        try:
            return site.recover(world, plan if story.same_plan else None, **story.limits, retries=4)
        except Crash:
            site.clock.advance(story.pause)
        finally:
            world.stopped = True
            site.clock.advance(0.0 if world._gone else 20.0)
            lawful(world)
    raise AssertionError("the last run is never killed")


@examples(300)
@given(STORIES)
def test_whatever_happens_no_vm_is_ruined_and_none_is_forgotten(story: Story) -> None:
    site = setting(story)
    try:
        lines = tell(story, site)
    except (LeaseLost, CertificateError):
        assert story.end
        event("stopped")
        return
    for row in site.ledger.lines():
        event(row["state"])
        assert row["state"] in ("verified", "skipped", "pending", "failed"), row
        assert row["reason"] or row["state"] == "verified"
    assert all(site.ledger.rows[name]["state"] == line.state for name, line in lines.items())
    alive = {name: line for name, line in lines.items() if name in site.nova.servers and line.state == "verified"}
    recovered(site, alive)
    if not story.crashes:
        assert site.nova.most_at_once <= story.limits["parallel"]
        assert site.nova.most_per_target <= story.limits["per_target"]


@examples(150)
@given(CALM)
def test_a_nova_that_obeys_in_the_end_gets_every_vm_recovered(story: Story) -> None:
    site = setting(story)
    former = {
        name: "running" if state in ("active", "resized") else "stopped"
        for name, (state, _fates) in zip(site.nova.servers, story.vms)
    }
    recovered(site, tell(story, site))
    assert {row["server_id"]: row["state"] for row in site.ledger.lines()} == dict.fromkeys(former, "verified")
    for name, power in former.items():
        host, state = site.where(name)
        assert host in site.targets
        assert state == ("active" if power == "running" else "stopped")


def test_a_guest_that_its_target_may_have_started_goes_nowhere_else_until_somebody_has_looked() -> None:
    site = Site()
    site.vm("a", "active", LOST)
    for _run in range(2):
        line = site.recover(retries=2)["a"]
        assert line.state == "pending"
        assert "may run there unknown to Nova" in line.reason
    assert len(site.nova.requests) == 1
    assert site.nova.twice == set()

    site.nova.unknown.clear()  # the operator has destroyed it, and says so:
    site.nova.servers["a"].update({"OS-EXT-STS:vm_state": "active"})
    assert site.recover()["a"].state == "verified"


# -- looks ---------------------------------------------------------------------------------------------------


def looks_of(world: FakeWorld) -> list[tuple[float, str, set[str]]]:
    """What is looked at from now on: when, on which host, which servers."""
    looks: list[tuple[float, str, set[str]]] = []
    ask = world.servers

    def servers(host: str, server_ids: t.Sequence[str]) -> dict[str, t.Any]:
        looks.append((world.now(), host, set(server_ids)))
        return ask(host, server_ids)

    world.servers = servers  # type: ignore[method-assign]
    return looks


def test_what_has_landed_is_looked_at_host_by_host_once_nothing_more_is_to_land() -> None:
    site = Site(targets=2)
    for number in range(8):
        site.vm(str(number), "active", Fate(takes=1 + number / 4))
    world = site.world()
    looks = looks_of(world)
    recovered(site, site.recover(world, parallel=4))
    assert [len(servers) for _when, _host, servers in looks] == [4, 3, 1], "the last to land has its own look"


def test_nothing_waits_long_for_its_look_however_many_others_wait() -> None:
    site = Site(targets=1)
    for number in range(12):
        site.vm(str(number), "active", Fate(takes=8))
    world = site.world()
    looks = looks_of(world)
    began = world.now()
    recovered(site, site.recover(world, parallel=1))
    assert looks[0][0] - began < 8 + Limits.verify_pause + Limits.verify_within + 1
    assert max(later[0] - sooner[0] for sooner, later in zip(looks, looks[1:])) < 8 + Limits.verify_within + 2


def test_a_guest_that_is_to_be_powered_off_again_does_not_run_until_all_others_have_landed() -> None:
    site = Site(targets=1, newest="2.93")
    for number in range(3):
        site.vm(str(number), "stopped", Fate(takes=4))
    world = site.world()
    looks = looks_of(world)
    began = world.now()
    recovered(site, site.recover(world, parallel=1))
    assert looks[0][0] - began < 4 + Limits.verify_pause + 1
