"""What a policy is warned about; what it is refused for is tried in test_policy_file.py."""

from __future__ import annotations

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _config, _policy_file


def warned(text: str) -> list[str]:
    return _policy_file.parse(_config.read(text), ["rack1", "rack2"], ["pdu-a"]).warnings


NETWORKS = "networks: {admin: {}, storage: {}}\n"
COMPLETE = "reactions: [{lost: [storage], reaction: recover}, {lost: [admin], reaction: alert}]\n"

WARNED = [
    (
        "processes: {units: {nova-compute.service: {then: migrate}, neutron-l3-agent: {then: migrate}}}",
        ["processes.units.nova-compute.service.then: migrate: nothing can be moved alive without this very service."],
    ),
    (
        "ask: {default: recover, wait: 60}",
        ["ask.default: recover: hosts about which nobody answers within 60 s are powered off."],
    ),
    # caps
    (
        "budgets: {segments: {rack1: {at_once: 2}}}",
        ["budgets.segments.rack1.at_once: 2 is never reached, budgets.cloud.at_once is 1."],
    ),
    (
        "budgets: {failure_domain: {per_hour: 4}}",
        ["budgets.failure_domain.per_hour: 4 is never reached, budgets.cloud.per_hour is 3."],
    ),
    ("budgets: {cloud: {at_once: 4}}", ["budgets.cloud.at_once: 4 is never reached, per_hour there is 3."]),
    (
        "budgets: {cloud: {at_once: 5, per_hour: 9}, segment: {at_once: 5}}",
        ["budgets.segment.at_once: 5 is never reached, per_hour there is 3."],
    ),
    # addresses
    (
        "networks: {a: {cidrs: [10.0.0.0/8]}, b: {cidrs: [192.0.2.0/24, 10.1.0.0/16]}}\nreactions: [{reaction: ask}]",
        ["networks.b.cidrs: 10.1.0.0/16 overlaps 10.0.0.0/8 of the network a."],
    ),
    # the table
    (
        NETWORKS + "reactions: [{lost: [storage], reaction: recover}]",
        ["reactions: no rule says what follows when admin is lost and storage is alive; a person is asked."],
    ),
    (
        NETWORKS + "reactions: []",
        [
            "reactions: no rule says what follows when admin is lost; a person is asked.",
            "reactions: no rule says what follows when storage is lost and admin is alive; a person is asked.",
        ],
    ),
    (
        NETWORKS + COMPLETE.replace("]\n", ", {lost: [admin, storage], reaction: ask}]"),
        ["reactions[2]: never decides anything, because the rules before it fit whenever it does."],
    ),
    (
        NETWORKS + COMPLETE + "segments: {rack1: {reactions: [{lost: [admin, storage], reaction: ask}]}}",
        [
            "segments.rack1.reactions: no rule says what follows when admin is lost and storage is alive; "
            "a person is asked.",
            "segments.rack1.reactions: no rule says what follows when storage is lost and admin is alive; "
            "a person is asked.",
        ],
    ),
    (
        NETWORKS + "reactions: [{lost: [storage], reaction: ask}, {lost: [admin], alive: [storage], reaction: ask}]\n"
        "segments: {rack1: {networks: [admin]}}",
        ["segments.rack1.reactions: no rule says what follows when admin is lost; a person is asked."],
    ),
]


@pytest.mark.parametrize(("text", "warnings"), WARNED, ids=[text for text, _warnings in WARNED])
def test_what_is_probably_not_meant_is_a_warning(text: str, warnings: list[str]) -> None:
    assert warned(text) == warnings


@pytest.mark.parametrize(
    "text",
    [
        "",
        "budgets: {cloud: {at_once: 3}, segment: {at_once: 3}}",
        "budgets: {cloud: {at_once: 9, per_hour: 9}}",
        NETWORKS,
        NETWORKS + COMPLETE,
        NETWORKS + COMPLETE + "segments: {rack1: {networks: [admin]}, rack2: {networks: [storage]}}",
        "networks: {a: {cidrs: [10.0.0.0/8, 10.1.0.0/16]}, b: {cidrs: ['2001:db8::/32']}}",
        NETWORKS + "reactions: [{reaction: ask}]",
    ],
)
def test_what_may_well_be_meant_is_none(text: str) -> None:
    assert warned(text) == []


def test_of_many_cases_without_a_rule_the_first_are_told() -> None:
    names = [f"n{number}" for number in range(9)]
    found = warned(f"networks: {{{', '.join(name + ': {}' for name in names)}}}\nreactions: []")
    assert len(found) == 6
    assert found[-1] == "reactions: 4 more cases have no rule; end the table with one whose lost is []."
