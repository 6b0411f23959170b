from __future__ import annotations

import itertools
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.fakes.profiles import examples

from ansible_collections.openstack_ha.recovery.plugins.module_utils._networks import (
    ALIVE,
    LOST,
    UNKNOWN,
    Match,
    default_rules,
    reaction,
    shadowed,
    uncovered,
)

NAMES = ("admin", "bmc", "storage", "tenant")


def rule(lost: str = "", alive: str = "", then: str = "recover") -> dict[str, t.Any]:
    return {"lost": lost.split(), "alive": alive.split(), "reaction": then}


def states(lost: str = "", unknown: str = "", names: t.Sequence[str] = NAMES) -> dict[str, str]:
    """All others are alive."""
    given = {LOST: lost.split(), UNKNOWN: unknown.split()}
    return {name: next((state for state in given if name in given[state]), ALIVE) for name in names}


def test_the_first_rule_that_fits_wins() -> None:
    rules = [rule("storage", "admin", "alert"), rule("storage", then="recover"), rule(then="ask")]
    assert reaction(states("storage"), rules) == Match("alert", 0)
    assert reaction(states("storage admin"), rules) == Match("recover", 1)
    assert reaction(states("admin"), rules) == Match("ask", 2)


def test_without_a_rule_that_fits_there_is_no_reaction() -> None:
    assert reaction(states("admin"), [rule("storage")]) == Match(None)
    assert reaction(states("admin"), []) == Match(None)
    assert reaction(states("admin"), [rule("a network of another segment")]) == Match(None)


def test_keys_that_a_rule_leaves_out_ask_for_nothing() -> None:
    assert reaction(states("admin"), [{"lost": ["admin"], "reaction": "alert"}]).reaction == "alert"
    assert reaction(states("admin"), [{"reaction": "ask"}]).reaction == "ask"


def test_a_rule_wins_only_where_what_is_unknown_could_not_change_it() -> None:
    rules = [rule("storage", "admin", "alert"), rule("storage", then="recover")]
    assert reaction(states("storage", unknown="admin"), rules) == Match(None, None, ("admin",))
    assert reaction(states("storage", unknown="tenant"), rules) == Match("alert", 0)
    same = [rule("storage", "admin"), rule("storage")]
    assert reaction(states("storage", unknown="admin"), same) == Match("recover", 1)


@pytest.mark.parametrize(
    ("lost", "then"),
    [
        ("admin storage tenant bmc", "recover"),
        ("admin storage tenant", "recover"),
        ("storage", "recover"),
        ("storage bmc", "recover"),
        ("storage admin", "recover"),
        ("storage tenant", "recover"),
        ("tenant", "migrate"),
        ("tenant bmc", "migrate"),
        ("admin", "alert"),
        ("admin bmc", "alert"),
        ("bmc", "alert"),
        ("admin tenant", "ask"),
    ],
)
def test_the_default_table_does_what_the_usual_cases_call_for(lost: str, then: str) -> None:
    assert reaction(states(lost), default_rules(NAMES)).reaction == then


@pytest.mark.parametrize(
    ("names", "lost", "then"),
    [
        (["admin"], "admin", "ask"),
        (["admin", "tenant"], "admin tenant", "recover"),
        (["storage"], "storage", "recover"),
        (["tenant"], "tenant", "ask"),
        (["bmc"], "bmc", "alert"),
        (["admin", "bmc"], "admin", "ask"),
        (["admin", "backup"], "admin backup", "recover"),
        (["admin", "backup"], "backup", "alert"),
        (["management", "project"], "project", "migrate"),
    ],
)
def test_the_default_table_knows_what_one_network_cannot_tell(names: list[str], lost: str, then: str) -> None:
    assert reaction(states(lost, names=names), default_rules(names)).reaction == then


ANY_NAMES = st.lists(st.sampled_from([*NAMES, "backup", "replication", "management", "project"]), unique=True)


