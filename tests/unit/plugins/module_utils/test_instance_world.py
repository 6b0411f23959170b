from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _recovery
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import LeaseLost
from ansible_collections.openstack_ha.recovery.plugins.module_utils._instance_contract import Ended, Halted, Line
from ansible_collections.openstack_ha.recovery.plugins.module_utils._instance_world import RealWorld
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal import claims
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.holder import describe
from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal
from ansible_collections.openstack_ha.recovery.plugins.module_utils._run import Run
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.clock import Clock
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.cloud import FakeCloud, topology
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.nova import Nova

HOST, VM = "cmp01", "vm-1"
PLACE = f"{HOST}/{VM}"
HOSTS = [HOST, "cmp02", "cmp03"]
ROOM = {"VCPU": 2, "MEMORY_MB": 4096, "DISK_GB": 100}


class World(RealWorld):
    """Nothing that was answered is good enough for another question."""

    def _asked(self, what: str, about: str, ask: t.Callable[[], t.Any]) -> t.Any:
        return ask()


@pytest.fixture
def journal(tmp_path: Path) -> t.Iterator[Journal]:
    with open_journal(f"sqlite:///{tmp_path}/journal.db") as opened:
        yield opened


@pytest.fixture
def run(journal: Journal) -> Run:
    """A run about one VM, that holds its claim."""
    record = _recovery.begin(journal, "RegionOne", {PLACE: "rack1"}, describe(), 60.0, lambda _said: None, "instance")
    journal.set_incident(record["hosts"][0]["incident_id"], "recovering")
    journal.plan_lines(record["id"], [{"incident_id": record["hosts"][0]["incident_id"], "server_id": VM}])
    return Run(journal, record["id"])


@pytest.fixture
def cloud() -> FakeCloud:
    nova = Nova(Clock(), HOSTS, [])
    for name, state in ((VM, "stopped"), ("vm-2", "active"), ("vm-3", "active")):
        nova.add(name, HOST, state)
    return FakeCloud(nova, dict.fromkeys(HOSTS, ROOM))


@pytest.fixture
def world(cloud: FakeCloud, run: Run) -> World:
    return World(t.cast(t.Any, cloud), run, topology(*HOSTS), lambda _said: None)


@pytest.fixture
def line() -> Line:
    return Line(place=PLACE, host=HOST, id=VM)


def test_on_a_host_that_answers_it_may_begin(world: World, line: Line) -> None:
    world.permit(line, HOST, begin=True)


@pytest.mark.parametrize("change", [{"state": "down"}, {"forced_down": True}])
def test_nothing_is_begun_on_a_host_that_nova_does_not_hear(
    world: World, line: Line, cloud: FakeCloud, change: dict[str, t.Any]
) -> None:
    cloud.nova.services[HOST].update(change)
    for begin in (True, False):
        with pytest.raises(Halted, match="this becomes an incident of the host"):
            world.permit(line, HOST, begin)


def test_nothing_is_begun_on_a_host_that_responders_do_not_hear(world: World, line: Line, journal: Journal) -> None:
    view = {"networks": {"admin": {"hears": 5, "lost": [HOST], "unknown": []}}}
    journal.observe("RegionOne", "ctl1", {}, {"networks": {**view["networks"], "storage": {"hears": 0}}}, True)
    with pytest.raises(Halted, match="is not heard any more"):
        world.permit(line, HOST, begin=True)
    heard = {"networks": {**view["networks"], "storage": {"hears": 5, "lost": [], "unknown": []}}}
    journal.observe("RegionOne", "ctl1", {}, heard, True)
    world.permit(line, HOST, begin=True)


@pytest.mark.parametrize("kind", ["host", "network"])
def test_nothing_is_begun_while_another_run_has_claimed_the_host(
    world: World, line: Line, journal: Journal, kind: str
) -> None:
    other = _recovery.begin(journal, "RegionOne", {HOST: "rack1"}, describe(), 60.0, lambda _said: None, kind)
    with pytest.raises(Halted, match=f"run {other['id']} is at work on cmp01"):
        world.permit(line, HOST, begin=False)
    world.permit(line, "cmp02", begin=True)


def test_an_order_stops_what_is_not_begun_yet(world: World, line: Line, journal: Journal) -> None:
    journal.add_order("RegionOne", "pause", "host", HOST, "jane", "work", None)
    world.permit(line, HOST, begin=False)
    with pytest.raises(Halted, match="jane"):
        world.permit(line, HOST, begin=True)


def test_without_its_claim_it_changes_nothing_and_writes_nothing(
    world: World, line: Line, journal: Journal, run: Run
) -> None:
    world.record(line)
    claims.release(journal, run.id, [PLACE])
    line.state = "requesting"
    with pytest.raises(LeaseLost):
        world.record(line)
    assert journal.lines([run.incident(PLACE)])[0]["state"] == "planned"


