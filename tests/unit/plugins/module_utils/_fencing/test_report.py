from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.levels import Outcome
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.report import failure

ATTEMPT = {
    "level": 1,
    "try": 2,
    "method": "ipmi",
    "address": "10.0.0.13:623",
    "answer": None,
    "error": "gave no answer within 10.0 s",
    "observed_state": "unknown",
    "seconds": 10.04,
}
PROBE = {"level": 1, "method": "probe", "answer": {"tcp://192.0.2.3:22": "answers"}, "observed_state": "alive"}


def test_a_failure_says_what_was_tried_what_came_back_and_what_to_do() -> None:
    text = failure("cmp03", Outcome(evidence=[ATTEMPT], asked=2))
    assert "cmp03 is not proven to be off or dead" in text
    assert "Level 1 try 2, ipmi 10.0.0.13:623, 10.0 s: gave no answer within 10.0 s (observed: unknown)." in text
    assert "Level 2 asks for a person's confirmation." in text
    assert text.endswith("-e failed_hosts=cmp03 -e confirmed_dead_by=NAME -e confirmed_dead_reason=TEXT")


def test_nobody_is_invited_to_confirm_a_host_that_shows_life() -> None:
    text = failure("cmp03", Outcome(evidence=[ATTEMPT, PROBE], alive=["tcp://192.0.2.3:22"]))
    assert "cmp03 shows life at tcp://192.0.2.3:22" in text
    assert "confirmed_dead_by" not in text
