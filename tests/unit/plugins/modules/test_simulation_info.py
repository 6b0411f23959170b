"""Stories played for operators."""

from __future__ import annotations

import importlib
import typing as t
from pathlib import Path

import pytest
from unit.fakes.stories import write

from ansible_collections.openstack_ha.recovery.plugins.module_utils._errors import RecoveryError
from ansible_collections.openstack_ha.recovery.plugins.module_utils._task import Call
from ansible_collections.openstack_ha.recovery.plugins.modules import simulation_info

GIVEN = "segments: {rack1: {hosts: 4, vms: 2}}"
EXPECTED = "     end  cmp01: recovered, off, forced down; VMs: 1 on cmp02, 1 on cmp03\n    harm  none\n"
LOOKS_DEAD = """
- {at: 2 min, monitor_stops: cmp01}
- {at: 2 min, cut: {hosts: cmp01, networks: [admin]}}
"""


class Stories:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.told: list[str] = []
        write(directory, GIVEN, "- {at: 2 min, die: cmp01}", "a_death", EXPECTED)

    def play(self, *stories: str, policy: str = "") -> dict[str, t.Any]:
        path = self.directory / "ha_policy.yml"
        path.write_text(policy)
        params = {
            "stories": list(stories),
            "directory": str(self.directory),
            "policy_file": str(path) if policy else None,
        }
        return simulation_info.run(Call(params, progress=self.told.append))


@pytest.fixture
def stories(tmp_path: Path) -> Stories:
    return Stories(tmp_path)


def test_without_a_name_the_stories_are_listed(stories: Stories) -> None:
    about = ["Something happens.", "Something must come out."]
    assert stories.play()["stories"] == [{"name": "a_death", "about": about}]


def test_a_story_is_played_and_compared_with_what_must_come_out(stories: Stories) -> None:
    result = stories.play("a_*")
    [played] = result["stories"]
    assert (
        played["outcome"] == played["expected"] == ["cmp01: recovered, off, forced down; VMs: 1 on cmp02, 1 on cmp03"]
    )
    assert (result["harmed"], result["differs"], stories.told) == ([], [], ["a_death: as expected"])
    assert played["log"][0] == "    2:00  cmp01: dies"


def test_another_policy_is_tried_out_on_all_stories(stories: Stories) -> None:
    result = stories.play("all", policy="gates: {witnesses: {needed: 5}}")
    assert result["differs"] == ["a_death"]
    assert result["stories"][0]["outcome"] == ["cmp01: held, off; VMs: 2 down"]


def test_harm_is_told(stories: Stories) -> None:
    write(stories.directory, GIVEN, LOOKS_DEAD, "looks_dead")
    result = stories.play("looks_dead")
    assert result["harmed"] == ["looks_dead"]
    assert stories.told == ["looks_dead: HARM"]


def test_a_name_that_no_story_has_is_an_error(stories: Stories) -> None:
    with pytest.raises(RecoveryError, match=r"No story in .* is called rack_los"):
        stories.play("rack_los")


def test_where_the_simulator_is_not_shipped_to_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> t.NoReturn:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(RecoveryError, match="inside ansible-playbook on the controller"):
        simulation_info.run(Call({"stories": [], "policy_file": None, "directory": None}))
