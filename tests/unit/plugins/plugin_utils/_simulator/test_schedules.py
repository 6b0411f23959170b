"""Random stories, and a referee who knows the truth: docs/simulator.md."""

from __future__ import annotations

import typing as t

from hypothesis import event, given, note
from hypothesis import strategies as st
from unit.fakes.profiles import examples
from unit.fakes.referee import Referee
from unit.fakes.schedules import Json, schedules, story, text

from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._simulator.play import Played, play


def judged(schedule: tuple[Json, t.Sequence[Json]]) -> tuple[Referee, Played]:
    """Play it in front of a referee."""
    note(text(*schedule))
    told = story(*schedule)
    referee = Referee(told)
    played = play(told, watch=referee.watch)
    note(played.log)
    return referee, played


@given(schedules())
@examples(200)
def test_no_invariant_is_broken_whatever_happens(schedule: tuple[Json, list[Json]]) -> None:
    referee, _played = judged(schedule)
    for what in sorted(referee.seen):
        event(what)
    assert not referee.fouls, "\n".join(referee.fouls)


@st.composite
def _calm_clouds(draw: t.Callable[..., t.Any]) -> Json:
    segments = st.fixed_dictionaries({"hosts": st.integers(2, 4), "vms": st.integers(1, 3)})
    racks = draw(st.lists(segments, min_size=1, max_size=3))
    return {
        "segments": {f"rack{number}": rack for number, rack in enumerate(racks, 1)},
        "controllers": draw(st.integers(1, 3)),
        "monitors": draw(st.booleans()),
        "lasts": 300,
    }


@given(_calm_clouds(), st.sampled_from(("die", "hang", "crash")))
@examples(10)
def test_a_single_lost_host_is_recovered_in_any_cloud_so_that_doing_nothing_is_no_way_out(
    cloud: Json, how: str
) -> None:
    referee, played = judged((cloud, [{"at": 65, how: "cmp01"}]))
    assert not referee.fouls
    assert not played.harm
    assert any(line.startswith("cmp01: recovered, off, forced down; VMs: ") for line in played.outcome), played.log
    assert not any("down" in line.partition("VMs:")[2] for line in played.outcome)
