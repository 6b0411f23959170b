from __future__ import annotations

import typing as t

import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils._ha_words import KEYS, read
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import SCHEMA

RULE = SCHEMA["properties"]["ha"]["properties"]["vms"]["items"]["properties"]


@pytest.mark.parametrize(
    ("key", "said", "value"),
    [
        ("protect", True, True),
        ("protect", "No", False),
        ("protect", "", None),
        ("method", " Rebuild", "rebuild"),
        ("method", "evacuated", None),
        ("priority", "7", 7),
        ("priority", 7, 7),
        ("priority", "7.0", None),
        ("group", " a-b.c_1 ", "a-b.c_1"),
        ("group", "-a", None),
        ("group", "x" * 65, None),
        ("after", "b,a;a", ("a", "b")),
        ("after", ["b", "a"], ("a", "b")),
        ("after", "", ()),
        ("after", "a/b", None),
        ("ready", "tcp:22", {"is": "tcp", "port": 22}),
        ("ready", "tcp:0", None),
        ("local_disk_loss", "1", True),
        ("deadline", "60.5", 60.5),
        ("deadline", "nan", None),
        ("deadline", "inf", None),
        ("deadline", "-1", None),
        ("deadline", "soon", None),
        ("otherwise", "evacuate", "evacuate"),
        ("otherwise", "notify", None),
    ],
)
def test_a_word_is_read_as_it_is_meant_or_not_at_all(key: str, said: t.Any, value: t.Any) -> None:
    assert read(key, said) == value


def test_a_rule_of_the_policy_file_can_say_exactly_these_keys() -> None:
    assert set(RULE) - {"name", "when"} == set(KEYS)
