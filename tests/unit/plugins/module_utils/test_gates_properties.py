"""What holds for any cloud: nothing that is missing, and nobody else's death, makes a decision bolder."""

from __future__ import annotations

import copy
import json
import random
import typing as t

from hypothesis import given
from hypothesis import strategies as st
from unit.fakes.gates import ANSWER, cloud, order, policy
from unit.fakes.profiles import examples

from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates import GATES, VERDICTS, decide, question

Json = t.Dict[str, t.Any]

ADDRESSES = {"isolation_addresses": ["tcp://192.0.2.1:3260"]}
#: Without these facts a gate is open, and its row says why.
STATED_OPEN = {"up_for", "kdump"}
#: None says there that it has none, and that is a fact.
NONE_SAYS_NONE = {"segment", "domain", "disabled_reason", "role"}

REPORTERS = st.lists(st.sampled_from(["ctl1", "cmp02", "cmp09"]), max_size=3, unique=True)
LOST = st.fixed_dictionaries({"state": st.just("lost"), "lost": REPORTERS, "alive": st.just([])})
ALIVE = st.fixed_dictionaries({"state": st.just("alive"), "lost": REPORTERS, "alive": st.just(["cmp03"])})
REPORT = st.one_of(LOST, ALIVE, st.just({"state": "unknown", "lost": [], "alive": []}))

FACTS = st.fixed_dictionaries(
    {},
    optional={
        "known": st.sampled_from([True, True, False]),
        "names": st.sampled_from([["cmp07"], ["cmp03", "cmp3"]]),
        "segment": st.sampled_from(["rack1", "rack2", None]),
        "domain": st.sampled_from(["pdu-1", "pdu-2", None]),
        "role": st.sampled_from(["active", "reserved", None]),
        "status": st.sampled_from(["enabled", "disabled", None]),
        "disabled_reason": st.sampled_from([None, "broken", "openstack_ha: failed", "AUTO: libvirt"]),
        "forced_down": st.sampled_from([False, True, None]),
        "maintenance": st.sampled_from([False, "rewiring", None]),
        "silent": st.sampled_from([True, False, None]),
        "up_for": st.sampled_from([None, 10.0, 90000.0]),
        "suspected_for": st.sampled_from([None, 10.0, 900.0]),
        "witnesses": st.dictionaries(
            st.sampled_from(["operator", "nova", "probe", "ctl2"]), st.sampled_from(["down", "up", "unknown"])
        ),
        "signs_of_life": st.sampled_from([[], ["tcp://192.0.2.1:22"]]),
        "networks": st.dictionaries(st.sampled_from(["admin", "storage", "tenant"]), REPORT),
        "kdump": st.sampled_from([None, {"last": 1.0, "for": 5.0}, {"last": 20.0, "for": 30.0}]),
        "recoveries": st.sampled_from([0, 3, None]),
        "fencing": st.sampled_from([{"levels": 1}, {"levels": 0}, {"levels": 2, "check": "mismatch"}, {}]),
    },
)
ORDERS = st.sampled_from(
    [
        order("budget", limits={"at_once": 4, "per_hour": None}),
        order("budget", "segment", "rack1", id="o2", number=2, limits={"at_once": 2, "per_hour": 9}),
        order("pause", "segment", "rack2", id="o3", number=3),
        order("disarm", "host", "cmp04", id="o4", number=4),
    ]
)
FENCES = st.lists(
    st.fixed_dictionaries(
        {
            "host": st.sampled_from(["cmp01", "cmp08", "gone"]),
            "segment": st.sampled_from(["rack1", None]),
            "domain": st.just("pdu-1"),
            "age": st.sampled_from([10.0, 4000.0]),
        }
    ),
    max_size=3,
)
GLOBAL = st.fixed_dictionaries(
    {},
    optional={
        "caller": st.sampled_from(["operator", "responder"]),
        "responders": st.one_of(st.none(), st.integers(0, 7)),
        "observer": st.sampled_from([{"api": True, "up_for": 5.0}, {"api": True, "up_for": 900.0, "networks": {}}]),
        "control": st.sampled_from([{}, {"nova-conductor": 1, "nova-scheduler": 0}]),
        "in_flight": st.lists(st.sampled_from(["cmp02", "cmp09", "gone"]), unique=True),
        "fences": FENCES,
        "orders": st.lists(ORDERS, unique_by=lambda it: it["id"]),
        "storm": st.fixed_dictionaries(
            {"silent_for": st.sampled_from([None, 5.0, 900.0]), "ended_ago": st.sampled_from([None, 5.0, 900.0])}
        ),
        "answer": st.sampled_from([ANSWER, {**ANSWER, "verdict": "hold"}]),
    },
)
POLICIES = st.sampled_from(
    [
        None,
        policy(budgets__cloud={"at_once": 3, "at_once_percent": 25, "per_hour": 4}),
        policy(networks={"admin": {}, "storage": {}, "tenant": {}}),
        policy(networks={"admin": {}, "storage": ADDRESSES}, gates__planned="ignore"),
        policy(gates__mass_silence={"hosts": 2, "percent": 20, "ask_after": 600}, gates__witnesses__needed=3),
    ]
)