@examples(200)
@given(ANY_NAMES)
def test_the_default_table_has_a_rule_for_every_case_and_none_too_many(names: list[str]) -> None:
    rules = default_rules(names)
    assert uncovered(names, rules) == []
    assert shadowed(names, rules) == []


# -- checks of a table -----------------------------------------------------------------------------------


def test_cases_without_a_rule_are_named() -> None:
    assert uncovered(["admin", "storage"], [rule("storage")]) == [{"lost": ["admin"], "alive": ["storage"]}]
    assert uncovered(["admin", "storage"], [rule("storage"), rule("admin")]) == []
    assert uncovered(["admin"], []) == [{"lost": ["admin"], "alive": []}]
    assert uncovered([], []) == []


def test_that_all_networks_live_needs_no_rule() -> None:
    assert uncovered(["admin"], [rule("admin")]) == []
    assert shadowed(["admin"], [rule("", "admin")]) == [0]


def test_rules_that_can_never_win_are_named() -> None:
    table = [rule("storage"), rule("storage", "admin"), rule("storage admin"), rule("admin"), rule()]
    assert shadowed(["admin", "storage"], table) == [1, 2, 4]
    assert shadowed(["admin", "storage", "tenant"], table) == [1, 2]


def test_a_rule_may_be_shadowed_by_several_together() -> None:
    table = [rule("storage", "admin"), rule("storage admin"), rule("storage")]
    assert shadowed(["admin", "storage"], table) == [2]


@pytest.mark.parametrize("impossible", [rule("admin", "admin"), rule("fabric"), rule("admin", "fabric")])
def test_a_rule_that_is_impossible_is_named_and_covers_nothing(impossible: t.Any) -> None:
    assert shadowed(["admin"], [impossible, rule("admin")]) == [0]
    assert uncovered(["admin"], [impossible]) == [{"lost": ["admin"], "alive": []}]


FEW = ["a", "b", "c"]
SUBSETS = st.lists(st.sampled_from(FEW), unique=True)
RULES = st.lists(
    st.fixed_dictionaries(
        {"lost": SUBSETS, "alive": SUBSETS, "reaction": st.sampled_from(["recover", "alert", "ask", "ignore"])}
    ),
    max_size=5,
)


def every(names: list[str]) -> list[dict[str, str]]:
    """Every case but the one that needs no rule."""
    cases = [dict(zip(names, way)) for way in itertools.product([LOST, ALIVE], repeat=len(names))]
    return [case for case in cases if LOST in case.values()]


@examples(300)
@given(RULES)
def test_the_checks_agree_with_trying_every_case(rules: t.Any) -> None:
    matches = [reaction(case, rules) for case in every(FEW)]
    winners = {match.rule for match in matches}
    assert shadowed(FEW, rules) == [number for number in range(len(rules)) if number not in winners]
    named = [
        case
        for case in every(FEW)
        for hole in uncovered(FEW, rules)
        if all(case[name] == state for state in (LOST, ALIVE) for name in hole[state])
    ]
    bare = [case for case, match in zip(every(FEW), matches) if match.rule is None]
    assert sorted(map(str, named)) == sorted(map(str, bare)), "each case once"


@examples(300)
@given(RULES, st.fixed_dictionaries({name: st.sampled_from([LOST, ALIVE, UNKNOWN]) for name in FEW}))
def test_a_reaction_holds_whatever_the_unknown_networks_turn_out_to_be(rules: t.Any, networks: t.Any) -> None:
    match = reaction(networks, rules)
    ways = [
        case
        for case in [*every(FEW), dict.fromkeys(FEW, ALIVE)]
        if all(networks[name] in (case[name], UNKNOWN) for name in FEW)
    ]
    outcomes = {reaction(case, rules).reaction for case in ways}
    assert match.reaction is None or outcomes == {match.reaction}
    assert set(match.unclear) <= {name for name in FEW if networks[name] == UNKNOWN}
