"""What people forget when they add a file; each failure names the file and what it lacks."""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.loader import fragment_loader
from ansible.utils.plugin_docs import add_fragments

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins"
COLLECTION = "openstack_ha.recovery"
MODULES = sorted(path.stem for path in (PLUGINS / "modules").glob("*.py"))
FILES = sorted(path.relative_to(ROOT).as_posix() for path in PLUGINS.rglob("*.py"))
PRIVATE = [name for name in FILES if any(part.startswith("_") for part in Path(name).parts)]
HEADER = [
    "# Copyright: openstack_ha.recovery contributors",
    "# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)",
    "# SPDX-License-Identifier: GPL-3.0-or-later",
]
GROUPS = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]
GROUP_OF_FRAGMENT = {"cloud": "cloud", "journal": "journal"}


def load(module: str) -> t.Any:
    return importlib.import_module(f"ansible_collections.openstack_ha.recovery.plugins.modules.{module}")


def documentation(module: str) -> dict[str, t.Any]:
    """With its fragments, as ansible-doc shows it."""
    found = yaml.safe_load(load(module).DOCUMENTATION)
    add_fragments(found, str(PLUGINS / "modules" / f"{module}.py"), fragment_loader, is_module=True)
    return dict(found)


def fragments(module: str) -> list[str]:
    named = yaml.safe_load(load(module).DOCUMENTATION)["extends_documentation_fragment"]
    return [name.removeprefix(f"{COLLECTION}.") for name in named]


def examples(module: str) -> list[tuple[str, dict[str, t.Any]]]:
    """The tasks of this collection in the EXAMPLES of a module: module and options."""
    found = []
    for task in yaml.safe_load(load(module).EXAMPLES):
        for key, options in task.items():
            if key.startswith(f"{COLLECTION}."):
                found.append((key.removeprefix(f"{COLLECTION}."), options or {}))
    return found


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_there_is_something_to_guard() -> None:
    assert "host_evacuate" in MODULES
    assert len(PRIVATE) > 20


# -- modules ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_an_action_plugin_that_runs_the_same_task(module: str) -> None:
    action = importlib.import_module(f"ansible_collections.openstack_ha.recovery.plugins.action.{module}")
    assert action.ActionModule.TASK is load(module).TASK


def test_no_action_plugin_is_without_its_module() -> None:
    assert sorted(path.stem for path in (PLUGINS / "action").glob("*.py")) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_every_module_is_in_the_action_groups_of_the_options_that_it_shares(module: str) -> None:
    wanted = {GROUP_OF_FRAGMENT[name] for name in fragments(module) if name in GROUP_OF_FRAGMENT}
    assert {name for name, members in GROUPS.items() if module in members} == wanted - ({"journal"} & optional(module))


def optional(module: str) -> set[str]:
    """Reading the journal is not part of a recovery, so it takes part in the group or not."""
    return {"journal"} if module.endswith("_info") and module not in GROUPS["journal"] else set()


def test_action_groups_name_modules_that_exist() -> None:
    assert {module for members in GROUPS.values() for module in members} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_the_truth_about_check_mode_diff_and_running_twice(module: str) -> None:
    attributes = documentation(module)["attributes"]
    assert {"check_mode", "diff_mode", "idempotent"} <= set(attributes)
    shows_diff = '"diff"' in read(f"plugins/modules/{module}.py")
    assert (attributes["diff_mode"]["support"] == "full") == shows_diff


def plain(default: t.Any) -> t.Any:
    """Validation writes the defaults of suboptions into the default of their option."""
    return {key: it for key, it in default.items() if it is not None} if isinstance(default, dict) else default


def compare(documented: dict[str, t.Any], spec: dict[str, t.Any], path: str) -> None:
    assert set(documented) == set(spec), path
    for name, option in spec.items():
        told = documented[name]
        assert told.get("description"), f"{path}{name}"
        for key, default in (("type", "str"), ("elements", None), ("required", False)):
            assert told.get(key, default) == option.get(key, default), f"{path}{name}.{key}"
        assert plain(told.get("default")) == plain(option.get("default")), f"{path}{name}.default"
        assert told.get("choices") == option.get("choices"), f"{path}{name}.choices"
        assert told.get("aliases", []) == option.get("aliases", []), f"{path}{name}.aliases"
        if "options" in option or "suboptions" in told:
            compare(told.get("suboptions", {}), option.get("options", {}), f"{path}{name}.")


@pytest.mark.parametrize("module", MODULES)
def test_options_are_documented_as_they_are(module: str) -> None:
    compare(documentation(module)["options"], load(module).TASK.argument_spec, f"{module}: ")


