from __future__ import annotations

import typing as t

import pytest
from unit.plugins.module_utils._fencing.fencing_fakes import fake_world

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import ConfigError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._fencing.methods import (
    LEVELS_SPEC,
    METHODS,
    parse_levels,
    validate_levels,
)

IPMI = {"method": "ipmi", "address": "10.0.0.13", "username": "fence", "password": "hunter2"}


def one(device: dict[str, t.Any], **level: t.Any) -> list[dict[str, t.Any]]:
    return [{"devices": [device], **level}]


def test_the_table_is_in_alphabetical_order_and_true_to_the_classes() -> None:
    assert sorted(METHODS) == list(METHODS)
    assert all(name == method.NAME for name, method in METHODS.items())


def test_a_level_gets_its_defaults_from_the_table() -> None:
    (level,) = parse_levels(one(IPMI), fake_world())
    assert (level.number, level.timeout, level.tries) == (1, 30.0, 2)
    assert level.devices[0].options["cipher_suite"] == 17
    assert level.devices[0].address == "10.0.0.13:623"


def test_options_that_ansible_fills_with_none_count_as_not_given() -> None:
    (level,) = parse_levels(one({**IPMI, "ca_path": None, "port": None}), fake_world())
    assert level.devices[0].options["port"] == 623


def test_numbers_that_came_as_text_from_a_template_are_numbers() -> None:
    (level,) = parse_levels(one({**IPMI, "port": "6230"}, timeout="2.5", tries="3"), fake_world())
    assert (level.timeout, level.tries, level.devices[0].options["port"]) == (2.5, 3, 6230)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ({}, r"^levels: must be a list"),
        (["redfish"], r"^levels\[0\]: must be a mapping"),
        ([{"devices": []}], r"^levels\[0\]\.devices: must name at least one"),
        ([{}], r"^levels\[0\]: a level: missing required arguments: devices"),
        (one(IPMI, retries=3), r"^levels\[0\]\.retries: is not an option of a level\. Did you mean 'tries'"),
        (one(IPMI, timeout=0), r"^levels\[0\]\.timeout: .* greater than 0"),
        (one(IPMI, timeout="nan"), r"^levels\[0\]\.timeout: .* greater than 0"),
        (one(IPMI, timeout="inf"), r"^levels\[0\]\.timeout: .* greater than 0"),
        (one(IPMI, tries=0), r"^levels\[0\]\.tries: must be at least 1"),
        (one(IPMI, tries="many"), r"^levels\[0\]: a level: .*tries"),
        ([{"devices": ["ipmi"]}], r"^levels\[0\]\.devices\[0\]: must be a mapping"),
        (one({"address": "x"}), r"^levels\[0\]\.devices\[0\]\.method: must be one of fence_agent, ipmi"),
        (one({**IPMI, "method": "impi"}), r"^levels\[0\]\.devices\[0\]\.method: .* not 'impi'"),
        (one({**IPMI, "adress": "x"}), r"^levels\[0\]\.devices\[0\]\.adress: .*Did you mean 'address'"),
        (one({**IPMI, "ca_path": "/x"}), r"^levels\[0\]\.devices\[0\]\.ca_path: is not an option of method ipmi"),
        (one({"method": "operator", "address": "x"}), r"devices\[0\]\.address: .*Its options: none"),
        (one({"method": "ipmi", "address": "x"}), r"^levels\[0\]\.devices\[0\]: method ipmi: missing .*password"),
        (one({**IPMI, "port": 0}), r"^levels\[0\]\.devices\[0\]\.port: must be from 1"),
        (one({**IPMI, "privilege": "root"}), r"^levels\[0\]\.devices\[0\]: method ipmi: .*privilege"),
    ],
)
def test_what_is_wrong_is_refused_with_its_path(levels: t.Any, message: str) -> None:
    for read in (lambda: validate_levels(levels, "levels"), lambda: parse_levels(levels, fake_world())):
        with pytest.raises(ConfigError, match=message) as caught:
            read()
        assert "hunter2" not in caught.value.message


def test_a_second_device_is_named_by_its_place() -> None:
    with pytest.raises(ConfigError, match=r"^hosts\.cmp03\.fencing\[1\]\.devices\[1\]\.prt:"):
        validate_levels([*one(IPMI), {"devices": [IPMI, {**IPMI, "prt": 1}]}], "hosts.cmp03.fencing")


def test_templates_are_not_looked_into_but_what_stands_around_them_is() -> None:
    templated = {**IPMI, "port": "{{ bmc_port }}", "password": "{{ lookup('file', 'x') }}"}
    validate_levels(one(templated, timeout="{{ slow }}"), "fencing")
    with pytest.raises(ConfigError, match="prt"):
        validate_levels(one({**templated, "prt": 1}), "fencing")


def test_every_method_can_be_given_through_the_modules_specification() -> None:
    known = LEVELS_SPEC["options"]["devices"]["options"]
    for method in METHODS.values():
        for name, option in method.OPTIONS.items():
            assert known[name]["type"] == option["type"]
            assert known[name]["no_log"] == option.get("no_log", False)
            assert "default" not in known[name]
