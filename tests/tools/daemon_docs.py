"""Bring the tables of options in docs/responder.md and docs/monitors.md, and docs/responder.schema.json, up to date.

responder.yml has a schema with descriptions. The options of the monitor have none, as they are read on each host at
each start: what they mean stands in the last column of the page, and is kept.
"""

from __future__ import annotations

import json
import re
import sys
import typing as t
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from tree import collections_path  # noqa: E402

sys.path.insert(0, str(collections_path()))

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor import config as monitor  # noqa: E402
from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor.options import (  # noqa: E402
    REQUIRED,
    Option,
)
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder.config import SCHEMA  # noqa: E402

Json = t.Dict[str, t.Any]
DOCS = ROOT / "docs"
RESPONDER, MONITORS, SCHEMA_FILE = DOCS / "responder.md", DOCS / "monitors.md", DOCS / "responder.schema.json"
TABLE = re.compile(
    r"(<!-- options of (\w+), made by tests/tools/daemon_docs.py -->\n)(.*?)(<!-- end of table -->\n)", re.S
)
#: What stands in no section of its own.
GENERAL = "general"
_HEAD = "| key | values | default | meaning |\n|---|---|---|---|\n"
_MEANING = re.compile(r"^\| `([^`]+)` \|.*\| ([^|]*) \|$", re.M)


class Line(t.NamedTuple):
    """One line of a table."""

    key: str
    values: str
    default: str
    meaning: str

    def __str__(self) -> str:
        return f"| `{self.key}` | {self.values} | {self.default} | {self.meaning} |\n"


def schema_text() -> str:
    """The published schema."""
    return json.dumps(SCHEMA, indent=2) + "\n"


def responder_text(page: str) -> str:
    """The page with new tables."""
    return TABLE.sub(lambda found: found[1] + table(responder_lines(found[2])) + found[4], page)


def responder_lines(section: str) -> list[Line]:
    """All keys of a section."""
    top = SCHEMA["properties"]
    if section == GENERAL:
        plain = {key: it for key, it in top.items() if key not in sections()}
        return list(_keys({"properties": plain, "required": SCHEMA["required"]}, ""))
    return list(_keys(top[section], f"{section}."))


def sections() -> list[str]:
    """Keys of responder.yml that have a table of their own."""
    return [key for key, it in SCHEMA["properties"].items() if it.get("properties")]


def _keys(schema: Json, path: str) -> t.Iterator[Line]:
    for key, it in schema["properties"].items():
        here = f"{path}{key}"
        inner, step = _inner(it)
        if not it.get("properties"):
            needed = key in schema.get("required", ())
            yield Line(here, _values(it), "must be given" if needed else _default(it.get("default")), it["description"])
        if inner:
            yield from _keys(inner, f"{here}{step}.")


def _inner(schema: Json) -> tuple[Json | None, str]:
    """The object below, and how its place is written."""
    found = [(schema, ""), (schema.get("items"), "[]"), (schema.get("additionalProperties"), ".NAME")]
    return next(((it, step) for it, step in found if isinstance(it, dict) and it.get("properties")), (None, ""))


def _values(schema: Json) -> str:
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if "enum" in schema:
        return ", ".join(f"`{it}`" for it in schema["enum"] if it is not None)
    if "minimum" in schema:
        unit = {"seconds": "s", "id": ""}.get(schema.get("unit", ""), schema.get("unit", ""))
        return f"{schema['minimum']:,} to {schema['maximum']:,} {unit}".rstrip()
    if "expected" in schema:
        return str(schema["expected"])
    words = {"boolean": "`true`, `false`", "string": "text", "array": "list", "object": "mapping of names"}
    return ", ".join(words[it] for it in types if it != "null")


def monitor_text(page: str) -> str:
    """The page with new tables; the meanings are those that stand there."""
    return TABLE.sub(lambda found: found[1] + table(monitor_lines(found[2], found[3])) + found[4], page)


def monitor_lines(section: str, old: str) -> list[Line]:
    """All options of a section, with the meanings of the old table."""
    meanings = dict(_MEANING.findall(old))
    options = monitor.COMMON if section == GENERAL else monitor.options(section)
    prefix = "" if section == GENERAL else f"{section}."
    return [line._replace(meaning=meanings.get(line.key, "")) for line in _options(options, prefix)]


def _options(options: t.Mapping[str, Option], path: str) -> t.Iterator[Line]:
    for key, it in options.items():
        here = f"{path}{key}"
        if it.type != "object":
            default = "must be given" if it.default is REQUIRED else _default(it.default)
            yield Line(here, _bounds(it), default, "")
        elif it.options:
            yield from _options(it.options, f"{here}.")
        if it.each is not None and it.each.options:
            yield from _options(it.each.options, f"{here}{'[]' if it.type == 'list' else '.NAME'}.")


def _bounds(option: Option) -> str:
    if option.choices:
        return ", ".join(f"`{it}`" for it in option.choices)
    words = {"bool": "`true`, `false`", "str": "text", "list": "list", "map": "mapping of names"}
    if option.type in words:
        return words[option.type]
    least = f"{option.least:,.10g}" if option.least is not None else ""
    return f"{least} to {option.most:,.10g}" if option.most is not None else f"from {least}"


def table(lines: t.Iterable[Line]) -> str:
    """As Markdown."""
    return _HEAD + "".join(map(str, lines))


def _default(value: t.Any) -> str:
    if value in (None, [], {}):
        return "-"
    return f"`{value:g}`" if isinstance(value, float) else f"`{json.dumps(value).strip(chr(34))}`"


def main() -> None:
    """Write all of it."""
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
    for page, text in ((RESPONDER, responder_text), (MONITORS, monitor_text)):
        page.write_text(text(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
