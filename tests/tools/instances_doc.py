"""Bring the table of gates in docs/instances.md up to date with the code."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from tree import collections_path  # noqa: E402

sys.path.insert(0, str(collections_path()))

from ansible_collections.openstack_ha.recovery.plugins.module_utils._instances import GATES, Gate  # noqa: E402

PAGE = ROOT / "docs" / "instances.md"
TABLE = re.compile(
    r"(<!-- table of gates, made by tests/tools/instances_doc.py -->\n).*?(<!-- end of table -->\n)", re.S
)


def page_text(page: str) -> str:
    """The page with a new table."""
    rows = "".join(f"| {' | '.join(_row(gate))} |\n" for gate in GATES)
    head = "| gate | question | goes by | when it closes | without it |\n|---|---|---|---|---|\n"
    return TABLE.sub(lambda found: found[1] + head + rows + found[2], page)


def _row(gate: Gate) -> tuple[str, ...]:
    settings = ", ".join(f"`{it}`" for it in gate.settings) or "-"
    return (f"`{gate.name}`", gate.question, settings, gate.answers, gate.harm)


if __name__ == "__main__":
    PAGE.write_text(page_text(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
