from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.health import Health


def test_who_has_not_decided_yet_is_not_well() -> None:
    health = Health(lambda: 0.0)
    assert not health.ok()
    assert health.told() == {"ok": False, "reason": "no look has ended yet", "last_decision_age": None}
    assert not health.look_succeeded


def test_who_decides_is_well_until_looks_are_missing() -> None:
    now = [0.0]
    health = Health(lambda: now[0])
    health.decided(2.0)
    assert health.ok()
    assert health.look_succeeded
    now[0] = 20.9
    assert health.ok()
    now[0] = 21.1
    assert not health.ok()
    assert health.told() == {"ok": False, "reason": "the last look is too long ago", "last_decision_age": 21.1}


def test_one_failed_look_is_told_and_makes_nobody_ill() -> None:
    health = Health(lambda: 0.0)
    health.decided(2.0)
    health.failed("the journal is away")
    assert health.told() == {"ok": True, "reason": "the journal is away", "last_decision_age": 0.0}
    assert not health.look_succeeded


def test_only_looks_that_do_not_end_are_a_reason_to_restart() -> None:
    now = [0.0]
    health = Health(lambda: now[0])
    for now[0] in (100.0, 200.0):
        health.failed("the cloud is away")
        assert not health.ok()
        assert not health.hangs()
    now[0] = 319.0
    assert not health.hangs()
    now[0] = 321.0
    assert health.hangs()
