from __future__ import annotations

from pathlib import Path

import pytest
from unit.plugins.module_utils._monitor.monitor_fakes import Clock, board, said

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor import libvirt_events as le
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.guest_agent import Answer
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.instance_memory import Memory
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.instance_states import REMEMBER, Instances
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.libvirt_events import Event, Look
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.spool import Spool

VM = "0f5e1a52-7f3e-4a7c-9f2f-1f2f3e4d5c6b"


class Site:
    """VMs of one host, without libvirt."""

    def __init__(self, directory: Path, agent: bool = False, boot: str = "boot-1", resumes: bool = False) -> None:
        self.clock = Clock()
        self.board, self.spool = board(self.clock)
        self.memory = Memory(str(directory / "vms.json"), boot)
        self.instances = Instances(self.board, self.memory, 600.0, agent, self.clock, resumes)

    def lifecycle(self, *pairs: tuple[int, int]) -> None:
        for event, detail in pairs:
            self.instances.take(Event("lifecycle", VM, "instance-00000001", event, detail))

    def take(self, what: str, action: int = 0, **facts: str) -> None:
        self.instances.take(Event(what, VM, "instance-00000001", action, **facts))

    def look(self, state: int, reason: int = 0) -> None:
        self.instances.scan([Look(VM, "instance-00000001", state, reason)])


def words(spool: Spool) -> list[str]:
    return [word for _object, word, _sequence in said(spool)]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """One VM that runs."""
    made = Site(tmp_path)
    made.lifecycle((le.DEFINED, 0), (le.RESUMED, 0), (le.STARTED, 0))
    return made


@pytest.mark.parametrize(
    "pairs",
    [
        [(le.SUSPENDED, 0), (le.RESUMED, 0)],
        [(le.SHUTDOWN, 1), (le.STOPPED, 0)],
        [(le.SHUTDOWN, 2), (le.STOPPED, 1), (le.UNDEFINED, 0)],
        [(le.SUSPENDED, 1), (le.STOPPED, 3), (le.UNDEFINED, 0)],
        [(le.SUSPENDED, 7), (le.STOPPED, 3)],
        [(le.SUSPENDED, 0), (le.STOPPED, 4)],
        [(le.STOPPED, 6), (le.STARTED, 3)],
        [(le.PMSUSPENDED, 0), (le.STARTED, 4)],
        [(le.STOPPED, 99)],
        [(99, 99)],
    ],
)
def test_what_somebody_wanted_is_not_told(site: Site, pairs: list[tuple[int, int]]) -> None:
    site.lifecycle(*pairs)
    site.take("reboot")
    assert words(site.spool) == []


@pytest.mark.parametrize(
    ("pair", "word"),
    [
        ((le.STOPPED, 5), "crashed"),
        ((le.STOPPED, 2), "panicked"),
        ((le.CRASHED, 0), "panicked"),
        ((le.CRASHED, 1), "panicked"),
        ((le.SUSPENDED, 2), "io_error"),
        ((le.SUSPENDED, 3), "watchdog"),
        ((le.SUSPENDED, 6), "paused"),
        ((le.SUSPENDED, 8), "paused"),
    ],
)
def test_failures_are_told_and_over_when_it_runs_again(site: Site, pair: tuple[int, int], word: str) -> None:
    site.lifecycle(pair, (le.RESUMED, 0), (le.STARTED, 0))
    assert words(site.spool) == [word, "ok"]


def test_a_failed_vm_that_somebody_stops_or_deletes_is_over(site: Site) -> None:
    site.lifecycle((le.SUSPENDED, 2), (le.STOPPED, 1), (le.STARTED, 0), (le.STOPPED, 5), (le.UNDEFINED, 0))
    assert words(site.spool) == ["io_error", "ok", "crashed", "ok"]
    site.clock.now += REMEMBER
    site.instances.tick()
    assert site.board.get("instance", VM) is None
    assert site.memory.uuids() == []