def test_what_came_of_it_is_in_the_ledger_and_in_the_run(world: World, line: Line, journal: Journal, run: Run) -> None:
    line.state, line.outcome, line.method, line.facts = "verified", "recovered", "hard_reboot", {"step": "hard_reboot"}
    world.record(line)
    (row,) = journal.lines([run.incident(PLACE)])
    assert (row["state"], row["method"], row["facts"]) == ("verified", "hard_reboot", {"step": "hard_reboot"})
    assert journal.run(run.id)["hosts"][0]["outcome"] == "recovered"


def said(journal: Journal, sequence: int | None, word: str = "crashed", source: str = "monitor", **data: t.Any) -> None:
    signal = {
        "source": source, "event_id": f"{source}-{word}-{sequence}", "type": f"openstack_ha.instance.{word}",
        "kind": "instance", "host": HOST, "object": VM, "state": "ok" if word == "ok" else "failed", "epoch": "e",
        "sequence": sequence, "reporter": "host:cmp01", "data": {"reason": word, **data},
    }  # fmt: skip
    journal.accept_signals("RegionOne", "ctl1", [signal])


def test_the_last_word_of_a_monitor_is_seen_with_its_age(world: World, line: Line, journal: Journal) -> None:
    assert world.view(line, HOST) is None
    said(journal, None, source="masakari")
    assert world.view(line, HOST) is None
    said(journal, 7, domain={"state": "shutoff"}, said_age=30.0)
    first = world.view(line, HOST)
    assert first is not None
    assert (first.state, first.domain, first.sequence) == ("failed", "shutoff", 7)
    assert first.ago is not None
    assert first.ago >= 30
    said(journal, 8, domain={"state": "shutoff"})
    again = world.view(line, HOST)
    assert again is not None
    assert (again.row, again.newer(first.mark), again.ago) == (first.row, True, None)
    said(journal, 9, "ok", domain={"state": "running"}, said_age=0.0)
    well = world.view(line, HOST)
    assert well is not None
    assert (well.state, well.domain, well.row != first.row) == ("ok", "running", True)
    assert world.view(line, "cmp02") is None


def test_a_moment_is_as_old_as_it_is(world: World) -> None:
    moment = world.moment()
    since = world.since(moment)
    assert since is not None
    assert 0 <= since < 60


def test_it_goes_to_a_host_of_its_segment_that_has_room_and_nobody_else_does(
    world: World, line: Line, cloud: FakeCloud, journal: Journal
) -> None:
    assert sorted(world.targets(line)) == ["cmp02", "cmp03"]
    cloud.nova.services["cmp02"]["state"] = "down"
    assert world.targets(line) == ["cmp03"]
    silent = {"networks": {"admin": {"hears": 5, "lost": ["cmp03"], "unknown": []}}}
    journal.observe("RegionOne", "ctl1", {}, silent, True)
    with pytest.raises(Ended, match="not moved: segment rack1 has no usable active host"):
        world.targets(line)


def test_from_a_host_in_no_segment_there_is_nowhere_to_go(world: World, line: Line) -> None:
    world._topology["hosts"][HOST]["segment"] = None
    with pytest.raises(Ended, match="not moved: cmp01 is in no failover segment"):
        world.targets(line)


def test_what_another_vm_of_the_run_was_promised_is_spoken_for(world: World, line: Line, cloud: FakeCloud) -> None:
    for host in ("cmp02", "cmp03"):
        cloud.room[host] = {**ROOM, "VCPU": 1}  # type: ignore[index]
    other = Line(place=f"{HOST}/vm-2", host=HOST, id="vm-2")
    cloud.nova.servers["vm-2"]["OS-EXT-STS:vm_state"] = "stopped"
    assert world.targets(line)[0] != world.targets(other)[0]


@pytest.mark.parametrize(
    ("actions", "who"),
    [
        ([("stop", "jane"), ("start", "jane")], "jane"),
        ([("stop", None), ("reboot", "jane")], None),
        ([("start", "jane"), ("stop", "jane")], "nobody"),
        ([("attach_volume", "joe"), ("stop", "jane")], "jane"),
        ([], "nobody"),
    ],
)
def test_who_has_stopped_it_is_who_did_so_last(
    world: World, cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch, actions: list[tuple[str, str | None]], who: str
) -> None:
    told = [{"action": action, "user_id": user, "request_id": "req"} for action, user in actions]
    monkeypatch.setattr(cloud, "get", lambda *_what, **_more: {"instanceActions": told})
    found = world.stopped_by(VM)
    assert (found["user_id"] if found else "nobody") == who
