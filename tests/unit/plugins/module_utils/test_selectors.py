from __future__ import annotations

import typing as t

import pytest
from unit.plugins.module_utils.test_ha_policy import vm

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _selectors
from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError, RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import EXCLUDED

FACTS = vm(metadata={"role": "db", "a:b": "c"}, tags=["gold"], aggregates=[{"name": "ssd", "metadata": {"k": "v"}}])


@pytest.mark.parametrize(
    ("selector", "picked"),
    [
        ("metadata.role == 'db'", True),
        ("metadata.role == 'web'", False),
        ("metadata.missing", False),
        ('metadata."a:b"', True),
        ("contains(tags, 'gold') && local_disk", True),
        ("tags[?@ == 'gold']", True),
        ("tags[?@ == 'lead']", False),
        ("aggregates[?metadata.k == 'v']", True),
        ("starts_with(name, 'web') || image == null", True),
        ("project.name == 'billing' && zone != 'az2'", True),
        ("flavor.extra_specs", False),
        ("length(tags)", True),
        ("`0`", True),
        ("''", False),
        ("cell", False),
        ("boot_from_volume", False),
        ("@", True),
    ],
)
def test_what_is_neither_false_nor_empty_is_picked(selector: str, picked: bool) -> None:
    assert _selectors.check(selector) == ""
    assert _selectors.matches(selector, FACTS) is picked


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        ("a ==", "is no JMESPath"),
        ("unknown_function(name)", ""),
        ("nam == 'x'", "a VM has no 'nam'. Did you mean 'name'?"),
        ("starts_with(nmae, 'x')", "Did you mean 'name'?"),
        ("@.flavour.name", "Did you mean 'flavor'?"),
        ("[name, zon]", "Did you mean 'zone'?"),
        ("{a: zoen}", "Did you mean 'zone'?"),
        ("name && !tag", "Did you mean 'tags'?"),
        ("aggregates[?name == 'x'].metadata.anything", ""),
        ("tags | [0]", ""),
        ("sort_by(aggregates, &name)[0].name", ""),
        ("aggregates[*].name | contains(@, 'x')", ""),
        ("metadata.host == 'cmp01'", ""),
    ],
)
def test_a_selector_that_can_never_pick_what_is_meant_is_refused(selector: str, said: str) -> None:
    found = _selectors.check(selector)
    assert said in found
    assert bool(found) == bool(said)


@pytest.mark.parametrize(
    "selector",
    ["host == 'cmp01'", "starts_with(hypervisor_hostname, 'cmp')", '"OS-EXT-SRV-ATTR:host"', "@.host", "node"],
)
def test_no_rule_can_be_about_a_host_and_the_refusal_says_why(selector: str) -> None:
    assert "must not depend on where the scheduler has put it" in _selectors.check(selector)


def test_what_cannot_be_evaluated_for_a_vm_is_an_error_of_one_line() -> None:
    with pytest.raises(ConfigError) as caught:
        _selectors.matches("starts_with(image.name, 'x')", {**FACTS, "image": None})
    assert "starts_with" in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("selector", "mentioned"),
    [
        ("project.name == 'x'", True),
        ("starts_with(project.name, 'x') || name", True),
        ("metadata.project", False),
        ("name", False),
        ("to_string(@)", True),
    ],
)
def test_it_is_known_what_a_selector_looks_at(selector: str, mentioned: bool) -> None:
    assert _selectors.mentions(selector, "project") is mentioned


def test_the_selectors_of_the_default_list_are_right() -> None:
    assert all(_selectors.check(rule["when"]) == "" for rule in EXCLUDED.values())
    assert not any(_selectors.mentions(rule["when"], "project") for rule in EXCLUDED.values())


def test_without_jmespath_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_selectors, "jmespath", None)
    with pytest.raises(RecoveryError, match="The Python package jmespath is needed"):
        _selectors.matches("never_compiled_before", t.cast(t.Any, {}))