def test_a_migration_to_here_that_is_aborted_is_no_crash(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.lifecycle((le.STARTED, 1), (le.STOPPED, 5))
    assert words(site.spool) == []
    site.lifecycle((le.STARTED, 1), (le.RESUMED, 1), (le.STOPPED, 5))
    assert words(site.spool) == ["crashed"]


def test_an_io_error_is_told_once_with_all_that_is_known(site: Site) -> None:
    site.take("io_error", 1, path="/dev/vdb", device="virtio-disk1", cause="eio")
    site.lifecycle((le.SUSPENDED, 2))
    assert words(site.spool) == ["io_error"]
    found = site.board.get("instance", VM)
    assert found
    assert found.details["path"] == "/dev/vdb"
    assert found.reason == "I/O error (eio) of /dev/vdb; it is paused"


@pytest.mark.parametrize(("what", "action"), [("io_error", 2), ("io_error", 0), ("watchdog", 0), ("watchdog", 6)])
def test_a_trouble_that_stops_nothing_is_over_when_it_was_quiet_for_long(site: Site, what: str, action: int) -> None:
    site.take(what, action)
    site.clock.now += 599
    site.take(what, action)
    site.clock.now += 599
    site.instances.tick()
    site.look(le.RUNNING)
    assert words(site.spool) == [what]
    site.clock.now += 1
    site.instances.tick()
    assert words(site.spool) == [what, "ok"]


def test_a_watchdog_that_resets_the_vm_is_told_and_over(site: Site) -> None:
    site.take("watchdog", 2)
    site.take("reboot")
    assert words(site.spool) == ["watchdog", "ok"]


@pytest.mark.parametrize(("action", "detail"), [(3, 5), (4, 0)])
def test_a_vm_that_its_watchdog_has_switched_off_is_the_watchdogs_and_stays_so(
    site: Site, action: int, detail: int
) -> None:
    site.take("watchdog", action)
    site.lifecycle((le.STOPPED, detail))
    site.look(le.SHUTOFF, 1)
    site.look(le.SHUTOFF, 3)
    assert words(site.spool) == ["watchdog"]
    site.lifecycle((le.STARTED, 0))
    assert words(site.spool) == ["watchdog", "ok"]


@pytest.mark.parametrize(
    ("state", "reason", "word"),
    [
        (le.SHUTOFF, 3, "crashed"),
        (le.SHUTOFF, 6, "crashed"),
        (le.SHUTOFF, 0, "stopped"),
        (le.PAUSED, 0, "paused"),
        (le.PAUSED, 5, "io_error"),
        (le.PAUSED, 6, "watchdog"),
        (le.PAUSED, 10, "panicked"),
        (le.PAUSED, 13, "paused"),
        (le.STATE_CRASHED, 0, "panicked"),
        (le.SHUTOFF, 1, ""),
        (le.SHUTOFF, 2, ""),
        (le.SHUTOFF, 4, ""),
        (le.PAUSED, 1, ""),
        (le.PAUSED, 2, ""),
        (le.RUNNING, 1, ""),
        (le.BLOCKED, 0, ""),
        (le.STATE_PMSUSPENDED, 0, ""),
    ],
)
def test_what_failed_while_nobody_looked_is_found(
    site: Site, tmp_path: Path, state: int, reason: int, word: str
) -> None:
    site.memory.seen()
    later = Site(tmp_path)
    later.look(state, reason)
    assert words(later.spool) == ([word] if word else [])
    later.look(state, reason)
    assert len(words(later.spool)) == bool(word)


def test_a_vm_that_is_off_for_unknown_reasons_is_told_only_if_it_ran(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.look(le.SHUTOFF, 0)
    assert words(site.spool) == []


def test_vms_that_ran_before_the_host_was_restarted_are_found(site: Site, tmp_path: Path) -> None:
    site.memory.seen()
    later = Site(tmp_path, boot="boot-2")
    later.look(le.SHUTOFF, 0)
    found = later.board.get("instance", VM)
    assert found
    assert found.reason.endswith("this host was restarted")


def test_where_nothing_is_known_all_that_runs_is_said_to_be_ok_once(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.look(le.RUNNING, 1)
    site.look(le.RUNNING, 1)
    assert words(site.spool) == ["ok"]


def test_a_look_is_not_taken_of_vms_of_which_something_newer_has_come(site: Site) -> None:
    site.lifecycle((le.STOPPED, 5))
    site.instances.scan([Look(VM, "instance-00000001", le.RUNNING, 1)], outdated={VM})
    site.instances.scan([], outdated={VM})
    assert words(site.spool) == ["crashed"]


def test_a_vm_that_is_not_there_any_more_is_over(site: Site) -> None:
    site.lifecycle((le.STOPPED, 5))
    site.instances.scan([])
    assert words(site.spool) == ["crashed", "ok"]


def test_a_panic_stays_a_panic_when_the_vm_is_found_off(site: Site) -> None:
    site.lifecycle((le.CRASHED, 0), (le.STOPPED, 2))
    site.look(le.SHUTOFF, 3)
    assert words(site.spool) == ["panicked"]


def test_a_silent_guest_is_told_unless_something_worse_is_known(tmp_path: Path) -> None:
    site = Site(tmp_path, agent=True)
    site.lifecycle((le.STARTED, 0))
    silent, answer = Answer(VM, "instance-00000001", False, "silent"), Answer(VM, "instance-00000001", True, "")
    site.instances.agent(answer)
    assert site.memory.answered(VM)
    site.instances.agent(silent)
    site.look(le.RUNNING)
    site.instances.agent(answer)
    assert words(site.spool) == ["ok", "guest_silent", "ok"]
    site.lifecycle((le.SUSPENDED, 2))
    site.instances.agent(silent)
    site.instances.agent(answer)
    assert words(site.spool) == ["ok", "guest_silent", "ok", "io_error"]
    site.take("reboot")
    assert not site.memory.answered(VM)


def test_the_first_answer_of_a_guest_agent_after_a_start_is_told_and_no_further_one(tmp_path: Path) -> None:
    site = Site(tmp_path, agent=True)
    answer = Answer(VM, "instance-00000001", True, "")
    site.lifecycle((le.STARTED, 0))
    for _ping in range(3):
        site.instances.agent(answer)
        site.look(le.RUNNING)
    assert [it["data"].get("agent") for it in site.spool.batch(9, 10**9)] == [True]
    site.lifecycle((le.STOPPED, 0), (le.STARTED, 0))
    site.instances.agent(answer)
    assert [it["data"].get("agent") for it in site.spool.batch(9, 10**9)] == [True, True]


def domain(site: Site) -> str:
    """What the last word about the VM says that it is in libvirt; all words are accepted."""
    waiting = site.spool.batch(1000, 10**9)
    site.spool.drop([it["id"] for it in waiting])
    return str(waiting[-1]["data"]["domain"]["state"])


def repeated(site: Site) -> str:
    """The same of the next repeat, once nothing waits any more."""
    site.spool.drop([it["id"] for it in site.spool.batch(1000, 10**9)])
    site.clock.now += 31
    site.board.repeat()
    return domain(site)


def test_what_libvirt_says_that_it_is_goes_with_each_word(site: Site) -> None:
    site.lifecycle((le.STOPPED, 5))
    assert domain(site) == "shutoff"
    site.lifecycle((le.STARTED, 0))
    assert domain(site) == "running"
    site.take("io_error", 1)
    site.lifecycle((le.SUSPENDED, 2))
    assert repeated(site) == "paused"
    site.lifecycle((le.STOPPED, 1))
    assert words(site.spool) == ["ok"]
    assert domain(site) == "shutoff"


def test_a_repeat_says_what_it_is_now_and_nothing_while_libvirt_does_not_answer(site: Site) -> None:
    site.take("watchdog", 3)
    assert repeated(site) == "running"
    site.lifecycle((le.STOPPED, 1))
    assert repeated(site) == "shutoff"
    site.instances.blind()
    assert repeated(site) == "unknown"
    site.look(le.SHUTOFF, 2)
    assert repeated(site) == "shutoff"


def test_after_a_restart_of_the_monitor_nothing_is_known_until_libvirt_was_asked(site: Site) -> None:
    site.lifecycle((le.STOPPED, 5))
    assert domain(site) == "shutoff"
    again = Instances(site.board, site.memory, 600.0, False, site.clock)
    assert repeated(site) == "unknown"
    again.scan([Look(VM, "instance-00000001", le.SHUTOFF, 6)])
    assert repeated(site) == "shutoff"


def test_what_is_undefined_while_it_runs_is_not_said_to_be_off(site: Site) -> None:
    site.take("watchdog", 0)
    site.lifecycle((le.UNDEFINED, 0))
    assert (words(site.spool)[-1], domain(site)) == ("ok", "running")


def test_what_is_not_there_any_more_is_gone(site: Site) -> None:
    site.lifecycle((le.STOPPED, 5))
    site.instances.scan([])
    assert domain(site) == "gone"


def test_one_that_is_resumed_is_well_only_when_it_is_not_paused_again(tmp_path: Path) -> None:
    made = Site(tmp_path, resumes=True)
    made.lifecycle((le.STARTED, 0))
    for _try in range(3):
        made.take("io_error", 1)
        made.lifecycle((le.SUSPENDED, 2), (le.RESUMED, 0))
        made.clock.now += 2
        made.instances.tick()
    made.lifecycle((le.SUSPENDED, 2))
    made.clock.now += 60
    made.instances.tick()
    assert words(made.spool) == ["io_error"]
    made.lifecycle((le.RESUMED, 0))
    made.look(le.RUNNING)
    made.clock.now += 6
    made.instances.tick()
    assert words(made.spool) == ["io_error", "ok"]


def test_one_that_is_stopped_after_it_was_resumed_is_over_at_once(tmp_path: Path) -> None:
    made = Site(tmp_path, resumes=True)
    made.take("io_error", 1)
    made.lifecycle((le.RESUMED, 0), (le.STOPPED, 1))
    assert words(made.spool) == ["io_error", "ok"]
    made.clock.now += 60
    made.instances.tick()
    assert words(made.spool) == ["io_error", "ok"]


def test_that_one_is_off_which_had_failed_is_repeated_for_a_while(site: Site) -> None:
    site.take("io_error", 1)
    site.lifecycle((le.SUSPENDED, 2), (le.STOPPED, 1))
    assert words(site.spool) == ["io_error", "ok"]
    assert domain(site) == "shutoff"
    said_ = []
    for _second in range(1000):
        site.clock.now += 1
        site.instances.tick()
        if words(site.spool):
            said_ += [(site.clock.now - 1000, words(site.spool), domain(site))]
    assert {(tuple(it), at) for _when, it, at in said_} == {(("ok",), "shutoff")}
    assert (len(said_), said_[0][0], said_[-1][0] < 910) == (29, 30.0, True)


def test_what_is_repeated_of_one_that_is_off_is_what_it_is_by_then(site: Site) -> None:
    site.lifecycle((le.STOPPED, 5))
    site.look(le.SHUTOFF, 2)
    site.lifecycle((le.UNDEFINED, 0))
    assert domain(site) == "shutoff"

    def next_() -> str:
        site.clock.now += 31
        site.instances.tick()
        return domain(site)

    assert next_() == "shutoff"
    site.instances.scan([])
    assert next_() == "gone"
    site.instances.blind()
    assert next_() == "unknown"
    site.lifecycle((le.DEFINED, 0), (le.STARTED, 0))
    assert next_() == "running"
    site.lifecycle((le.STOPPED, 5))
    assert words(site.spool) == ["crashed"]