@st.composite
def clouds(draw: st.DrawFn) -> Json:
    """One to four suspects of ten hosts; most facts are those of a plain death, some are anything."""
    it = cloud(*draw(st.lists(st.integers(1, 10), min_size=1, max_size=4, unique=True)))
    it.update(copy.deepcopy(draw(GLOBAL)))
    for host in draw(st.lists(st.sampled_from(sorted(it["hosts"])), max_size=4, unique=True)):
        facts = copy.deepcopy(draw(FACTS))
        kept = draw(st.lists(st.sampled_from(sorted(facts)), max_size=3, unique=True)) if facts else []
        it["hosts"][host].update({name: facts[name] for name in kept})
    return it


def recovered(verdicts: dict[str, Json]) -> set[str]:
    return {host for host, it in verdicts.items() if it["verdict"] == "recover"}


@examples(60)
@given(clouds(), POLICIES)
def test_whatever_is_known_a_verdict_has_its_form_and_the_snapshot_is_left_alone(snapshot: Json, rules: t.Any) -> None:
    before = copy.deepcopy((snapshot, rules))
    verdicts = decide(snapshot, rules)
    assert list(verdicts) == sorted(snapshot["suspects"])
    for it in verdicts.values():
        assert it["verdict"] in VERDICTS
        assert set(it) == {"verdict", "gate", "reason", "look_again", "reaction", "gates"}
        assert it["look_again"] is None or it["look_again"] > 0
        assert (it["gate"] is None) == (it["reason"] == "all gates passed")
        for row, gate in zip(it["gates"], GATES):
            assert (row["gate"], set(row["inputs"])) == (gate.name, {*gate.inputs, *gate.settings})
    assert (snapshot, rules) == before


@examples(60)
@given(clouds(), POLICIES)
def test_recover_needs_every_gate_open_or_answered_by_a_person(snapshot: Json, rules: t.Any) -> None:
    for it in decide(snapshot, rules).values():
        if it["verdict"] == "recover":
            assert {row["says"] for row in it["gates"]} <= {"pass", "ask"}
            assert len(it["gates"]) == len(GATES)
            asked = [row for row in it["gates"] if row["says"] == "ask"]
            assert not asked or snapshot["answer"]["verdict"] == "recover"


#: What is the matter with a host that is not suspected.
PALETTE: list[Json] = [
    {},
    {},
    {"silent": True, "state": "down"},
    {"silent": True, "state": "down", "domain": "pdu-9"},
    {"forced_down": True, "state": "down", "status": "disabled", "disabled_reason": "openstack_ha: failed"},
    {"silent": True, "maintenance": "rewiring", "status": "disabled", "disabled_reason": "maintenance"},
    {"forced_down": True, "maintenance": "rewiring", "status": "disabled"},
    {"silent": True, "status": "disabled", "disabled_reason": "broken"},
    {"silent": True, "status": "disabled", "disabled_reason": "spare", "role": "reserved"},
    {"up_for": 10.0},
    {"segment": None, "domain": None, "known": False},
]
RULES = [
    {"lost": ["storage"], "alive": ["admin"], "reaction": "alert"},
    {"lost": ["storage"], "reaction": "recover"},
    {"alive": ["admin"], "reaction": "ignore"},
    {"reaction": "recover"},
]
REPORTS = st.fixed_dictionaries(dict.fromkeys(("admin", "storage"), st.one_of(LOST, LOST, ALIVE)))


