from __future__ import annotations

import copy
import itertools
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.fakes.profiles import examples

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _ha_policy, _policy_file
from ansible_collections.openstack_ha.recovery.plugins.module_utils._ha_policy import explain, protection
from ansible_collections.openstack_ha.recovery.plugins.module_utils._ha_words import KEYS

Json = dict[str, t.Any]

PROTECT, PRIORITY, MASAKARI = "openstack_ha:protect", "openstack_ha:priority", "HA_Enabled"
WORDS = {"true": True, "Yes": True, " on ": True, "1": True, "false": False, "NO": False, "off": False, "0": False}
VM: Json = {
    "id": "5f0c",
    "name": "web1",
    "project": {"id": "p1", "name": "billing"},
    "user_id": "u1",
    "region": "RegionOne",
    "cell": None,
    "zone": "az1",
    "aggregates": [{"name": "ssd", "metadata": {}}],
    "flavor": {"name": "m1.small", "extra_specs": {}},
    "image": {"id": "i1", "name": "ubuntu", "properties": {}, "tags": []},
    "metadata": {},
    "tags": [],
    "boot_from_volume": False,
    "local_disk": True,
    "segment": "rack1",
}


def vm(**facts: t.Any) -> Json:
    return {**copy.deepcopy(VM), **facts}


def policy(**ha: t.Any) -> Json:
    return dict(_policy_file.parse({"ha": ha}, ["rack1"], []).values)


def decide(metadata: t.Any = None, specs: t.Any = None, **segment: t.Any) -> t.Any:
    return protection(vm(metadata=metadata or {}, flavor={"name": "f", "extra_specs": specs or {}}), {}, segment)


# -- the example of the document ---------------------------------------------------------------------------------------


def test_the_example_of_the_user_story_verbatim() -> None:
    """An availability zone could be configured to require HA for all VMs inside it, but VMs booted within the
    availability zone with a flavor configured as not requiring HA would override the configuration at the
    availability zone level (OpenStack user story "High Availability for Virtual Machines", usage scenario examples).
    """
    rules = policy(zones={"az1": {"protect": True}}, flavors={"no-ha": {"protect": False}})
    others = {"protect": False}
    inside = vm(zone="az1")
    assert protection(inside, rules, others).protected
    assert protection(inside, rules, others).because == "ha.zones.az1 protect=true"
    overriding = vm(zone="az1", flavor={"name": "no-ha", "extra_specs": {}})
    assert not protection(overriding, rules, others).protected
    assert protection(overriding, rules, others).because == "ha.flavors.no-ha protect=false"
    assert not protection(vm(zone="az2"), rules, others).protected


def test_the_same_example_with_marks_on_the_flavor_itself() -> None:
    rules = policy(zones={"az1": {"protect": True}})
    marked = vm(flavor={"name": "x", "extra_specs": {PROTECT: "false"}})
    assert not protection(marked, rules, {"protect": True}).protected


# -- all levels and overrides against the plainest model ---------------------------------------------------------------

