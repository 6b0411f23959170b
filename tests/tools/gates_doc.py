"""Write docs/gates.md anew from the table of the gates; what stands before the table is kept."""

from __future__ import annotations

import sys
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from tree import collections_path  # noqa: E402

sys.path.insert(0, str(collections_path()))

from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates import GATES, INPUTS, VERDICTS  # noqa: E402
from ansible_collections.openstack_ha.recovery.plugins.module_utils._gates_table import Gate  # noqa: E402
from ansible_collections.openstack_ha.recovery.plugins.module_utils._networks import default_rules  # noqa: E402

PAGE = ROOT / "docs" / "gates.md"
MARK = "<!-- From here on made by tests/tools/gates_doc.py: `make gates-doc` -->\n"
NETWORKS = ("admin", "bmc", "storage", "tenant")


def page_text(page: str) -> str:
    """The page with its made part made anew."""
    written, mark, _made = page.partition(MARK)
    return "\n".join([written + mark, _verdicts(), _overview(), *map(_section, GATES), _inputs(), _matrix()])


def _verdicts() -> str:
    return "## Verdicts\n\n" + _table(("verdict", "means"), [(f"`{word}`", it) for word, it in VERDICTS.items()])


def _overview() -> str:
    rows = [
        (str(number), f"[`{gate.name}`](#{gate.name})", gate.question, gate.answers)
        for number, gate in enumerate(GATES, 1)
    ]
    return "## The table\n\n" + _table(("", "gate", "question", "when it closes"), rows)


def _section(gate: Gate) -> str:
    lines = [
        f"### {gate.name}\n",
        f"{gate.question}\n",
        f"- looks at: {', '.join(f'`{name}`' for name in gate.inputs)}",
        *([f"- goes by: {', '.join(f'`{path}`' for path in gate.settings)}"] if gate.settings else []),
        f"- when it closes: {gate.answers}",
        f"- facts are missing: {gate.missing}",
        f"- budgets: {'a host that it stops is not counted' if gate.clears else 'a host that it stops is counted'}",
        f"- without it: {gate.harm}\n",
    ]
    return "\n".join(lines)


def _inputs() -> str:
    users = {name: [gate.name for gate in GATES if name in gate.inputs] for name in INPUTS}
    rows = [(f"`{name}`", it.meaning, ", ".join(users[name])) for name, it in INPUTS.items()]
    return "## Inputs\n\n" + _table(("input", "is", "gates"), rows)


def _matrix() -> str:
    rows = [(", ".join(rule["lost"]), f"`{rule['reaction']}`") for rule in default_rules(NETWORKS)]
    return (
        f"## The default table of networks\n\nFor the networks {', '.join(NETWORKS)}; the first row that fits wins.\n\n"
        + _table(("lost", "reaction"), rows)
    )


def _table(head: t.Sequence[str], rows: t.Iterable[t.Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page_text(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
