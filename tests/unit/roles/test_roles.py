"""What people forget when they change a role."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.openstack_ha.recovery.plugins.module_utils._monitor import keeper

ROOT = Path(__file__).resolve().parents[3]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())


def load(role: str, name: str) -> dict[str, t.Any]:
    return dict(yaml.safe_load((ROOT / "roles" / role / name).read_text(encoding="utf-8")))


def options(role: str) -> dict[str, t.Any]:
    entries = load(role, "meta/argument_specs.yml")["argument_specs"].values()
    return {name: option for entry in entries for name, option in entry["options"].items()}


def text_of(role: str) -> str:
    """All that a role does, without what it declares."""
    folders = ("tasks", "handlers", "templates", "vars")
    files = [path for folder in folders for path in (ROOT / "roles" / role / folder).iterdir()]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def test_the_two_roles_are_there() -> None:
    assert ROLES == ["monitor", "responder"]


@pytest.mark.parametrize("role", ROLES)
def test_defaults_and_documentation_have_the_same_variables_with_the_same_values(role: str) -> None:
    documented = {name: it.get("default") for name, it in options(role).items()}
    assert documented == load(role, "defaults/main.yml")


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_bears_the_name_of_the_role_and_is_used(role: str) -> None:
    text = text_of(role) + (ROOT / "roles" / role / "defaults" / "main.yml").read_text(encoding="utf-8")
    for name in options(role):
        assert name.startswith(f"{role}_")
        found = re.findall(rf"(?<![a-z_]){name}(?![a-z_])", text)
        assert len(found) > 1, f"{name} is not used"


@pytest.mark.parametrize("role", ROLES)
def test_every_internal_variable_is_used(role: str) -> None:
    text = text_of(role)
    for name in load(role, "vars/main.yml"):
        assert name.startswith(f"__{role}_")
        assert len(re.findall(rf"(?<![a-z_]){name}(?![a-z_])", text)) > 1, f"{name} is not used"


@pytest.mark.parametrize("role", ROLES)
def test_what_sounds_secret_is_marked_or_names_a_file(role: str) -> None:
    sounds = re.compile(r"token|password|journal_url|environment")
    for name, option in options(role).items():
        if sounds.search(name):
            assert option.get("no_log") is True, name


@pytest.mark.parametrize("role", ROLES)
def test_only_handlers_restart(role: str) -> None:
    tasks = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "roles" / role / "tasks").iterdir())
    assert "state: restarted" not in tasks


def test_the_program_of_the_monitors_is_flat_because_the_role_copies_files_of_one_folder() -> None:
    folder = ROOT / "plugins" / "module_utils" / "_monitor"
    assert [path.name for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__"] == []
    assert "__main__.py" in {path.name for path in folder.iterdir()}


def test_a_watchdog_is_not_killed_before_it_is_released_or_its_host_would_be_reset() -> None:
    settings = dict(it.split("=", 1) for it in load("monitor", "vars/main.yml")["__monitor_unit_of_kind"]["watchdog"])
    assert int(settings["TimeoutStopSec"]) > keeper.LINGER + 10


def test_the_roles_keep_their_secrets_in_the_same_place() -> None:
    monitor, responder = load("monitor", "defaults/main.yml"), load("responder", "defaults/main.yml")
    for name in ("secrets_dir", "key_file", "ca_file"):
        assert monitor[f"monitor_{name}"].replace("monitor_", "") == responder[f"responder_{name}"].replace(
            "responder_", ""
        )