#: Where something can be said: the level, and how to say it there.
PLACES: dict[str, tuple[str, t.Callable[[Json, Json, Json, str, t.Any], None]]] = {
    "segment": ("segment", lambda vm, ha, seg, key, said: seg.update({key: said})),
    "region rule": ("region", lambda vm, ha, seg, key, said: _rule(ha, "regions", "RegionOne")(key, said)),
    "cell rule": ("cell", lambda vm, ha, seg, key, said: _rule(ha, "cells", "c1", segments=["rack1"])(key, said)),
    "other cell": ("cell", lambda vm, ha, seg, key, said: _rule(ha, "cells", "c2", aggregates=["ssd"])(key, said)),
    "zone rule": ("zone", lambda vm, ha, seg, key, said: _rule(ha, "zones", "az1")(key, said)),
    "aggregate rule": ("aggregate", lambda vm, ha, seg, key, said: _rule(ha, "aggregates", "ssd")(key, said)),
    "aggregate": ("aggregate", lambda vm, ha, seg, key, said: _mark(vm["aggregates"][0]["metadata"], key, said)),
    "project id": ("project", lambda vm, ha, seg, key, said: _rule(ha, "projects", "p1")(key, said)),
    "project name": ("project", lambda vm, ha, seg, key, said: _rule(ha, "projects", "billing")(key, said)),
    "flavor rule": ("flavor", lambda vm, ha, seg, key, said: _rule(ha, "flavors", "m1.small")(key, said)),
    "flavor": ("flavor", lambda vm, ha, seg, key, said: _mark(vm["flavor"]["extra_specs"], key, said)),
    "image rule": ("image", lambda vm, ha, seg, key, said: _rule(ha, "images", "ubuntu")(key, said)),
    "image": ("image", lambda vm, ha, seg, key, said: _mark(vm["image"]["properties"], key, said, "openstack_ha_")),
    "VM rule": ("VM rule", lambda vm, ha, seg, key, said: _vm_rule(ha, key, said)),
    "second VM rule": ("VM rule", lambda vm, ha, seg, key, said: _vm_rule(ha, key, said)),
    "VM metadata": ("VM", lambda vm, ha, seg, key, said: _mark(vm["metadata"], key, said)),
    "VM tag": ("VM", lambda vm, ha, seg, key, said: vm["tags"].append(f"openstack_ha:{key}={_text(said)}")),
}
VALUES: dict[str, list[t.Any]] = {
    "protect": [True, False],
    "method": ["evacuate", "restart", "notify", "heat", "none"],
    "priority": [0, 499, 1000],
    "group": ["a", "b"],
    "after": [["a"], ["a", "b"], []],
    "ready": ["landed", "tcp:22", "http:80/ok"],
    "local_disk_loss": [True, False],
    "deadline": [0, 60.5],
    "otherwise": ["evacuate", "none"],
}
MEANS = {"landed": {"is": "landed"}, "tcp:22": {"is": "tcp", "port": 22}}
MEANS["http:80/ok"] = {"is": "http", "port": 80, "path": "/ok"}
NOTHING = {
    "protect": True,
    "method": "evacuate",
    "priority": 500,
    "group": None,
    "after": (),
    "ready": None,
    "local_disk_loss": False,
    "deadline": None,
    "otherwise": None,
}
IN_SEGMENTS = {"protect": "protect", "priority": "priority", "local_disk_loss": "allow_local_disk_loss"}


def _rule(ha: Json, level: str, name: str, **more: t.Any) -> t.Callable[[str, t.Any], None]:
    rule = ha.setdefault(level, {}).setdefault(name, dict(more))
    return rule.__setitem__  # type: ignore[no-any-return]


def _vm_rule(ha: Json, key: str, said: t.Any) -> None:
    ha.setdefault("vms", []).append({"when": "name == 'web1'", key: said})


def _mark(place: Json, key: str, said: t.Any, prefix: str = "openstack_ha:") -> None:
    place[f"{prefix}{key}"] = _text(said)


def _text(said: t.Any) -> str:
    return ";".join(said) if isinstance(said, list) else str(said)


def naive(said: t.Mapping[tuple[str, str], t.Any], key: str) -> t.Any:
    """From the finest place to the coarsest: the first level at which all say the same."""
    levels = list(dict.fromkeys(level for level, _how in PLACES.values()))
    for level in reversed(levels):
        here = [value for (place, about), value in said.items() if about == key and PLACES[place][0] == level]
        if here and all(value == here[0] for value in here):
            return tuple(here[0]) if key == "after" else MEANS[here[0]] if key == "ready" else here[0]
    return NOTHING[key]


@st.composite
def anything_said(draw: st.DrawFn) -> dict[tuple[str, str], t.Any]:
    keys = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3, unique=True))
    pairs = [(place, key) for place in PLACES for key in keys if place != "segment" or key in IN_SEGMENTS]
    return {pair: draw(st.sampled_from(VALUES[pair[1]])) for pair in pairs if draw(st.booleans())}


def built(said: t.Mapping[tuple[str, str], t.Any]) -> tuple[Json, Json, Json]:
    facts, ha, segment = vm(), {"exclude": {"octavia": {"enabled": False}}}, {}
    for (place, key), value in said.items():
        PLACES[place][1](facts, ha, segment, IN_SEGMENTS.get(key, key) if place == "segment" else key, value)
    return facts, _complete(ha), segment


