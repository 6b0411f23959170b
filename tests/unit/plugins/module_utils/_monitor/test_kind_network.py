from __future__ import annotations

import threading
import typing as t

import pytest
from unit.plugins.module_utils._monitor.monitor_fakes import Clock, board, config, said

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor import kind_network, links
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.config import Network
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.errors import MonitorError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.kind_network import Watch, look
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.links import Seen

NETWORKS = {
    "admin": {"source": "192.0.2.1", "interface": "eth0", "check": ["192.0.2.254:22"]},
    "storage": {"source": "198.51.100.1", "interface": "eth1"},
}


class Cables:
    """What each look sees; good if nothing else is said."""

    def __init__(self) -> None:
        self.seen: dict[str, Seen] = {}

    def __call__(self, networks: t.Sequence[Network]) -> dict[str, Seen]:
        good = Seen(True, True, "all is well")
        return {it.name: self.seen.get(it.name, good) for it in networks}


def test_each_network_is_told_once_and_when_it_changes() -> None:
    states, spool = board(Clock())
    cables = Cables()
    watch = Watch(config(networks=NETWORKS), states, cables)
    watch.step()
    watch.step()
    assert said(spool) == [("admin", "ok", 1), ("storage", "ok", 2)]
    cables.seen["storage"] = Seen(False, None, "eth1: no carrier")
    watch.step()
    assert said(spool)[2:] == [("storage", "lost", 3)]
    told = spool.batch(9, 9999)[2]["data"]
    assert (told["reason"], told["interface"], told["link"], told["answered"]) == (
        "eth1: no carrier",
        "eth1",
        False,
        None,
    )


def test_silence_is_told_after_the_configured_number_of_looks() -> None:
    states, spool = board(Clock())
    cables = Cables()
    watch = Watch(config(networks=NETWORKS, network={"failures": 2}), states, cables)
    watch.step()
    cables.seen["admin"] = Seen(True, False, "no answer")
    watch.step()
    assert len(said(spool)) == 2
    watch.step()
    assert said(spool)[2:] == [("admin", "lost", 3)]


def test_a_network_that_is_configured_no_more_is_forgotten() -> None:
    states, _spool = board(Clock())
    states.set("network", "old", "failed", "lost", "")
    Watch(config(networks=NETWORKS), states, Cables())
    assert states.states("network") == []


def test_nobody_is_asked_over_a_link_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def reach(networks: t.Sequence[Network], _timeout: float) -> dict[str, tuple[bool, str]]:
        asked.extend(it.name for it in networks)
        return {it.name: (True, "answers") for it in networks}

    monkeypatch.setattr(links, "reach", reach)
    monkeypatch.setattr(links, "link", lambda name: (name != "eth0", f"{name}: state"))
    networks = config(networks={**NETWORKS, "tenant": {"source": "203.0.113.1", "check": ["203.0.113.2:1"]}}).networks
    assert look(networks, 1.0) == {
        "admin": Seen(False, None, "eth0: state"),
        "storage": Seen(True, None, "eth1: state"),
        "tenant": Seen(None, True, "answers"),
    }
    assert asked == ["tenant"]


def test_nothing_to_watch_is_a_mistake_that_is_told() -> None:
    states, _spool = board(Clock())
    with pytest.raises(MonitorError, match="nothing to watch"):
        kind_network.run(config(networks={"admin": {"source": "192.0.2.1"}}), states, threading.Event())


def test_the_networks_of_this_machine_are_watched_until_it_is_told_to_stop() -> None:
    states, spool = board(Clock())
    stop = threading.Event()
    found = config(
        networks={
            "loop": {"source": "127.0.0.1", "interface": "lo"},
            "none": {"source": "192.0.2.9", "interface": "gone0"},
        }
    )
    thread = threading.Thread(target=kind_network.run, args=(found, states, stop))
    thread.start()
    try:
        while len(spool) < 2 and thread.is_alive():
            spool.wait(0.1)
    finally:
        stop.set()
        thread.join(60)
    assert said(spool) == [("loop", "ok", 1), ("none", "lost", 2)]