@pytest.mark.parametrize("module", MODULES)
def test_examples_are_accepted_by_the_modules_they_show(module: str) -> None:
    shown = examples(module)
    assert module in [name for name, _options in shown]
    for name, options in shown:
        task = load(name).TASK
        # a template stands for a value that ansible would fill in, so its type cannot be known here
        templated = {key for key, value in options.items() if "{{" in str(value)}
        spec = {key: {"type": "raw"} if key in templated else option for key, option in task.argument_spec.items()}
        checked = ArgumentSpecValidator(spec, **task.constraints).validate(options)
        assert checked.error_messages == [], (name, options)


@pytest.mark.parametrize("module", MODULES)
def test_what_sounds_secret_is_marked_or_said_not_to_be(module: str) -> None:
    sounds = re.compile(r"pass(word|phrase)|secret|token|_key$|^auth$", re.IGNORECASE)

    def unmarked(spec: dict[str, t.Any]) -> t.Iterator[str]:
        for name, option in spec.items():
            if sounds.search(name) and "no_log" not in option:
                yield name
            yield from unmarked(option.get("options", {}))

    assert list(unmarked(load(module).TASK.argument_spec)) == []


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_unit_test_of_its_own(module: str) -> None:
    info_of = module.removesuffix("_info")
    tests = ROOT / "tests" / "unit" / "plugins" / "modules"
    assert (tests / f"test_{module}.py").exists() or (tests / f"test_{info_of}.py").exists()


# -- files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
def test_every_file_has_the_licence_header(name: str) -> None:
    lines = [line for line in read(name).splitlines() if line != "#!/usr/bin/python"]
    assert lines[: len(HEADER)] == HEADER


@pytest.mark.parametrize("name", PRIVATE)
def test_every_private_file_says_so(name: str) -> None:
    assert "PRIVATE" in (ast.get_docstring(ast.parse(read(name))) or "") or "revisions" in name


@pytest.mark.parametrize("name", [name for name in FILES if "/module_utils/" in name or "/plugin_utils/" in name])
def test_whatever_is_shared_is_private(name: str) -> None:
    assert name in PRIVATE


def test_plugins_are_found_without_init_files() -> None:
    assert list(PLUGINS.rglob("__init__.py")) == []


def test_what_is_copied_to_compute_hosts_runs_without_ansible(tmp_path: Path) -> None:
    package = shutil.copytree(PLUGINS / "module_utils" / "_monitor", tmp_path / "openstack_ha_monitor")
    names = [path.stem for path in package.glob("*.py")]
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    code += "\n".join(f"import openstack_ha_monitor.{name}" for name in names)
    code += "\nfound = {it.partition('.')[0] for it in sys.modules}"
    code += "\nraise SystemExit(bool(found & {'ansible', 'ansible_collections', 'yaml', 'requests'}))"
    assert "__main__" in names
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("name", FILES)
def test_no_plugin_asserts_prints_or_exits(name: str) -> None:
    found = []
    for node in ast.walk(ast.parse(read(name))):
        if isinstance(node, ast.Assert):
            found.append(f"line {node.lineno}: assert")
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "sys.exit", "exit"):
            found.append(f"line {node.lineno}: {ast.unparse(node.func)}")
    assert found == []


@pytest.mark.parametrize("name", FILES)
def test_no_function_is_longer_than_40_lines(name: str) -> None:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = [node for node in ast.walk(ast.parse(read(name))) if isinstance(node, kinds)]
    assert [it.name for it in functions if (it.end_lineno or 0) - it.lineno + 1 > 40] == []


PURE = (
    *("ha_checks", "ha_policy", "ha_words", "selectors"),
    *("names", "segments", "vmstate", "capacity", "planner", "gates"),
    *("restart_order", "turns", "last_place"),
    *("config", "policy_checks", "policy_file", "policy_schema", "segments_file"),
)


@pytest.mark.parametrize("name", PURE)
def test_what_reasons_touches_no_clock_no_api_and_no_file(name: str) -> None:
    tree = ast.parse(read(f"plugins/module_utils/_{name}.py"))
    imported = {
        alias.name.rpartition(".")[2] if "module_utils" in alias.name else alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {(node.module or "").rpartition(".")[2] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported.isdisjoint({"time", "datetime", "random", "os", "socket", "subprocess", "pathlib", "requests"})
    assert imported.isdisjoint({"_cloud", "_compute", "_placement", "_run", "store", "_probe"})
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert "open" not in calls
