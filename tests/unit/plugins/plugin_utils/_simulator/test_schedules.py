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
@examples(60)
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


_VMS = ("a", "b", "c", "d")
_GROUPS = ("", "one", "two")
_ORDERED_VM = st.builds(
    lambda group, after, ready, state: {
        "host": "cmp01",
        "state": state,
        "metadata": {
            f"openstack_ha:{key}": it for key, it in (("group", group), ("after", after), ("ready", ready)) if it
        },
    },
    st.sampled_from(_GROUPS),
    st.sampled_from(_GROUPS),
    st.sampled_from(("", "http:80")),
    st.sampled_from(("active", "active", "active", "error", "stopped")),
)
_IN_BETWEEN: tuple[Json, ...] = (
    {"controller_dies": "ctl1"},
    {"controller_starts": "ctl1"},
    {"pause": {"scope": "segment", "name": "rack1", "reason": "wait"}},
    {"resume": "all"},
    {"api": "down"},
    {"api": "up"},
    {"boot": "cmp01"},
    {"go_on": "cmp01"},
    {"die": "cmp02"},
    *({"ready": vm} for vm in _VMS),
    *({"delete": vm} for vm in _VMS[:1]),
    *({"evacuations": {"vms": [vm], "end": end}} for vm in _VMS[:2] for end in ("no_host", "slow", "errs")),
)


@st.composite
def _in_order(draw: t.Callable[..., t.Any]) -> tuple[Json, list[Json]]:
    """VMs that wait for each other, and what happens while they do."""
    given = {
        "segments": {"rack1": {"hosts": 4, "vms": 0}},
        "vms": {name: draw(_ORDERED_VM) for name in _VMS},
        "policy": {"restart": {"tier_timeout": draw(st.sampled_from((30, 600)))}},
        "controllers": draw(st.integers(1, 2)),
        "lasts": 1500,
    }
    lies = [{"at": 60, "bmc": {"hosts": "cmp01", "is": "lying"}}] if draw(st.booleans()) else []
    unready = [{"at": 60, "unready": sorted(draw(st.sets(st.sampled_from(_VMS), min_size=1)))}]
    ends = [{"at": 65, draw(st.sampled_from(("die", "hang"))): "cmp01"}]
    times = sorted(draw(st.lists(st.integers(90, 400), max_size=4)))
    return given, [*lies, *unready, *ends, *({"at": at, **draw(st.sampled_from(_IN_BETWEEN))} for at in times)]


@given(_in_order())
@examples(10)
def test_no_invariant_is_broken_while_vms_wait_for_each_other(schedule: tuple[Json, list[Json]]) -> None:
    referee, _played = judged(schedule)
    for what in sorted(referee.seen):
        event(what)
    assert not referee.fouls, "\n".join(referee.fouls)
