"""docs/gates.md is what the table says."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("gates_doc", ROOT / "tests" / "tools" / "gates_doc.py")
assert SPEC is not None
assert SPEC.loader is not None
gates_doc = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(gates_doc)
PAGE = (ROOT / "docs" / "gates.md").read_text(encoding="utf-8")


def test_the_page_is_up_to_date() -> None:
    assert gates_doc.page_text(PAGE) == PAGE, "run: make gates-doc"


def test_making_it_twice_is_making_it_once() -> None:
    once = gates_doc.page_text(PAGE)
    assert gates_doc.page_text(once) == once


def test_the_page_tells_all_of_each_gate() -> None:
    for gate in gates_doc.GATES:
        section = PAGE.split(f"\n### {gate.name}\n")[1].split("\n## ")[0].split("\n### ")[0]
        told = (gate.question, gate.missing, gate.answers, gate.harm, *gate.inputs, *gate.settings)
        assert all(word in section for word in told), gate.name


@pytest.mark.parametrize("field", ["question", "missing", "answers", "harm"])
def test_a_change_of_the_table_makes_the_page_stale(monkeypatch: pytest.MonkeyPatch, field: str) -> None:
    first, *others = gates_doc.GATES
    changed = dataclasses.replace(first, **{field: "something else"})
    monkeypatch.setattr(gates_doc, "GATES", (changed, *others))
    assert gates_doc.page_text(PAGE) != PAGE