def _complete(ha: Json) -> Json:
    """Groups are named somewhere, and no circle is refused: that is the business of the restart order."""
    return {"ha": _policy_file._complete({"ha": ha})["ha"]}


@examples(400)
@given(anything_said())
def test_the_finest_level_that_does_not_contradict_itself_decides(said: dict[tuple[str, str], t.Any]) -> None:
    facts, rules, segment = built(said)
    found = protection(facts, rules, segment)
    assert {key: getattr(found, "protected" if key == "protect" else key) for key in KEYS} == {
        key: naive(said, key) for key in KEYS
    }


@examples(200)
@given(anything_said())
def test_contradictions_are_told_wherever_they_are_and_explained_with_every_word(
    said: dict[tuple[str, str], t.Any],
) -> None:
    facts, rules, segment = built(said)
    found = explain(facts, rules, segment)
    contradictory = set()
    for (place, key), (other, about) in itertools.combinations(said, 2):
        if key == about and PLACES[place][0] == PLACES[other][0] and said[place, key] != said[other, about]:
            contradictory.add((key, PLACES[place][0]))
    told = {(note.split(" ")[2], note.partition(" level ")[2].partition(":")[0]) for note in found["conflicts"]}
    assert told == contradictory
    words = [(word["key"], level["level"]) for level in found["levels"] for word in level["says"]]
    assert sorted(words) == sorted((key, PLACES[place][0]) for place, key in said)
    assert found["protected"] == protection(facts, rules, segment).protected


@pytest.mark.parametrize("values", list(itertools.product([None, True, False], repeat=5)), ids=str)
def test_the_truth_table_of_five_levels(values: tuple[bool | None, ...]) -> None:
    places = ("segment", "zone rule", "aggregate", "flavor", "VM metadata")
    said = {(place, "protect"): value for place, value in zip(places, values) if value is not None}
    found = protection(*built(said))
    assert found.protected == next((value for value in reversed(values) if value is not None), True)
    level = next((PLACES[place][0] for place in reversed(places) if (place, "protect") in said), None)
    assert found.said_by.get("protect", {}).get("level") == level


# -- contradictions and what cannot be understood ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "ha"),
    [
        ({"aggregates": [{"name": n, "metadata": {PROTECT: v}} for n, v in (("a", "yes"), ("b", "no"))]}, {}),
        ({"metadata": {PROTECT: "yes"}, "tags": [f"{PROTECT}=no"]}, {}),
        ({"tags": [f"{PROTECT}=yes", f"{PROTECT}=no"]}, {}),
        ({}, {"vms": [{"when": "name == 'web1'", "protect": True}, {"when": "local_disk", "protect": False}]}),
        ({"aggregates": [{"name": "ssd", "metadata": {PROTECT: "no"}}]}, {"aggregates": {"ssd": {"protect": True}}}),
        ({}, {"projects": {"p1": {"protect": True}, "billing": {"protect": False}}}),
        ({}, {"cells": {"a": {"zones": ["az1"], "protect": True}, "b": {"segments": ["rack1"], "protect": False}}}),
    ],
)
@pytest.mark.parametrize("default", [True, False])
def test_a_level_that_contradicts_itself_says_nothing_and_that_is_told(facts: Json, ha: Json, default: bool) -> None:
    found = protection(vm(**facts), policy(**ha), {"protect": default})
    assert found.protected is default
    assert found.said_by["protect"]["level"] == "segment"
    assert "contradiction about protect at the level" in found.because
    assert all(note in found.because for note in found.notes)


def test_a_contradiction_does_not_hand_the_word_to_another_tool() -> None:
    facts = vm(metadata={PROTECT: "yes", MASAKARI: "yes"}, tags=[f"{PROTECT}=no"])
    assert not protection(facts, {}, {"protect": False}).protected


