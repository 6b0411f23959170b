"""docs/policy.md and the published schema say what the code does.

``python tests/tools/policy_docs.py`` brings them up to date.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import jsonschema
import pytest

from ansible_collections.openstack_ha.recovery.plugins.module_utils import _config, _policy_file
from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import SCHEMA

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import policy_docs

PAGE = policy_docs.PAGE.read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
PUBLISHED = json.loads(policy_docs.SCHEMA_FILE.read_text(encoding="utf-8"))


def test_the_published_schema_is_the_one_that_is_used() -> None:
    assert policy_docs.SCHEMA_FILE.read_text(encoding="utf-8") == policy_docs.schema_text()
    jsonschema.Draft202012Validator.check_schema(PUBLISHED)


def test_the_tables_are_those_of_the_schema() -> None:
    assert policy_docs.page_text(PAGE) == PAGE
    assert [found[1] for found in policy_docs.TABLE.findall(PAGE)] == list(SCHEMA["properties"])


def test_every_section_has_its_heading_and_an_example() -> None:
    for section in SCHEMA["properties"]:
        text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
        assert f"```yaml\n{section}:" in text or f"\n{section}:" in text, section


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.split("\n")[0] for example in EXAMPLES])
def test_an_example_is_a_valid_policy_that_nobody_is_warned_about(example: str) -> None:
    policy = _config.read(example)
    jsonschema.Draft202012Validator(PUBLISHED).validate(policy)
    assert _policy_file.parse(policy, ["rack1"], ["pdu-a"]).warnings == []


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= len(SCHEMA["properties"])
