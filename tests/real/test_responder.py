# Copyright: openstack_ha.recovery contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Responders as processes, on real Nova, real BMC simulators and real databases, with heartbeats over loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import typing as t
from pathlib import Path

import journal_servers
import processes
import pytest
from bed.client import Bed
from driver import until
from responders import Hosts, Responder, Scene, event

from ansible_collections.openstack_ha.recovery.plugins.module_utils._journal.store import Journal, open_journal

HOSTS = [f"cmp{number:02d}" for number in range(1, 7)]
SEGMENTS = {"rack1": {"hosts": HOSTS[:3], "shared_storage": True}, "rack2": {"hosts": HOSTS[3:]}}
LONG = 180  # seconds that a whole recovery may take on a busy machine

Make = t.Callable[..., t.List[Responder]]


@pytest.fixture
def responders(cloud: Bed, tmp_path: Path) -> t.Iterator[Make]:
    """Configure and start responders: ``responders("ctl1", "ctl2", urls=[...])``."""
    inventory = cloud.segments_file(tmp_path / "lab.failover_segments.yml", SEGMENTS)
    with contextlib.closing(Scene(tmp_path, inventory, cloud.clouds_yaml)) as scene:

        def make(*names: str, urls: t.Sequence[str] = (), **options: t.Any) -> list[Responder]:
            made = scene.add(names, urls or [f"sqlite:///{tmp_path}/journal.db"], **options)
            return [responder.start() for responder in made]

        yield make


def running(cloud: Bed) -> list[str]:
    return sorted(vm for vms in cloud.running().values() for vm in vms)


def moved(cloud: Bed, vms: t.Sequence[str]) -> bool:
    """Whether all of them run, and none of them on cmp01."""
    return running(cloud) == sorted(vms) and not cloud.running().get("cmp01")


def evacuations(cloud: Bed) -> list[str]:
    """The servers whose evacuation Nova was asked for."""
    return sorted(line["path"].split("/")[-2] for line in cloud.api_log() if line.get("action") == "evacuate")


def finished(journal: Journal) -> list[dict[str, t.Any]]:
    """The runs, newest first, once none is open."""
    runs = journal.runs(limit=100)
    return runs if runs and all(run["state"] != "open" for run in runs) else []


def acted(journal: Journal) -> list[dict[str, t.Any]]:
    """The runs that powered a host off."""
    proofs = journal.certificates([incident["id"] for incident in journal.incidents(kind="host")])
    return [run for run in journal.runs(limit=100) if run["id"] in [it["run_id"] for it in proofs]]


def test_when_the_plug_of_a_host_is_pulled_its_vms_run_elsewhere_and_the_journal_tells_why(
    cloud: Bed, responders: Make
) -> None:
    (responder,) = responders("ctl1")
    vms = cloud.fill("cmp01", 3)
    with Hosts(HOSTS, [responder]) as hosts, open_journal(responder.journal_url) as journal:
        until(lambda: _hear(journal, 1))
        cloud.crash("cmp01")
        hosts.pull_plug("cmp01")
        until(lambda: moved(cloud, vms), LONG)
        (run,) = until(lambda: finished(journal), LONG)
        report = journal.report(run["id"])
        assert [it["outcome"] for it in report["hosts"]] == ["recovered"]
        witnesses = report["verdicts"][0]["snapshot"]["hosts"]["cmp01"]["witnesses"]
        assert (witnesses["ctl1"], witnesses["probe"]) == ("down", "down")
        assert [it["state"] for it in report["certificates"]] == ["valid"]
        assert {line["state"] for line in report["ledger"]} == {"verified"}
        assert cloud.ever_ran_twice() == []
        assert responder.get("/healthz")[0] == 200
        assert 'openstack_ha_verdicts_total{gate="none",verdict="recover"} 1.0' in responder.get("/metrics")[1]
    assert responder.stop() == 0


def test_a_host_that_only_a_reporter_calls_dead_and_that_is_silent_is_recovered(cloud: Bed, responders: Make) -> None:
    (responder,) = responders("ctl1")
    vms = cloud.fill("cmp01", 1)
    cloud.crash("cmp01")
    assert responder.send(event("cmp01", "host.unreachable", 1), principal="reporter:pacemaker") == 202
    until(lambda: moved(cloud, vms), LONG)
    with open_journal(responder.journal_url) as journal:
        until(lambda: finished(journal), LONG)
        (run,) = acted(journal)
        (told,) = journal.report(run["id"])["signals"]
        assert told["verdict"] in ("recover", "hold"), "it may have come in the first second of the responder"
        assert told["reporter"] == "reporter:pacemaker"


@pytest.mark.parametrize(
    "step", ["opened", pytest.param("forced_down", marks=pytest.mark.deep), "fenced", "first_evacuate"]
)
def test_a_responder_that_is_killed_at_a_step_loses_nothing_and_does_nothing_twice(
    cloud: Bed, responders: Make, step: str
) -> None:
    (responder,) = responders("ctl1")
    vms = cloud.fill("cmp01", 2)
    cloud.knobs("cmp02", spawn_delay=2)
    cloud.knobs("cmp03", spawn_delay=2)
    with Hosts(HOSTS, [responder]) as hosts, open_journal(responder.journal_url) as journal:
        until(lambda: _hear(journal, 1))
        cloud.crash("cmp01")
        hosts.pull_plug("cmp01")
        until(lambda: _reached(journal, step), LONG, pause=0.005)
        assert responder.process
        family = {responder.process.pid, *processes.children(responder.process.pid)}
        processes.kill(family)
        responder.start()
        until(lambda: moved(cloud, vms), LONG)
        until(lambda: [incident["state"] for incident in journal.incidents()] == ["recovered"], LONG)
    assert cloud.ever_ran_twice() == []
    assert evacuations(cloud) == sorted(vms)


