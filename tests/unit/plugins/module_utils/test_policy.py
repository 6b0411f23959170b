from __future__ import annotations

import itertools
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.fakes.profiles import examples

from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy import protection

PROTECT, PRIORITY, MASAKARI = "openstack_ha:protect", "openstack_ha:priority", "HA_Enabled"
WORDS = {"true": True, "Yes": True, " on ": True, "1": True, "false": False, "NO": False, "off": False, "0": False}


def decide(metadata: t.Any = None, specs: t.Any = None, **segment: t.Any) -> t.Any:
    return protection({"metadata": metadata or {}, "flavor": {"extra_specs": specs or {}}}, segment)


def test_without_a_word_everything_is_protected_with_middling_priority() -> None:
    it = protection({}, {})
    assert (it.protected, it.priority) == (True, 500)
    assert it.because == "segment default openstack_ha:protect=True"


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
    assert all(f"{PRIORITY}={value!r} is not understood" in it.because for value in bad)


@examples(200)
@given(st.dictionaries(st.sampled_from([PROTECT, PRIORITY, MASAKARI, "x"]), st.text(max_size=8)), st.booleans())
def test_no_metadata_can_break_the_policy_or_leave_the_range(metadata: dict[str, str], default: bool) -> None:
    it = decide(metadata, protect=default)
    assert it.protected in (True, False)
    assert 0 <= it.priority <= 1000
    assert it.because