@st.composite
def near_the_edge(draw: st.DrawFn) -> tuple[Json, Json]:
    """A cloud and a policy that just allows what is to be done, or just not."""
    it = cloud(*draw(st.lists(st.integers(1, 10), min_size=1, max_size=3, unique=True)))
    others = sorted(set(it["hosts"]) - set(it["suspects"]))
    for host in draw(st.lists(st.sampled_from(others), max_size=4, unique=True)):
        it["hosts"][host].update(copy.deepcopy(draw(st.sampled_from(PALETTE))))
    for host in it["suspects"]:
        it["hosts"][host]["networks"] = draw(REPORTS)
        it["hosts"][host]["signs_of_life"] = draw(st.sampled_from([[], [], ["tcp://192.0.2.1:22"]]))
        it["hosts"][host]["suspected_for"] = draw(st.sampled_from([10.0, 900.0]))
    it["in_flight"] = draw(st.lists(st.sampled_from(["cmp02", "cmp09"]), unique=True))
    it["fences"] = draw(FENCES)
    several = st.sampled_from([1, 2, 3, 4, 8])
    caps = [{"at_once": draw(several), "at_once_percent": 100, "per_hour": draw(several)} for _scope in range(3)]
    rules = policy(
        gates__mass_silence={"hosts": draw(st.integers(2, 6)), "percent": draw(st.integers(10, 70)), "ask_after": 600},
        budgets={**dict(zip(("cloud", "segment", "failure_domain"), caps)), "segments": {}, "failure_domains": {}},
        networks=draw(st.sampled_from([{}, {}, {}, {"admin": {}, "storage": {}}])),
        reactions=draw(st.sampled_from([None, RULES])),
    )
    return it, rules


def poorer(snapshot: Json) -> t.Iterator[tuple[str, str, Json]]:
    """The snapshot without each of its facts: not given, and given as not known."""
    for name in sorted(set(snapshot) - {"hosts", "suspects"}):
        rest = {key: value for key, value in snapshot.items() if key != name}
        yield "the snapshot", name, rest
        yield "the snapshot", name, {**rest, name: None}
    for host, facts in snapshot["hosts"].items():
        for name in sorted(set(facts) - STATED_OPEN):
            rest = {key: value for key, value in facts.items() if key != name}
            yield host, name, {**snapshot, "hosts": {**snapshot["hosts"], host: rest}}
            if name not in NONE_SAYS_NONE:
                yield host, name, {**snapshot, "hosts": {**snapshot["hosts"], host: {**rest, name: None}}}


@examples(40)
@given(near_the_edge())
def test_a_fact_that_is_lost_never_makes_a_decision_bolder(edge: tuple[Json, Json]) -> None:
    snapshot, rules = edge
    before = recovered(decide(snapshot, rules))
    for place, name, rest in poorer(snapshot):
        assert recovered(decide(rest, rules)) <= before, (place, name)


@examples(40)
@given(near_the_edge())
def test_more_silent_or_dead_hosts_never_make_a_decision_bolder(edge: tuple[Json, Json]) -> None:
    snapshot, rules = edge
    before = recovered(decide(snapshot, rules))
    for host, facts in snapshot["hosts"].items():
        quieter = {**snapshot, "hosts": {**snapshot["hosts"], host: {**facts, "silent": True}}}
        assert recovered(decide(quieter, rules)) <= before, host
        busier = {**snapshot, "in_flight": [*snapshot["in_flight"], host]}
        assert recovered(decide(busier, rules)) <= before, host