def test_who_says_the_same_does_not_contradict() -> None:
    facts = vm(aggregates=[{"name": name, "metadata": {PROTECT: "yes"}} for name in "ab"])
    found = protection(facts, {}, {"protect": False})
    assert (found.protected, found.notes) == (True, ())


def test_contradictions_of_coarser_levels_than_the_one_that_decides_matter_to_nobody() -> None:
    facts = vm(aggregates=[{"name": n, "metadata": {PROTECT: v}} for n, v in (("a", "yes"), ("b", "no"))])
    facts["metadata"] = {PROTECT: "no"}
    assert protection(facts, {}, {}).notes == ()
    assert len(explain(facts, {}, {})["conflicts"]) == 1


def test_what_nobody_can_read_is_told_and_the_next_level_decides() -> None:
    found = decide({PROTECT: "perhaps", PRIORITY: "high", "openstack_ha:after": "a b/c"}, {PROTECT: "no"})
    assert not found.protected
    assert found.priority == 500
    assert set(found.notes) == {
        "VM metadata openstack_ha:protect='perhaps' is not understood",
        "VM metadata openstack_ha:priority='high' is not understood",
        "VM metadata openstack_ha:after='a b/c' is not understood",
    }


def test_a_key_that_is_none_is_told() -> None:
    found = decide({"openstack_ha:protekt": "no"})
    assert found.protected
    assert found.notes == ("VM metadata openstack_ha:protekt: there is no such key",)


@pytest.mark.parametrize("protect", ["VM metadata", "image", None])
def test_an_image_that_could_not_be_read_matters_where_no_finer_level_decides(protect: str | None) -> None:
    facts = vm(image={"id": "i1", "name": "", "properties": {}, "tags": [], "unread": "HTTP 503"})
    if protect:
        PLACES[protect][1](facts, {}, {}, "protect", True)
    found = protection(facts, {}, {"protect": False})
    assert found.protected is bool(protect)
    assert found.unread == (() if protect else ("the image i1 could not be read (HTTP 503)",))


# -- what is read, and how ---------------------------------------------------------------------------------------------


def test_without_a_word_everything_is_protected_with_middling_priority() -> None:
    found = protection(vm(), {}, {})
    assert (found.protected, found.priority, found.method) == (True, 500, "evacuate")
    assert found.because == "nobody says otherwise"
    assert protection(vm(), {}, {"protect": True}).because == "segment default protect=true"


def meaning(value: str | None) -> bool | None:
    return None if value is None else WORDS.get(value)


@pytest.mark.parametrize("default", [True, False])
@pytest.mark.parametrize(
    "values", list(itertools.product([None, "true", "false", "maybe"], repeat=4)), ids=lambda v: "-".join(map(str, v))
)
def test_finer_beats_coarser_ours_beats_masakaris_and_nonsense_beats_nothing(
    values: tuple[str | None, ...], default: bool
) -> None:
    """The truth table against the plainest model: the first value that says anything."""
    ours, masakari, flavor_ours, flavor_masakari = values
    metadata = {key: value for key, value in ((PROTECT, ours), (MASAKARI, masakari)) if value}
    specs = {key: value for key, value in ((PROTECT, flavor_ours), (MASAKARI, flavor_masakari)) if value}
    it = decide(metadata, specs, protect=default)
    says = [meaning(value) for value in values if meaning(value) is not None]
    assert it.protected == (says or [default])[0]
    first = next((value for value in values if value), None)
    assert ("is not understood" in it.because) == (first == "maybe")


@pytest.mark.parametrize(("word", "means"), WORDS.items())
def test_words_for_yes_and_no_are_read_as_people_write_them(word: str, means: bool) -> None:
    assert decide({MASAKARI: word}, protect=not means).protected is means
    assert decide({PROTECT: word}, protect=not means).protected is means