def _reached(journal: Journal, step: str) -> bool:
    runs = journal.runs()
    return bool(runs) and (step == "opened" or step in [it["name"] for it in journal.steps(runs[-1]["id"])])


def test_of_a_burst_of_signals_none_is_lost_though_the_responder_is_killed_in_the_middle(
    cloud: Bed, responders: Make
) -> None:
    (responder,) = responders("ctl1")
    events = [event(HOSTS[number % 6], "instance.crashed", number, f"vm-{number}") for number in range(10000)]
    batches = [events[start : start + 250] for start in range(0, len(events), 250)]
    accepted = [
        number
        for number, batch in enumerate(batches[:20])
        if responder.send(*batch, principal="reporter:pacemaker") == 202
    ]
    responder.kill()
    responder.start()
    accepted += [
        number for number, batch in enumerate(batches) if responder.send(*batch, principal="reporter:pacemaker") == 202
    ]
    assert set(accepted) == set(range(len(batches)))
    with open_journal(responder.journal_url) as journal:
        until(lambda: not journal.undecided_signals("RegionOne", 1), LONG)
        signals = journal.signals()
        assert len(signals) == len({it["event_id"] for it in signals}) == 10000
        assert {it["verdict"] for it in signals} == {"ignore"}, "Nova knows no such VMs"
        incidents = journal.incidents(kind="instance")
        assert (len(incidents), {it["state"] for it in incidents}) == (10000, {"closed"})


def test_two_responders_share_a_database_that_goes_away_and_comes_back_and_have_one_run(
    cloud: Bed, responders: Make
) -> None:
    with journal_servers.postgresql() as server:
        assert server.stop
        assert server.start
        both = responders("ctl1", "ctl2", urls=server.new_journal())
        vms = cloud.fill("cmp01", 2)
        with Hosts(HOSTS, both) as hosts:
            with open_journal(both[0].journal_url) as journal:
                until(lambda: _hear(journal, 2))
            server.stop()
            assert both[0].send(event("cmp05", "process.failed", 1, "nova-compute"), principal="host:cmp05") in (0, 503)
            cloud.crash("cmp01")
            hosts.pull_plug("cmp01")
            until(lambda: not both[0].healthy(), LONG)
            assert cloud.status()["cmp01"]["power"] == "on"
            server.start()
            until(lambda: moved(cloud, vms), LONG)
            assert both[1].send(event("cmp05", "process.failed", 1, "nova-compute"), principal="host:cmp05") == 202
            with open_journal(both[0].journal_url) as journal:
                until(lambda: finished(journal), LONG)
                assert len(acted(journal)) == 1
                until(lambda: not journal.undecided_signals("RegionOne"), LONG)
    assert cloud.ever_ran_twice() == []
    assert evacuations(cloud) == sorted(vms)


def test_three_responders_that_write_to_different_nodes_of_galera_have_one_run(cloud: Bed, responders: Make) -> None:
    with journal_servers.galera() as server:
        # Nobody dies, so nobody has to wait for the lease; a busy machine may not be able to renew a short one.
        three = responders("ctl1", "ctl2", "ctl3", urls=server.new_journal(), lease=60)
        vms = cloud.fill("cmp01", 2)
        with Hosts(HOSTS, three) as hosts, open_journal(three[2].journal_url) as journal:
            until(lambda: _hear(journal, 3))
            cloud.crash("cmp01")
            hosts.pull_plug("cmp01")
            for number, responder in enumerate(three * 3):
                events = [event("cmp05", "instance.crashed", number, f"vm-{it}") for it in range(20)]
                assert responder.send(*events, principal="host:cmp05") == 202
            until(lambda: moved(cloud, vms), LONG)
            until(lambda: finished(journal), LONG)
            (run,) = acted(journal)
            witnesses = journal.verdicts(run["id"])[0]["snapshot"]["hosts"]["cmp01"]["witnesses"]
            assert [witnesses[name] for name in ("ctl1", "ctl2", "ctl3")].count("down") >= 2
            until(lambda: not journal.undecided_signals("RegionOne"), LONG)
            assert len(journal.incidents(kind="instance")) == 20
    assert evacuations(cloud) == sorted(vms)


def _hear(journal: Journal, number: int) -> bool:
    found = [it["view"]["networks"]["admin"] for it in journal.observers("RegionOne")]
    return [it["hears"] for it in found] == [len(HOSTS)] * number


def test_a_wrong_configuration_is_refused_aloud_and_the_old_one_goes_on(
    cloud: Bed, responders: Make, tmp_path: Path
) -> None:
    (responder,) = responders("ctl1")
    assert responder.process
    policy = tmp_path / "ha_policy.yml"
    right = policy.read_text()
    policy.write_text("gates: {start_grace: soon}\n")
    until(lambda: "openstack_ha_configuration_refused 1.0" in responder.get("/metrics")[1])
    assert "gates.start_grace: must be a whole number" in responder.log
    policy.write_text(right)
    until(lambda: "openstack_ha_configuration_refused 0.0" in responder.get("/metrics")[1])
    (tmp_path / "ctl1.yml").write_text("name: [\n")
    os.kill(responder.process.pid, signal.SIGHUP)
    until(lambda: "openstack_ha_configuration_refused 1.0" in responder.get("/metrics")[1])
    assert responder.healthy()