@examples(40)
@given(near_the_edge(), REPORTS)
def test_a_network_of_which_nothing_is_known_never_makes_a_decision_bolder(
    edge: tuple[Json, Json], reports: Json
) -> None:
    snapshot, rules = edge
    [host, *_others] = snapshot["suspects"]
    facts = {**snapshot["hosts"][host], "networks": reports}
    known = {**snapshot, "hosts": {**snapshot["hosts"], host: facts}}
    before = recovered(decide(known, rules))
    for name in reports:
        for less in ({"state": "unknown"}, {"state": reports[name]["state"]}, {**reports[name], "lost": ["ctl1"]}, {}):
            vague = {**known, "hosts": {**known["hosts"], host: {**facts, "networks": {**reports, name: less}}}}
            assert recovered(decide(vague, rules)) <= before, (name, less)


def test_the_clouds_near_the_edge_are_often_recovered_and_often_not() -> None:
    """Else the properties above would say nothing."""
    seen: list[bool] = []

    @examples(60)
    @given(near_the_edge())
    def look(edge: tuple[Json, Json]) -> None:
        seen.append(bool(recovered(decide(*edge))))

    look()
    assert 3 <= sum(seen) <= len(seen) - 3


def shuffled(value: t.Any, dice: random.Random) -> t.Any:
    """The same data in another order, wherever order means nothing."""
    if isinstance(value, dict):
        names = list(value)
        dice.shuffle(names)
        return {name: shuffled(value[name], dice) for name in names}
    return value


@examples(60)
@given(clouds(), POLICIES, st.integers(0, 2**32), st.booleans())
def test_the_order_in_which_facts_were_read_changes_no_byte(
    snapshot: Json, rules: t.Any, seed: int, full: bool
) -> None:
    dice = random.Random(seed)
    other = shuffled(snapshot, dice)
    for name in ("suspects", "in_flight", "fences", "orders"):
        if other.get(name):
            other[name] = dice.sample(other[name], len(other[name]))
    written = json.dumps(decide(snapshot, rules, full=full))
    assert json.dumps(decide(other, rules, full=full)) == written
    assert json.dumps(decide(json.loads(json.dumps(snapshot)), rules, full=full)) == written


@examples(60)
@given(clouds(), POLICIES)
def test_a_full_table_never_changes_the_verdict(snapshot: Json, rules: t.Any) -> None:
    short, full = decide(snapshot, rules), decide(snapshot, rules, full=True)
    for host, it in short.items():
        assert {**it, "gates": 0} == {**full[host], "gates": 0}
        assert len(full[host]["gates"]) == len(GATES)
        assert [row["gate"] for row in full[host]["gates"]][: len(it["gates"])] == [row["gate"] for row in it["gates"]]


@examples(60)
@given(clouds(), POLICIES)
def test_an_answer_changes_only_what_was_asked(snapshot: Json, rules: t.Any) -> None:
    snapshot.pop("answer", None)
    silent = decide(snapshot, rules)
    snapshot["answers"] = [
        {
            "host": host,
            "gate": it["gate"],
            "question": question(it["gate"], it["reason"]),
            "verdict": "hold",
            "by": "ann",
            "why": "wait",
        }
        for host, it in silent.items()
        if it["verdict"] == "ask"
    ]
    answered = decide(snapshot, rules)
    for host, it in silent.items():
        wanted = "hold" if it["verdict"] == "ask" else it["verdict"]
        assert answered[host]["verdict"] == wanted
        assert answered[host]["gate"] == it["gate"]


def test_a_host_that_lives_but_may_have_lost_its_storage_uses_up_the_budget() -> None:
    """Found by the property above: its reports got lost, and another host was recovered that had been asked about."""
    it = cloud(1, 3)
    lost = {name: {"state": "lost", "lost": ["ctl1", "cmp02"], "alive": []} for name in ("admin", "storage")}
    it["hosts"]["cmp01"]["networks"] = lost
    it["hosts"]["cmp03"]["signs_of_life"] = ["tcp://192.0.2.1:22"]
    it["hosts"]["cmp03"]["networks"] = {**lost, "admin": {"state": "alive", "lost": [], "alive": ["ctl1", "cmp02"]}}
    rules = policy(networks={"admin": {}, "storage": {}}, reactions=RULES[1:2])
    assert recovered(decide(it, rules)) == set()
    del it["hosts"]["cmp03"]["networks"]
    assert recovered(decide(it, rules)) == set()