@pytest.mark.parametrize(
    ("metadata", "specs", "segment", "priority"),
    [
        ({}, {}, {}, 500),
        ({}, {}, {"priority": 10}, 10),
        ({}, {PRIORITY: "700"}, {"priority": 10}, 700),
        ({PRIORITY: "0"}, {PRIORITY: "700"}, {"priority": 10}, 0),
        ({PRIORITY: "1000"}, {}, {}, 1000),
        ({PRIORITY: "1001"}, {PRIORITY: "700"}, {}, 700),
        ({PRIORITY: "-1"}, {}, {"priority": 10}, 10),
        ({PRIORITY: "high"}, {}, {"priority": 10}, 10),
        ({PRIORITY: ""}, {PRIORITY: "1.5"}, {"priority": 10}, 10),
    ],
)
def test_priority_is_the_finest_number_from_0_to_1000(
    metadata: t.Any, specs: t.Any, segment: t.Any, priority: int
) -> None:
    it = decide(metadata, specs, **segment)
    assert it.priority == priority
    bad = [value for value in (*metadata.values(), *specs.values()) if value not in ("0", "700", "1000")]
    assert len(it.notes) == len(bad)
    assert all(f"{PRIORITY}={value!r} is not understood" in note for value, note in zip(bad, it.notes))
    assert "understood" not in it.because


ANY_KEY = st.sampled_from([f"openstack_ha:{key}" for key in (*KEYS, "x", "")] + [MASAKARI, "evacuable", "x"])


@examples(300)
@given(st.dictionaries(ANY_KEY, st.text(max_size=8)), st.lists(st.text(max_size=20)), st.booleans())
def test_no_metadata_can_break_the_policy_or_leave_the_range(
    metadata: dict[str, str], tags: list[str], default: bool
) -> None:
    facts = vm(metadata=metadata, tags=tags, flavor={"name": "", "extra_specs": metadata})
    facts["image"] = {"id": "i", "name": "", "properties": metadata, "tags": tags}
    it = protection(facts, policy(presets=["masakari", "redhat"]), {"protect": default})
    assert it.protected in (True, False)
    assert 0 <= it.priority <= 1000
    assert it.because
    explain(facts, {}, {})


def test_the_restart_order_is_read_from_text() -> None:
    marks = {"group": " db ", "after": "cache, queue;dns", "ready": "https:8443/healthz"}
    found = decide({f"openstack_ha:{key}": value for key, value in marks.items()})
    assert (found.group, found.after) == ("db", ("cache", "dns", "queue"))
    assert found.ready == {"is": "https", "port": 8443, "path": "/healthz"}


def test_owners_decide_only_what_the_policy_leaves_to_them() -> None:
    rules = policy(owners_decide=["protect"])
    facts = vm(metadata={PRIORITY: "1000", PROTECT: "no"}, tags=["openstack_ha:group=a"])
    facts["image"]["properties"] = {"openstack_ha_method": "none", "visibility": "shared"}
    found = protection(facts, rules, {"priority": 100})
    assert (found.protected, found.priority, found.group, found.method) == (False, 100, None, "evacuate")
    assert found.notes == (
        "image property openstack_ha_method='none' does not count, see ha.owners_decide",
        "VM metadata openstack_ha:priority='1000' does not count, see ha.owners_decide",
        "VM tag openstack_ha:group='a' does not count, see ha.owners_decide",
    )
    facts["image"]["properties"]["visibility"] = "public"
    assert protection(facts, rules, {}).method == "none"
    assert protection(facts, policy(owners_decide=[]), {}).protected


# -- local disks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "may_be_lost"),
    [
        ({}, False),
        ({("segment", "local_disk_loss"): True}, True),
        ({("segment", "local_disk_loss"): True, ("flavor", "local_disk_loss"): False}, False),
        ({("zone rule", "method"): "rebuild"}, True),
        ({("zone rule", "method"): "rebuild", ("segment", "local_disk_loss"): False}, True),
        ({("zone rule", "method"): "rebuild", ("zone rule", "local_disk_loss"): False}, False),
        ({("zone rule", "method"): "rebuild", ("VM metadata", "local_disk_loss"): False}, False),
        ({("VM metadata", "method"): "rebuild", ("zone rule", "local_disk_loss"): False}, True),
        ({("zone rule", "method"): "rebuild", ("VM metadata", "method"): "evacuate"}, False),
    ],
)
def test_who_says_rebuild_speaks_about_local_disks_unless_somebody_as_fine_does(
    said: dict[tuple[str, str], t.Any], may_be_lost: bool
) -> None:
    assert protection(*built(said)).local_disk_loss is may_be_lost


