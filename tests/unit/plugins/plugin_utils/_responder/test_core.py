from __future__ import annotations

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import core

ASKS = {"verdict": "ask", "gate": "budget", "reason": "2 hosts at once"}
RECOVERS = {"verdict": "recover", "gate": None, "reason": "all gates passed"}


def test_a_question_is_news_again_when_there_are_further_suspects() -> None:
    memory = core.Memory()
    assert core.news(memory, {"cmp02": ASKS}, ["cmp02"]) == ["cmp02"]
    assert core.news(memory, {"cmp02": ASKS}, ["cmp02"]) == []
    assert core.news(memory, {"cmp01": ASKS, "cmp02": ASKS}, ["cmp01", "cmp02"]) == ["cmp01", "cmp02"]


def test_a_suspect_that_waits_for_its_next_try_makes_a_question_news_too() -> None:
    memory = core.Memory()
    core.news(memory, {"cmp02": ASKS}, ["cmp02"])
    assert core.news(memory, {"cmp02": ASKS}, ["cmp01", "cmp02"]) == ["cmp02"]


def test_a_question_stays_the_same_when_there_are_fewer_suspects() -> None:
    memory = core.Memory()
    core.news(memory, {"cmp01": ASKS, "cmp02": ASKS}, ["cmp01", "cmp02"])
    assert core.news(memory, {"cmp02": ASKS}, ["cmp02"]) == []


def test_a_host_that_was_held_is_heard_again_only_when_it_is_no_suspect_any_more() -> None:
    memory = core.Memory()
    core.news(memory, {"cmp01": RECOVERS}, ["cmp01"])
    core.ended(memory, "cmp01", "held", 0.0)
    assert core.heard_again(memory, {}, ["cmp01"]) == []
    assert core.heard_again(memory, {}, []) == ["cmp01"]


def test_a_storm_that_another_one_noted_keeps_hands_off_too() -> None:
    calm = {"silent_for": None, "ended_ago": None}
    over = {"silent_for": None, "ended_ago": 50.0}
    assert core.later(calm, over) == core.later(over, calm) == over
    assert core.later(over, {"silent_for": None, "ended_ago": 20.0})["ended_ago"] == 20.0
    assert core.later(over, {"silent_for": 9.0, "ended_ago": None}) == {"silent_for": 9.0, "ended_ago": None}


def test_a_host_is_taken_up_again_when_the_time_of_an_owner_is_over_but_not_later_than_without_one() -> None:
    memory = core.Memory()
    core.ended(memory, "cmp01", "partial", 1000.0, due_in=90.0)
    core.ended(memory, "cmp02", "partial", 1000.0, due_in=9000.0)
    core.ended(memory, "cmp03", "partial", 1000.0)
    assert {host: when for host, (when, _times) in memory.not_before.items()} == {
        "cmp01": 1090.0, "cmp02": 1300.0, "cmp03": 1300.0,
    }  # fmt: skip
    core.ended(memory, "cmp01", "partial", 1100.0)
    assert memory.not_before["cmp01"] == (1700.0, 2)
