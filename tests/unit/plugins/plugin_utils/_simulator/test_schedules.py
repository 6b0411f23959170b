"""Random stories, and a referee who knows the truth: docs/simulator.md."""

from __future__ import annotations

import typing as t

from hypothesis import event, given, note
from unit.fakes.profiles import examples
from unit.fakes.referee import Referee
from unit.fakes.schedules import Json, schedules, story, text

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.play import Played, play


def judged(schedule: tuple[Json, t.Sequence[Json]], **how: t.Any) -> tuple[Referee, Played]:
    """Play it in front of a referee."""
    told = story(*schedule)
    referee = Referee(told)
    return referee, play(told, watch=referee.watch, **how)


@given(schedules())
@examples(200)
def test_no_invariant_is_broken_whatever_happens(schedule: tuple[Json, list[Json]]) -> None:
    note(text(*schedule))
    referee, played = judged(schedule)
    for what in sorted(referee.seen):
        event(what)
    note(played.log)
    assert not referee.fouls, "\n".join(referee.fouls)
