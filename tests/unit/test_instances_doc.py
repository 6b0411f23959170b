"""docs/instances.md is what the table of its gates says."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("instances_doc", ROOT / "tests" / "tools" / "instances_doc.py")
assert SPEC is not None
assert SPEC.loader is not None
instances_doc = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(instances_doc)
PAGE = (ROOT / "docs" / "instances.md").read_text(encoding="utf-8")


def test_the_page_is_up_to_date() -> None:
    assert instances_doc.page_text(PAGE) == PAGE, "run: python tests/tools/instances_doc.py"


def test_a_change_of_the_table_makes_the_page_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = instances_doc.GATES
    monkeypatch.setattr(instances_doc, "GATES", (dataclasses.replace(first, answers="something else"), *others))
    assert instances_doc.page_text(PAGE) != PAGE
