from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.guest_agent import (
    ANSWER,
    NO_AGENT,
    SILENCE,
    Misses,
)
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.libvirt_link import agent_channel

_XML = """<domain><devices><channel type='unix'><target type='virtio' name='org.example' state='connected'/></channel>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='{}'/></channel></devices></domain>"""


def test_a_guest_is_silent_after_so_many_misses_in_a_row_and_lives_with_one_answer() -> None:
    misses = Misses(3, lambda _uuid: True)
    results = [SILENCE, SILENCE, ANSWER, SILENCE, SILENCE, SILENCE, SILENCE, ANSWER]
    assert [misses.take("vm", it) for it in results] == [None, None, True, None, None, False, False, True]


def test_who_never_answered_or_has_closed_its_channel_is_not_missed() -> None:
    never = Misses(1, lambda _uuid: False)
    assert [never.take("vm", SILENCE) for _each in range(5)] == [None] * 5
    misses = Misses(2, lambda _uuid: True)
    assert [misses.take("vm", it) for it in (SILENCE, NO_AGENT, SILENCE, SILENCE)] == [None, None, None, False]


def test_vms_that_do_not_run_any_more_are_forgotten() -> None:
    misses = Misses(2, lambda _uuid: True)
    misses.take("vm", SILENCE)
    misses.keep(())
    assert misses.take("vm", SILENCE) is None


def test_the_channel_of_the_agent_is_told_from_others() -> None:
    assert agent_channel(_XML.format("connected"))
    assert not agent_channel(_XML.format("disconnected"))
    assert not agent_channel("<domain><devices/></domain>")
