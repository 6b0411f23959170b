"""Heartbeats in Nova's database."""

from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator import given
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.beats import text_of
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.build import build
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.site import Site


def site() -> Site:
    return build(given.read({"segments": {"a": {"hosts": 2}}}))


def state(found: Site, host: str = "cmp01") -> str:
    found.beats.refresh()
    return str(found.nova.services[host]["state"])


def test_nova_takes_a_host_for_down_a_minute_after_its_last_heartbeat() -> None:
    found = site()
    found.clock.advance(25.0)
    found.plant.die(["cmp01"])
    found.clock.advance(54.0)
    assert state(found) == "up"
    assert found.nova.services["cmp01"]["updated_at"] == "2026-01-01T00:00:20.000Z"
    found.clock.advance(2.0)
    assert (state(found), state(found, "cmp02")) == ("down", "up")


def test_a_host_that_is_cut_off_or_whose_messages_are_lost_does_not_beat() -> None:
    for spoil in (
        lambda found: found.links.split(["cmp01"], ["admin"]),
        lambda found: found.beats.silent_bus.add("cmp01"),
        lambda found: setattr(found.plant.hosts["cmp01"], "agent", False),
    ):
        found = site()
        spoil(found)
        found.plant.changed()
        found.clock.advance(61.0)
        assert (state(found), state(found, "cmp02")) == ("down", "up")


def test_a_jump_of_novas_clock_makes_all_hosts_look_down_until_they_beat_again() -> None:
    found = site()
    found.clock.advance(5.0)
    found.beats.jump(3600.0)
    assert (state(found), state(found, "cmp02")) == ("down", "down")
    found.clock.advance(6.0)
    assert (state(found), state(found, "cmp02")) == ("up", "up")


def test_a_forced_down_host_is_down_however_it_beats() -> None:
    found = site()
    found.nova.services["cmp01"]["forced_down"] = True
    assert state(found) == "down"


def test_stories_begin_at_midnight() -> None:
    assert text_of(1000.0 + 61.5) == "2026-01-01T00:01:01.500Z"
    assert text_of(1000.0, ahead=3600.0) == "2026-01-01T01:00:00.000Z"
