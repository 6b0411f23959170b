"""What the pages of docs/ say about each other and about the code is there.

``python tests/tools/daemon_docs.py`` brings the tables of options up to date.
"""

from __future__ import annotations

import json
import re
import sys
import typing as t
from pathlib import Path

import jsonschema
import pytest
import yaml

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor import config as monitor
from ansible_collections.openstack_ha.recovery.plugins.plugin_utils._responder import config as responder

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import daemon_docs

ROOT = daemon_docs.ROOT
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md"), *(ROOT / "roles").glob("*/README.md")])
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```", re.S | re.M)
MENTIONED = re.compile(r"\bdocs/[a-z_]+\.(?:md|json)")
RESPONDER = daemon_docs.RESPONDER.read_text(encoding="utf-8")
MONITORS = daemon_docs.MONITORS.read_text(encoding="utf-8")


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """Those that GitHub and GitLab make of headings."""
    headings = re.findall(r"^#+ +(.*)$", FENCED.sub("", text(page)), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> t.Iterator[str]:
    for link in LINK.findall(FENCED.sub("", text(page))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _hash, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            yield f"{link}: there is no such file"
        elif anchor and anchor not in anchors(target):
            yield f"{link}: there is no such heading"


@pytest.mark.parametrize("name", NAMES)
def test_what_a_page_links_to_is_there(name: str) -> None:
    assert list(broken(ROOT / name)) == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    found, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        found.add(page)
        for link in LINK.findall(text(page)):
            target = (page.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target.exists() and target not in found:
                todo.append(target)
    assert sorted(set((ROOT / "docs").glob("*.md")) - found) == []


def test_pages_that_the_code_and_the_changelog_name_are_there() -> None:
    folders = ["plugins", "playbooks", "roles", "changelogs/fragments", "meta"]
    files = [
        path for folder in folders for path in (ROOT / folder).rglob("*.*") if path.suffix in (".py", ".yml", ".j2")
    ]
    named = {(path.relative_to(ROOT).as_posix(), page) for path in files for page in MENTIONED.findall(text(path))}
    assert named
    assert [f"{path}: {page}" for path, page in sorted(named) if not (ROOT / page).exists()] == []


def test_the_published_schema_of_the_responder_is_the_one_that_is_used() -> None:
    published = text(daemon_docs.SCHEMA_FILE)
    assert published == daemon_docs.schema_text()
    jsonschema.Draft202012Validator.check_schema(json.loads(published))


def test_the_tables_of_the_responder_are_those_of_its_schema() -> None:
    assert daemon_docs.responder_text(RESPONDER) == RESPONDER
    found = [table[1] for table in daemon_docs.TABLE.findall(RESPONDER)]
    assert sorted(found) == sorted([daemon_docs.GENERAL, *daemon_docs.sections()])


def test_the_tables_of_the_monitors_are_those_of_its_options() -> None:
    assert daemon_docs.monitor_text(MONITORS) == MONITORS
    found = [table[1] for table in daemon_docs.TABLE.findall(MONITORS)]
    assert sorted(found) == sorted([daemon_docs.GENERAL, *monitor.SECTIONS])


def test_every_option_of_the_monitors_is_told() -> None:
    for _head, section, old, _end in daemon_docs.TABLE.findall(MONITORS):
        empty = [line.key for line in daemon_docs.monitor_lines(section, old) if not line.meaning.strip()]
        assert empty == [], section


def test_an_option_that_the_code_does_not_know_would_be_seen() -> None:
    changed = MONITORS.replace("| `repeat` |", "| `repeated` |")
    assert changed != MONITORS
    assert daemon_docs.monitor_text(changed) != changed


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(name:.*?)```", RESPONDER, re.DOTALL))
def test_an_example_of_responder_yml_is_valid(example: str) -> None:
    assert responder.parse(yaml.safe_load(example)).name


@pytest.mark.parametrize("example", re.findall(r"```json\n(.*?)```", MONITORS, re.DOTALL))
def test_an_example_of_monitor_json_is_valid(example: str) -> None:
    assert monitor.parse(json.loads(example)).host


def test_there_are_examples() -> None:
    assert "```yaml\nname:" in RESPONDER
    assert "```json\n" in MONITORS
