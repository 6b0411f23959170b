from __future__ import annotations

from unit.plugins.module_utils._fencing.fencing_fakes import Clock, FakeDevice, fake_world

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.fence_agent import FenceAgent


def test_an_answer_is_one_short_line() -> None:
    text = FakeDevice(Clock()).clean("first\n  second\t" + "x" * 1000)
    assert text.startswith("first second x")
    assert len(text) == 300


def test_every_value_of_a_secret_dictionary_is_hidden() -> None:
    agent = FenceAgent({"agent": "fence_x", "options": {}, "secrets": {"password": "one", "key": 4711}}, fake_world())
    assert agent.clean("one and 4711 and two") == "******** and ******** and two"