# -- presets and exclusions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("presets", "protected"), [([], True), (["masakari"], False), (["redhat"], True)])
def test_masakaris_mark_is_a_preset(presets: list[str], protected: bool) -> None:
    assert protection(vm(metadata={MASAKARI: "false"}), policy(presets=presets), {}).protected is protected


@pytest.mark.parametrize("value", ["true", "True"])
@pytest.mark.parametrize("where", ["flavor", "scoped flavor", "image property", "image tag", "aggregate"])
def test_red_hats_mark_is_a_preset(where: str, value: str) -> None:
    facts = vm()
    marks = {
        "flavor": lambda: facts["flavor"]["extra_specs"].update(evacuable=value),
        "scoped flavor": lambda: facts["flavor"]["extra_specs"].update({"trait:evacuable": value}),
        "image property": lambda: facts["image"]["properties"].update(evacuable=value),
        "image tag": lambda: facts["image"]["tags"].append("evacuable"),
        "aggregate": lambda: facts["aggregates"][0]["metadata"].update(evacuable=value),
    }
    marks[where]()
    assert protection(facts, policy(presets=["redhat"]), {"protect": False}).protected
    assert not protection(facts, policy(presets=["masakari"]), {"protect": False}).protected


def test_red_hats_mark_only_ever_says_yes() -> None:
    """There a VM goes when its flavor or its image is marked, so a no at one of them takes nothing away."""
    facts = vm(flavor={"name": "", "extra_specs": {"evacuable": "true"}})
    facts["image"]["properties"]["evacuable"] = "false"
    assert protection(facts, policy(presets=["redhat"]), {"protect": False}).protected


@pytest.mark.parametrize(
    "facts",
    [
        {"name": "amphora-3f0a0f8e-0a41-4a2b-8a52-000000000000"},
        {"image": {"id": "i", "name": "x", "properties": {}, "tags": ["other", "amphora"]}},
    ],
)
def test_amphorae_are_left_to_octavia_unless_somebody_finer_says_otherwise(facts: Json) -> None:
    found = protection(vm(**facts), {}, {"protect": True})
    assert not found.protected
    assert found.because.startswith("ha.exclude.octavia (Octavia replaces amphorae itself)")
    assert protection(vm(**facts), policy(exclude={"octavia": {"enabled": False}}), {}).protected
    assert protection(vm(**facts, metadata={PROTECT: "true"}), {}, {}).protected
    assert protection(vm(**facts), policy(vms=[{"when": "local_disk", "protect": True}]), {}).protected
    assert not protection(vm(**facts), policy(images={"i": {"protect": True}, "i1": {"protect": True}}), {}).protected


def test_volume_booted_vms_have_no_image_and_are_not_excluded_for_it() -> None:
    assert protection(vm(image=None), {}, {}).notes == ()


def test_an_exclusion_of_ones_own_stands_beside_the_default_ones() -> None:
    rules = policy(exclude={"ci": {"when": "starts_with(name, 'web')", "because": "CI makes new ones"}})
    assert protection(vm(), rules, {}).because == "ha.exclude.ci (CI makes new ones)"
    assert not protection(vm(name="amphora-1"), rules, {}).protected


def test_a_selector_that_cannot_be_evaluated_for_a_vm_is_told() -> None:
    rules = policy(vms=[{"when": "starts_with(image.name, 'u')", "protect": False}])
    assert not protection(vm(), rules, {}).protected
    found = protection(vm(image=None), rules, {})
    assert found.protected
    assert "ha.vms[0] when=" in found.because
    assert "is not understood" in found.because


def test_the_refusal_says_why_nothing_is_done() -> None:
    assert decide().refusal == ""
    assert decide({PROTECT: "no"}).refusal == "is not protected: VM metadata openstack_ha:protect=no"
    assert decide({"openstack_ha:method": "none"}).refusal == "its rescue method is none"


def test_nothing_here_knows_a_host() -> None:
    assert not {"host", "hosts"} & set(_ha_policy.LEVELS)
