"""Bring docs/ha_policy.schema.json and the tables of docs/policy.md up to date with the schema of the policy."""

from __future__ import annotations

import json
import re
import sys
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "build" / "tree"))

from ansible_collections.openstack_ha.recovery.plugins.module_utils._policy_schema import SCHEMA  # noqa: E402

Json = t.Dict[str, t.Any]
PAGE = ROOT / "docs" / "policy.md"
SCHEMA_FILE = ROOT / "docs" / "ha_policy.schema.json"
TABLE = re.compile(r"(<!-- table of (\w+), made by tests/tools/policy_docs.py -->\n).*?(<!-- end of table -->\n)", re.S)
UNITS = {"seconds": "s", "percent": "%"}


def schema_text() -> str:
    """The published schema."""
    return json.dumps(SCHEMA, indent=2) + "\n"


def page_text(page: str) -> str:
    """The page with new tables."""
    return TABLE.sub(lambda found: found[1] + table(SCHEMA["properties"][found[2]]) + found[3], page)


def table(section: Json) -> str:
    """One line for each key of a section."""
    head = ["| key | values | default | meaning |", "|---|---|---|---|"]
    found = [(f"`{key}`", values(it), default(it, needed), it["description"]) for key, it, needed in keys(section)]
    lines = [f"| {' | '.join(cells)} |" for cells in found]
    return "\n".join(head + lines) + "\n"


def keys(schema: Json, path: str = "") -> t.Iterator[tuple[str, Json, bool]]:
    """All keys below, with their paths, and whether they must be given."""
    for key, it in schema.get("properties", {}).items():
        here = f"{path}{key}"
        if not it.get("properties"):
            yield here, it, key in schema.get("required", [])
        yield from keys(it, f"{here}.")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from keys(_without_repetition(schema["additionalProperties"]), f"{path}NAME.")
    if "properties" in schema.get("items", {}) and (path == "" or schema["type"] == "array"):
        yield from keys(schema["items"], f"{path.rstrip('.')}[].")


def _without_repetition(schema: Json) -> Json:
    """What may be said of VMs at each level is told once, where any of them may be picked."""
    if schema.get("$comment") != "like vms":
        return schema
    told = SCHEMA["properties"]["ha"]["properties"]["vms"]["items"]["properties"]
    return {**schema, "properties": {key: it for key, it in schema["properties"].items() if key not in told}}


def values(schema: Json) -> str:
    """What may stand there."""
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    if schema["type"] in ("integer", "number"):
        unit = UNITS.get(schema.get("unit", ""), schema.get("unit", ""))
        return f"{schema['minimum']} to {schema['maximum']} {unit}".rstrip()
    if schema["type"] == "boolean":
        return "`true`, `false`"
    if "expected" in schema:
        return str(schema["expected"])
    words = {"object": "mapping of names", "string": "text"}
    return words.get(schema["type"] if isinstance(schema["type"], str) else schema["type"][0], "list")


def default(schema: Json, needed: bool) -> str:
    """What holds without it."""
    if schema.get("default") is None:
        return "must be given" if needed else "-"
    text = json.dumps(schema["default"]).strip('"').replace("|", "\\|")
    return f"`{text}`"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
    PAGE.write_text(page_text(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
